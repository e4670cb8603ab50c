"""How long steps take when they run: median and 95th percentile over many builds. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class StepRun:
    """That a step ran once, in the build with this ref. `identity` is the same in every build."""

    identity: str
    name: str
    stage: str
    seconds: float
    ref: str


@dataclass(frozen=True, slots=True)
class StepTimes:
    """How long a step took whenever it ran, in seconds; `ref` is the build of its longest run."""

    name: str
    stage: str
    runs: int
    median_seconds: float
    p95_seconds: float
    ref: str


def step_times(runs: Iterable[StepRun], limit: int) -> list[StepTimes]:
    """The steps that take longest by their median, `limit` at most, the longest first. Names are those of the last runs."""
    by_step: dict[str, list[StepRun]] = {}
    for run in runs:
        by_step.setdefault(run.identity, []).append(run)
    found = [_times(of_step) for of_step in by_step.values()]
    return sorted(found, key=lambda one: (-one.median_seconds, one.stage, one.name))[:limit]


def percentile(ordered: list[float], share: float) -> float:
    """The smallest value that is not below so large a share of the values, which are in order (nearest rank)."""
    return ordered[max(math.ceil(share * len(ordered)), 1) - 1]


def _times(runs: list[StepRun]) -> StepTimes:
    seconds = sorted(run.seconds for run in runs)
    longest = max(runs, key=lambda run: run.seconds)
    return StepTimes(runs[-1].name, runs[-1].stage, len(runs), median(seconds), percentile(seconds, 0.95), longest.ref)
