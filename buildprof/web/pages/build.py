"""One build at `/builds/{ref}`: what happened, what it cost, why; then the waterfall, the Dockerfile, the layers."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from markupsafe import Markup
from sqlalchemy import Engine

from buildprof.analysis.build_words import (
    asked,
    build_label,
    growth_bytes,
    hits_said,
    moved,
    revision_said,
    saved_said,
    status_phrase,
)
from buildprof.analysis.misses import root_misses
from buildprof.analysis.regression_words import worse_builds, worse_figures
from buildprof.analysis.step_words import step_title
from buildprof.analysis.waterfall import waterfall
from buildprof.model.build import UNKNOWN_PROJECT, Build, Source, Status
from buildprof.model.explanation import Explanation
from buildprof.model.step import Outcome
from buildprof.model.text import clean, clean_lines, plural, said_duration
from buildprof.store.baselines import active_regressions
from buildprof.store.explanations import stored_explanation
from buildprof.store.queries import find_build, previous_build
from buildprof.web.pages.build_layers import Layers, layers
from buildprof.web.pages.build_why import why
from buildprof.web.pages.dockerfile import dockerfile
from buildprof.web.pages.drawing import STEP_OUTCOMES
from buildprof.web.pages.paths import Address, build_path
from buildprof.web.pages.render import change, duration, percent, render, size
from buildprof.web.pages.waterfall import MAX_ROWS, lanes, row_id
from buildprof.web.problems import Problem

LOG_LINES = 10
MOST_ZOOM = 6
"""How often the waterfall can be made twice as wide."""

MAX_LOG_LINE = 500
_NO_LOG = "The classic builder tells what a step printed to its client alone, so its log is not known here."
_SOURCES = {Source.CLASSIC: "classic builder", Source.IMPORT: "imported"}


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure of what the build cost. `value` None is not known; `note` is the small text below."""

    name: str
    value: str | None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a build failed: the message, the step by its row, and its log: the last lines, and those before them."""

    title: str
    message: str
    row: str
    step: str
    last: tuple[Markup, ...]
    earlier: tuple[Markup, ...]
    without_log: str


@dataclass(frozen=True, slots=True)
class Zoom:
    """Another width of the waterfall, to choose."""

    id: str
    href: Address
    sign: str
    name: str


@dataclass(frozen=True, slots=True)
class Worse:
    """A regression that this build began."""

    figures: str
    builds: str
    sentence: str


def page(store: Engine, ref: str, query: Mapping[str, str], version: str) -> bytes:
    """Make the page. `query` may have a `zoom`. Blocks; raises Problem 400 and StoreError, NotFound and Ambiguous among them."""
    zoom = _zoom(query.get("zoom", "0"))
    build = find_build(store, ref)
    now_ns = time.time_ns()
    # Builds that could not be placed are not compared: they may be of different projects.
    previous = previous_build(store, build) if build.project != UNKNOWN_PROJECT else None
    explanation = stored_explanation(store, build)
    said = why(explanation, build)
    # Links lead to what is said: of a first build nothing is said of single steps, of very many misses not of all.
    roots = explanation.misses[: len(said.misses)] if explanation else ()
    explained = {miss.step_id for miss in roots}
    causes = {one: miss.step_id for miss in roots for one in miss.collateral}
    drawn, made = waterfall(build, now_ns, zoom), layers(store, build)
    states = dict.fromkeys(row.state for row in drawn.rows if row.x is not None)
    values = {
        "title": build_label(build),
        "here": "",
        "version": version,
        "live": build.ref,
        "now_ns": now_ns,
        "build": build,
        "phrase": status_phrase(build, now_ns),
        "runs": build.status is Status.RUNNING,
        "previous": previous,
        "is_placed": build.project != UNKNOWN_PROJECT,
        "facts": _facts(build),
        "failure": _failure(build),
        "figures": [*_figures(build, explanation), *_image(build, previous, made)],
        "why": said,
        "worse": _worse(store, build),
        "drawn": drawn,
        "rest": max(len(build.steps) - MAX_ROWS, 0),
        "zoom": zoom,
        "most_zoom": MOST_ZOOM,
        "zooms": _zooms(build, zoom),
        "lanes": lanes(drawn, explained, causes),
        "outcomes": {state: STEP_OUTCOMES[Outcome(state)] for state in states if state in tuple(Outcome)},
        "has_path": any(row.is_critical for row in drawn.rows),
        "dockerfile": dockerfile(build, root_misses(build.steps), explained),
        "layers": made,
    }
    return render("build.html", values)


def _zoom(text: str) -> int:
    if text not in map(str, range(MOST_ZOOM + 1)):
        raise Problem(400, f"zoom: a number from 0 to {MOST_ZOOM}")
    return int(text)


def _zooms(build: Build, zoom: int) -> list[Zoom]:
    wanted = (
        ("out", max(zoom - 1, 0), "−", "Zoom out"),  # noqa: RUF001  # a minus
        ("fit", 0, "Fit", "Fit all"),
        ("in", min(zoom + 1, MOST_ZOOM), "+", "Zoom in"),
    )
    return [Zoom(id_, build_path(build.ref, one), sign, name) for id_, one, sign, name in wanted]


def _facts(build: Build) -> list[tuple[str, str]]:
    """What else is known of the build as a whole, as far as it is."""
    engine = " ".join(filter(None, (build.engine.name, build.engine.version)))
    source = _SOURCES.get(build.source, "")
    facts = [
        ("builder", clean(build.builder, 100)),
        ("engine", ", ".join(filter(None, (clean(engine, 100), source)))),
        ("platform", ", ".join(clean(one, 60) for one in build.platforms[:20])),
        ("Dockerfile", clean(build.dockerfile, 300)),
        ("context", clean(build.context, 300)),
        ("asked", " · ".join(asked(build.options))),
        ("revision", revision_said(build.vcs)),
        ("group", clean(build.group, 100)),
    ]
    return [(name, text) for name, text in facts if text]


def _figures(build: Build, explanation: Explanation | None) -> list[Figure]:
    summary = build.summary
    saved, unknown = saved_said(build)
    lost = explanation.blamed_seconds if explanation else summary.executed_seconds
    roots = len(explanation.misses) if explanation else 0
    missed = f"{summary.cache_misses} missed" if summary.cache_misses else ""
    path, total = summary.critical_path_seconds, build.duration_seconds
    figures = [
        Figure("Cache", hits_said(summary) or None, percent(summary.hit_ratio) or ""),
        Figure("Saved by hits", saved or duration(summary.saved_seconds), unknown),
        Figure(
            "Lost to misses",
            duration(lost),
            ", ".join(filter(None, (missed, f"{roots} {plural(roots, 'cause')}" if roots else ""))),
        ),
        Figure(
            "Critical path", duration(path) if total else None, f"of {said_duration(total)}" if path and total else ""
        ),
    ]
    for name, seconds, moved_bytes in moved(summary):
        if seconds is not None or moved_bytes is not None or name == "context":
            value, note = (size(moved_bytes), duration(seconds) or "") if name == "context" else (duration(seconds), "")
            figures.append(Figure(name.capitalize(), value, note))
    return figures


def _image(build: Build, previous: Build | None, made: Layers) -> list[Figure]:
    """The image's size as the engine counts it; where that is another than the bytes in its layers, these as well.

    An engine with containerd's image store counts packed layers.
    """
    if build.image is None:
        return []
    grown, count = growth_bytes(build.image, previous.image if previous else None), build.image.layers
    is_other = made.stored_bytes is not None and size(made.stored_bytes) != size(build.image.size_bytes)
    notes = (
        f"{count} {plural(count, 'layer')}" if count is not None else "",
        f"{size(made.stored_bytes)} unpacked" if is_other else "",
        f"{size(made.wasted_bytes)} wasted" if made.wasted_bytes else "",
        f"{change(grown)} since the last build" if grown is not None else "",
    )
    return [Figure("Image", size(build.image.size_bytes), ", ".join(filter(None, notes)))]


def _failure(build: Build) -> Failure | None:
    error = build.error
    if error is None:
        return None
    step = next((step for step in build.steps if step.id == error.step_id), None) if error.step_id else None
    log = [Markup.escape(line) for entry in error.log_tail[-200:] for line in clean_lines(entry, MAX_LOG_LINE)][-200:]
    where = ""
    if step is not None:
        where = step_title(step) + (f", line {step.lines[0]} of the Dockerfile" if step.lines else "")
    return Failure(
        title="Canceled" if build.status is Status.CANCELED else "Error",
        message=clean(error.message, 1000) or "no reason given",
        row=row_id(step.id) if step else "",
        step=where,
        last=tuple(log[-LOG_LINES:]),
        earlier=tuple(log[:-LOG_LINES]),
        without_log=_NO_LOG if build.source is Source.CLASSIC and not log else "",
    )


def _worse(store: Engine, build: Build) -> list[Worse]:
    if build.project == UNKNOWN_PROJECT:
        return []
    active = active_regressions(store, build.project).get((build.project, build.target), [])
    return [
        Worse(worse_figures(one), worse_builds(one), clean(one.changes.sentence, 1000))
        for one in active
        if (one.since_ref, one.builder) == (build.ref, build.builder)
    ]
