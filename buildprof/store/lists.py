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


def losses_of(engine: Engine, builds: Collection[Build]) -> dict[tuple[str, str], list[Loss]]:
    """What each build lost, the dearest first, by its (builder, ref); builds without any are left out."""
    known, losses = schema.builds, schema.losses
    seconds = func.sum(losses.c.seconds)
    statement = (
        select(known.c.builder, known.c.ref, losses.c.cause, losses.c.subject, seconds, func.count())
        .join_from(known, losses, known.c.key == losses.c.build_key)
        .where(known.c.ref.in_([key_text(one.ref) for one in builds]))
        .group_by(known.c.builder, known.c.ref, losses.c.cause, losses.c.subject)
        .order_by(seconds.desc())
    )
    found: dict[tuple[str, str], list[Loss]] = {}
    with reading(engine) as connection:
        for builder, ref, cause, subject, lost, misses in connection.execute(statement):
            found.setdefault((builder, ref), []).append(Loss(Cause(cause), subject, lost, misses))
    return found


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
