"""Two builds side by side at `/compare/{first}/{second}`: what differs, step by step, and what grew in their images."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Engine

from buildprof.analysis.build_words import build_label, status_phrase
from buildprof.analysis.compare import Change, Comparison, StepPair, compare_builds, step_text
from buildprof.analysis.compare_words import (
    NOTABLE_SECONDS,
    changed_layers,
    differences_said,
    file_difference_bytes,
    file_note,
    files_said,
    is_notable,
    layer_name,
    layers_said,
    other_base_said,
    signed_duration,
    signed_size,
)
from buildprof.analysis.growth import ImageGrowth
from buildprof.analysis.step_words import step_name, step_place
from buildprof.model.build import Build
from buildprof.model.step import Outcome, Step
from buildprof.model.text import clean
from buildprof.store.explanations import stored_explanation
from buildprof.store.queries import find_build
from buildprof.web.pages.build_why import why
from buildprof.web.pages.render import render
from buildprof.web.pages.waterfall import WORDS, row_id

MAX_LABEL = 160
MAX_ROWS = 1000
MAX_EDIT = 1000
MAX_BASES = 20
MAX_LAYERS, MAX_FILES = 20, 100

CHANGES: dict[Change, str] = {
    "added": "new",
    "removed": "gone",
    "base": "other base",
    "edited": "edited",
    "outcome": "other outcome",
    "same": "",
}
"""What became of steps, in words."""

GrowthOf = Callable[[Build, Build], ImageGrowth | None]


@dataclass(frozen=True, slots=True)
class Side:
    """A step in one of the builds. `seconds` None is not known, or it did not run."""

    row: str
    state: str
    word: str
    seconds: float | None


@dataclass(frozen=True, slots=True)
class PairRow:
    """A step of both builds, side None where a build does not have it. `before` and `after` are texts of an edited one."""

    stage: str
    place: str
    label: str
    change: Change
    word: str
    first: Side | None
    second: Side | None
    difference: str
    is_slower: bool
    size: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Grown:
    """A layer or a file that differs."""

    difference: str
    is_larger: bool
    name: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Growth:
    """What made the images differ in size."""

    layers_said: str
    layers: tuple[Grown, ...]
    files_said: str
    files: tuple[Grown, ...]
    rest: int


def page(store: Engine, growth_of: GrowthOf, first: str, second: str, version: str) -> bytes:
    """Make the page; the earlier build is shown first. Blocks; raises StoreError, NotFound and Ambiguous among them."""
    before, after = (find_build(store, ref, with_recipes=True) for ref in (first, second))
    swapped = before.started_ns > after.started_ns
    comparison = compare_builds(after, before) if swapped else compare_builds(before, after)
    now_ns = time.time_ns()
    before, after = comparison.before, comparison.after
    rows = [(is_notable(pair), _row(pair)) for pair in comparison.pairs]
    notable, same = ([row for is_one, row in rows if is_one is wanted][:MAX_ROWS] for wanted in (True, False))
    values = {
        "title": f"{build_label(before)} compared",
        "here": "",
        "version": version,
        "live": "",
        "now_ns": now_ns,
        "heads": [(name, one, build_label(one), status_phrase(one, now_ns)) for name, one in _named(comparison)],
        "swapped": swapped,
        "is_same_build": (before.builder, before.ref) == (after.builder, after.ref),
        "others": _others(before, after),
        "differences": differences_said(comparison),
        "bases": [other_base_said(one) for one in comparison.bases[:MAX_BASES]],
        "without_steps": [name for name, one in _named(comparison) if not one.steps],
        "notable": notable,
        "same": same,
        "rest": len(rows) - len(notable) - len(same),
        "why": why(stored_explanation(store, after), after),
        "growth": _growth(growth_of, before, after),
        "images": _images(before, after),
    }
    return render("compare.html", values)


def _named(comparison: Comparison) -> tuple[tuple[str, Build], tuple[str, Build]]:
    return ("before", comparison.before), ("after", comparison.after)


def _others(before: Build, after: Build) -> str:
    """That the builds are of different things, as far as they are."""
    if (before.project, before.target) != (after.project, after.target):
        what = "projects" if before.project != after.project else "targets"
        return f"These are builds of different {what}: {build_label(before)} and {build_label(after)}."
    if before.dockerfile != after.dockerfile:
        names = " and ".join(clean(one.dockerfile, 200) or "one that is not known" for one in (before, after))
        return f"These are builds of different Dockerfiles: {names}."
    return ""


def _row(pair: StepPair) -> PairRow:
    step, seconds, size = pair.step, pair.difference_seconds, pair.difference_bytes
    is_edited = pair.change == "edited" and pair.before is not None and pair.after is not None
    is_other = seconds is not None and abs(seconds) >= NOTABLE_SECONDS
    return PairRow(
        stage=clean(step.stage, 60),
        place=step_place(step).strip(),
        label=step_name(step, MAX_LABEL),
        change=pair.change,
        word=CHANGES[pair.change],
        first=_side(pair.before),
        second=_side(pair.after),
        difference=signed_duration(seconds) if seconds is not None and is_other else "",
        is_slower=(seconds or 0.0) > 0,
        size=signed_size(size) if size else "",
        before=clean(step_text(pair.before), MAX_EDIT) if is_edited and pair.before else "",
        after=clean(step_text(pair.after), MAX_EDIT) if is_edited and pair.after else "",
    )


def _side(step: Step | None) -> Side | None:
    if step is None:
        return None
    state = step.outcome.value
    word = "–" if step.outcome is Outcome.NONE else WORDS.get(state, state)  # noqa: RUF001  # a dash, for "none"
    return Side(row_id(step.id), state, word, step.duration_seconds)


def _growth(growth_of: GrowthOf, before: Build, after: Build) -> Growth | None:
    if before.image is None or after.image is None or before.image.id == after.image.id:
        return None
    found = growth_of(before, after)
    if found is None:
        return None
    layers = [
        Grown(signed_size(one.difference_bytes), one.difference_bytes > 0, layer_name(one))
        for one in changed_layers(found, MAX_LAYERS)
    ]
    files = [
        Grown(signed_size(file_difference_bytes(one)), file_difference_bytes(one) > 0, one.path, file_note(one))
        for one in found.files[:MAX_FILES]
    ]
    rest = max(found.file_count - len(files), 0)
    return Growth(layers_said(found), tuple(layers), files_said(found), tuple(files), rest)


def _images(before: Build, after: Build) -> str:
    """Which images there are: "none" of one of the builds, the "same" of both, or "two"."""
    if before.image is None or after.image is None:
        return "none"
    return "same" if before.image.id == after.image.id else "two"
