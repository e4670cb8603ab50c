"""How a context directory stood at a moment, and what differs between two moments."""

from __future__ import annotations

from dataclasses import dataclass

MAX_PATHS = 50


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A moment of a watched directory. `number` grows with every snapshot of it; `at_ns` is since the epoch.

    `is_exact` says that the directory is known to have stood so when the build began: it was watched already, or
    nothing in it has changed since.
    """

    directory: str
    number: int
    at_ns: int
    is_exact: bool = True


@dataclass(frozen=True, slots=True)
class ContextChanges:
    """What differs between two snapshots in what a step takes; paths are relative to the context, sorted.

    At most `MAX_PATHS` of each kind are named; the counts count all. `bytes` is the size of what changed or was added.
    A file is changed if its content, kind, mode or link target is another one; times and owners do not matter.
    `is_certain` is false if some content is not hashed yet, could not be read, or a snapshot is not exact.
    """

    changed: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed_count: int = 0
    added_count: int = 0
    removed_count: int = 0
    bytes: int = 0
    is_certain: bool = True

    def __bool__(self) -> bool:
        return bool(self.changed_count or self.added_count or self.removed_count)
