"""Why the steps of a build missed the cache."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Cause(StrEnum):
    """Why a root missed."""

    FIRST_BUILD = "first_build"
    INSTRUCTION_CHANGED = "instruction_changed"
    SOURCE_CHANGED = "source_changed"
    BASE_CHANGED = "base_changed"
    BUILD_ARG_CHANGED = "build_arg_changed"
    REMOTE_CHANGED = "remote_changed"
    NO_CACHE = "no_cache"
    EVICTED = "evicted"
    COLD_BUILDER = "cold_builder"
    UNKNOWN = "unknown"


class Confidence(StrEnum):
    """`certain` when the evidence alone forces the cause, `likely` when it is left by elimination."""

    CERTAIN = "certain"
    LIKELY = "likely"


@dataclass(frozen=True, slots=True)
class Finding:
    """A cause and what it rests on.

    The keys of `evidence`, for each cause:

    first_build: none, or `reason`: "new_step" (the Dockerfile did not have it) | "never_succeeded"
    instruction_changed: before, after (texts or None), lines ([first, last] or None)
    source_changed: changed, added, removed (paths, 50 at most each), changed_count, added_count, removed_count, bytes;
        all None but `missing` (what would have to be mounted or watched to know) when found by elimination
    base_changed: image, before, after (digests or None)
    build_arg_changed: names
    remote_changed: url, before, after
    no_cache: option ("--no-cache" or "--no-cache-filter=NAME")
    evicted: lost_at ([since, until] in RFC 3339, either may be None), by ("prune" | "gc" | None)
    cold_builder: builder, ref
    unknown: checked (list of what was compared)
    """

    cause: Cause
    confidence: Confidence
    evidence: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Miss:
    """One root miss: what caused it, what it cost in seconds, and what followed from it.

    `also` are further findings on the same step: each alone would have made it miss. `via` is the id of an earlier step
    in which the difference lies, though that step itself came from the cache; "" if it is the missed step's own.
    """

    step_id: str
    finding: Finding
    also: tuple[Finding, ...] = ()
    via: str = ""
    executed_seconds: float | None = None
    collateral: tuple[str, ...] = ()
    blamed_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """All root misses of a build, the dearest first. `compared_to` is the ref of the build that it was compared with.

    `blamed_seconds` is the sum over all misses: no step is counted twice.
    """

    ref: str
    project: str
    target: str
    compared_to: str | None = None
    misses: tuple[Miss, ...] = ()
    blamed_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Loss:
    """Seconds that were lost to one thing: a file, an argument, an image; `subject` is "" where a cause has none."""

    cause: Cause
    subject: str
    seconds: float
    misses: int = 1
