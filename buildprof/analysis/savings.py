"""What the cache saved: for each hit, the time that the step takes when it runs, less what the hit cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import median

from buildprof.model.step import Outcome, Step

HISTORY_LENGTH = 5
"""How many executed durations of a step its typical duration comes from."""


def with_savings(steps: Sequence[Step], executed_seconds: Mapping[str, Sequence[float]]) -> tuple[Step, ...]:
    """The steps, each hit with the seconds that it saved; None stays where the step was never seen to run.

    `executed_seconds` maps a step's identity to its last executed durations, the newest first.
    """
    return tuple(
        replace(step, saved_seconds=_saved(step, executed_seconds.get(step.identity, ())))
        if step.outcome is Outcome.HIT
        else step
        for step in steps
    )


def _saved(step: Step, durations: Sequence[float]) -> float | None:
    if not durations:
        return None
    return max(median(durations[:HISTORY_LENGTH]) - (step.duration_seconds or 0.0), 0.0)
