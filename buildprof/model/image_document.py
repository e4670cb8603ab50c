"""The JSON of `image`: as `buildprof image --json` prints it, the HTTP API serves it, and the store keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from buildprof.model.document import Document
from buildprof.model.image import ImageAnalysis, ImageReport, LayerStep, LayerSummary, Waste, WasteKind


def image_document(report: ImageReport) -> Document:
    """The document of an analysed image. `layer` and `caused_by_layer` are indexes into `layers`."""
    analysis = report.analysis
    steps = report.steps or (None,) * len(analysis.layers)
    return {
        "image": report.image,
        "id": report.id,
        "size_bytes": analysis.stored_bytes if report.size_bytes is None else report.size_bytes,
        "stored_bytes": analysis.stored_bytes,
        "visible_bytes": analysis.visible_bytes,
        "wasted_bytes": analysis.wasted_bytes,
        "own_wasted_bytes": analysis.own_wasted_bytes,
        "efficiency": analysis.efficiency,
        "layers": [_layer(layer, step) for layer, step in zip(analysis.layers, steps, strict=True)],
        "waste": [_waste(one) for one in analysis.waste],
        "waste_bytes": {kind.value: size for kind, size in analysis.waste_bytes.items()},
        "waste_count": {kind.value: count for kind, count in analysis.waste_count.items()},
    }


def image_report_from(document: Mapping[str, Any]) -> ImageReport:
    """Undo `image_document`; what documents of earlier versions lack is 0, or not known.

    Raises:
        KeyError, TypeError, ValueError: it is no such document.
    """
    layers, waste = document["layers"], tuple(map(_waste_from, document["waste"]))
    kinds = dict.fromkeys(WasteKind, 0)
    return ImageReport(
        image=document["image"],
        id=document["id"],
        size_bytes=document.get("size_bytes"),
        analysis=ImageAnalysis(
            stored_bytes=document["stored_bytes"],
            visible_bytes=document["stored_bytes"] - document["wasted_bytes"],
            own_wasted_bytes=document.get("own_wasted_bytes", 0),
            layers=tuple(map(_layer_from, layers)),
            waste=waste,
            waste_bytes=kinds | {WasteKind(kind): size for kind, size in document.get("waste_bytes", {}).items()},
            waste_count=kinds | {WasteKind(kind): count for kind, count in document.get("waste_count", {}).items()},
        ),
        steps=tuple(_step_from(layer["step"]) for layer in layers),
    )


def _layer_from(layer: Mapping[str, Any]) -> LayerSummary:
    names = ("index", "digest", "size_bytes", "compressed_bytes", "command")
    counts = ("files_added", "files_changed", "files_removed", "wasted_bytes")
    known = {name: layer[name] for name in (*names, *counts)}
    return LayerSummary(is_base=layer["base"], **known)


def _step_from(step: Mapping[str, Any] | None) -> LayerStep | None:
    if step is None:
        return None
    lines = step["lines"]
    return LayerStep(step["ref"], step["step_id"], (lines[0], lines[1]) if lines else None)


def _waste_from(waste: Mapping[str, Any]) -> Waste:
    kind, same_as = WasteKind(waste["kind"]), waste.get("same_as", "")
    return Waste(waste["path"], waste["bytes"], kind, waste["layer"], waste["caused_by_layer"], same_as)


def _layer(layer: LayerSummary, step: LayerStep | None) -> Document:
    return {
        "index": layer.index,
        "digest": layer.digest,
        "size_bytes": layer.size_bytes,
        "compressed_bytes": layer.compressed_bytes,
        "command": layer.command,
        "base": layer.is_base,
        "step": None if step is None else {"ref": step.ref, "step_id": step.step_id, "lines": _lines(step)},
        "files_added": layer.files_added,
        "files_changed": layer.files_changed,
        "files_removed": layer.files_removed,
        "wasted_bytes": layer.wasted_bytes,
    }


def _lines(step: LayerStep) -> list[int] | None:
    return list(step.lines) if step.lines else None


def _waste(waste: Waste) -> Document:
    document: Document = {
        "path": waste.path,
        "bytes": waste.bytes,
        "kind": waste.kind.value,
        "layer": waste.layer,
        "caused_by_layer": waste.caused_by_layer,
    }
    return document | ({"same_as": waste.same_as} if waste.same_as else {})
