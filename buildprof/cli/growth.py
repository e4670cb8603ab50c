"""What made two images differ in size, as a person reads it: layers, then files. Pure."""

from __future__ import annotations

from buildprof.analysis.compare_words import (
    changed_layers,
    file_difference_bytes,
    file_note,
    files_said,
    layer_name,
    layers_said,
)
from buildprof.analysis.growth import ImageGrowth
from buildprof.cli.lines import Line, cut
from buildprof.model.image import FileGrowth
from buildprof.model.text import clean, short_size

LAYERS, FILES = 5, 10


def growth_lines(growth: ImageGrowth, width: int) -> list[Line]:
    """The sum, the layers that differ most, then the files that do."""
    lines: list[Line] = [[], [("layers    ", "dim"), (layers_said(growth), "")]]
    lines += [_line(one.difference_bytes, layer_name(one), width) for one in changed_layers(growth, LAYERS)]
    if said := files_said(growth):
        lines.append([("files     ", "dim"), (said, "")])
    return lines + [_line(file_difference_bytes(one), _named(one), width) for one in growth.files[:FILES]]


def _named(file: FileGrowth) -> str:
    note = file_note(file)
    return clean(file.path, 300) + (f" ({note})" if note else "")


def _line(difference_bytes: int, text: str, width: int) -> Line:
    sign = "+" if difference_bytes > 0 else ""
    style = "red" if difference_bytes > 0 else "green"
    return [(f"{sign + short_size(difference_bytes):>9} ", style), (cut(text, width - 10), "")]
