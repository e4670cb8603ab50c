"""What every follower of a builder needs: where a build belongs, how to redact it, and the one way into the store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

import structlog
from sqlalchemy.exc import OperationalError

from buildprof.assembly.build import build_arguments, text_digest
from buildprof.assembly.projects import How, KnownProject, Placement, TreeFacts, place
from buildprof.assembly.provenance import MAX_DOCKERFILE_BYTES
from buildprof.assembly.redact import Redactor
from buildprof.capture.contexts import Contexts
from buildprof.ingest import Ingest
from buildprof.model.build import Build
from buildprof.model.cache import CacheRecord, CacheUsage
from buildprof.model.events import BuildRecord, LocalState
from buildprof.model.snapshot import Snapshot
from buildprof.model.step import Step
from buildprof.sources.buildx_state import read_local_state
from buildprof.sources.working_tree import read_dockerfile, tree_facts
from buildprof.store import queries
from buildprof.store.errors import StoreError

T = TypeVar("T")

COMPOSE_PROJECT = "label:com.docker.compose.project"
COMPOSE_SERVICE = "label:com.docker.compose.service"
COMPOSE_CALL_NS = 1_000_000_000
"""One call of compose starts its builds within this time."""

CLIENT_FIRST_SECONDS = 0.1
"""What a build's end brings is read after this, when its client has been told: until then it is a part of the build."""

REMEMBERED_REFS = 256
RETRY_SECONDS = 2.0
"""How long to wait before a store that could not be written is tried again."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Disk:
    """What this machine's disk says of a ref."""

    local_state: LocalState | None = None
    tree: TreeFacts | None = None
    dockerfile_text: str = ""


@dataclass(frozen=True, slots=True)
class _ComposeBuild:
    """A build of a compose project, and the group that it was put in."""

    project: str
    created_ns: int
    group: str


class RefusedError(Exception):
    """The store does not take this, and will not however often it is tried."""


class Live(Protocol):
    """Who is told what happens now: the HTTP face's event stream."""

    def build_started(self, build: Build) -> None:
        """A build was seen to run."""

    def step_finished(self, build: Build, step: Step) -> None:
        """A step of a running build ended."""

    def build_finished(self, build: Build) -> None:
        """A build ended, and is stored."""


