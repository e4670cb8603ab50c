"""What is known about each project: a row for each of its targets, whose builds can be compared with each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from statistics import median
from typing import Any

from sqlalchemy import CTE, ColumnElement, Engine, Select, Text, column, func, select, true, values

from buildprof.model.build import UNKNOWN_PROJECT, Status
from buildprof.store import schema
from buildprof.store.connect import reading
from buildprof.store.rows import key_text

RECENT = 20
"""How many builds the recent figures are taken of."""


# As they stand in a row: an enumeration's value takes longer to get than all else that is done with it.
_RUNNING, _COMPLETED, _FAILED = str(Status.RUNNING), str(Status.COMPLETED), str(Status.FAILED)
_EVER = -(2**63)


@dataclass(frozen=True, slots=True)
class ProjectFacts:
    """One target of one project. `builds` and `failures` count what is stored; None is unknown.

    The hit ratio, the seconds and the median duration are those of the last 20 builds, running ones left out; the
    durations and the sizes of completed ones only. `trend` is the last duration over the median, 1.0 being as usual.
    Builds that could not be placed are not compared with each other: they may be of different projects.
    """

    project: str
    target: str
    builds: int
    failures: int
    last_started_ns: int
    hit_ratio: float | None
    executed_seconds: float | None
    saved_seconds: float | None
    median_duration_seconds: float | None
    last_duration_seconds: float | None
    image_size_bytes: int | None
    previous_image_size_bytes: int | None

    @property
    def trend(self) -> float | None:
        """Last duration / median duration; None when either is unknown or there is nothing to compare with."""
        if not self.median_duration_seconds or self.last_duration_seconds is None:
            return None
        return self.last_duration_seconds / self.median_duration_seconds


def targets_by_time(engine: Engine, project: str | None = None) -> list[tuple[str, str]]:
    """(project, target) of every target that has a stored build: those whose last builds executed longest come first."""
    builds = schema.builds
    pairs = _pairs(true() if project is None else builds.c.project == key_text(project))
    executed = func.sum(builds.c.executed_seconds).filter(builds.c.status != _RUNNING)
    statement = (
        _recent(pairs, builds.c.project, builds.c.target)
        .group_by(builds.c.project, builds.c.target)
        .order_by(func.coalesce(executed, 0.0).desc(), builds.c.project, builds.c.target)
    )
    with reading(engine) as connection:
        return [(project, target) for project, target in connection.execute(statement)]


def list_projects(engine: Engine, project: str | None = None) -> list[ProjectFacts]:
    """Facts of every target that has a stored build, of one project or of all, by project and target."""
    return _listed(engine, true() if project is None else schema.builds.c.project == key_text(project))


def facts_of_targets(engine: Engine, targets: Sequence[tuple[str, str]]) -> list[ProjectFacts]:
    """Facts of these targets, (project, target), by project and target; those without a stored build are left out."""
    if not targets:
        return []
    builds, wanted = schema.builds, these_targets(targets)
    return _listed(engine, (builds.c.project == wanted.c.project) & (builds.c.target == wanted.c.target))


def these_targets(targets: Sequence[tuple[str, str]]) -> CTE:
    """A table of these targets, one or more, to be joined: for a list of pairs SQLite would walk through all builds."""
    columns = column("project", Text), column("target", Text)
    return values(*columns, name="listed").data(list(dict.fromkeys(targets))).cte("wanted")


def _pairs(wanted: ColumnElement[bool]) -> CTE:
    """The targets of these builds: counts, and the time since when a build is recent."""
    builds = schema.builds
    other = builds.alias()
    # The start of the 20th build from the end: what has started since then is recent.
    since = (
        select(other.c.started_ns)
        .where(other.c.project == builds.c.project, other.c.target == builds.c.target)
        .order_by(other.c.started_ns.desc())
        .offset(RECENT - 1)
        .limit(1)
        .scalar_subquery()
    )
    return (
        select(
            builds.c.project,
            builds.c.target,
            func.count().label("builds"),
            func.count().filter(builds.c.status == _FAILED).label("failures"),
            func.coalesce(since, _EVER).label("since_ns"),
        )
        .where(wanted)
        .group_by(builds.c.project, builds.c.target)
        .cte("pairs")
    )


def _recent(pairs: CTE, *columns: ColumnElement[Any]) -> Select[Any]:
    """Columns of the recent builds of targets, in no order."""
    builds = schema.builds
    return select(*columns).join_from(
        pairs,
        builds,
        (builds.c.project == pairs.c.project)
        & (builds.c.target == pairs.c.target)
        & (builds.c.started_ns >= pairs.c.since_ns),
    )


def _listed(engine: Engine, wanted: ColumnElement[bool]) -> list[ProjectFacts]:
    """Facts of the targets of these builds."""
    builds, pairs = schema.builds, _pairs(wanted)
    recent = _recent(
        pairs,
        builds.c.project,
        builds.c.target,
        pairs.c.builds,
        pairs.c.failures,
        builds.c.started_ns,
        builds.c.status,
        builds.c.completed_ns,
        builds.c.cache_hits,
        builds.c.cache_misses,
        builds.c.executed_seconds,
        builds.c.saved_seconds,
        builds.c.image_size_bytes,
    )
    by_pair: dict[tuple[str, str], list[Sequence[Any]]] = {}
    with reading(engine) as connection:
        for row in connection.execute(recent).all():
            by_pair.setdefault((row[0], row[1]), []).append(row)
    return [_facts(by_pair[pair]) for pair in sorted(by_pair)]


def _facts(rows: list[Sequence[Any]]) -> ProjectFacts:
    """Make facts of the recent builds of one target, rows of `list_projects` in any order."""
    newest_first = sorted(rows, key=itemgetter(4), reverse=True)
    project, target, count, failures, last_started_ns = newest_first[0][:5]
    durations, sizes, executed, saved = [], [], [], []
    hits = misses = 0
    finished = [row for row in newest_first if row[5] != _RUNNING][:RECENT]
    for (
        _,
        _,
        _,
        _,
        started_ns,
        status,
        completed_ns,
        hit,
        missed,
        executed_seconds,
        saved_seconds,
        size_bytes,
    ) in finished:
        hits += hit or 0
        misses += missed or 0
        if executed_seconds is not None:
            executed.append(executed_seconds)
        if saved_seconds is not None:
            saved.append(saved_seconds)
        if status == _COMPLETED and completed_ns is not None:
            if completed_ns != started_ns:  # else only the end is known: see model.build
                durations.append((completed_ns - started_ns) / 1e9)
            if size_bytes is not None:
                sizes.append(size_bytes)
    comparable = project != UNKNOWN_PROJECT
    return ProjectFacts(
        project=project,
        target=target,
        builds=count,
        failures=failures,
        last_started_ns=last_started_ns,
        hit_ratio=hits / (hits + misses) if hits + misses else None,
        executed_seconds=sum(executed) if executed else None,
        saved_seconds=sum(saved) if saved else None,
        median_duration_seconds=median(durations) if durations and comparable else None,
        last_duration_seconds=durations[0] if durations else None,
        image_size_bytes=sizes[0] if sizes else None,
        previous_image_size_bytes=sizes[1] if len(sizes) > 1 and comparable else None,
    )
