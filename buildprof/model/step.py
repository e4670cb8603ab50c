"""One vertex of a build's graph, joined over all its intervals, with what we know of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from buildprof.model.recipe import Recipe


class Kind(StrEnum):
    """What a step is, from its name."""

    FROM = "from"
    RUN = "run"
    COPY = "copy"
    ADD = "add"
    WORKDIR = "workdir"
    MERGE = "merge"
    CONTEXT = "context"
    DOCKERFILE = "dockerfile"
    METADATA = "metadata"
    AUTH = "auth"
    CACHE_IMPORT = "cache_import"
    CACHE_EXPORT = "cache_export"
    EXPORT = "export"
    OTHER = "other"


CACHEABLE_KINDS = frozenset({Kind.RUN, Kind.COPY, Kind.ADD, Kind.WORKDIR, Kind.MERGE})
"""Kinds that can be served from the cache and would do work otherwise."""


class Outcome(StrEnum):
    """What became of a step: the words of the design."""

    HIT = "hit"
    MISS = "miss"
    FAILED = "failed"
    CANCELED = "canceled"
    SKIPPED = "skipped"
    SHARED = "shared"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Interval:
    """A closed stretch of time, in nanoseconds since the epoch."""

    started_ns: int
    completed_ns: int


@dataclass(frozen=True, slots=True)
class Layer:
    """The filesystem diff that a step made. Sizes are bytes; None is unknown."""

    digest: str
    size_bytes: int | None = None
    compressed_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Resources:
    """What a RUN used, from the provenance; None is unknown (cgroup v1 has none of it)."""

    cpu_seconds: float | None = None
    memory_peak_bytes: int | None = None
    read_bytes: int | None = None
    written_bytes: int | None = None
    network_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a build.

    `id` is unique in its build and no identity across builds (BuildKit: the vertex digest). `identity` is: the same
    instruction of the same project, target, platform and stage has the same one in every build; "" for steps that
    are not cacheable. `stage` is "" outside of stages; `position`/`of` are the i/n of the name. `instruction` is the
    keyword (RUN, COPY, FROM …), "" for internal steps; `command` the rest of its text. `inputs` are ids of steps.
    `duration_seconds` is the union of the intervals, None for a step that never ran. `saved_seconds` is for hits only, None when no history tells.
    `recipe` is what decides whether the cache can serve it, None where nothing tells.
    """

    id: str
    name: str
    kind: Kind
    outcome: Outcome
    stage: str = ""
    position: int | None = None
    of: int | None = None
    platform: str = ""
    instruction: str = ""
    command: str = ""
    identity: str = ""
    lines: tuple[int, int] | None = None
    inputs: tuple[str, ...] = ()
    cacheable: bool = False
    started_ns: int | None = None
    completed_ns: int | None = None
    duration_seconds: float | None = None
    on_critical_path: bool = False
    slack_seconds: float | None = None
    saved_seconds: float | None = None
    transferred_bytes: int | None = None
    layer: Layer | None = None
    stored_bytes: int | None = None
    resources: Resources | None = None
    error: str | None = None
    recipe: Recipe | None = None
