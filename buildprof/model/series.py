"""What a build adds to the exported series. Kept apart from builds, so that retention never lowers a counter."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

Labels = tuple[tuple[str, str], ...]
"""Label names and values, sorted by name."""


class Effect(StrEnum):
    """How a contribution changes its series."""

    ADD = "add"
    SET = "set"


@dataclass(frozen=True, slots=True)
class Contribution:
    """One change of one series.

    `metric` has no `buildprof_` prefix. Histograms contribute to `<metric>_bucket`, with the label `le` and
    counts that are *not* cumulated over buckets, and to `<metric>_sum`. ADD adds `value`; SET replaces the value
    unless a later build (`at_ns`) has set it already. `ref` and `exemplar_value` make an exemplar of a bucket.
    """

    metric: str
    labels: Labels
    value: float
    effect: Effect = Effect.ADD
    at_ns: int = 0
    ref: str = ""
    exemplar_value: float | None = None


@dataclass(frozen=True, slots=True)
class Series:
    """The stored state of one series, in the terms of `Contribution`."""

    metric: str
    labels: Labels
    value: float
    at_ns: int = 0
    ref: str = ""
    exemplar_value: float | None = None
