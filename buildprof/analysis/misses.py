"""Which misses have a cause of their own."""

from __future__ import annotations

from collections.abc import Iterable

from buildprof.model.step import Outcome, Step

_MISSED = frozenset({Outcome.MISS, Outcome.SHARED, Outcome.FAILED, Outcome.CANCELED})
"""A step with one of these was not served from the cache, so what is built on it could not be either."""


def root_misses(steps: Iterable[Step]) -> frozenset[str]:
    """Ids of the misses none of whose inputs missed.

    Steps that are not cacheable are looked through: `COPY . .` takes the context, which is loaded in every build.
    """
    by_id = {step.id: step for step in steps}
    return frozenset(
        step.id
        for step in by_id.values()
        if step.cacheable and step.outcome is Outcome.MISS and not _has_missed_input(step, by_id)
    )


def _has_missed_input(step: Step, by_id: dict[str, Step]) -> bool:
    seen: set[str] = set()
    pending = list(step.inputs)
    while pending:
        id_ = pending.pop()
        source = by_id.get(id_)
        if source is None or id_ in seen:
            continue
        seen.add(id_)
        if not source.cacheable:
            pending.extend(source.inputs)
        elif source.outcome in _MISSED:
            return True
    return False
