"""One target of a project over time at `/projects/{project}`: its builds' figures as charts, what they lost, its steps."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Engine

from buildprof.analysis.baselines import LEAST_HISTORY
from buildprof.analysis.layer_history import layer_history
from buildprof.analysis.project_words import lost_by_cause, lost_by_file, target_label
from buildprof.analysis.regression_words import figure_text
from buildprof.analysis.regressions import judged
from buildprof.analysis.sentences import CAUSE_NAMES
from buildprof.analysis.step_times import step_times
from buildprof.model.build import Status
from buildprof.model.explanation import Cause
from buildprof.model.regression import Baseline, Reading, Regression, Signal
from buildprof.model.step import Step
from buildprof.store.baselines import active_regressions, last_readings
from buildprof.store.explanations import losses
from buildprof.store.project_facts import ProjectFacts, list_projects
from buildprof.store.trends import BuildPoint, lost_by_build, step_runs, steps_of_builds, target_builds
from buildprof.web.api import parse_filter
from buildprof.web.pages.axis import Unit
from buildprof.web.pages.chart import Chart, Level, Mark, Series, Slot, chart
from buildprof.web.pages.paths import address, build_path
from buildprof.web.pages.projects import grown_bytes, trend_of, worse_of
from buildprof.web.pages.render import render
from buildprof.web.problems import Problem

CHART_BUILDS = 80
"""Builds in a chart: a finger still finds each of so many, and a regression is seen against the usual before it."""

STEPS_READ = 10_000
"""Steps that times are taken of, about: builds of many steps count back less far."""

LAYER_BUILDS, LAYER_STEPS, LAYERS_SHOWN = 40, 800, 5
CAUSES_SHOWN = 5
SLOW_STEPS, FILES_SHOWN, MAX_LOSSES = 15, 15, 1_000
ROWS_SHOWN = 50
SINCE = {
    "1d": "the last day",
    "7d": "the last 7 days",
    "30d": "the last 30 days",
    "90d": "the last 90 days",
}

_NAMES = ("target", "since")
_SHORT_REF = 12


@dataclass(frozen=True, slots=True)
class Row:
    """One build of the table. `previous` is the ref of the completed build before, "" where there is none."""

    build: BuildPoint
    lost_seconds: float | None
    previous: str
    grown_bytes: int | None


@dataclass(frozen=True, slots=True)
class Target:
    """A target to choose."""

    name: str
    is_shown: bool


def page(store: Engine, project: str, query: Mapping[str, str], version: str) -> bytes:
    """Make the page. `query` are the parameters of the address. Blocks; raises Problem 400 and 404, and StoreError."""
    given = {name: query[name] for name in _NAMES if query.get(name)}
    wanted = parse_filter({**given, "project": project}, [*given, "project"])
    targets = list_projects(store, project)
    facts = _chosen(targets, wanted.target)
    now_ns = time.time_ns()
    builds = target_builds(store, project, facts.target, since_ns=wanted.since_ns, limit=CHART_BUILDS)
    lost = lost_by_build(store, builds)
    lost_to = losses(store, builds[0].started_ns, project, facts.target, MAX_LOSSES) if builds else []
    regressed = active_regressions(store, project)
    readings = last_readings(store, project, facts.target)
    charts = _charts(store, builds, lost, regressed.get((project, facts.target), []), readings)
    values = {
        "title": target_label(project, facts.target),
        "here": "Projects",
        "version": version,
        "live": "all",
        "now_ns": now_ns,
        "facts": facts,
        "trend": trend_of(facts),
        "grown_bytes": grown_bytes(facts),
        "targets": [Target(one.target, one is facts) for one in targets],
        "worse": worse_of(project, facts.target, regressed),
        "is_judged": any(one.levels for one in charts),
        "least_history": LEAST_HISTORY,
        "charts": charts,
        "rows": _rows(builds, lost)[:ROWS_SHOWN],
        "shown": len(builds),
        "most": CHART_BUILDS,
        "lost_seconds": sum(sum(causes.values()) for causes in lost.values()) if lost else None,
        "lost_causes": lost_by_cause(lost_to),
        "lost_files": lost_by_file(lost_to)[:FILES_SHOWN],
        "steps": step_times(step_runs(store, builds, most_steps=STEPS_READ), SLOW_STEPS),
        "given": {name: given.get(name, "") for name in _NAMES},
        "since": SINCE,
        "builds_address": address("/", project=project, target=facts.target),
    }
    return render("project.html", values)


def _chosen(targets: Sequence[ProjectFacts], target: str | None) -> ProjectFacts:
    """The target that was asked for, else the one that was built last."""
    if not targets:
        raise Problem(404, "no build of this project is known")
    if target is None:
        return max(targets, key=lambda one: one.last_started_ns)
    found = next((one for one in targets if one.target == target), None)
    if found is None:
        raise Problem(404, "no build of this target is known")
    return found


def _charts(
    store: Engine,
    builds: Sequence[BuildPoint],
    lost: Mapping[int, Mapping[Cause, float]],
    regressed: Sequence[Regression],
    readings: Sequence[Reading],
) -> list[Chart]:
    """All charts that have a figure, in the order of the page."""
    cold = {(one.builder, one.ref) for one in readings if one.is_cold}
    slots = [_slot(one, is_cold=(one.builder, one.ref) in cold) for one in builds]
    usual = judged(readings).baselines if readings else {}

    def line(id_: str, title: str, unit: Unit, signal: Signal, figures: Sequence[float | None]) -> Chart | None:
        own = [one for one in regressed if one.signal is signal]
        series = Series(
            title, figures, [_kind(one, figure, own, cold) for one, figure in zip(builds, figures, strict=True)],
            [one.status is Status.COMPLETED for one in builds],
        )  # fmt: skip
        levels, marks = _levels(signal, own, usual), _marks(own, builds)
        return chart(id_, title, unit, slots, [series], levels=levels, marks=marks)

    drawn = [
        line("duration", "Build time", Unit.SECONDS, Signal.DURATION_SECONDS, [one.duration_seconds for one in builds]),
        line("hits", "Cache hits", Unit.SHARE, Signal.HIT_RATIO, [one.hit_ratio for one in builds]),
        _lost_chart(builds, slots, lost),
        line(
            "image",
            "Image size, as the engine counts it",
            Unit.BYTES,
            Signal.IMAGE_SIZE_BYTES,
            [_size(one.image_size_bytes) for one in builds],
        ),
        _layers_chart(steps_of_builds(store, builds[-LAYER_BUILDS:], most_steps=LAYER_STEPS)),
    ]
    return [one for one in drawn if one is not None]


def _size(size_bytes: int | None) -> float | None:
    return None if size_bytes is None else float(size_bytes)


def _slot(build: BuildPoint, *, is_cold: bool) -> Slot:
    status = "" if build.status is Status.COMPLETED else f", {build.status.value}"
    return Slot(
        build_path(build.ref), build.started_ns, _said(build.ref, build.started_ns, status or (", cold" * is_cold))
    )


def _said(ref: str, started_ns: int, more: str = "") -> str:
    return f"{ref[:_SHORT_REF]}, {datetime.fromtimestamp(started_ns / 1e9, UTC):%Y-%m-%d %H:%M} UTC{more}"


def _kind(build: BuildPoint, figure: float | None, regressed: Sequence[Regression], cold: set[tuple[str, str]]) -> str:
    """The class of a build's point in a chart."""
    if build.status is not Status.COMPLETED:
        return build.status.value
    if figure is not None and any(_is_worse(build, figure, one) for one in regressed):
        return "worse"
    return "cold" if (build.builder, build.ref) in cold else ""


