"""What is drawn of a target over time: its builds' figures, what misses cost them, how long its steps take.

All functions raise StoreError.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, func, select

from buildprof.analysis.step_times import StepRun
from buildprof.model.build import Status
from buildprof.model.explanation import Cause
from buildprof.model.step import Kind, Layer, Outcome, Step
from buildprof.model.text import clean
from buildprof.store import schema
from buildprof.store.connect import reading
from buildprof.store.project_facts import these_targets
from buildprof.store.rows import key_text, load_inputs

_EVER = -(2**63)
_NAME_CHARS = 200


@dataclass(frozen=True, slots=True)
class BuildPoint:
    """The figures of one build that has ended; None is unknown. `key` is the store's own."""

    key: int
    ref: str
    builder: str
    status: Status
    started_ns: int
    duration_seconds: float | None
    hits: int | None
    misses: int | None
    executed_seconds: float | None
    saved_seconds: float | None
    image_size_bytes: int | None
    steps: int

    @property
    def hit_ratio(self) -> float | None:
        """The share of hits in hits and misses; None when there are none."""
        looked_up = (self.hits or 0) + (self.misses or 0)
        return (self.hits or 0) / looked_up if looked_up else None


def target_builds(
    engine: Engine, project: str, target: str, *, since_ns: int | None = None, limit: int = 100
) -> list[BuildPoint]:
    """The last builds of a target that have ended and began since a time, oldest first."""
    table = schema.builds
    columns = (
        table.c.key,
        table.c.ref,
        table.c.builder,
        table.c.status,
        table.c.started_ns,
        table.c.completed_ns,
        table.c.cache_hits,
        table.c.cache_misses,
        table.c.executed_seconds,
        table.c.saved_seconds,
        table.c.image_size_bytes,
        table.c.steps,
    )
    statement = (
        select(*columns)
        .where(table.c.project == key_text(project), table.c.target == key_text(target))
        .where(table.c.status != Status.RUNNING.value)
        .where(table.c.started_ns >= (_EVER if since_ns is None else since_ns))
        .order_by(table.c.started_ns.desc(), table.c.ref.desc())
        .limit(limit)
    )
    with reading(engine) as connection:
        return [
            BuildPoint(key, ref, builder, Status(status), started_ns, _seconds(started_ns, completed_ns), *figures)
            for key, ref, builder, status, started_ns, completed_ns, *figures in connection.execute(statement)
        ][::-1]


def _seconds(started_ns: int, completed_ns: int | None) -> float | None:
    """As `Build.duration_seconds`."""
    return None if completed_ns is None or completed_ns == started_ns else (completed_ns - started_ns) / 1e9


def lost_by_build(engine: Engine, builds: Sequence[BuildPoint]) -> dict[int, dict[Cause, float]]:
    """Seconds that each build lost, by cause; keyed by the store's key. Builds that lost none are left out."""
    table = schema.losses
    statement = (
        select(table.c.build_key, table.c.cause, func.sum(table.c.seconds))
        .where(table.c.build_key.in_([one.key for one in builds]))
        .group_by(table.c.build_key, table.c.cause)
    )
    found: dict[int, dict[Cause, float]] = {}
    with reading(engine) as connection:
        for key, cause, seconds in connection.execute(statement):
            found.setdefault(key, {})[Cause(cause)] = float(seconds)
    return found


def lost_by_target(engine: Engine, targets: Sequence[tuple[str, str]], since_ns: int) -> dict[tuple[str, str], float]:
    """Seconds lost by the builds of targets, (project, target), that began since a time; those that lost none are left out."""
    if not targets:
        return {}
    table, builds, wanted = schema.losses, schema.builds, these_targets(targets)
    statement = (
        select(builds.c.project, builds.c.target, func.sum(table.c.seconds))
        .join_from(builds, table, table.c.build_key == builds.c.key)
        .where(builds.c.project == wanted.c.project, builds.c.target == wanted.c.target)
        .where(builds.c.started_ns >= since_ns)
        .group_by(builds.c.project, builds.c.target)
    )
    with reading(engine) as connection:
        return {(project, target): float(seconds) for project, target, seconds in connection.execute(statement)}


def step_runs(engine: Engine, builds: Sequence[BuildPoint], *, most_steps: int) -> list[StepRun]:
    """How long the cacheable steps took that these builds ran, oldest build first.

    Builds are read from the newest back until they have `most_steps` steps; the newest always is.
    """
    table = schema.steps
    chosen = _newest(builds, most_steps)
    columns = (table.c.build_key, table.c.identity, table.c.name, table.c.instruction, table.c.command)
    statement = (
        select(*columns, table.c.stage, table.c.duration_seconds)
        .where(table.c.build_key.in_([one.key for one in chosen]), table.c.outcome == Outcome.MISS.value)
        .where(table.c.cacheable, table.c.identity != "", table.c.duration_seconds.is_not(None))
        .order_by(table.c.build_key, table.c.ordinal)
    )
    runs: dict[int, list[StepRun]] = {one.key: [] for one in chosen}
    refs = {one.key: one.ref for one in chosen}
    with reading(engine) as connection:
        for key, identity, name, instruction, command, stage, seconds in connection.execute(statement):
            told = clean(f"{instruction} {command}", _NAME_CHARS) or name
            runs[key].append(StepRun(identity, told, stage, seconds, refs[key]))
    return [run for of_build in runs.values() for run in of_build]


def steps_of_builds(
    engine: Engine, builds: Sequence[BuildPoint], *, most_steps: int
) -> list[tuple[BuildPoint, list[Step]]]:
    """The completed builds among these, oldest first, from the newest back as in `step_runs`, with their steps.

    Of the steps what it takes to know which are in the image, what they are called, and how large their layers are.
    """
    table = schema.steps
    chosen = _newest([one for one in builds if one.status is Status.COMPLETED], most_steps)
    columns = (table.c.build_key, table.c.id, table.c.name, table.c.kind, table.c.stage, table.c.platform)
    texts = (table.c.instruction, table.c.command, table.c.identity, table.c.inputs)
    statement = (
        select(*columns, *texts, table.c.layer_digest, table.c.layer_size_bytes)
        .where(table.c.build_key.in_([one.key for one in chosen]))
        .order_by(table.c.build_key, table.c.ordinal)
    )
    rows: dict[int, list[Sequence[Any]]] = {one.key: [] for one in chosen}
    with reading(engine) as connection:
        for row in connection.execute(statement):
            rows[row[0]].append(row)
    return [(one, _steps(rows[one.key])) for one in chosen]


def _steps(rows: Sequence[Sequence[Any]]) -> list[Step]:
    ids = [row[1] for row in rows]
    return [
        Step(
            id=id_,
            name=name,
            kind=Kind(kind),
            outcome=Outcome.NONE,
            stage=stage,
            platform=platform,
            instruction=instruction,
            command=command,
            identity=identity,
            inputs=load_inputs(inputs, ids),
            layer=None if digest is None else Layer(digest, size_bytes),
        )
        for _, id_, name, kind, stage, platform, instruction, command, identity, inputs, digest, size_bytes in rows
    ]


def _newest(builds: Sequence[BuildPoint], most_steps: int) -> list[BuildPoint]:
    chosen: list[BuildPoint] = []
    steps = 0
    for one in reversed(builds):
        steps += one.steps
        if chosen and steps > most_steps:
            break
        chosen.append(one)
    return chosen[::-1]
