"""The order in which a person reads the steps of a build."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from buildprof.model.step import Kind, Step

_AFTER_STAGES = frozenset({Kind.EXPORT, Kind.CACHE_EXPORT})

Place = tuple[str, str]
"""Platform and stage."""


def reading_order(steps: Iterable[Step]) -> list[Step]:
    """What prepares the build, then stage by stage, then exports.

    Stages stand as in the Dockerfile where every stage's lines are known; otherwise a stage stands after those that
    it takes from, and the ones that start first come first. Within a stage positions count, not time.
    """
    prepared: list[Step] = []
    exported: list[Step] = []
    stages: defaultdict[Place, list[Step]] = defaultdict(list)
    for step in steps:
        if step.position is not None:
            stages[step.platform, step.stage].append(step)
        elif step.kind in _AFTER_STAGES:
            exported.append(step)
        else:
            prepared.append(step)
    in_stages = [step for place in _sorted_places(stages) for step in sorted(stages[place], key=_within_stage)]
    return [*sorted(prepared, key=_start), *in_stages, *sorted(exported, key=_start)]


def _sorted_places(stages: dict[Place, list[Step]]) -> list[Place]:
    first_lines = {place: min((s.lines[0] for s in steps if s.lines), default=None) for place, steps in stages.items()}
    ranks = first_lines if None not in first_lines.values() else _depths(stages)
    starts = {place: min(map(_start, steps)) for place, steps in stages.items()}
    return sorted(stages, key=lambda place: (place[0], ranks[place], starts[place], place))


def _depths(stages: dict[Place, list[Step]]) -> dict[Place, int]:
    """The length of the longest chain of stages that lead to each; chains are cut where stages form a ring."""
    place_of = {step.id: place for place, steps in stages.items() for step in steps}
    sources = {
        place: {place_of[id_] for step in steps for id_ in step.inputs if id_ in place_of} - {place}
        for place, steps in stages.items()
    }
    users: defaultdict[Place, list[Place]] = defaultdict(list)
    for place, found in sources.items():
        for source in found:
            users[source].append(place)
    depths, open_sources = dict.fromkeys(stages, 0), {place: len(found) for place, found in sources.items()}
    settled = [place for place, count in open_sources.items() if not count]
    # The list grows meanwhile: by each stage once all that it takes from is settled, which a ring never is.
    for place in settled:
        for user in users[place]:
            depths[user] = max(depths[user], depths[place] + 1)
            open_sources[user] -= 1
            if not open_sources[user]:
                settled.append(user)
    return depths


def _within_stage(step: Step) -> tuple[int, bool, int, str]:
    return step.position or 0, step.kind is Kind.MERGE, _start(step), step.id


def _start(step: Step) -> int:
    return 2**63 if step.started_ns is None else step.started_ns
