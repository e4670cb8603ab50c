"""What made two images differ in size, as a person reads it: layers, then files. Pure."""

from __future__ import annotations

from buildprof.analysis.growth import ImageGrowth
from buildprof.cli.lines import Line, cut
from buildprof.model.image import FileGrowth
from buildprof.model.text import clean, human_size, plural, short_size

LAYERS, FILES = 5, 10


def growth_lines(growth: ImageGrowth, width: int) -> list[Line]:
    """The sum, the layers that differ most, then the files that do."""
    difference = growth.stored_after_bytes - growth.stored_before_bytes
    common = f"{growth.common_layers} {plural(growth.common_layers, 'layer')} in common"
    lines: list[Line] = [[], [("layers    ", "dim"), (f"{_signed(difference)} stored, {common}", "")]]
    changed = [layer for layer in growth.layers if layer.difference_bytes]
    for layer in sorted(changed, key=lambda one: -abs(one.difference_bytes))[:LAYERS]:
        command = clean(layer.command, 300) or "a layer that nothing names"
        lines.append(_line(layer.difference_bytes, command, width))
    if growth.file_count:
        count = f"{growth.file_count:,} {plural(growth.file_count, 'file')} differ"
        sums = f"{_signed(growth.grown_bytes)} and {_signed(-growth.shrunk_bytes)}"
        lines.append([("files     ", "dim"), (f"{count}: {sums}", "")])
    lines += [
        _line((one.after_bytes or 0) - (one.before_bytes or 0), _named(one), width) for one in growth.files[:FILES]
    ]
    return lines


def _named(file: FileGrowth) -> str:
    mark = {
        file.before_bytes is None: " (new)",
        file.after_bytes is None: " (gone)",
        file.before_bytes == file.after_bytes: " (as large, other bytes)",
    }.get(True, "")
    return clean(file.path, 300) + mark


def _line(difference_bytes: int, text: str, width: int) -> Line:
    sign = "+" if difference_bytes > 0 else ""
    style = "red" if difference_bytes > 0 else "green"
    return [(f"{sign + short_size(difference_bytes):>9} ", style), (cut(text, width - 10), "")]


def _signed(size_bytes: int) -> str:
    return ("+" if size_bytes > 0 else "") + human_size(size_bytes)
