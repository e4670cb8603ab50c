"""The daemon: builds every part, ties them together, and keeps them running. Nothing is built anywhere else."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import gc
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import Engine as SqlEngine

from buildprof import __version__
from buildprof.assembly.redact import make_redactor
from buildprof.capture.buildkit import Builder, BuildkitCapture
from buildprof.capture.cache_reader import CacheReader
from buildprof.capture.classic import ClassicCapture
from buildprof.capture.desk import Desk, RefusedError, redaction_key
from buildprof.config import ConfigError, Settings
from buildprof.exporters.prometheus.collector import StoredSeries
from buildprof.exporters.prometheus.selfmetrics import SelfMetrics
from buildprof.ingest import Ingest, series_scope
from buildprof.log import configure_logging
from buildprof.model.build import Engine
from buildprof.model.series import Contribution
from buildprof.sources.docker_api import DockerApi
from buildprof.sources.endpoint import Endpoint, EndpointError, parse_endpoint
from buildprof.store import queries
from buildprof.store.connect import open_store
from buildprof.store.errors import StoreError
from buildprof.supervisor import Source, SourceHealth, State, supervise
from buildprof.web.app import AppState, create_app
from buildprof.web.live import LiveEvents
from buildprof.web.server import ListenError, is_loopback, serve

RETENTION_SECONDS = 3600.0
STORE_SIZE_SECONDS = 30.0
STORE_LOOK_SECONDS = 2.0
NICENESS = 10
"""Builds come first: where they need every core, a profile is late rather than a build slow."""

STOP_SECONDS = 4.0
REOPEN_SECONDS = 2.0
"""How long to wait before a life that could not begin is tried again."""

MAX_REASON_BYTES = 2_000
NANOSECONDS_PER_DAY = 86_400 * 1_000_000_000

_log = structlog.get_logger(__name__)


class Ending(Enum):
    """Why the agent stops."""

    STOP = "stop"
    RELOAD = "reload"
    REOPEN = "reopen"
    """The store's file was taken away."""
    ENDED = "a part ended"


class Wishes:
    """What signals ask for. Heard between two lives as well: then the next one ends as soon as it begins."""

    def __init__(self) -> None:
        self._asked: set[Ending] = set()
        self._hear: Callable[[], object] | None = None
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._heard)

    @property
    def stop(self) -> bool:
        """Whether the agent is to stop; that is never taken back."""
        return Ending.STOP in self._asked

    def begin(self) -> asyncio.Event:
        """Begin a life: what is set as soon as there is a wish."""
        loop, event = asyncio.get_running_loop(), asyncio.Event()
        self._hear = partial(loop.call_soon_threadsafe, event.set)
        if self._asked:
            event.set()
        return event

    def end(self) -> Ending:
        """End a life: what is wished most, which for all but STOP is done with then."""
        self._hear = None
        found = next((one for one in (Ending.STOP, Ending.RELOAD, Ending.REOPEN) if one in self._asked), Ending.ENDED)
        self._asked &= {Ending.STOP}
        return found

    def ask(self, ending: Ending) -> None:
        """Wish for an end."""
        self._asked.add(ending)
        if self._hear is not None:
            with contextlib.suppress(RuntimeError):  # the loop of a life that failed is closed
                self._hear()

    def _heard(self, number: int, _frame: object) -> None:
        self.ask(Ending.RELOAD if number == signal.SIGHUP else Ending.STOP)


class AlreadyRunningError(Exception):
    """Another agent uses the data directory."""


def run_agent(settings: Settings, reload: Callable[[], Settings]) -> int:
    """Run the daemon until SIGTERM or SIGINT; on SIGHUP begin again with the settings that `reload` gives.

    Returns the exit code.

    Raises:
        StoreError: the store cannot be used.
        ListenError: the address cannot be listened on.
        EndpointError: an address of the settings is none.
        AlreadyRunningError: another agent runs on this data directory.
    """
    working: Settings | None = None  # what the agent has run with: what fails after that does not stop it
    wishes = Wishes()
    with contextlib.suppress(OSError):
        os.nice(NICENESS)
    while True:
        configure_logging(settings.log_level, settings.log_format)
        try:
            with _data_dir(settings.data_dir):
                _prepare_store(settings.store_url)
                ending = asyncio.run(_run(settings, wishes))
        except (StoreError, ListenError, EndpointError, AlreadyRunningError) as error:
            if working is None:
                raise
            if settings is not working:
                _log.error("the new settings cannot be used, the old ones stay", reason=str(error))
                settings = working
                continue
            _log.error("cannot go on; trying again", reason=str(error))
            time.sleep(REOPEN_SECONDS)
            if wishes.stop:
                return 0
            continue
        working = settings
        if ending in (Ending.STOP, Ending.ENDED):
            return 0
        if ending is Ending.RELOAD:
            try:
                settings = reload()
            except ConfigError as error:
                _log.error("the new settings cannot be used, the old ones stay", reason=str(error))


