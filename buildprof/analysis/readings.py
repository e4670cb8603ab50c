"""What of a completed build is compared with its past."""

from __future__ import annotations

import posixpath

from buildprof.analysis.reading_order import reading_order
from buildprof.model.build import UNKNOWN_PROJECT, Build, Status
from buildprof.model.explanation import Cause, Explanation
from buildprof.model.regression import Reading, Signal
from buildprof.model.step import Outcome
from buildprof.model.text import clean

NO_CACHE_TO_USE = frozenset({Cause.COLD_BUILDER, Cause.EVICTED, Cause.NO_CACHE, Cause.FIRST_BUILD})
LOST = frozenset({Cause.COLD_BUILDER, Cause.EVICTED})
"""Causes of misses whose inputs were those of an earlier build."""

_LOOKED_UP = frozenset({Outcome.HIT, Outcome.MISS})


def reading(build: Build, explanation: Explanation | None) -> Reading | None:
    """The figures of a build; None if it has none to compare: it did not complete, or nobody knows what it is of."""
    if build.status is not Status.COMPLETED or build.completed_ns is None or build.project == UNKNOWN_PROJECT:
        return None
    summary = build.summary
    figures: dict[Signal, float | None] = {
        Signal.DURATION_SECONDS: build.duration_seconds,
        Signal.EXECUTED_SECONDS: summary.executed_seconds,
        Signal.HIT_RATIO: summary.hit_ratio,
        Signal.IMAGE_SIZE_BYTES: build.image.size_bytes if build.image else None,
        Signal.CONTEXT_BYTES: summary.context_bytes,
    }
    return Reading(
        ref=build.ref,
        builder=build.builder,
        dockerfile=dockerfile_in_project(build),
        platform=",".join(sorted(build.platforms)),
        started_ns=build.started_ns,
        completed_ns=build.completed_ns,
        is_cold=is_cold(build, explanation),
        figures={signal: float(figure) for signal, figure in figures.items() if figure is not None and figure >= 0},
        steps_lost=steps_lost(build, explanation),
    )


def dockerfile_in_project(build: Build) -> str:
    """The Dockerfile's path from the project's root as far as it is known: builds of others are not compared.

    A context elsewhere is left out of it, since a checkout may have another name each time.
    """
    root = posixpath.normpath(build.directory) if build.directory else ""
    inside = [posixpath.relpath(path, root) for path in (build.context, build.dockerfile) if _is_below(path, root)]
    if inside and _is_below(build.dockerfile, root):
        path = inside[-1]
    elif inside:
        path = posixpath.join(inside[0], build.dockerfile)
    else:
        path = posixpath.basename(build.dockerfile) if build.dockerfile.startswith("/") else build.dockerfile
    return clean(posixpath.normpath(path)) if path else ""


def _is_below(path: str, root: str) -> bool:
    return bool(root) and path.startswith("/") and posixpath.commonpath([posixpath.normpath(path), root]) == root


def is_cold(build: Build, explanation: Explanation | None) -> bool:
    """Whether the first cacheable step that earlier builds had was missed for want of a cache.

    Of a build that is not explained: whether nothing of it came from the cache.
    """
    if explanation is None:
        return not build.summary.cache_hits and bool(build.summary.cache_misses)
    roots = {miss.step_id: miss.finding for miss in explanation.misses}
    for step in reading_order(build.steps):
        if not step.cacheable or step.outcome not in _LOOKED_UP:
            continue
        finding = roots.get(step.id)
        if finding is None or finding.cause not in NO_CACHE_TO_USE:
            return False
        if finding.evidence.get("reason") != "new_step":
            return True
    return False


def steps_lost(build: Build, explanation: Explanation | None) -> tuple[str, ...]:
    """Identities of the steps that were not in the cache though the same had been built before."""
    roots = {miss.step_id for miss in explanation.misses if miss.finding.cause in LOST} if explanation else set()
    return tuple(dict.fromkeys(step.identity for step in build.steps if step.id in roots and step.identity))
