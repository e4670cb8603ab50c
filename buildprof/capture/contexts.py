"""The directories that builds are made of: watched where that is wanted and allowed, and compared between builds."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import structlog

from buildprof.model.build import Build
from buildprof.model.events import LocalState
from buildprof.model.recipe import MAIN_CONTEXT, ContextUse
from buildprof.model.snapshot import ContextChanges, Snapshot
from buildprof.sources.tree.watch import Trees, TreeStatus, may_watch

SOURCE = "context_watcher"
REMEMBERED_SNAPSHOTS = 256
FACTS_SECONDS = 15.0
MAX_NAMED = 10_000
JUST_ENDED_NS = 10_000_000_000
"""A build that ended this shortly ago was over before it was looked at; what changed since is told by its times."""

WAIT_SECONDS = 2.0
"""How long an ended build waits for the snapshot of its start: a large directory takes longer the first time."""

WATCHED = "watched"
_AS_IT_SHOULD_BE = (WATCHED, "reading")
"""States of a tree, see `TreeStatus`."""

_log = structlog.get_logger(__name__)


class TreesObserver(Protocol):
    """Who is told how the watched directories stand: the agent's metrics."""

    def watched(self, trees: dict[str, tuple[int, int]]) -> None:
        """Directories and files, by project."""

    def source_state(self, source: str, builder: str, *, up: bool) -> None:
        """Whether all directories are watched as they should be."""

    def source_dropped(self, source: str, count: int = 1) -> None:
        """Inotify's queue overflowed: the trees were read again."""


