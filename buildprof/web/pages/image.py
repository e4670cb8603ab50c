"""One analysed image at `/images/{image}`: its layers, what of it nobody sees, what to do, how it grew."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from sqlalchemy import Engine

from buildprof.analysis.growth import ImageGrowth
from buildprof.analysis.image_advice import image_advice
from buildprof.analysis.image_words import NO_COMMAND, WASTE_NAMES, doubles_words, wasted_words
from buildprof.analysis.project_words import target_label
from buildprof.analysis.waste_tree import WasteNode, largest, waste_tree
from buildprof.model.build import Build
from buildprof.model.image import ImageReport, LayerSummary, WasteKind
from buildprof.model.image_document import image_report_from
from buildprof.store.errors import Ambiguous
from buildprof.store.image_lists import build_head, builds_of_same_image
from buildprof.store.images import build_of_image, stored_image
from buildprof.web.pages.drawing import Bar, Part
from buildprof.web.pages.render import render, size
from buildprof.web.problems import Problem

TREE_NODES = 60
GROWTH_BUILDS = 12
GROWN_LAYERS, GROWN_FILES = 10, 20
_WHOLE = 100.0

GrowthBetween = Callable[[Build, Build], ImageGrowth | None]
"""What differs between the images of two builds, the earlier one first; None where nobody knows. Blocks."""


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer, its bar beside the largest one's, and the step that made it; `line` is its place in the Dockerfile."""

    summary: LayerSummary
    command: str
    bar: Bar
    ref: str
    step_id: str
    line: int | None


@dataclass(frozen=True, slots=True)
class Folder:
    """A directory or file with waste, and what is in it; `share` is of all waste, in per cent."""

    name: str
    bytes: int
    files: int
    kind: str
    share: float
    below: tuple[Folder, ...]


@dataclass(frozen=True, slots=True)
class Kind:
    """All waste of a kind."""

    name: str
    bytes: int
    files: int
    is_wasted: bool


@dataclass(frozen=True, slots=True)
class Version:
    """The image of one build of the target."""

    build: Build
    bar: Bar | None
    grown_bytes: int | None
    previous: str
    is_shown: bool


def page(store: Engine, growth: GrowthBetween, image: str, version: str, *, with_growth: bool) -> bytes:
    """Make the page of an image by its name or id. What grew in it is told if that is wanted, since it takes longer.

    Blocks; raises NotFound where no such image is analysed, Problem 400 for what means several, and StoreError.
    """
    try:
        report = image_report_from(stored_image(store, image))
    except Ambiguous:
        raise Problem(400, "more than one image has an id that begins like this: give more of it") from None
    analysis = report.analysis
    is_by_id = report.id.removeprefix("sha256:").startswith(image.removeprefix("sha256:"))
    build = _build_of(store, report)
    versions = builds_of_same_image(store, build, GROWTH_BUILDS) if build else []
    before = versions[-2] if len(versions) > 1 else None
    grown = growth(before, versions[-1]) if with_growth and before else None
    values = {
        "title": (report.image or report.id) if is_by_id else image,
        "here": "Images",
        "version": version,
        "live": "",
        "now_ns": time.time_ns(),
        "report": report,
        "analysis": analysis,
        "build": build,
        "label": target_label(build.project, build.target) if build else "",
        "wasted": wasted_words(analysis),
        "doubles": doubles_words(analysis),
        "layers": list(_layers(report)),
        "base_layers": sum(layer.is_base for layer in analysis.layers),
        "kinds": list(_kinds(report)),
        "tree": _tree(waste_tree(analysis.waste)),
        "advice": image_advice(analysis),
        "versions": _versions(versions)[::-1],
        "with_growth": with_growth,
        "before": before,
        "grown": grown,
        "grown_layers": _grown_layers(grown),
        "grown_files": grown.files[:GROWN_FILES] if grown else (),
    }
    return render("image.html", values)


