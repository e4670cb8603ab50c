"""Lines of styled text: laid out without a terminal, written with colour where there is one."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from rich.cells import cell_len, set_cell_size

from buildprof.model.text import clean

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

Span = tuple[str, str]
"""Text and its style: rich's words, "" for none."""
Line = list[Span]

PIPE_WIDTH = 80
MIN_WIDTH, MAX_WIDTH = 60, 160
MAX_COLUMNS = 1000
"""However wide COLUMNS says that a file is."""

_ASCII = str.maketrans({"\N{EN DASH}": "-", "─": "-", "·": "-", "…": "~", **dict.fromkeys("▏▎▍▌▋▊▉█▐▕", "#")})


def output_width() -> int:
    """Columns to lay lines out in: the terminal's, within reason; elsewhere COLUMNS, or else 80.

    There are never fewer than 60: `write_lines` clips what a narrower place has no room for.
    """
    return min(max(_columns(), MIN_WIDTH), MAX_WIDTH if sys.stdout.isatty() else MAX_COLUMNS)


def _columns() -> int:
    if sys.stdout.isatty():
        return shutil.get_terminal_size((PIPE_WIDTH, 24)).columns
    said = os.environ.get("COLUMNS", "")
    return (int(said) if said.isdecimal() and len(said) < 6 else 0) or PIPE_WIDTH


def fit(text: object, width: int, align: Literal["left", "right"] = "left") -> str:
    """Cleaned text in exactly `width` columns."""
    return pad(clean(text, max(4 * width, 1)), width, align)


def shorten(text: object, width: int) -> str:
    """Cleaned text in at most `width` columns; of characters without a width, such as accents, so many are kept."""
    return cut(clean(text, max(4 * width, 1)), width)


def pad(text: str, width: int, align: Literal["left", "right"] = "left") -> str:
    """Text that is clean already in exactly `width` columns."""
    shown = cut(text, width)
    padding = " " * (width - cell_len(shown))
    return padding + shown if align == "right" else shown + padding


def cut(text: str, width: int) -> str:
    """Text that is clean already in at most `width` columns, of which wide characters take two.

    What is cut off leaves an ellipsis.
    """
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, width - 1).rstrip() + "…" if width > 0 else ""


def wrap(text: str, width: int, most: int) -> list[str]:
    """Words of clean text in at most `most` lines of `width` columns; the last line is cut short."""
    lines: list[str] = []
    rest = text
    near = 4 * width + 4  # more than a line takes; to measure all of a long text for each of its lines takes hours
    while rest and len(lines) < most - 1 and cell_len(rest[:near]) > width:
        head = set_cell_size(rest[:near], width + 1)
        at = head.rfind(" ", width // 3)
        at = at if at > 0 else len(set_cell_size(rest[:near], width).rstrip())
        lines.append(rest[:at].rstrip())
        rest = rest[at:].lstrip()
    return [*lines, cut(rest, width)] if rest else lines


def flow(text: str, width: int) -> list[str]:
    """Words of clean text in lines of `width` columns; a longer word, such as a path, runs over rather than break."""
    lines: list[str] = []
    for word in text.split():
        if lines and cell_len(lines[-1]) + 1 + cell_len(word) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def clip(line: Line, width: int) -> Line:
    """What of a line fits in `width` columns; an ellipsis for the rest."""
    clipped: Line = []
    left = width if cell_len(plain(line)) > width else MAX_COLUMNS
    for text, style in line:
        clipped.append((cut(text, left), style))
        left -= cell_len(text)
        if left < 0:
            break
    return clipped


def plain(line: Line) -> str:
    """The text of a line alone."""
    return "".join(text for text, _ in line).rstrip()


def write_lines(lines: Iterable[Line], *, clipped: bool = True) -> None:
    """Print lines, in colour on a terminal.

    What is laid out wider than a narrow place is cut off there, unless `clipped` is false: rows that wrap are no rows.
    """
    if clipped and _columns() < MIN_WIDTH:
        lines = [clip(line, _columns()) for line in lines]
    if sys.stdout.isatty():
        terminal = make_console()
        for line in lines:
            terminal.print(as_text(line), no_wrap=True, overflow="ignore", crop=False)
        return
    shown = "".join(f"{plain(line)}\n" for line in lines)
    if (sys.stdout.encoding or "ascii").lower().replace("-", "") not in {"utf8", "utf16", "utf32"}:
        shown = shown.translate(_ASCII)
    sys.stdout.write(shown)


def write_json(document: Any) -> None:
    """Print a document in ASCII: every control character in it is escaped."""
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=True) + "\n")


def make_console() -> Console:
    """A rich console on stdout that takes text as it is: no markup, no emoji codes, no highlighting."""
    from rich.console import Console

    return Console(markup=False, emoji=False, highlight=False)


def as_text(line: Line) -> Text:
    """A line as rich shows it."""
    from rich.text import Text

    return Text.assemble(*line, no_wrap=True, overflow="crop")


def table(
    headers: Sequence[str], rows: Sequence[Sequence[Span]], right: frozenset[int], flexible: int, width: int
) -> list[Line]:
    """Columns as wide as their content, two spaces apart; the `flexible` one gives way so that all fits in `width`.

    `right` holds the numbers of the columns that are flush right.
    """
    widths = [
        max(cell_len(header), *(cell_len(clean(row[column][0])) for row in rows), 0)
        for column, header in enumerate(headers)
    ]
    excess = sum(widths) + 2 * (len(widths) - 1) - width
    widths[flexible] = max(widths[flexible] - max(excess, 0), 8)
    titles: list[Span] = [(header, "dim") for header in headers]
    lines: list[Line] = []
    for row in (titles, *rows):
        line: Line = []
        for column, (text, style) in enumerate(row):
            line.append((fit(text, widths[column], "right" if column in right else "left"), style))
            line.append(("  ", ""))
        lines.append(line[:-1])
    return lines
