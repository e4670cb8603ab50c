"""The daemon: builds every part, ties them together, and keeps them running. Nothing is built anywhere else."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import gc
import signal
import time
from collections.abc import Callable, Iterator
from enum import Enum
from functools import partial
from importlib.metadata import version as distribution_version
from pathlib import Path
from typing import Any

import structlog

from buildprof.capture.buildkit import Builder, BuildkitCapture
from buildprof.capture.cache_reader import CacheReader
from buildprof.capture.classic import ClassicCapture
from buildprof.capture.desk import Desk, redaction_key
from buildprof.config import ConfigError, Settings
from buildprof.exporters.prometheus.collector import StoredSeries
from buildprof.exporters.prometheus.selfmetrics import SelfMetrics
from buildprof.ingest import Ingest, series_scope
from buildprof.log import configure_logging
from buildprof.model.build import Engine
from buildprof.model.series import Contribution
from buildprof.sources.docker_api import DockerApi
from buildprof.sources.endpoint import Endpoint, parse_endpoint
from buildprof.store import queries
from buildprof.store.connect import open_store
from buildprof.store.errors import StoreError
from buildprof.supervisor import Source, SourceHealth, State, supervise
from buildprof.web.app import AppState, create_app
from buildprof.web.live import LiveEvents
from buildprof.web.server import is_loopback, serve

RETENTION_SECONDS = 3600.0
STORE_SIZE_SECONDS = 30.0
STOP_SECONDS = 4.0
NANOSECONDS_PER_DAY = 86_400 * 1_000_000_000

_log = structlog.get_logger(__name__)


class Ending(Enum):
    """Why the agent stops."""

    STOP = "stop"
    RELOAD = "reload"


class AlreadyRunningError(Exception):
    """Another agent uses the data directory."""


def run_agent(settings: Settings, reload: Callable[[], Settings]) -> int:
    """Run the daemon until SIGTERM or SIGINT; on SIGHUP begin again with the settings that `reload` gives.

    Returns the exit code.

    Raises:
        StoreError: the store cannot be used.
        ListenError: the address cannot be listened on.
        AlreadyRunningError: another agent runs on this data directory.
    """
    with _data_dir(settings.data_dir):
        while True:
            configure_logging(settings.log_level, settings.log_format)
            if asyncio.run(_run(settings)) is Ending.STOP:
                return 0
            try:
                settings = reload()
            except ConfigError as error:
                _log.error("the new settings cannot be used, the old ones stay", reason=str(error))  # noqa: TRY400 - one line


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
            raise AlreadyRunningError(f"another agent runs on {data_dir}; stop it, or choose another --data-dir") from None
        yield


async def _run(settings: Settings) -> Ending:
    """One life of the agent, with one set of settings."""
    ending: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
    for number, meaning in (
        (signal.SIGTERM, Ending.STOP),
        (signal.SIGINT, Ending.STOP),
        (signal.SIGHUP, Ending.RELOAD),
    ):
        asyncio.get_running_loop().add_signal_handler(number, _end, ending, meaning)
    version = distribution_version("docker-buildprof")
    store = await asyncio.to_thread(open_store, settings.store_url)
    own, live = SelfMetrics(version), LiveEvents()
    scope = series_scope(store)
    ingest = Ingest(
        store,
        scope=scope,
        max_projects=settings.max_projects,
        max_targets=settings.max_targets,
        on_write=own.store_written,
    )
    desk = Desk(
        ingest,
        live,
        buildx_dirs=settings.buildx_dirs,
        patterns=settings.redact,
        allow_build_args=settings.allow_build_args,
        key=redaction_key(settings.data_dir),
    )
    sources, captures = _sources(settings, desk, own, scope)
    state = AppState(
        store=store,
        stored_series=StoredSeries(lambda since: queries.changed_series(store, scope, since)),
        self_metrics=own,
        live=live,
        unready=lambda: _unready(sources, captures),
        version=version,
        loopback_only=is_loopback(settings.listen),
    )
    _log.info("agent starts", version=version, docker_host=settings.docker_host, data_dir=str(settings.data_dir))
    running = [
        asyncio.create_task(supervise(sources), name="supervisor"),
        asyncio.create_task(
            serve(
                create_app(state),
                settings.listen,
                on_listening=lambda url: _log.info("listening", url=url),
                on_stopping=live.close,
            ),
            name="http",
        ),
        asyncio.create_task(_upkeep(settings, desk, own), name="upkeep"),
    ]
    gc.collect()
    gc.freeze()  # what start-up made stays: the collector need not look at it again
    try:
        waiting: list[asyncio.Future[Any]] = [ending, *running]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in running:
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
    _log.info("agent stops", reason=ending.result().value if ending.done() else "a part ended")
    return ending.result() if ending.done() else Ending.STOP


def _end(ending: asyncio.Future[Ending], meaning: Ending) -> None:
    if not ending.done():
        ending.set_result(meaning)


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
    """Delete what is past its retention, and look how large the store is."""
    next_deletion = time.monotonic()
    while True:
        own.store_size(await asyncio.to_thread(queries.store_size_bytes, desk.ingest.engine))
        if time.monotonic() >= next_deletion:
            next_deletion = time.monotonic() + RETENTION_SECONDS
            horizon_ns = time.time_ns() - settings.retention_days * NANOSECONDS_PER_DAY
            if deleted := await desk.write(partial(desk.ingest.delete_older_than, horizon_ns)):
                _log.info("old builds deleted", builds=deleted, retention_days=settings.retention_days)
        await asyncio.sleep(STORE_SIZE_SECONDS)
