"""A build with all that follows from its steps: savings, critical path, sums."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from buildprof.analysis.savings import with_savings
from buildprof.analysis.summary import summarize
from buildprof.analysis.timeline import with_critical_path
from buildprof.model.build import UNKNOWN_PROJECT, Build, Source


def profiled(build: Build, executed_seconds: Mapping[str, Sequence[float]]) -> Build:
    """The build with its steps' savings and slack, and its summary.

    `executed_seconds` maps a step's identity to its executed durations in earlier builds, the newest first. Builds that
    could not be placed are no history of each other: they may be of different projects.
    """
    history = {} if build.project == UNKNOWN_PROJECT else executed_seconds
    steps, critical_path_seconds = with_critical_path(
        with_savings(build.steps, history), in_order=build.source is Source.CLASSIC
    )
    return replace(build, steps=steps, summary=summarize(steps, critical_path_seconds))
