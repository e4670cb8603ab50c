"""Follows one BuildKit: its history, every build while it runs, and each finished one once, whole.

Everything is keyed by ref and generation, so that after a lost connection or a restart of the agent the engine's
history is read again and nothing is lost or doubled.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial

import structlog
from grpclib.exceptions import GRPCError, StreamTerminatedError

from buildprof.assembly.build import BuildInputs, ImageFacts, assemble
from buildprof.assembly.facts import BuildFacts
from buildprof.assembly.outcomes import Neighbour, as_neighbour
from buildprof.assembly.provenance import Provenance
from buildprof.capture.cache_reader import CacheReader
from buildprof.capture.desk import CLIENT_FIRST_SECONDS, Desk
from buildprof.capture.engine_records import read_facts, read_progress, read_provenance, read_uploaded
from buildprof.model.build import Build, BuildError, Engine, Status
from buildprof.model.cache import CacheUsage
from buildprof.model.events import BuildRecord, RecordState
from buildprof.sources.buildkit.connection import BuildkitChannel, connect
from buildprof.sources.buildkit.history import listen
from buildprof.sources.endpoint import Endpoint, EndpointError
from buildprof.store import queries
from buildprof.store.errors import StoreError
from buildprof.supervisor import SourceHealth

PROGRESS_SECONDS = 1.0
"""When a running build is first written, and how often it is looked at after that. Shorter ones are left alone."""

PROGRESS_SHARE = 0.005
"""How much of a processor may go into that: a build of a thousand steps takes 150 ms and is written less often."""

PROGRESS_SLOWEST_SECONDS = 10.0

REMEMBERED_BUILDS = 64
REMEMBERED_GENERATIONS = 4096
AMENDED_BUILDS = 16
FINISHED_AT_ONCE = 4
HISTORY_CHUNK = 50
INTERRUPTED = "the engine stopped, or forgot the build, before it ended"

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Active:
    """A build that runs: its record, what was said of it so far, and the task that listens."""

    record: BuildRecord
    facts: BuildFacts = field(default_factory=BuildFacts)
    following: asyncio.Task[None] | None = None
    ended_steps: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Builder:
    """What is followed: the builder's name, where it is, and how to learn the engine's version and its images."""

    name: str
    endpoint: Endpoint
    engine: Callable[[str], Awaitable[Engine]]
    image: Callable[[str], Awaitable[ImageFacts | None]]


class BuildkitCapture:
    """One connection's worth of following at a time; `run` is started again by the supervisor when it ends."""

    def __init__(
        self, builder: Builder, desk: Desk, cache: CacheReader, on_running: Callable[[str, int], None]
    ) -> None:
        self.builder = builder
        self.ready = asyncio.Event()
        """Set once the history has been read for the first time."""
        self._desk = desk
        self._cache = cache
        self._on_running = on_running
        self._active: dict[str, _Active] = {}
        self._generations: dict[str, int] = {}
        self._recent: dict[str, Neighbour] = {}
        self._finished: dict[str, BuildInputs] = {}
        self._finishing = asyncio.Semaphore(FINISHED_AT_ONCE)
        self._engine = Engine("docker", "")
        cache.is_busy = lambda: self.is_busy

    @property
    def is_busy(self) -> bool:
        """Whether builds run now."""
        return bool(self._active)

    async def run(self, health: SourceHealth) -> None:
        """Follow until the connection ends.

        Raises:
            UnsupportedError: there is no BuildKit, or it keeps no history.
            EndpointError: it cannot be reached, or the connection broke.
        """
        channel, version = await connect(self.builder.endpoint)
        try:
            self._engine = await self.builder.engine(version)
            # The store first: what it has as running and the engine then does not know will never end.
            running = await asyncio.to_thread(self._running_in_store)
            history = [record async for record in listen(channel, early_exit=True)]
            for record in history:  # told again by the stream that follows, which is to pass them over
                if record.state is RecordState.COMPLETE:
                    self._is_new(record)
            health.up()
            async with asyncio.TaskGroup() as group:
                reading = group.create_task(self._read_history(channel, history, running))
                helpers = [group.create_task(self._cache.run(channel, self._use_reading)), reading]
                async for record in listen(channel):
                    health.event()
                    self._observe(channel, record, group, reading)
                for task in (*helpers, *(one.following for one in self._active.values() if one.following)):
                    task.cancel()
        except BaseExceptionGroup as errors:
            raise _first(errors) from errors
        except (GRPCError, StreamTerminatedError, ConnectionError) as error:
            raise EndpointError(f"lost {self.builder.endpoint.url}: {str(error) or type(error).__name__}") from error
        finally:
            self._active.clear()
            self._on_running(self.builder.name, 0)
            channel.close()

    def _observe(
        self, channel: BuildkitChannel, record: BuildRecord, group: asyncio.TaskGroup, reading: asyncio.Task[None]
    ) -> None:
        """Act on one event of the history. What ended is taken in after the reading of what had ended before."""
        if record.state is RecordState.STARTED:
            if record.ref not in self._active and record.ref not in self._generations:
                active = self._active[record.ref] = _Active(record)
                active.following = group.create_task(self._follow(channel, active))
                self._on_running(self.builder.name, len(self._active))
        elif record.state is RecordState.COMPLETE and self._is_new(record):
            group.create_task(self._finish(channel, record, reading))

    def _is_new(self, record: BuildRecord) -> bool:
        """Whether this generation of a finished build was not seen yet; from now on it was."""
        if record.generation <= self._generations.get(record.ref, -1):
            return False
        self._generations[record.ref] = record.generation
        while len(self._generations) > REMEMBERED_GENERATIONS:
            del self._generations[next(iter(self._generations))]
        return True

    async def _follow(self, channel: BuildkitChannel, active: _Active) -> None:
        """Store a running build about once a second, a large one less often, and tell of the steps that ended.

        Each time the engine is asked for all that it knows, which is one message; to follow its stream would be
        hundreds a second of a build that logs much, and a processor's time that the build then has not.
        """
        pause_seconds = PROGRESS_SECONDS
        with _alone(active.record.ref):
            await self._desk.look(active.record)  # how the directory stands now
            await asyncio.sleep(PROGRESS_SECONDS)
            # Known from its start: if the engine dies, nobody else will tell of it.
            started = await self._desk.save(assemble(await self._inputs(active.record, active.facts)))
            self._desk.live.build_started(started)
        while True:
            await asyncio.sleep(pause_seconds)
            # What fails here is met again, and told, when the build has ended.
            with suppress(EndpointError, StoreError, GRPCError, StreamTerminatedError), _alone(active.record.ref):
                used_before = time.thread_time()
                active.facts = await read_progress(channel, active.record.ref)
                build = assemble(await self._inputs(active.record, active.facts))
                used_seconds = time.thread_time() - used_before
                pause_seconds = min(max(PROGRESS_SECONDS, used_seconds / PROGRESS_SHARE), PROGRESS_SLOWEST_SECONDS)
                await self._desk.save(build)
                self._tell_ended_steps(active, build)

    def _tell_ended_steps(self, active: _Active, build: Build) -> None:
        for step in build.steps:
            if step.completed_ns is not None and step.id not in active.ended_steps:
                active.ended_steps.add(step.id)
                self._desk.live.step_finished(build, step)

    async def _finish(self, channel: BuildkitChannel, record: BuildRecord, reading: asyncio.Task[None]) -> None:
        """Read what is left to read of a finished build, and store it."""
        await asyncio.wait({reading})
        await asyncio.sleep(CLIENT_FIRST_SECONDS)
        async with self._finishing:
            with _alone(record.ref):
                await self._take_in(channel, record)

    async def _take_in(self, channel: BuildkitChannel, record: BuildRecord) -> None:
        before = self._finished.get(record.ref)
        if before is not None:
            # The engine amends a record a few seconds later, when it has written the build's trace.
            uploaded = await read_uploaded(channel, before, record)
            if uploaded != before.uploaded:
                await self._amend(record.ref, lambda inputs: replace(inputs, record=record, uploaded=uploaded))
                return
            self._finished[record.ref] = replace(self._finished[record.ref], record=record)
            generation = partial(self._desk.ingest.set_generation, self.builder.name, record.ref, record.generation)
            await self._desk.write(generation)
            return
        active = self._active.get(record.ref)
        if active is not None and active.following is not None:
            active.following.cancel()
        facts = await read_facts(channel, record.ref)
        self._remember(record, facts)  # before it is no longer active: others that end now look for it
        self._active.pop(record.ref, None)
        self._on_running(self.builder.name, len(self._active))
        for one in list(self._active.values()):  # builds that run at once explain each other
            one.facts = await read_progress(channel, one.record.ref)
        inputs = await self._inputs(record, facts, await read_provenance(channel, record))
        stored = await self._save_assembled(inputs)
        self._finished[record.ref] = inputs
        while len(self._finished) > AMENDED_BUILDS:
            del self._finished[next(iter(self._finished))]
        if active is not None:
            self._tell_ended_steps(active, stored)
        self._desk.finished(stored)
        self._cache.want(record.ref)

    async def _amend(self, ref: str, change: Callable[[BuildInputs], BuildInputs]) -> None:
        """Store a build again with something that came later, if it is still remembered."""
        if (inputs := self._finished.get(ref)) is not None:
            snapshot = inputs.snapshot or await self._desk.snapshot(inputs.record)  # a large directory takes longer
            self._finished[ref] = replace(change(inputs), snapshot=snapshot)
            await self._save_assembled(self._finished[ref])

    async def _use_reading(self, ref: str, usage: CacheUsage) -> None:
        await self._amend(ref, lambda inputs: replace(inputs, usage=usage))

    async def _inputs(
        self, record: BuildRecord, facts: BuildFacts, provenance: Provenance | None = None
    ) -> BuildInputs:
        provenance = provenance or Provenance()
        placement, dockerfile_text = await self._desk.place(record, provenance.dockerfile_text)
        image = await self.builder.image(record.result_digest) if record.result_digest else None
        return BuildInputs(
            builder=self.builder.name,
            engine=self._engine,
            record=record,
            facts=facts,
            placement=placement,
            redactor=self._desk.redactor(record),
            provenance=provenance,
            dockerfile_text=dockerfile_text,
            image=image,
            neighbours=self._neighbours(record),
            snapshot=await self._desk.snapshot(record),
        )

    async def _save_assembled(self, inputs: BuildInputs) -> Build:
        return await self._desk.save(assemble(inputs))

    def _neighbours(self, record: BuildRecord) -> list[Neighbour]:
        """Other builds of this builder that may have shared a step with this one."""
        running = [
            as_neighbour(ref, one.record.created_ns, one.facts.vertices)
            for ref, one in self._active.items()
            if ref != record.ref and one.facts.vertices
        ]
        return running + [one for ref, one in self._recent.items() if ref != record.ref]

    def _remember(self, record: BuildRecord, facts: BuildFacts) -> None:
        self._recent.pop(record.ref, None)
        self._recent[record.ref] = as_neighbour(record.ref, record.created_ns, facts.vertices)
        while len(self._recent) > REMEMBERED_BUILDS:
            del self._recent[next(iter(self._recent))]

    async def _read_history(
        self, channel: BuildkitChannel, history: Sequence[BuildRecord], running: Sequence[str]
    ) -> None:
        """Take in what ended while nobody watched, the oldest first, then close what will never end.

        `running` are refs that the store had as running before the engine told its history.
        """
        ended = sorted((one for one in history if one.state is RecordState.COMPLETE), key=lambda one: one.created_ns)
        since_ns = ended[0].created_ns if ended else time.time_ns()
        stored = await asyncio.to_thread(
            queries.stored_generations, self._desk.ingest.engine, self.builder.name, since_ns=since_ns
        )
        missing = []
        for record in ended:
            status, generation = stored.get(record.ref, (Status.RUNNING, -1))
            if status is Status.RUNNING or generation < record.generation:
                missing.append(record)
        for start in range(0, len(missing), HISTORY_CHUNK):
            await self._read_chunk(channel, missing[start : start + HISTORY_CHUNK], ended)
        await self._close_interrupted(running, {one.ref for one in history})
        if missing:
            _log.info("history read", builder=self.builder.name, builds=len(missing))
        self.ready.set()

    async def _read_chunk(
        self, channel: BuildkitChannel, missing: Sequence[BuildRecord], ended: Iterable[BuildRecord]
    ) -> None:
        """Read the progress of all builds first: those that ran at once explain each other."""
        wanted = {record.ref for record in missing}
        read: dict[str, BuildFacts] = {}
        for record in ended:
            if record.ref in wanted or any(_overlap(record, one) for one in missing):
                read[record.ref] = await read_facts(channel, record.ref)
                self._remember(record, read[record.ref])
        usage = await self._cache.read(channel)
        for record in missing:
            self._active.pop(record.ref, None)
            with _alone(record.ref):
                inputs = await self._inputs(record, read[record.ref], await read_provenance(channel, record))
                uploaded = await read_uploaded(channel, inputs, record)
                await self._save_assembled(replace(inputs, usage=usage, uploaded=uploaded))

    def _running_in_store(self) -> list[str]:
        running = queries.list_builds(self._desk.ingest.engine, queries.BuildFilter(status=Status.RUNNING, limit=None))
        return [build.ref for build in running if build.builder == self.builder.name]

    async def _close_interrupted(self, running: Sequence[str], known: set[str]) -> None:
        """End the builds that the store has as running and the engine does not know: it was restarted meanwhile."""
        for ref in running:
            if ref not in known:
                build = await asyncio.to_thread(
                    queries.find_build, self._desk.ingest.engine, ref, builder=self.builder.name
                )
                await self._desk.save(interrupted(build))


