"""One build: what was asked, what came of it, and its steps."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from buildprof.model.snapshot import Snapshot
from buildprof.model.step import Step

UNKNOWN_PROJECT = "unknown"
"""The project of a build that cannot be placed."""

DEFAULT_TARGET = "default"
"""The target of a build that names none; buildx's own word for it."""


class Source(StrEnum):
    """Where the facts of a build come from."""

    BUILDKIT = "buildkit"
    CLASSIC = "classic"
    IMPORT = "import"


class Status(StrEnum):
    """How a build stands."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"


@dataclass(frozen=True, slots=True)
class Engine:
    """The engine that ran the build: "docker" or "buildkit" and its version, "" if it tells none."""

    name: str
    version: str


@dataclass(frozen=True, slots=True)
class BuildError:
    """Why a build failed: the message, the step at fault, and the last lines that it logged (200 at most)."""

    message: str
    step_id: str | None = None
    log_tail: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Image:
    """The result of a build. `layers` counts filesystem layers; sizes are bytes; None is unknown."""

    id: str
    tags: tuple[str, ...] = ()
    size_bytes: int | None = None
    layers: int | None = None


@dataclass(frozen=True, slots=True)
class Vcs:
    """The revision that was built: the remote's URL without credentials, and the commit; "" is unknown."""

    source: str
    revision: str


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked of the builder.

    `build_args` maps a name to its value where that may be stored in clear, else to None;
    `build_arg_hashes` maps every name to a keyed hash of its value, to tell that one changed. `no_cache_stages` are
    the stages that `--no-cache-filter` names; none with `no_cache` are all.
    """

    no_cache: bool = False
    build_args: dict[str, str | None] = field(default_factory=dict)
    build_arg_hashes: dict[str, str] = field(default_factory=dict)
    cache_from: tuple[str, ...] = ()
    cache_to: tuple[str, ...] = ()
    no_cache_stages: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Summary:
    """Figures of a build, all derived from its steps. None is unknown: a build whose steps are not known has no figures.

    `steps` counts those that are known.
    """

    steps: int = 0
    cacheable_steps: int | None = None
    cache_hits: int | None = None
    cache_misses: int | None = None
    executed_seconds: float | None = None
    saved_seconds: float | None = None
    critical_path_seconds: float | None = None
    context_bytes: int | None = None
    context_seconds: float | None = None
    export_seconds: float | None = None
    cache_import_seconds: float | None = None
    cache_export_seconds: float | None = None
    base_pull_seconds: float | None = None

    @property
    def looked_up(self) -> int | None:
        """Hits and misses; shared steps are neither."""
        return None if self.cache_hits is None or self.cache_misses is None else self.cache_hits + self.cache_misses

    @property
    def hit_ratio(self) -> float | None:
        """The share of hits in hits and misses; None when there are none."""
        return self.cache_hits / self.looked_up if self.cache_hits is not None and self.looked_up else None


@dataclass(frozen=True, slots=True)
class Build:
    """One invocation of a builder: one `ref` on one `builder`. Times are nanoseconds since the epoch.

    `generation` grows with every amendment by the engine; a later one replaces an earlier. `group` ties the builds
    of one bake or compose call, "" outside of one. `dockerfile` is the file's path as given, `dockerfile_digest`
    the SHA-256 of its text and `dockerfile_text` the text with secrets redacted, "" when unknown. `directory` is
    the absolute root of the project where it was seen on this machine. `completed_ns` is None while it runs, and the
    same as `started_ns` where only the end is known: of images without history, and classic builds all from cache.
    `snapshot` is how the context directory stood at the start, None where it is not watched.
    """

    ref: str
    builder: str
    engine: Engine
    source: Source
    project: str
    target: str
    status: Status
    started_ns: int
    generation: int = 0
    group: str = ""
    directory: str = ""
    dockerfile: str = ""
    dockerfile_digest: str = ""
    dockerfile_text: str = ""
    context: str = ""
    platforms: tuple[str, ...] = ()
    completed_ns: int | None = None
    error: BuildError | None = None
    image: Image | None = None
    vcs: Vcs | None = None
    options: Options = field(default_factory=Options)
    summary: Summary = field(default_factory=Summary)
    steps: tuple[Step, ...] = ()
    snapshot: Snapshot | None = None

    @property
    def duration_seconds(self) -> float | None:
        """Wall time from start to end; None while the build runs, and where only its end is known."""
        if self.completed_ns is None or self.completed_ns == self.started_ns:
            return None
        return (self.completed_ns - self.started_ns) / 1e9
