"""What is known about each project: a row for each of its targets, whose builds can be compared with each other."""

from __future__ import annotations

from dataclasses import dataclass
from operator import itemgetter
from statistics import median
from typing import Any

from sqlalchemy import Engine, case, func, select

from buildprof.model.build import Status
from buildprof.store import schema
from buildprof.store.connect import reading

RECENT = 20
"""How many builds the recent figures are taken of."""


# As they stand in a row: an enumeration's value takes longer to get than all else that is done with it.
_RUNNING, _COMPLETED = str(Status.RUNNING), str(Status.COMPLETED)


@dataclass(frozen=True, slots=True)
class ProjectFacts:
    """One target of one project. `builds` and `failures` count what is stored; None is unknown.

    The hit ratio, the seconds and the median duration are those of the last 20 builds, running ones left out; the
    durations and the sizes of completed ones only. `trend` is the last duration over the median, 1.0 being as usual.
    """

    project: str
    target: str
    builds: int
    failures: int
    last_started_ns: int
    hit_ratio: float | None
    executed_seconds: float
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


def list_projects(engine: Engine) -> list[ProjectFacts]:
    """Facts of every project and target that has a stored build, by project and target."""
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
    failed = case((builds.c.status == Status.FAILED.value, 1), else_=0)
    pairs = (
        select(
            builds.c.project,
            builds.c.target,
            func.count().label("builds"),
            func.sum(failed).label("failures"),
            func.coalesce(since, func.min(builds.c.started_ns)).label("since_ns"),
        )
        .group_by(builds.c.project, builds.c.target)
        .cte("pairs")
    )
    recent = select(
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
    ).join_from(
        pairs,
        builds,
        (builds.c.project == pairs.c.project)
        & (builds.c.target == pairs.c.target)
        & (builds.c.started_ns >= pairs.c.since_ns),
    )
    by_pair: dict[tuple[str, str], _Recent] = {}
    with reading(engine) as connection:
        for project, target, count, failures, *build in connection.execute(recent).all():
            pair = (project, target)
            if pair not in by_pair:
                by_pair[pair] = _Recent(count, int(failures), [])
            by_pair[pair].builds.append(build)
    return [_facts(*pair, by_pair[pair]) for pair in sorted(by_pair)]


@dataclass(frozen=True, slots=True)
class _Recent:
    """Counts of all builds of a target, and the rows of its recent ones, which begin with `started_ns`."""

    count: int
    failures: int
    builds: list[list[Any]]


def _facts(project: str, target: str, recent: _Recent) -> ProjectFacts:
    newest_first = sorted(recent.builds, key=itemgetter(0), reverse=True)
    durations, sizes, saved = [], [], []
    hits = misses = 0
    executed_seconds = 0.0
    finished = [row for row in newest_first if row[1] != _RUNNING][:RECENT]
    for started_ns, status, completed_ns, hit, missed, executed, saved_seconds, size_bytes in finished:
        hits += hit
        misses += missed
        executed_seconds += executed
        if saved_seconds is not None:
            saved.append(saved_seconds)
        if status == _COMPLETED and completed_ns is not None:
            durations.append((completed_ns - started_ns) / 1e9)
            if size_bytes is not None:
                sizes.append(size_bytes)
    return ProjectFacts(
        project=project,
        target=target,
        builds=recent.count,
        failures=recent.failures,
        last_started_ns=newest_first[0][0],
        hit_ratio=hits / (hits + misses) if hits + misses else None,
        executed_seconds=executed_seconds,
        saved_seconds=sum(saved) if saved else None,
        median_duration_seconds=median(durations) if durations else None,
        last_duration_seconds=durations[0] if durations else None,
        image_size_bytes=sizes[0] if sizes else None,
        previous_image_size_bytes=sizes[1] if len(sizes) > 1 else None,
    )
