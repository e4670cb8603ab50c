"""Which chain of steps decided a build's length: critical path and slack.

The graph is the build's own, with the order that every build has in common added where the times agree: the frontend
reads the Dockerfile, the metadata of the bases and .dockerignore, one after the other (seen on Engine 26.1 and 28.5);
then the stages run, then the result is exported, then the cache. The longest path through a graph without circles is
found in one pass in the order of its edges (Kelley and Walker, 1959).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise

from buildprof.model.step import Kind, Outcome, Step

SHORTEST_MARKED_SECONDS = 0.001
"""A chain runs through hits as well, which take microseconds; marking them would only hide what took the time."""

_PHASES: tuple[frozenset[Kind], ...] = (
    frozenset({Kind.DOCKERFILE, Kind.AUTH, Kind.METADATA, Kind.CACHE_IMPORT}),
    frozenset({Kind.FROM, Kind.CONTEXT, Kind.RUN, Kind.COPY, Kind.ADD, Kind.WORKDIR, Kind.MERGE, Kind.OTHER}),
    frozenset({Kind.EXPORT}),
    frozenset({Kind.CACHE_EXPORT}),
)
_PHASE_OF = {kind: phase for phase, kinds in enumerate(_PHASES) for kind in kinds}


@dataclass(frozen=True, slots=True)
class CriticalPath:
    """The chain with the largest total duration. `slack_seconds` maps every id to what its step may grow."""

    seconds: float
    ids: tuple[str, ...]
    slack_seconds: Mapping[str, float]


def critical_path(steps: Sequence[Step], *, in_order: bool = False) -> CriticalPath | None:
    """The longest path through the steps by duration; steps that never ran weigh nothing. If steps failed, to one of them.

    `in_order` says that each step began when the one before it had ended, as the classic builder has it.

    Of equal chains the one whose steps stand first wins, so that the answer is always the same. None if the inputs
    go in a circle, as they do in no real build.
    """
    weights = {step.id: step.duration_seconds or 0.0 for step in steps}
    inputs = _graph(steps)
    if in_order:
        for before_it, step in pairwise(steps):
            inputs[step.id].append(before_it.id)
    try:
        order = list(TopologicalSorter(inputs).static_order())
    except CycleError:
        return None
    before: dict[str, float] = {}
    chosen: dict[str, str | None] = {}
    for step_id in order:
        longest, via = 0.0, None
        for one in inputs[step_id]:
            length = before[one] + weights[one]
            if via is None or length > longest:
                longest, via = length, one
        before[step_id], chosen[step_id] = longest, via
    after = dict.fromkeys(order, 0.0)
    for step_id in reversed(order):
        for one in inputs[step_id]:
            after[one] = max(after[one], weights[step_id] + after[step_id])
    # What failed ended the build, whatever was canceled with it.
    ends = [step.id for step in steps if step.outcome is Outcome.FAILED] or list(weights)
    total = max((before[step_id] + weights[step_id] for step_id in ends), default=0.0)
    last = max(ends, key=lambda step_id: before[step_id] + weights[step_id], default=None)
    chain: list[str] = []
    while last is not None:
        chain.append(last)
        last = chosen[last]
    slack = {step_id: max(total - before[step_id] - weights[step_id] - after[step_id], 0.0) for step_id in order}
    return CriticalPath(total, tuple(reversed(chain)), slack)


def with_critical_path(steps: Sequence[Step], *, in_order: bool = False) -> tuple[tuple[Step, ...], float | None]:
    """The steps with the critical path marked and their slack, and its length in seconds (None where there is no path).

    A step that took no time to speak of is not marked, and one that never ran has no slack.
    """
    path = critical_path(steps, in_order=in_order) if steps else None
    if path is None:
        return tuple(steps), None
    on_path = frozenset(path.ids)
    marked = tuple(
        replace(
            step,
            on_critical_path=step.id in on_path and (step.duration_seconds or 0.0) >= SHORTEST_MARKED_SECONDS,
            slack_seconds=None if step.duration_seconds is None else path.slack_seconds[step.id],
        )
        for step in steps
    )
    return marked, path.seconds


def _graph(steps: Sequence[Step]) -> dict[str, list[str]]:
    """Inputs of each step: its own; for those that have none, what had come to its end before, of an earlier phase.

    In the first phase, where one thing follows the other, also of the same.
    """
    known = {step.id for step in steps}
    inputs = {step.id: [one for one in step.inputs if one in known and one != step.id] for step in steps}
    has_dependents = {one for found in inputs.values() for one in found}
    ends = [(index, step) for index, step in enumerate(steps) if step.id not in has_dependents]
    for index, step in enumerate(steps):
        if not inputs[step.id]:
            inputs[step.id] = [end.id for at, end in ends if _comes_before(end, step, is_listed_first=at < index)]
    return inputs


def _comes_before(end: Step, step: Step, *, is_listed_first: bool) -> bool:
    if end.started_ns is None or end.completed_ns is None or step.started_ns is None:
        return False
    if end.completed_ns > step.started_ns or (end.started_ns == step.started_ns and not is_listed_first):
        return False
    phase, next_phase = _PHASE_OF[end.kind], _PHASE_OF[step.kind]
    return phase < next_phase or phase == next_phase == 0