def _prepare_store(url: str) -> None:
    """Make or migrate the store in a child: Alembic takes memory that the agent would keep for its life.

    Raises:
        StoreError: the store cannot be used.
    """
    if threading.active_count() > 1:
        return  # a child could wait for ever for what another thread held; opening the store does the same here
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        reason = ""
        try:
            open_store(url).dispose()
        except BaseException as error:  # noqa: BLE001 - nothing may leave the child but by its pipe
            reason = str(error) or type(error).__name__
        os.write(writer, reason.encode(errors="replace")[:MAX_REASON_BYTES])
        os._exit(0)
    os.close(writer)
    with open(reader, "rb") as pipe:  # noqa: PTH123 - a descriptor
        said = pipe.read().decode(errors="replace")
    os.waitpid(child, 0)
    if said:
        raise StoreError(said)


@contextlib.contextmanager
def _data_dir(data_dir: Path) -> Iterator[None]:
    """Hold the data directory for this process alone."""
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (data_dir / "agent.lock").open("a")
    except OSError as error:
        raise StoreError(
            f"{data_dir}: cannot be written: {error.strerror}; choose another one with --data-dir"
        ) from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise AlreadyRunningError(
                f"another agent runs on {data_dir}; stop it, or choose another --data-dir"
            ) from None
        yield


async def _run(settings: Settings, wishes: Wishes) -> Ending:
    """One life of the agent, with one set of settings: builds every part, and ends when that is wished."""
    ending = asyncio.create_task(wishes.begin().wait(), name="wishes")
    store = await asyncio.to_thread(open_store, settings.store_url)
    own, live = SelfMetrics(__version__), LiveEvents()
    scope = series_scope(store)
    ingest = Ingest(
        store,
        scope=scope,
        max_projects=settings.max_projects,
        max_targets=settings.max_targets,
        on_write=own.store_written,
    )
    redactor = make_redactor(redaction_key(settings.data_dir), settings.redact, settings.allow_build_args)
    desk = Desk(ingest, live, settings.buildx_dirs, redactor)
    sources, captures = _sources(settings, desk, own, scope)
    state = AppState(
        store=store,
        stored_series=StoredSeries(lambda since: queries.changed_series(store, scope, since)),
        self_metrics=own,
        live=live,
        unready=lambda: _unready(sources, captures),
        version=__version__,
        loopback_only=is_loopback(settings.listen),
    )
    listening = asyncio.Event()  # before that the agent may still have to say that it cannot

    def on_listening(url: str) -> None:
        told = {"version": __version__, "docker_host": settings.docker_host, "data_dir": str(settings.data_dir)}
        _log.info("agent starts", url=url, **told)
        listening.set()

    async def follow() -> None:
        await listening.wait()
        await supervise(sources)

    await asyncio.to_thread(state.stored_series.refresh)  # the first scrape of a large store need not wait for it
    running = [
        asyncio.create_task(follow(), name="supervisor"),
        asyncio.create_task(
            serve(
                create_app(state),
                settings.listen,
                on_listening=on_listening,
                on_stopping=live.close,
            ),
            name="http",
        ),
        asyncio.create_task(_upkeep(settings, desk, own), name="upkeep"),
        asyncio.create_task(_notice_loss(store, partial(wishes.ask, Ending.REOPEN)), name="store"),
    ]
    gc.collect()
    gc.freeze()  # what start-up made stays: the collector need not look at it again
    waiting: list[asyncio.Task[Any]] = [ending, *running]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()
        done, late = await asyncio.wait(running, timeout=STOP_SECONDS)
        await asyncio.to_thread(desk.close)
        ingest.close()
        store.dispose()
    for task in late:
        _log.warning("did not stop in time", task=task.get_name())
    for task in done:
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error
    reason = wishes.end()
    _log.info("agent stops", reason=reason.value)
    return reason


