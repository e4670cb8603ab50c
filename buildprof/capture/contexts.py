"""The directories that builds are made of: watched where that is wanted and allowed, and compared between builds."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import structlog

from buildprof.model.build import Build
from buildprof.model.events import BuildRecord, LocalState
from buildprof.model.recipe import MAIN_CONTEXT, ContextUse
from buildprof.model.snapshot import ContextChanges, Snapshot
from buildprof.sources.tree.watch import Trees, TreeStatus, may_watch

REMEMBERED_SNAPSHOTS = 256
JUST_ENDED_NS = 10_000_000_000
"""A build that ended this shortly ago was over before it was looked at; what changed since is told by its times."""

WAIT_SECONDS = 2.0
"""How long an ended build waits for the snapshot of its start: a large directory takes longer the first time."""

_log = structlog.get_logger(__name__)


class Contexts:
    """Snapshots of contexts at the start of builds.

    `watch` are directories that are watched from the beginning; with `watch_builds` also those of builds, as far as
    the users who named them may read them.
    """

    def __init__(self, path: Path, watch: Sequence[Path], *, watch_builds: bool) -> None:
        self._path, self._watch, self._watch_builds = path, watch, watch_builds
        self._trees: Trees | None = None
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="contexts")
        self._snapshots: dict[str, asyncio.Future[Snapshot | None]] = {}
        self.project_of: dict[str, str] = {}
        """The projects of contexts, as builds were placed."""

    async def run(self, on_facts: Callable[[dict[str, tuple[int, int]]], None], pause_seconds: float = 15.0) -> None:
        """Open what is watched from the beginning, then tell of all trees now and then: directories, files by project."""
        loop = asyncio.get_running_loop()
        for directory in self._watch:
            status = await loop.run_in_executor(self._threads, lambda one=directory: self.trees.open(str(one)))  # type: ignore[misc]
            _log.info("directory watched", directory=str(directory), state=status.state, files=status.files)
        while True:
            if self._trees is not None:
                on_facts(self._by_project(self._trees.facts()))
            await asyncio.sleep(pause_seconds)

    @property
    def trees(self) -> Trees:
        """The watched trees; made when first needed, since an agent that sees no directory has no use for them."""
        if self._trees is None:
            self._trees = Trees(self._path, _tell)
        return self._trees

    def begin(self, record: BuildRecord, local_state: LocalState | None) -> None:
        """Take a snapshot of the build's context, in the background. Once for each build."""
        if record.ref in self._snapshots or local_state is None:
            return
        if record.completed_ns is not None and time.time_ns() - record.completed_ns > JUST_ENDED_NS:
            return
        directory = local_state.context_path
        if not self._is_watched(directory):
            return
        self._snapshots[record.ref] = asyncio.get_running_loop().run_in_executor(
            self._threads, self._take, directory, local_state, record.created_ns
        )
        while len(self._snapshots) > REMEMBERED_SNAPSHOTS:
            del self._snapshots[next(iter(self._snapshots))]

    async def snapshot(self, ref: str, *, wait: bool) -> Snapshot | None:
        """The snapshot of a build's start; None if there is none, or not yet."""
        if (taking := self._snapshots.get(ref)) is None:
            return None
        if wait and not taking.done():
            await asyncio.wait({taking}, timeout=WAIT_SECONDS)
        return taking.result() if taking.done() and not taking.cancelled() and taking.exception() is None else None

    def changes(self, before: Build, after: Build, uses: Sequence[ContextUse]) -> ContextChanges | None:
        """What differs in what a step takes between the starts of two builds; None if nobody knows. For any thread."""
        old, new = before.snapshot, after.snapshot
        if self._trees is None or old is None or new is None or old.directory != new.directory:
            return None
        if any(use.context != MAIN_CONTEXT for use in uses):
            return None
        return self._trees.changes(old, new, uses)

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
        try:
            if not may_watch(directory, local_state.owner_uid):
                return None
            return self.trees.snapshot(directory, local_state.dockerfile_path or None, at_ns)
        except (OSError, sqlite3.Error) as error:  # a full disk, say: the store tells of it as well
            _log.warning("no snapshot of a context", directory=directory, reason=str(error))
            return None
        except Exception:  # noqa: BLE001  # a directory of any making must not cost the build; it is logged whole
            _log.exception("no snapshot of a context", directory=directory)
            return None

    def _by_project(self, facts: Sequence[TreeStatus]) -> dict[str, tuple[int, int]]:
        found: dict[str, tuple[int, int]] = {}
        for one in facts:
            project = self.project_of.get(one.directory) or Path(one.directory).name
            directories, files = found.get(project, (0, 0))
            found[project] = directories + one.directories, files + one.files
        return found


def _tell(status: TreeStatus) -> None:
    """A tree is in another state than before."""
    if status.state not in ("watched", "reading"):
        _log.warning("a directory is not watched as it should be", directory=status.directory, state=status.state)
