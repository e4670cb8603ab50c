"""A build's figures, all of them sums over its steps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import fsum

from buildprof.model.build import Summary
from buildprof.model.step import Kind, Outcome, Step


def summarize(steps: Sequence[Step], critical_path_seconds: float | None = None) -> Summary:
    """The figures of a build with these steps.

    Executed seconds are those of missed steps. Saved seconds are None if there were hits and none is known; where
    some are known they are the sum of those. Without steps nothing is known: no build has none.
    """
    if not steps:
        return Summary()
    hits = [step for step in steps if step.outcome is Outcome.HIT]
    saved = [step.saved_seconds for step in hits if step.saved_seconds is not None]
    return Summary(
        steps=len(steps),
        cacheable_steps=sum(step.cacheable for step in steps),
        cache_hits=len(hits),
        cache_misses=sum(step.outcome is Outcome.MISS for step in steps),
        executed_seconds=fsum(step.duration_seconds or 0.0 for step in steps if step.outcome is Outcome.MISS),
        saved_seconds=fsum(saved) if saved or not hits else None,
        critical_path_seconds=critical_path_seconds,
        context_bytes=_bytes(step for step in steps if step.kind is Kind.CONTEXT),
        context_seconds=_seconds(steps, Kind.CONTEXT),
        export_seconds=_seconds(steps, Kind.EXPORT),
        cache_import_seconds=_seconds(steps, Kind.CACHE_IMPORT),
        cache_export_seconds=_seconds(steps, Kind.CACHE_EXPORT),
        base_pull_seconds=_pull_seconds(steps),
    )


def _seconds(steps: Sequence[Step], kind: Kind) -> float | None:
    durations = [step.duration_seconds for step in steps if step.kind is kind and step.duration_seconds is not None]
    return fsum(durations) if durations else None


def _bytes(steps: Iterable[Step]) -> int | None:
    transferred = [step.transferred_bytes for step in steps if step.transferred_bytes is not None]
    return sum(transferred) if transferred else None


def _pull_seconds(steps: Sequence[Step]) -> float | None:
    """Seconds of the FROM steps that fetched something; 0 if there are FROM steps and none did."""
    bases = [step for step in steps if step.kind is Kind.FROM and step.duration_seconds is not None]
    return fsum(step.duration_seconds or 0.0 for step in bases if step.transferred_bytes) if bases else None
