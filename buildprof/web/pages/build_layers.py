"""The layers of a build's image as bars: from its analysis where there is one, else from its steps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Engine

from buildprof.analysis.image_steps import image_steps
from buildprof.analysis.step_words import step_name
from buildprof.model.build import Build
from buildprof.model.document import Document
from buildprof.model.step import Step
from buildprof.model.text import clean, human_size
from buildprof.store.images import image_of
from buildprof.web.pages.drawing import Bar, Part
from buildprof.web.pages.waterfall import row_id

MAX_NAME = 100
MAX_ROWS = 500


@dataclass(frozen=True, slots=True)
class LayerRow:
    """One layer. `row` is the id of its step's row, "" where no step of this build is known for it."""

    number: int
    name: str
    row: str
    size_bytes: int | None
    wasted_bytes: int | None
    is_base: bool
    bar: Bar | None


@dataclass(frozen=True, slots=True)
class Layers:
    """The layers, the lowest first, and how many more there are. `image` is the analysed image's id, "" of others."""

    rows: tuple[LayerRow, ...]
    image: str
    platform: str = ""
    rest: int = 0
    stored_bytes: int | None = None
    wasted_bytes: int = 0


def layers(store: Engine, build: Build) -> Layers:
    """The layers of a build's image. Raises StoreError."""
    document = image_of(store, build)
    if document is not None:
        made = _layers(_of_analysis(document, build), document["id"])
        return replace(made, stored_bytes=document["stored_bytes"], wasted_bytes=document["wasted_bytes"])
    platform = build.platforms[-1] if len(build.platforms) > 1 else ""
    return _layers(_of_steps(image_steps(build, platform)), "", platform)


def _layers(rows: Sequence[LayerRow], image: str, platform: str = "") -> Layers:
    return Layers(tuple(rows[:MAX_ROWS]), image, platform, max(len(rows) - MAX_ROWS, 0))


def _of_analysis(document: Document, build: Build) -> list[LayerRow]:
    steps = {step.id: step for step in build.steps}
    most = _largest(layer["size_bytes"] for layer in document["layers"])
    rows = []
    for layer in document["layers"]:
        # The step may be one of an earlier build with the same layer: that has another id here.
        step = steps.get(layer["step"]["step_id"]) if layer["step"] else None
        rows.append(
            LayerRow(
                number=layer["index"] + 1,
                name=step_name(step, MAX_NAME) if step else clean(layer["command"] or "", MAX_NAME),
                row=row_id(step.id) if step else "",
                size_bytes=layer["size_bytes"],
                wasted_bytes=layer["wasted_bytes"],
                is_base=layer["base"],
                bar=_bar(layer["size_bytes"], most, is_base=layer["base"]),
            )
        )
    return rows


def _of_steps(steps: Sequence[Step]) -> list[LayerRow]:
    sizes = [step.layer.size_bytes if step.layer else None for step in steps]
    most = _largest(sizes)
    return [
        LayerRow(number, step_name(step, MAX_NAME), row_id(step.id), size, None, False, _bar(size, most, is_base=False))
        for number, (step, size) in enumerate(zip(steps, sizes, strict=True), 1)
    ]


def _largest(sizes: Iterable[int | None]) -> int:
    return max((one for one in sizes if one), default=0)


def _bar(size: int | None, most: int, *, is_base: bool) -> Bar | None:
    if size is None or size <= 0:
        return None
    return Bar((Part(0.0, round(max(100 * size / most, 0.15), 2), "base" if is_base else "layer"),), human_size(size))
