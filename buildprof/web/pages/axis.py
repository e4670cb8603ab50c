"""Axes of charts: round figures up the side, dates below."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from buildprof.model.text import human_duration, human_size, said_duration

_TICKS = 4
"""Steps of a scale, about."""

_CLOCK_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 28_800, 86_400)
_PREFIXES = (("T", 10**12), ("G", 10**9), ("M", 10**6), ("k", 10**3))
_NARROWEST = 0.1
"""The part of the largest value that an axis covers at least: what hardly changes looks so, and ticks stay short."""

_LABELS_APART = 19.0
"""Per cent of the width that a date takes on a narrow screen."""


class Unit(StrEnum):
    """What the figures of a chart are."""

    SECONDS = "seconds"
    BYTES = "bytes"
    SHARE = "share"


@dataclass(frozen=True, slots=True)
class Tick:
    """A place on an axis and its words; `anchor` is the side of them that stands there."""

    at: float
    text: str
    anchor: str = "middle"


def scale(values: Sequence[float], unit: Unit, *, from_zero: bool) -> list[float]:
    """The round ticks of an axis; the first is not above any value, the last not below.

    An axis begins at 0 unless all values are far above and near to each other; that of shares goes from 0 to 1.
    """
    if unit is Unit.SHARE:
        return [0.0, 0.25, 0.5, 0.75, 1.0]
    low, high = min(values), max(values)
    start = 0.0 if from_zero or low < 0.7 * high else low - max(high - low, _NARROWEST * high) / 2
    step = _round_step((high - start) / _TICKS, unit)
    first = math.floor(start / step + 1e-9) * step
    count = max(math.ceil((high - first) / step - 1e-9), 1)
    return [first + place * step for place in range(count + 1)]


def _round_step(least: float, unit: Unit) -> float:
    """A round figure that is not below another one: 1, 2 or 5 with zeros; of times above a second as clocks have them."""
    if least <= 0:
        return 1.0
    if unit is Unit.BYTES:
        least = max(least, 1.0)
    elif 0.5 < least <= _CLOCK_STEPS[-1]:
        return float(next(step for step in _CLOCK_STEPS if step >= least))
    power = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1, 2, 5, 10) if factor == 10 or factor * power >= least * (1 - 1e-9))


def tick_text(value: float, unit: Unit) -> str:
    """A round figure with its unit, as short as can be."""
    if value == 0 and unit is not Unit.SHARE:
        return "0"
    if unit is Unit.SHARE:
        return figure_text(value, unit)
    if unit is Unit.BYTES:
        # More digits than in sentences: by `_NARROWEST`, ticks differ in the third or fourth.
        prefix, length = next((one for one in _PREFIXES if value >= one[1]), ("", 1))
        return f"{value / length:.4g} {prefix}B"
    if value < 1:
        return f"{1000 * value:.4g} ms"
    for name, length in (("h", 3600), ("min", 60)):
        if value >= length:
            return human_duration(value) if value % (length / 2) else f"{value / length:.3g} {name}"
    return f"{value:.3g} s"


def figure_text(value: float, unit: Unit) -> str:
    """A figure with its unit, in sentences."""
    if unit is Unit.SHARE:
        return f"{100 * value:.0f}%"
    return human_size(round(value)) if unit is Unit.BYTES else said_duration(value)


def dates(times_ns: Sequence[int]) -> list[Tick]:
    """Dates in UTC below the places that are the first of their day, as far as there is room; of one day, times.

    There is a place for each time, with the same width for each; ticks stand at them in per cent of the whole.
    """
    moments = [datetime.fromtimestamp(time_ns / 1e9, UTC) for time_ns in times_ns]
    days = [place for place, at in enumerate(moments) if place == 0 or at.date() != moments[place - 1].date()]
    is_one_day = len(days) == 1
    ticks: list[Tick] = []
    for place in range(len(moments)) if is_one_day else days:
        x = middle(place, len(moments))
        text = f"{moments[place]:%H:%M}" if is_one_day else f"{moments[place].day} {moments[place]:%b}"
        if not ticks or (x - ticks[-1].at >= _LABELS_APART and text != ticks[-1].text):
            ticks.append(Tick(x, text, "start" if x < 8 else "end" if x > 92 else "middle"))
    return ticks


def middle(place: int, count: int) -> float:
    """The middle of one of so many equal places, in per cent of their width."""
    return round(100 * (place + 0.5) / count, 2)