def missing_page(image: str, version: str) -> bytes:
    """What to do about an image that is not analysed."""
    values = {"title": image, "here": "Images", "version": version, "live": "", "image": image}
    return render("image_missing.html", values)


def _build_of(store: Engine, report: ImageReport) -> Build | None:
    """The build that made the image: it made its layers, or has its id."""
    refs = dict.fromkeys(step.ref for step in report.steps if step is not None)
    return (build_head(store, list(refs)) if refs else None) or build_of_image(store, {report.id})


def _layers(report: ImageReport) -> Iterator[Layer]:
    layers = report.analysis.layers
    most = max((layer.size_bytes for layer in layers), default=0)
    for layer, step in zip(layers, report.steps, strict=True):
        yield Layer(
            layer,
            layer.command or NO_COMMAND,
            _layer_bar(layer, most),
            step.ref if step else "",
            step.step_id if step else "",
            step.lines[0] if step and step.lines else None,
        )


def _layer_bar(layer: LayerSummary, most: int) -> Bar:
    """The layer's bytes beside those of the largest one: what is seen of them, then what is wasted."""
    wasted = min(layer.wasted_bytes, layer.size_bytes)
    widths = [_WHOLE * part / most if most else 0.0 for part in (layer.size_bytes - wasted, wasted)]
    parts = [Part(0.0, round(widths[0], 2), "own" if not layer.is_base else "base")]
    if wasted:
        parts.append(Part(round(widths[0], 2), round(widths[1], 2), "wasted"))
    return Bar(tuple(parts), f"{size(layer.size_bytes)}, of which {size(wasted)} wasted")


def _kinds(report: ImageReport) -> Iterator[Kind]:
    analysis = report.analysis
    for kind, name in WASTE_NAMES.items():
        if count := analysis.waste_count.get(kind):
            yield Kind(name, analysis.waste_bytes.get(kind, 0), count, kind is not WasteKind.DUPLICATE)


def _tree(root: WasteNode) -> tuple[Folder, ...]:
    """What holds much of the waste, each directory with what is in it."""
    return _nested(list(largest(root, TREE_NODES)), 0, root.bytes)


def _nested(nodes: Sequence[tuple[int, WasteNode]], depth: int, whole: int) -> tuple[Folder, ...]:
    starts = [place for place, (level, _) in enumerate(nodes) if level == depth]
    folders = []
    for start, end in pairwise([*starts, len(nodes)]):
        node = nodes[start][1]
        name = f"{node.name}/" if node.below else node.name
        share = round(_WHOLE * node.bytes / whole, 1) if whole else 0.0
        kind = WASTE_NAMES[node.kind] if node.kind else ""
        below = _nested(nodes[start + 1 : end], depth + 1, whole)
        folders.append(Folder(name, node.bytes, node.files, kind, share, below))
    return tuple(folders)


def _versions(builds: Sequence[Build]) -> list[Version]:
    sizes = [one.image.size_bytes if one.image else None for one in builds]
    most = max((size_bytes for size_bytes in sizes if size_bytes), default=0)
    found = []
    for place, (build, size_bytes) in enumerate(zip(builds, sizes, strict=True)):
        before = sizes[place - 1] if place else None
        width = _WHOLE * size_bytes / most if size_bytes else 0.0
        bar = Bar((Part(0.0, round(width, 2), "own"),), f"{size(size_bytes)}") if size_bytes else None
        grown = None if size_bytes is None or before is None else size_bytes - before
        previous = builds[place - 1].ref if place else ""
        found.append(Version(build, bar, grown, previous, place == len(builds) - 1))
    return found


def _grown_layers(grown: ImageGrowth | None) -> list[tuple[str, int]]:
    """The layers that differ most, with the bytes that they grew."""
    changed = [one for one in grown.layers if one.difference_bytes] if grown else []
    ordered = sorted(changed, key=lambda one: -abs(one.difference_bytes))[:GROWN_LAYERS]
    return [(one.command or NO_COMMAND, one.difference_bytes) for one in ordered]