def _is_worse(build: BuildPoint, figure: float, regression: Regression) -> bool:
    if regression.threshold is None or build.started_ns < regression.since_ns or build.builder != regression.builder:
        return False
    sign = -1 if regression.signal is Signal.HIT_RATIO else 1
    return sign * figure > sign * regression.threshold


def _levels(signal: Signal, regressed: Sequence[Regression], usual: Mapping[Signal, Baseline]) -> list[Level]:
    """What is usual, and what is no longer: of a regression, else as things stand now."""
    standing = [(one.median, one.threshold) for one in regressed]
    if signal in usual:
        standing.append((usual[signal].median, usual[signal].threshold))
    median, threshold = next(iter(standing), (None, None))
    if median is None or threshold is None:
        return []
    levels = [Level(median, "median", f"usual {figure_text(signal, median)}")]
    if signal is not Signal.HIT_RATIO or threshold > 0:  # else it cannot be worse
        levels.append(Level(threshold, "threshold", f"worse beyond {figure_text(signal, threshold)}"))
    return levels


def _marks(regressed: Iterable[Regression], builds: Sequence[BuildPoint]) -> list[Mark]:
    """The builds that began what is worse, as far as they are in the chart."""
    places = {(one.builder, one.ref): place for place, one in enumerate(builds)}
    began = [places.get((one.builder, one.since_ref)) for one in regressed]
    return [Mark(place, "worse since") for place in dict.fromkeys(began) if place is not None]


def _lost_chart(
    builds: Sequence[BuildPoint], slots: Sequence[Slot], lost: Mapping[int, Mapping[Cause, float]]
) -> Chart | None:
    totals: dict[Cause, float] = {}
    for causes in lost.values():
        for cause, seconds in causes.items():
            totals[cause] = totals.get(cause, 0.0) + seconds
    ordered = sorted((cause for cause in totals if totals[cause] > 0), key=lambda cause: -totals[cause])
    groups = [(CAUSE_NAMES[cause], [cause]) for cause in ordered[:CAUSES_SHOWN]]
    if ordered[CAUSES_SHOWN:]:
        groups.append(("other causes", ordered[CAUSES_SHOWN:]))
    series = [
        Series(name, [sum(lost.get(one.key, {}).get(cause, 0.0) for cause in causes) for one in builds])
        for name, causes in groups
    ]
    return chart("lost", "Time lost, by cause", Unit.SECONDS, slots, series, is_stacked=True)


def _layers_chart(builds: Sequence[tuple[BuildPoint, Sequence[Step]]]) -> Chart | None:
    slots = [_slot(one, is_cold=False) for one, _ in builds]
    layers = layer_history([steps for _, steps in builds], LAYERS_SHOWN)
    series = [Series(one.name, list(map(_size, one.sizes))) for one in layers]
    if not series:
        return None
    return chart("layers", "Layers that the build adds", Unit.BYTES, slots, series, is_stacked=True)


def _rows(builds: Sequence[BuildPoint], lost: Mapping[int, Mapping[Cause, float]]) -> list[Row]:
    """The builds, newest first, each with what it is compared with."""
    rows: list[Row] = []
    before: BuildPoint | None = None
    for one in builds:
        causes = lost.get(one.key)
        sizes = one.image_size_bytes, before.image_size_bytes if before else None
        grown = None if sizes[0] is None or sizes[1] is None else sizes[0] - sizes[1]
        rows.append(
            Row(one, sum(causes.values()) if causes else one.executed_seconds, before.ref if before else "", grown)
        )
        if one.status is Status.COMPLETED:
            before = one
    return rows[::-1]
