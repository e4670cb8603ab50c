"""What is said of projects, on the command line and on the pages: their names, their trend, what time was lost to. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from buildprof.analysis.advice import ignorable
from buildprof.analysis.sentences import CAUSE_NAMES, loss_name
from buildprof.model.build import DEFAULT_TARGET
from buildprof.model.explanation import Cause, Loss
from buildprof.model.text import clean

USUAL = 0.05
"""A duration this near to the median, as a part of it, is as usual."""

IGNORABLE = "usually no step needs it"


@dataclass(frozen=True, slots=True)
class Lost:
    """Time that a project lost to one thing; `note` says what is known of it."""

    project: str
    name: str
    note: str
    seconds: float
    misses: int


def target_label(project: str, target: str) -> str:
    """The project, and the target where it has a name: "shop/web"."""
    return clean(project, 200) if target == DEFAULT_TARGET else f"{clean(project, 200)}/{clean(target, 200)}"


def trend_text(trend: float) -> str:
    """The last duration against the usual one: "=", "+12%", "-30%", "12x"."""
    if is_usual(trend):
        return "="
    return f"{trend:.0f}x" if trend >= 10 else f"{trend - 1:+.0%}"


def is_usual(trend: float) -> bool:
    """Whether a duration is as good as the usual one."""
    return abs(trend - 1) <= USUAL


def lost_by_cause(losses: Iterable[tuple[str, Loss]]) -> list[Lost]:
    """What a project lost to each cause, the dearest first."""
    seconds: dict[tuple[str, Cause], float] = {}
    misses: dict[tuple[str, Cause], int] = {}
    for project, loss in losses:
        key = project, loss.cause
        seconds[key] = seconds.get(key, 0.0) + loss.seconds
        misses[key] = misses.get(key, 0) + loss.misses
    ordered = sorted(seconds, key=lambda key: -seconds[key])
    return [Lost(key[0], CAUSE_NAMES[key[1]], "", seconds[key], misses[key]) for key in ordered]


def lost_by_file(losses: Iterable[tuple[str, Loss]]) -> list[Lost]:
    """What a project lost to each file of its contexts, in the order of the losses."""
    return [
        Lost(project, loss_name(loss), IGNORABLE if ignorable(loss.subject) else "", loss.seconds, loss.misses)
        for project, loss in losses
        if loss.cause is Cause.SOURCE_CHANGED and loss.subject
    ]