class Desk:
    """Places builds in projects, makes their redactors, and writes them; all writing is done in one thread."""

    def __init__(
        self,
        ingest: Ingest,
        live: Live,
        buildx_dirs: tuple[Path, ...],
        redactor: Redactor,
        contexts: Contexts | None = None,
    ) -> None:
        self.on_image: Callable[[Build], None] = lambda _build: None
        """Told of each build that has ended: its image may be looked at."""
        self.ingest = ingest
        self.live = live
        self._buildx_dirs = buildx_dirs
        self._redactor = redactor
        self._contexts = contexts
        self._disk: dict[str, _Disk] = {}
        self._compose_builds: dict[str, _ComposeBuild] = {}
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="store-writer")
        self._refused: set[Callable[[], object]] = set()

    def close(self) -> None:
        """Finish what is being written."""
        self._writer.shutdown(wait=True)

    async def write(self, work: Callable[[], T]) -> T:
        """Run work in the writer's thread, after what was given to it before. A cancelled caller does not undo it.

        Where the store cannot be written at present (the disk is full, the server is gone), it is tried until it can
        be: what the engine tells meanwhile waits. Raises RefusedError for what trying again does not mend.

        That is said once, and its end when all that was refused is written: of other work, some is small enough for a
        full disk, and some writes nothing.
        """
        try:
            while True:
                writing = asyncio.get_running_loop().run_in_executor(self._writer, work)
                try:
                    result = await asyncio.shield(writing)
                except asyncio.CancelledError:
                    writing.add_done_callback(_forget)
                    raise
                except StoreError as error:
                    if not isinstance(error.__cause__, OperationalError):
                        raise RefusedError(str(error)) from error
                    if not self._refused:
                        _log.error("the store cannot be written; trying again until it can", reason=str(error))
                    self._refused.add(work)
                    await asyncio.sleep(RETRY_SECONDS)
                    continue
                if self._refused == {work}:
                    _log.info("the store is written again")
                return result
        finally:
            self._refused.discard(work)

    async def save(self, build: Build) -> Build:
        """Store a build and return it as stored."""
        return await self.write(lambda: self.ingest.save(build))

    def finished(self, build: Build) -> None:
        """Tell all that a build has ended and is stored."""
        self.live.build_finished(build)
        self.on_image(build)

    def redact(self, text: str) -> str:
        """A text without secrets, as far as can be told without knowing the build."""
        return self._redactor.text(text)

    def redact_of(self, ref: str, text: str) -> str:
        """A text without secrets, nor values of the arguments of a build that was seen lately."""
        redact = self._contexts.redactor_of(ref) if self._contexts is not None else None
        return (redact or self.redact)(text)

    @property
    def plain_redactor(self) -> Redactor:
        """A redactor that knows no build."""
        return self._redactor

    def redactor(self, record: BuildRecord) -> Redactor:
        """A redactor that knows this build's arguments."""
        redactor = self._redactor.for_build(build_arguments(record))
        if self._contexts is not None:
            self._contexts.redact_for(record.ref, redactor.text)
        return redactor

    async def snapshot(self, record: BuildRecord) -> Snapshot | None:
        """How the build's context stood at its start; None if it is not watched, or, of a running build, not known yet."""
        return await self.snapshot_of(record.ref, wait=record.completed_ns is not None)

    async def snapshot_of(self, key: str, *, wait: bool) -> Snapshot | None:
        """The snapshot that was begun under a key."""
        return await self._contexts.snapshot(key, wait=wait) if self._contexts is not None else None

    async def has_place(self, build: Build) -> bool:
        """Whether a build is stored as it is, but with its directory."""
        return await asyncio.to_thread(queries.has_context, self.ingest.engine, build)

    def begin(self, key: str, local_state: LocalState, at_ns: int) -> None:
        """Take a snapshot of a directory that a build may be made of, if it is to be watched."""
        if self._contexts is not None:
            self._contexts.begin(key, local_state, at_ns)

    async def save_lost(self, before: CacheUsage, after: CacheUsage, gone: Sequence[CacheRecord]) -> None:
        """Note what the cache lost between two readings, and by whom as far as the engine's events tell.

        A record's description has the whole text of a RUN.
        """
        records = [replace(record, description=self.redact(record.description)) for record in gone]

        def save() -> None:
            events = queries.engine_events(self.ingest.engine, before.at_ns, builder=after.builder)
            pruned = any((one.type, one.action) == ("builder", "prune") and one.at_ns <= after.at_ns for one in events)
            by = "prune" if pruned else None
            self.ingest.save_lost_records(after.builder, records, before.at_ns, after.at_ns, by)

        await self.write(save)

    async def remember_directory(self, directory: Path, files: tuple[str, ...]) -> None:
        """Know a watched directory, and the Dockerfiles in it, for a project: builds that tell no directory have its name."""
        tree = await asyncio.to_thread(tree_facts, directory)
        root = tree.git_top_level or str(directory)
        preferred = tree.compose_project or Path(root).name
        name = await self.write(lambda: self.ingest.project_name(root, preferred))
        if self._contexts is not None:
            self._contexts.name_project(str(directory), name)
        for file in (one for one in files if "ockerfile" in one or one.endswith("Containerfile")):
            text = await asyncio.to_thread(read_dockerfile, directory / file, MAX_DOCKERFILE_BYTES)
            if text:
                await self.write(
                    partial(self.ingest.remember_dockerfile, text_digest(text), self.redact(text), name, root)
                )

    async def look(self, record: BuildRecord) -> _Disk:
        """What is on disk of a build, read once, when the build is first seen: it may change while the build runs."""
        disk = self._disk.get(record.ref)
        if disk is None or disk.local_state is None:
            disk = self._disk[record.ref] = await asyncio.to_thread(self._read_disk, record.ref)
            while len(self._disk) > REMEMBERED_REFS:
                del self._disk[next(iter(self._disk))]
            if self._contexts is not None and disk.local_state is not None:
                self._contexts.begin(record.ref, disk.local_state, record.created_ns, record.completed_ns)
        return disk

    async def place(self, record: BuildRecord, dockerfile_text: str) -> tuple[Placement, str]:
        """Where a build belongs, and its Dockerfile's text: the one given, else the one on disk, "" if neither."""
        disk = await self.look(record)
        text = dockerfile_text or disk.dockerfile_text
        return await self._placed(record, disk, text), text

    async def place_in(self, record: BuildRecord, local_state: LocalState, dockerfile_text: str) -> Placement:
        """Where a build belongs of which buildx noted nothing, but whose directory is known nevertheless."""
        if self._contexts is not None:
            self._contexts.redact_for(record.ref, self.redact)
        tree = await asyncio.to_thread(tree_facts, Path(local_state.context_path))
        return await self._placed(record, _Disk(local_state, tree), dockerfile_text)

    async def _placed(self, record: BuildRecord, disk: _Disk, text: str) -> Placement:
        placement = place(record, disk.local_state, disk.tree, await self._known_project(text))
        # A compose project is one whatever the directories of its services; other names belong to a directory.
        compose_project = record.frontend_attrs.get(COMPOSE_PROJECT, "")
        is_compose = placement.project == compose_project
        if compose_project and not placement.group:
            placement = replace(placement, group=self._compose_group(record, compose_project))
        if placement.directory and placement.how is not How.DOCKERFILE and not is_compose:
            name = await self.write(lambda: self.ingest.project_name(placement.directory, placement.project))
            placement = replace(placement, project=name)
        if self._contexts is not None and disk.local_state is not None:
            self._contexts.name_project(disk.local_state.context_path, placement.project)
        return placement

    def _compose_group(self, record: BuildRecord, project: str) -> str:
        """The call that a build is part of, where compose notes none (2.26): that of a build which began with it."""
        if (known := self._compose_builds.get(record.ref)) is None:
            together = (
                one
                for one in self._compose_builds.values()
                if one.project == project and abs(one.created_ns - record.created_ns) <= COMPOSE_CALL_NS
            )
            group = next((one.group for one in together), record.ref)
            known = self._compose_builds[record.ref] = _ComposeBuild(project, record.created_ns, group)
            while len(self._compose_builds) > REMEMBERED_REFS:
                del self._compose_builds[next(iter(self._compose_builds))]
        return known.group

    def _read_disk(self, ref: str) -> _Disk:
        local_state = read_local_state(self._buildx_dirs, ref)
        if local_state is None:
            return _Disk()
        text = read_dockerfile(Path(local_state.dockerfile_path), MAX_DOCKERFILE_BYTES, local_state.owner_uid) or ""
        return _Disk(local_state, tree_facts(Path(local_state.context_path)), text)

    async def _known_project(self, dockerfile_text: str) -> KnownProject | None:
        if not dockerfile_text:
            return None
        found = await asyncio.to_thread(queries.known_dockerfile, self.ingest.engine, text_digest(dockerfile_text))
        return KnownProject(*found) if found else None


def _forget(writing: asyncio.Future[Any]) -> None:
    """Whoever wanted to know how a write ended is gone."""
    if not writing.cancelled() and (error := writing.exception()) is not None:
        _log.warning("a write failed as the agent stopped", reason=str(error))
