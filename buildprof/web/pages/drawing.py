"""Small drawings as figures of SVG: where things stand in per cent of the width, so that they fit any screen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from buildprof.model.step import Outcome

SPARK_WIDTH, SPARK_HEIGHT = 72, 16


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a bar: per cent from the left and in width, and the class that it is drawn with."""

    x: float
    width: float
    kind: str

    @property
    def fill(self) -> str:
        """The pattern of outcomes that have one, "" for those that a colour alone fills."""
        return PATTERNS.get(self.kind, "")


@dataclass(frozen=True, slots=True)
class Bar:
    """Parts side by side, and what they say as text."""

    parts: tuple[Part, ...]
    text: str


@dataclass(frozen=True, slots=True)
class Spark:
    """A line through values: its points in pixels, where it ends, and what it says as text."""

    points: str
    x: float
    y: float
    text: str


PATTERNS = {"failed": "url(#hatch)", "shared": "url(#dots)"}
"""Fills that stand in the page, since a pattern in a style sheet would be looked for there."""


OUTCOMES = {
    Outcome.HIT: "hit",
    Outcome.MISS: "missed",
    Outcome.SHARED: "shared",
    Outcome.FAILED: "failed",
    Outcome.CANCELED: "canceled",
    Outcome.SKIPPED: "skipped",
    Outcome.NONE: "to come",
}
"""What became of cacheable steps, in the order in which a bar shows them."""

STEP_OUTCOMES = {**OUTCOMES, Outcome.NONE: "not cacheable"}
"""The same of all steps."""


def outcome_bar(counts: Mapping[Outcome, int]) -> Bar | None:
    """What became of the cacheable steps of a build; None of one without any."""
    total = sum(counts.values())
    parts: list[Part] = []
    at = 0.0
    for outcome in OUTCOMES:
        if count := counts.get(outcome, 0):
            width = 100 * count / total
            parts.append(Part(round(at, 2), round(width, 2), outcome.value))
            at += width
    told = [f"{counts[outcome]} {word}" for outcome, word in OUTCOMES.items() if counts.get(outcome)]
    return Bar(tuple(parts), ", ".join(told)) if parts else None


def spark(values: Sequence[float], text: str) -> Spark | None:
    """A line through two values or more, from the lowest to the highest; one that never changes runs through the middle."""
    if len(values) < 2:
        return None
    low, high = min(values), max(values)
    step = (SPARK_WIDTH - 4) / (len(values) - 1)
    inner = SPARK_HEIGHT - 4
    points = [
        (round(2 + at * step, 1), round(2 + inner * (1 - ((value - low) / (high - low) if high > low else 0.5)), 1))
        for at, value in enumerate(values)
    ]
    return Spark(" ".join(f"{x},{y}" for x, y in points), *points[-1], text)