class Contexts:
    """Snapshots of contexts at the start of builds.

    `watch` are directories that are watched from the beginning; with `watch_builds` also those of builds, as far as
    the users who named them may read them.
    """

    def __init__(self, path: Path, watch: Sequence[Path], *, watch_builds: bool) -> None:
        self._path, self._watch, self._watch_builds = path, watch, watch_builds
        self._trees: Trees | None = None
        self._lock = threading.Lock()
        self._redactors: dict[str, Callable[[str], str]] = {}
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="contexts")
        self._snapshots: dict[str, asyncio.Future[Snapshot | None]] = {}
        self._projects: dict[str, str] = {}

    async def run(self, observer: TreesObserver, remember: Callable[[Path, tuple[str, ...]], Awaitable[None]]) -> None:
        """Open what is watched from the beginning, then tell of all trees now and then.

        `remember` is told of each such directory with the paths of the Dockerfiles, compose and bake files in it.
        """
        for directory in self._watch:
            with _logged(str(directory)):
                status, files = await asyncio.get_running_loop().run_in_executor(self._threads, self._open, directory)
                if status.state == WATCHED:  # else `_tell` has said why not
                    _log.info("directory watched", directory=str(directory), files=status.files)
                await remember(directory, files)
        lost = 0
        while True:
            if self._trees is not None:
                facts = self._trees.facts()
                observer.watched(self._by_project(facts))
                observer.source_state(SOURCE, "all", up=all(one.state in _AS_IT_SHOULD_BE for one in facts))
                overflows = sum(one.overflows for one in facts)
                if overflows > lost:
                    observer.source_dropped(SOURCE, overflows - lost)
                lost = overflows
            await asyncio.sleep(FACTS_SECONDS)

    def _open(self, directory: Path) -> tuple[TreeStatus, tuple[str, ...]]:
        return self.trees.open(str(directory)), self.trees.build_files(str(directory))

    @property
    def trees(self) -> Trees:
        """The watched trees; made when first needed, since an agent that sees no directory has no use for them."""
        with self._lock:  # several builds can be the first
            if self._trees is None:
                self._trees = Trees(self._path, _tell)
            return self._trees

    def begin(self, key: str, local_state: LocalState, created_ns: int, completed_ns: int | None = None) -> None:
        """Take a snapshot of a build's context, in the background. Once for each key: the build's ref, or what stands for it."""
        if key in self._snapshots:
            return
        if completed_ns is not None and time.time_ns() - completed_ns > JUST_ENDED_NS:
            return
        directory = local_state.context_path
        if not self._is_watched(directory):
            return
        self._snapshots[key] = asyncio.get_running_loop().run_in_executor(
            self._threads, self._take, directory, local_state, created_ns
        )
        while len(self._snapshots) > REMEMBERED_SNAPSHOTS:
            del self._snapshots[next(iter(self._snapshots))]

    async def snapshot(self, key: str, *, wait: bool) -> Snapshot | None:
        """The snapshot of a build's start; None if there is none, or not yet."""
        if (taking := self._snapshots.get(key)) is None:
            return None
        if wait and not taking.done():
            await asyncio.wait({taking}, timeout=WAIT_SECONDS)
        return taking.result() if taking.done() and not taking.cancelled() and taking.exception() is None else None

    def changes(self, before: Build, after: Build, uses: Sequence[ContextUse]) -> ContextChanges | None:
        """What differs in what a step takes between the starts of two builds; None if nobody knows. For any thread."""
        old, new = before.snapshot, after.snapshot
        if old is None or new is None or old.directory != new.directory:
            return None
        if any(use.context != MAIN_CONTEXT for use in uses):
            return None
        changes = self.trees.changes(old, new, uses)
        redact = self._redactors.get(after.ref)
        if changes is None or redact is None:
            return changes
        changed, added, removed = (
            tuple(map(redact, paths)) for paths in (changes.changed, changes.added, changes.removed)
        )
        return replace(changes, changed=changed, added=added, removed=removed)

    def redact_for(self, ref: str, redact: Callable[[str], str]) -> None:
        """How paths are redacted that a build's steps name: an argument may stand in one."""
        self._redactors[ref] = redact
        while len(self._redactors) > REMEMBERED_SNAPSHOTS:
            del self._redactors[next(iter(self._redactors))]

    def redactor_of(self, ref: str) -> Callable[[str], str] | None:
        """How texts of a build are redacted; None of one that was not seen lately."""
        return self._redactors.get(ref)

    def name_project(self, directory: str, project: str) -> None:
        """The project that a context belongs to, as builds were placed."""
        if directory in self._projects or len(self._projects) < MAX_NAMED:
            self._projects[directory] = project

    def standing(self) -> list[TreeStatus]:
        """How all trees stand. For any thread."""
        return [] if self._trees is None else list(self._trees.facts())

    def close(self) -> None:
        """Stop to watch."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        if self._trees is not None:
            self._trees.close()

    def _is_watched(self, directory: str) -> bool:
        if not directory.startswith("/") or directory == "/":
            return False
        return self._watch_builds or any(Path(directory).is_relative_to(one) for one in self._watch)

    def _take(self, directory: str, local_state: LocalState, at_ns: int) -> Snapshot | None:
        with _logged(directory):
            if may_watch(directory, local_state.owner_uid):
                return self.trees.snapshot(directory, local_state.dockerfile_path or None, at_ns, local_state.owner_uid)
        return None

    def _by_project(self, facts: Sequence[TreeStatus]) -> dict[str, tuple[int, int]]:
        found: dict[str, tuple[int, int]] = {}
        for one in facts:
            project = self._projects.get(one.directory) or Path(one.directory).name
            directories, files = found.get(project, (0, 0))
            found[project] = directories + one.directories, files + one.files
        return found


@contextmanager
def _logged(directory: str) -> Iterator[None]:
    """Let a directory of any making cost neither the build nor the agent."""
    try:
        yield
    except (OSError, sqlite3.Error) as error:  # a full disk, say: the store tells of it as well
        _log.warning("a directory is not watched", directory=directory, reason=str(error))
    except Exception:  # noqa: BLE001  # it is logged whole
        _log.exception("a directory is not watched", directory=directory)


def _tell(status: TreeStatus) -> None:
    """A tree is in another state than before."""
    if status.state not in _AS_IT_SHOULD_BE:
        _log.warning("a directory is not watched as it should be", directory=status.directory, state=status.state)
