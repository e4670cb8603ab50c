"""What got worse, as `projects` shows it. Lines only; nothing is read or written here."""

from __future__ import annotations

from collections.abc import Sequence

from buildprof.cli.lines import Line, cut, flow
from buildprof.model.regression import Regression, Signal
from buildprof.model.text import clean, human_duration, human_size, plural

NAMES = {
    Signal.DURATION_SECONDS: "build time",
    Signal.EXECUTED_SECONDS: "time of steps that ran",
    Signal.HIT_RATIO: "cache hits",
    Signal.IMAGE_SIZE_BYTES: "image size",
    Signal.CONTEXT_BYTES: "context sent",
    Signal.CACHED_STEPS: "a step is lost from the cache",
}
"""What signals are called for people."""

REF_CHARACTERS = 12
_INDENT = "   "


def regression_lines(regressed: Sequence[tuple[str, Regression]], width: int) -> list[Line]:
    """Two lines or more for each regression, by the name of its target. Nothing if there is none."""
    if not regressed:
        return []
    lines: list[Line] = [[], [(cut("worse than usual", width), "bold")]]
    for target, one in regressed:
        lines.append([(cut(clean(target, 100), width // 3), "bold"), (f"  {_figures(one)}", "red")])
        lines += [
            [(f"{_INDENT}{text}", "")] for text in flow(f"{_since(one)} {clean(one.changes.sentence, 1000)}", width - 3)
        ]
    return lines


def _figures(one: Regression) -> str:
    name = NAMES[one.signal]
    if one.value is None or one.median is None or one.threshold is None:
        return name
    value, median, threshold = (figure_text(one.signal, each) for each in (one.value, one.median, one.threshold))
    bound = "at least" if one.signal is Signal.HIT_RATIO else "at most"
    return f"{name} {value}, usually {median} and {bound} {threshold}"


def _since(one: Regression) -> str:
    builds = f"{one.builds} {plural(one.builds, 'build')}"
    kinds = [
        kind for kind in ("cold" if one.is_cold else "", clean(one.dockerfile, 60), clean(one.platform, 60)) if kind
    ]
    of = f" ({', '.join(kinds)})" if kinds else ""
    return f"Since build {clean(one.since_ref, REF_CHARACTERS + 1).rstrip('…')[:REF_CHARACTERS]}, {builds}{of}."


def figure_text(signal: Signal, figure: float) -> str:
    """A figure of a signal with its unit."""
    if signal is Signal.HIT_RATIO:
        return f"{figure:.0%}"
    if signal in {Signal.IMAGE_SIZE_BYTES, Signal.CONTEXT_BYTES}:
        return human_size(round(figure))
    return human_duration(figure)
