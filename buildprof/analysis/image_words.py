"""What is said of an analysed image, on the command line and on the pages. Pure."""

from __future__ import annotations

from buildprof.model.image import ImageAnalysis, WasteKind
from buildprof.model.text import human_size, plural

WASTE_NAMES = {
    WasteKind.REMOVED: "removed",
    WasteKind.OVERWRITTEN: "overwritten",
    WasteKind.METADATA_ONLY: "metadata only",
    WasteKind.DUPLICATE: "duplicate",
}
"""What kinds of waste are called for people."""

NO_COMMAND = "(unknown)"
"""Of a layer that nothing names."""


def wasted_words(analysis: ImageAnalysis) -> str:
    """Such as "12 MB in 340 files · 3 MB by the layers above the base image"; "nothing" where that is so."""
    if not analysis.wasted_bytes:
        return "nothing"
    count = sum(number for kind, number in analysis.waste_count.items() if kind is not WasteKind.DUPLICATE)
    text = f"{human_size(analysis.wasted_bytes)} in {count:,} {plural(count, 'file')}"
    if any(layer.is_base for layer in analysis.layers):
        text += f" · {human_size(analysis.own_wasted_bytes)} by the layers above the base image"
    return text


def doubles_words(analysis: ImageAnalysis) -> str:
    """Such as "2 MB in 30 files whose bytes are there twice"; "" where there are none."""
    doubles = analysis.waste_bytes.get(WasteKind.DUPLICATE)
    if not doubles:
        return ""
    files = analysis.waste_count[WasteKind.DUPLICATE]
    return f"{human_size(doubles)} in {files:,} {plural(files, 'file')} whose bytes are there twice"
