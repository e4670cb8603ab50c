"""Charts of builds over time as figures of SVG: one place for each build, from the oldest to the newest.

Places along the width are per cent, so that a chart fits any screen and its text is never scaled; heights are pixels.
The lines of a chart are drawn in a box of 100 units that is stretched to the width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from buildprof.web.pages.axis import Tick, Unit, dates, figure_text, middle, scale, tick_text

HEIGHT, TOP, FOOT = 170, 16, 20
"""Of the whole drawing, what is left free above, and what the dates take below."""

BOTTOM = HEIGHT - FOOT
_WIDEST_BAR = 5.0
_TEXT = 12
"""Pixels that a line of text takes."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A build in a chart: where it leads to, when it began, and what is said of it before its figures."""

    href: str
    at_ns: int
    name: str


@dataclass(frozen=True, slots=True)
class Series:
    """A figure of each slot, None where it is not known. `kinds` are classes of the points, where those differ.

    `is_joined` tells which points the line goes through; all of them without it.
    """

    name: str
    values: Sequence[float | None]
    kinds: Sequence[str] = ()
    is_joined: Sequence[bool] = ()


@dataclass(frozen=True, slots=True)
class Level:
    """A line across the chart at a figure, such as the usual one. `kind` is its class."""

    value: float
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Mark:
    """The place of a slot where something began, in words."""

    slot: int
    text: str


@dataclass(frozen=True, slots=True)
class Shape:
    """A point, or a piece of a bar, which has a height; `y` is its upper edge then."""

    y: float
    height: float
    kind: str


@dataclass(frozen=True, slots=True)
class Column:
    """All that is drawn of one slot, with its words and the address that it leads to."""

    x: float
    left: float
    width: float
    href: str
    text: str
    shapes: tuple[Shape, ...]


@dataclass(frozen=True, slots=True)
class Placed:
    """A level at its height, or a mark at its place in per cent, with its words; `text_y` is where those stand."""

    at: float
    text_y: float
    kind: str
    text: str
    anchor: str = "start"
    href: str = ""


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawing, ready for its template. `summary` says in words what it shows; `legend` has a name for each class."""

    id: str
    title: str
    summary: str
    bar_width: float
    y_ticks: tuple[Tick, ...]
    x_ticks: tuple[Tick, ...]
    columns: tuple[Column, ...]
    lines: tuple[str, ...]
    levels: tuple[Placed, ...]
    marks: tuple[Placed, ...]
    legend: tuple[tuple[str, str], ...]
    height: int = HEIGHT
    bottom: int = BOTTOM
    top: int = TOP


Height = Callable[[float], float]
"""A figure's place on the axis, in pixels from above."""


def chart(  # noqa: PLR0913  # each is a part of the drawing
    id_: str,
    title: str,
    unit: Unit,
    slots: Sequence[Slot],
    series: Sequence[Series],
    *,
    is_stacked: bool = False,
    levels: Sequence[Level] = (),
    marks: Sequence[Mark] = (),
) -> Chart | None:
    """Draw a line through the figures of each slot, or bars of several figures on top of each other.

    `id_` is unique on its page. None without a figure.
    """
    totals = [_total(one.values[place] for one in series) for place in range(len(slots))]
    known = [total for total in totals if total is not None]
    if not known:
        return None
    shown = known if is_stacked else [value for one in series for value in one.values if value is not None]
    ticks = scale([*shown, *(level.value for level in levels)], unit, from_zero=is_stacked)

    def height(value: float) -> float:
        return round(BOTTOM - (value - ticks[0]) / (ticks[-1] - ticks[0]) * (BOTTOM - TOP), 1)

    columns = _bars if is_stacked else _points
    return Chart(
        id=id_,
        title=title,
        summary=_summary(title, unit, shown),
        bar_width=round(min(80 / len(slots), _WIDEST_BAR), 2),
        y_ticks=tuple(Tick(height(at), tick_text(at, unit)) for at in ticks),
        x_ticks=tuple(dates([slot.at_ns for slot in slots])),
        columns=tuple(columns(slots, series, unit, height)),
        lines=() if is_stacked else tuple(line for one in series for line in _lines(one, height)),
        levels=tuple(_levels(levels, height)),
        marks=tuple(_marks(marks, slots)),
        legend=tuple((f"s{place}", one.name) for place, one in enumerate(series)) if is_stacked else (),
    )


def _total(values: Iterator[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _summary(title: str, unit: Unit, values: Sequence[float]) -> str:
    low, high, last = (figure_text(value, unit) for value in (min(values), max(values), values[-1]))
    return f"{title}: from {low} to {high}, last {last}"


def _points(slots: Sequence[Slot], series: Sequence[Series], unit: Unit, height: Height) -> Iterator[Column]:
    for place, slot in enumerate(slots):
        known = [(one, value) for one in series if (value := one.values[place]) is not None]
        if known:
            shapes = (Shape(height(value), 0, one.kinds[place] if one.kinds else "") for one, value in known)
            told = ", ".join(figure_text(value, unit) for _, value in known)
            yield _column(place, len(slots), slot, f"{slot.name}: {told}", tuple(shapes))


def _bars(slots: Sequence[Slot], series: Sequence[Series], unit: Unit, height: Height) -> Iterator[Column]:
    for place, slot in enumerate(slots):
        shapes: list[Shape] = []
        told: list[str] = []
        total = 0.0
        for number, one in enumerate(series):
            if value := one.values[place]:
                upper = height(total + value)
                if tall := round(height(total) - upper, 1):  # else it is too little to be seen
                    shapes.append(Shape(upper, tall, f"s{number}"))
                told.append(f"{one.name} {figure_text(value, unit)}")
                total += value
        if told:
            whole = [figure_text(total, unit)] if len(told) > 1 else []
            yield _column(place, len(slots), slot, f"{slot.name}: {', '.join([*whole, *told])}", tuple(shapes))


def _column(place: int, count: int, slot: Slot, text: str, shapes: tuple[Shape, ...]) -> Column:
    return Column(middle(place, count), round(100 * place / count, 2), round(100 / count, 2), slot.href, text, shapes)


def _lines(one: Series, height: Height) -> Iterator[str]:
    """Points of lines in the stretched box: a line ends where a figure is not known."""
    line: list[str] = []
    for place, value in enumerate(one.values):
        if value is None:
            if len(line) > 1:
                yield " ".join(line)
            line = []
        elif not one.is_joined or one.is_joined[place]:
            line.append(f"{middle(place, len(one.values))},{height(value)}")
    if len(line) > 1:
        yield " ".join(line)


def _levels(levels: Sequence[Level], height: Height) -> list[Placed]:
    """Each level with its words: above the line of the highest, below that of another, where neither others nor dates are."""
    from_above = sorted(range(len(levels)), key=lambda place: height(levels[place].value))
    placed: dict[int, Placed] = {}
    lowest = BOTTOM - 3.0
    for place in reversed(from_above):
        level, y = levels[place], height(levels[place].value)
        is_above = place == from_above[0] and y > _TEXT
        text_y = min(y - 3 if is_above else y + _TEXT - 1, lowest)
        lowest = text_y - _TEXT
        placed[place] = Placed(y, round(text_y, 1), level.kind, level.text)
    return [placed[place] for place in range(len(levels))]


def _marks(marks: Sequence[Mark], slots: Sequence[Slot]) -> Iterator[Placed]:
    for mark in marks:
        x = middle(mark.slot, len(slots))
        yield Placed(x, _TEXT - 1, "", mark.text, "end" if x > 50 else "start", slots[mark.slot].href)
