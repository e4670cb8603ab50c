"""The list of builds at `/`: newest first, with filters in the address."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Engine

from buildprof.analysis.sentences import loss_name
from buildprof.model.build import Build, Status
from buildprof.model.explanation import Loss
from buildprof.model.step import Outcome
from buildprof.store.lists import losses_of, outcome_counts, project_names, recent_durations
from buildprof.store.queries import list_builds
from buildprof.web.api import page_token, parse_filter
from buildprof.web.pages.drawing import OUTCOMES, Bar, Spark, outcome_bar, spark
from buildprof.web.pages.paths import address
from buildprof.web.pages.render import duration, render

PAGE_BUILDS = 50
MAX_PROJECTS = 500
SINCE = {"1h": "the last hour", "1d": "the last day", "7d": "the last 7 days", "30d": "the last 30 days"}
_NAMES = ("project", "target", "status", "since", "before")


@dataclass(frozen=True, slots=True)
class Row:
    """One build of the list. Seconds and bytes are None where they are not known."""

    build: Build
    seconds: float | None
    lost_seconds: float | None
    lost_to: str
    bar: Bar | None
    trend: Spark | None

    @property
    def size_bytes(self) -> int | None:
        """Of the image."""
        return self.build.image.size_bytes if self.build.image else None


@dataclass(frozen=True, slots=True)
class Known:
    """What the store knows of the builds of a list, each by its (builder, ref)."""

    trends: Mapping[tuple[str, str], list[float]]
    losses: Mapping[tuple[str, str], Sequence[Loss]]
    outcomes: Mapping[tuple[str, str], Mapping[Outcome, int]]


def page(store: Engine, query: Mapping[str, str], version: str) -> bytes:
    """Make the page. `query` are the parameters of the address. Blocks; raises Problem 400 and StoreError."""
    given = {name: query[name] for name in _NAMES if query.get(name)}
    wanted = parse_filter({**given, "limit": str(PAGE_BUILDS)}, [*given, "limit"])
    now_ns = time.time_ns()
    builds = list_builds(store, wanted)
    known = Known(recent_durations(store, builds), losses_of(store, builds), outcome_counts(store, builds))
    following = page_token(builds[-1]) if len(builds) == PAGE_BUILDS else None
    filters = {name: value for name, value in given.items() if name != "before"}
    values = {
        "title": "Builds",
        "here": "Builds",
        "version": version,
        "live": "all" if "before" not in given else "",
        "now_ns": now_ns,
        "rows": [_row(one, known, now_ns) for one in builds],
        "outcomes": {
            one.value: word
            for one, word in OUTCOMES.items()
            if any(one in counts for counts in known.outcomes.values())
        },
        "given": {name: given.get(name, "") for name in _NAMES},
        "is_filtered": bool(filters),
        "projects": project_names(store, MAX_PROJECTS),
        "statuses": [one.value for one in Status],
        "since": SINCE,
        "next": address("/", **filters, before=following) if following else "",
        "first": address("/", **filters) if "before" in given else "",
    }
    return render("builds.html", values)


def _row(build: Build, known: Known, now_ns: int) -> Row:
    key = build.builder, build.ref
    seconds = max(now_ns - build.started_ns, 0) / 1e9 if build.status is Status.RUNNING else build.duration_seconds
    values, losses = known.trends.get(key, []), known.losses.get(key, ())
    told = f"the last {len(values)} completed builds took {', '.join(map(str, map(duration, values)))}"
    return Row(
        build=build,
        seconds=seconds,
        lost_seconds=sum(one.seconds for one in losses) if losses else build.summary.executed_seconds,
        lost_to=loss_name(losses[0]) if losses else "",
        bar=outcome_bar(known.outcomes.get(key, {})),
        trend=spark(values, told),
    )