def interrupted(build: Build) -> Build:
    """A running build as one that was cut off at the last moment that is known of it."""
    times = [one for step in build.steps for one in (step.started_ns, step.completed_ns) if one is not None]
    return replace(
        build,
        status=Status.CANCELED,
        completed_ns=max((*times, build.started_ns)),
        error=build.error or BuildError(INTERRUPTED),
    )


@contextmanager
def _alone(ref: str) -> Iterator[None]:
    """Let a build of which we can make nothing fail alone; a lost engine or store concerns them all."""
    try:
        yield
    except (GRPCError, StreamTerminatedError, EndpointError, StoreError, OSError):
        raise
    except Exception:  # noqa: BLE001 - as much as one build can bring about; it is logged whole
        _log.exception("a build could not be profiled", ref=ref)


def _overlap(one: BuildRecord, other: BuildRecord) -> bool:
    now_ns = time.time_ns()
    return one.created_ns <= (other.completed_ns or now_ns) and other.created_ns <= (one.completed_ns or now_ns)


def _first(errors: BaseExceptionGroup) -> BaseException:
    """The error that ended a group of tasks, as one that the supervisor knows."""
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, (GRPCError, StreamTerminatedError, ConnectionError)):
        return EndpointError(f"lost the connection to BuildKit: {str(error) or type(error).__name__}")
    return error
