"""The face of the watched trees: open, snapshot, compare. What asyncio code calls in a thread."""

from __future__ import annotations

import logging
import os
import re
import sqlite3
import stat
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from buildprof.model.recipe import ContextUse
from buildprof.model.snapshot import ContextChanges, Snapshot
from buildprof.sources.tree import compare
from buildprof.sources.tree.database import Database
from buildprof.sources.tree.entry import unpack
from buildprof.sources.tree.ignore import ignore_file
from buildprof.sources.tree.index import CannotWatchError, Index
from buildprof.sources.tree.inotify import Inotify
from buildprof.sources.tree.scan import leave_unopened

MAX_BUILD_FILES = 1000
MAX_DIRTY_NAMES = 1000
"""Changes that are left for the next snapshot to read; more are read in the background."""

_TICK_SECONDS = 0.5
_RETAIN_SECONDS = 3600.0
_REFUSED_SECONDS = 600.0
_log = logging.getLogger(__name__)
_BUILD_FILE = re.compile(
    rb"Dockerfile|.+\.Dockerfile|Dockerfile\..+(?<!\.dockerignore)|Containerfile|(?:docker-)?compose.*\.ya?ml"
    rb"|docker-bake.*\.(?:hcl|json)",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class TreeStatus:
    """What is known about a watched tree.

    `state`: "reading", "watched", "polled: …" (it is read at every build), "refused: …", "too large …" or "gone".
    """

    directory: str
    ignore_file: str
    state: str
    files: int = 0
    directories: int = 0
    unwatched_directories: int = 0
    pending_files: int = 0
    overflows: int = 0
    rescans: int = 0


class Trees:
    """All watched trees. Every method may be called from any thread, and blocks for as long as it takes."""

    def __init__(self, path: Path, on_change: Callable[[TreeStatus], None] | None = None) -> None:
        """`path` is that of trees.db; `on_change` is called, from any thread, when a tree's state is another one."""
        self._database = Database(path)
        leave_unopened(path.parent)
        self._inotify = Inotify(path.with_name(path.name + ".markers"))
        self._on_change = on_change
        self._lock = threading.Lock()
        self._indexes: dict[tuple[bytes, bytes], Index] = {}
        self._refused_at: dict[tuple[bytes, bytes], float] = {}
        self._retained = time.monotonic() - _RETAIN_SECONDS
        self._is_closing = threading.Event()
        self._worker = threading.Thread(target=self._work, name="trees", daemon=True)
        self._worker.start()

    def open(self, directory: str, dockerfile: str | None = None) -> TreeStatus:
        """Watch a context (absolute path) as builds by this Dockerfile see it; ready when this returns.

        The Dockerfile's path is absolute or relative to the directory; None if it has none. A tree that cannot be
        watched says why in the status.
        """
        index = self._index(directory, dockerfile)
        self._catch_up(index)
        return _status(index)

    def snapshot(self, directory: str, dockerfile: str | None, at_ns: int, uid: int | None = None) -> Snapshot | None:
        """How the tree stands, with all that changed before this call; None if it cannot be watched.

        `at_ns` is when the build began. Opens the tree if it is not open. `uid` is the user who named it: directories
        that they may not read are not read for them.
        """
        index = self._index(directory, dockerfile)
        index.read_for(uid)
        with index.lock:
            if not self._catch_up(index):
                return None
            number, is_exact = index.take_snapshot(at_ns)
        return Snapshot(directory, number, at_ns, is_exact)

    def changes(self, before: Snapshot, after: Snapshot, uses: Sequence[ContextUse]) -> ContextChanges | None:
        """What differs in what the uses take (all of this context); None if a snapshot is no longer kept."""
        return compare.compare(self._database, before, after, uses)

    def digest(self, snapshot: Snapshot, uses: Sequence[ContextUse]) -> str | None:
        """Equal digests: the builder finds the same. None: the snapshot is not kept, or some content is not known."""
        return compare.digest(self._database, snapshot, uses)

    def build_files(self, directory: str) -> tuple[str, ...]:
        """Dockerfiles, compose and bake files in a watched tree as last seen: relative paths, sorted."""
        wanted = os.path.realpath(os.fsencode(directory))
        with self._lock:
            indexes = [index for (path, _), index in self._indexes.items() if path == wanted]
        found = {
            os.path.join(path, name)  # noqa: PTH118  # bytes
            for index in indexes
            for path, blob in index.blobs().items()
            for name in unpack(blob).name_list()
            if _BUILD_FILE.fullmatch(name)
        }
        return tuple(compare.readable(path) for path in sorted(found)[:MAX_BUILD_FILES])

    def facts(self) -> tuple[TreeStatus, ...]:
        """All trees as they stand."""
        with self._lock:
            indexes = list(self._indexes.values())
        return tuple(_status(index) for index in indexes)

    def close(self) -> None:
        """Stop to watch; what is known stays in trees.db."""
        self._is_closing.set()
        self._worker.join(10)
        self._inotify.close()
        self._database.close()

    def _index(self, directory: str, dockerfile: str | None) -> Index:
        path = os.path.realpath(os.fsencode(directory))
        key = path, ignore_file(path, dockerfile)
        with self._lock:
            if key not in self._indexes:
                self._indexes[key] = Index(*key, self._database, self._inotify)
            return self._indexes[key]

    def _catch_up(self, index: Index) -> bool:
        key = index.directory, index.ignore_path
        if time.monotonic() - self._refused_at.get(key, -_REFUSED_SECONDS) < _REFUSED_SECONDS:
            return False
        state = index.state
        try:
            index.catch_up()
        except CannotWatchError as error:
            if str(error) != "gone":
                self._refused_at[key] = time.monotonic()
            return False
        finally:
            with suppress(sqlite3.Error):  # a full disk, say
                index.note()
            if index.state != state and self._on_change is not None:
                self._on_change(_status(index))
        return True

    def _work(self) -> None:
        """Tend the trees between builds. What the disk does not take now is tried again."""
        while not self._is_closing.wait(_TICK_SECONDS):
            try:
                self._tend()
            except (OSError, sqlite3.Error):
                continue
            except Exception:  # noqa: BLE001  # one tree of any making must not end the tending of all; it is logged whole
                _log.exception("a watched directory could not be read")

    def _tend(self) -> None:
        """Read large files, and changes where there are many; drop what is old."""
        with self._lock:
            indexes = list(self._indexes.values())
        for index in indexes:
            if index.dirty_names > MAX_DIRTY_NAMES and index.lock.acquire(blocking=False):
                try:
                    self._catch_up(index)
                finally:
                    index.lock.release()
            while index.pending and not self._is_closing.is_set():
                index.hash_pending(self._until_closing())
        if time.monotonic() - self._retained > _RETAIN_SECONDS:
            self._retained = time.monotonic()
            self._database.retain(time.time_ns(), {one.tree for one in indexes})

    def _until_closing(self) -> Iterator[object]:
        while not self._is_closing.is_set():
            yield None


def may_watch(directory: str, uid: int | None) -> bool:
    """Whether a tree may be watched for the user who named it: an agent that runs as root reads no more than they may.

    By owner and by what others may; groups are left out, on the safe side. None is nobody in particular.
    """
    if uid in (None, 0):
        return True
    with suppress(OSError, RuntimeError, ValueError):
        path = Path(directory).resolve(strict=True)
        info = path.stat()
        wanted = (stat.S_IRUSR | stat.S_IXUSR) if info.st_uid == uid else (stat.S_IROTH | stat.S_IXOTH)
        above = (place.stat() for place in path.parents)
        return stat.S_ISDIR(info.st_mode) and info.st_mode & wanted == wanted and all(
            place.st_mode & (stat.S_IXUSR if place.st_uid == uid else stat.S_IXOTH) for place in above
        )  # fmt: skip
    return False


def _status(index: Index) -> TreeStatus:
    return TreeStatus(
        directory=os.fsdecode(index.directory),
        ignore_file=os.fsdecode(index.ignore_path),
        state=index.state,
        files=max(0, index.entries - index.directories + 1),
        directories=index.directories,
        unwatched_directories=len(index.unwatched),
        pending_files=len(index.pending),
        overflows=index.overflows,
        rescans=index.rescans,
    )
