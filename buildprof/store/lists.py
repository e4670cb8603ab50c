"""What a list of builds shows beside their heads: what became of steps, what misses cost, how long their targets took."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Engine, bindparam, func, select

from buildprof.model.build import UNKNOWN_PROJECT, Build, Status
from buildprof.model.explanation import Cause, Loss
from buildprof.model.step import Outcome
from buildprof.store import schema
from buildprof.store.connect import reading
from buildprof.store.rows import key_text

TREND = 12
"""How many durations a trend is made of."""


def recent_durations(engine: Engine, builds: Collection[Build]) -> dict[tuple[str, str], list[float]]:
    """Durations in seconds of the last completed builds of a build's target as of that build, oldest first, 12 at most.

    By its (builder, ref). Builds that could not be placed have none: they may be of different projects.
    """
    known = schema.builds
    statement = (
        select(known.c.completed_ns - known.c.started_ns)
        .where(known.c.project == bindparam("of_project"), known.c.target == bindparam("of_target"))
        .where(known.c.status == Status.COMPLETED.value, known.c.completed_ns > known.c.started_ns)
        .where(known.c.started_ns <= bindparam("until_ns"))
        .order_by(known.c.started_ns.desc())
        .limit(TREND)
    )
    found: dict[tuple[str, str], list[float]] = {}
    with reading(engine) as connection:
        for one in (build for build in builds if build.project != UNKNOWN_PROJECT):
            values = {
                "of_project": key_text(one.project),
                "of_target": key_text(one.target),
                "until_ns": one.started_ns,
            }
            found[one.builder, one.ref] = [row[0] / 1e9 for row in connection.execute(statement, values)][::-1]
    return found


def dearest_losses(engine: Engine, builds: Collection[Build]) -> dict[tuple[str, str], Loss]:
    """What each build lost most to, by its (builder, ref); builds without any are left out."""
    known, losses = schema.builds, schema.losses
    statement = (
        select(known.c.builder, known.c.ref, losses.c.cause, losses.c.subject, func.sum(losses.c.seconds), func.count())
        .join_from(known, losses, known.c.key == losses.c.build_key)
        .where(known.c.ref.in_([key_text(one.ref) for one in builds]))
        .group_by(known.c.builder, known.c.ref, losses.c.cause, losses.c.subject)
    )
    found: dict[tuple[str, str], Loss] = {}
    with reading(engine) as connection:
        for builder, ref, cause, subject, seconds, count in connection.execute(statement):
            before = found.get((builder, ref))
            if before is None or seconds > before.seconds:
                found[builder, ref] = Loss(Cause(cause), subject, seconds, count)
    return found


def lost_seconds(engine: Engine, builds: Collection[Build]) -> dict[tuple[str, str], float]:
    """Seconds that misses cost each build, by its (builder, ref); builds without any are left out."""
    known, losses = schema.builds, schema.losses
    refs = [key_text(one.ref) for one in builds]
    statement = (
        select(known.c.builder, known.c.ref, func.sum(losses.c.seconds))
        .join_from(known, losses, known.c.key == losses.c.build_key)
        .where(known.c.ref.in_(refs))
        .group_by(known.c.builder, known.c.ref)
    )
    with reading(engine) as connection:
        return {(builder, ref): seconds for builder, ref, seconds in connection.execute(statement)}


def outcome_counts(engine: Engine, builds: Collection[Build]) -> dict[tuple[str, str], dict[Outcome, int]]:
    """How many cacheable steps of each build, by its (builder, ref), came out how; builds without any are left out."""
    known, steps = schema.builds, schema.steps
    statement = (
        select(known.c.builder, known.c.ref, steps.c.outcome, func.count())
        .join_from(known, steps, known.c.key == steps.c.build_key)
        .where(known.c.ref.in_([key_text(one.ref) for one in builds]), steps.c.cacheable)
        .group_by(known.c.builder, known.c.ref, steps.c.outcome)
    )
    found: dict[tuple[str, str], dict[Outcome, int]] = {}
    with reading(engine) as connection:
        for builder, ref, outcome, count in connection.execute(statement):
            found.setdefault((builder, ref), {})[Outcome(outcome)] = count
    return found


def project_names(engine: Engine, limit: int) -> list[str]:
    """Names of projects that have builds, in order."""
    builds = schema.builds
    statement = select(builds.c.project).distinct().order_by(builds.c.project).limit(limit)
    with reading(engine) as connection:
        return [row[0] for row in connection.execute(statement)]
