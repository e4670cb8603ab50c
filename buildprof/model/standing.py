"""How an agent stands: what it follows, what it watches, what it keeps."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SourceStanding:
    """One source of facts. `state` is the supervisor's word, `reason` one line on why it is not up, "" when it is.

    The counts are since the agent started; `last_event_ns` is None until there was one.
    """

    name: str
    builder: str
    state: str
    reason: str
    up_seconds: float
    last_event_ns: int | None = None
    events: int = 0
    restarts: int = 0
    dropped: int = 0


@dataclass(frozen=True, slots=True)
class WatchedDirectory:
    """A directory whose files are known at the start of a build. `state` is "watched", or how else it is read.

    `unwatched` counts directories below that have no watch of their own, `overflows` how often all was read again.
    """

    directory: str
    state: str
    directories: int = 0
    files: int = 0
    unwatched: int = 0
    overflows: int = 0


@dataclass(frozen=True, slots=True)
class AgentStanding:
    """All that an agent tells of itself. `files` are those that it keeps, by name, with their bytes.

    `projects_labelled` have labels of their own in the metrics, of `max_projects` that may; `targets_labelled` are those
    of the project that has most, of `max_targets`.
    """

    sources: tuple[SourceStanding, ...] = ()
    directories: tuple[WatchedDirectory, ...] = ()
    projects_labelled: int = 0
    max_projects: int = 0
    targets_labelled: int = 0
    max_targets: int = 0
    retention_days: int = 0
    data_dir: str = ""
    files: tuple[tuple[str, int], ...] = ()
