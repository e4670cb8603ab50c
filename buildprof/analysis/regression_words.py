"""What got worse, in words: for the command line and the pages. Pure."""

from __future__ import annotations

from buildprof.model.regression import Regression, Signal
from buildprof.model.text import clean, human_duration, human_size, plural

SIGNAL_NAMES = {
    Signal.DURATION_SECONDS: "build time",
    Signal.EXECUTED_SECONDS: "time of steps that ran",
    Signal.HIT_RATIO: "cache hits",
    Signal.IMAGE_SIZE_BYTES: "image size",
    Signal.CONTEXT_BYTES: "context sent",
    Signal.CACHED_STEPS: "a step is lost from the cache",
}
"""What signals are called for people."""


def figure_text(signal: Signal, figure: float) -> str:
    """A figure of a signal with its unit."""
    if signal is Signal.HIT_RATIO:
        return f"{figure:.0%}"
    if signal in {Signal.IMAGE_SIZE_BYTES, Signal.CONTEXT_BYTES}:
        return human_size(round(figure))
    return human_duration(figure)


def worse_figures(one: Regression) -> str:
    """Such as "build time 41.8 s, usually 12.0 s and at most 15.5 s"."""
    name = SIGNAL_NAMES[one.signal]
    if one.value is None or one.median is None or one.threshold is None:
        return name
    value, median, threshold = (figure_text(one.signal, each) for each in (one.value, one.median, one.threshold))
    bound = "at least" if one.signal is Signal.HIT_RATIO else "at most"
    return f"{name} {value}, usually {median} and {bound} {threshold}"


def worse_builds(one: Regression) -> str:
    """How many builds are worse, and of which kind: "3 builds (cold, Dockerfile, linux/amd64)"."""
    kinds = [
        kind for kind in ("cold" if one.is_cold else "", clean(one.dockerfile, 60), clean(one.platform, 60)) if kind
    ]
    return f"{one.builds} {plural(one.builds, 'build')}" + (f" ({', '.join(kinds)})" if kinds else "")