def _sources(
    settings: Settings, desk: Desk, own: SelfMetrics, scope: str
) -> tuple[list[Source], list[BuildkitCapture]]:
    """All that is followed: the engine's BuildKit and events, and further BuildKit endpoints."""
    main = parse_endpoint(settings.docker_host, settings.docker_cert_dir)
    api = DockerApi(main)
    name = scope or "default"
    sources: list[Source] = []
    captures: list[BuildkitCapture] = []

    async def docker_engine(_buildkit_version: str) -> Engine:
        return Engine("docker", (await api.engine_info()).version)

    followed = [Builder(name, main, docker_engine, api.image_facts)]
    followed += [_buildkitd(parse_endpoint(url)) for url in settings.builders]
    for builder in followed:
        cache = CacheReader(builder.name, own.cache_read, lambda changes: _add(desk, changes))
        capture = BuildkitCapture(builder, desk, cache, own.builds_running)
        captures.append(capture)
        sources.append(Source(SourceHealth("buildkit", builder.name, own), capture.run))
    buildkit_health = sources[0].health
    events = ClassicCapture(name, main, api, desk, lambda: _lacks_history(buildkit_health))
    sources.append(Source(SourceHealth("docker_events", name, own), events.run))
    return sources, captures


def _lacks_history(buildkit: SourceHealth) -> bool | None:
    return None if buildkit.state is State.STARTING else buildkit.state is State.UNSUPPORTED


def _buildkitd(endpoint: Endpoint) -> Builder:
    async def engine(version: str) -> Engine:
        return Engine("buildkit", version)

    async def no_image(_digest: str) -> None:
        return None

    return Builder(endpoint.url.partition("://")[2][:100], endpoint, engine, no_image)


async def _add(desk: Desk, changes: list[Contribution]) -> None:
    await desk.write(lambda: desk.ingest.add(changes))


def _unready(sources: list[Source], captures: list[BuildkitCapture]) -> str | None:
    """Why history has not been read yet: None once every BuildKit that has a history was read, or is known to have none."""
    for source, capture in zip(sources, captures, strict=False):
        if not capture.ready.is_set() and source.health.state is not State.UNSUPPORTED:
            return f"{source.health.builder}: {source.health.reason or 'the build history is being read'}"
    return None


async def _upkeep(settings: Settings, desk: Desk, own: SelfMetrics) -> None:
    """Delete what is past its retention, and look how large the store is.

    A clock that is set forward while the agent runs makes no build older.
    """
    next_deletion = time.monotonic()
    clock_lead_ns = time.time_ns() - time.monotonic_ns()
    while True:
        try:
            own.store_size(await asyncio.to_thread(queries.store_size_bytes, desk.ingest.engine))
            if time.monotonic() >= next_deletion:
                next_deletion = time.monotonic() + RETENTION_SECONDS
                now_ns = min(time.time_ns(), time.monotonic_ns() + clock_lead_ns)
                horizon_ns = now_ns - settings.retention_days * NANOSECONDS_PER_DAY
                if deleted := await desk.write(partial(desk.ingest.delete_older_than, horizon_ns)):
                    _log.info("old builds deleted", builds=deleted, retention_days=settings.retention_days)
        except (StoreError, RefusedError) as error:
            _log.warning("the store could not be tended", reason=str(error))
        await asyncio.sleep(STORE_SIZE_SECONDS)


async def _notice_loss(store: SqlEngine, on_loss: Callable[[], None]) -> None:
    """Look whether the store's file is still the one that was opened: SQLite writes on into one that was deleted."""
    if store.dialect.name != "sqlite":
        await asyncio.Future()  # a server's database is noticed by whoever writes to it
    path = Path(str(store.url.database))
    opened = _identity(path)
    while _identity(path) == opened:  # noqa: ASYNC110 - a look at the disk is all there is to wait for
        await asyncio.sleep(STORE_LOOK_SECONDS)
    _log.error("the store was taken away; making it anew, with all that the engine still knows", store=str(path))
    on_loss()


def _identity(path: Path) -> tuple[int, int] | None:
    """What tells a file from others that had or will have its name; None if it is gone."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
