"""The daemon: builds every part, ties them together, and keeps them running. Nothing is built anywhere else."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import Engine as SqlEngine

from buildprof import __version__, notify
from buildprof.assembly.redact import make_redactor
from buildprof.capture.buildkit import Builder, BuildkitCapture
from buildprof.capture.cache_reader import CacheReader
from buildprof.capture.classic import ClassicCapture
from buildprof.capture.contexts import Contexts
from buildprof.capture.desk import Desk
from buildprof.capture.image_growth import PAGE_ENTRIES, image_growth
from buildprof.capture.images import ImageAnalyst
from buildprof.config import Settings
from buildprof.data_dir import agent_id, redaction_key
from buildprof.exporters.prometheus.collector import StoredSeries
from buildprof.exporters.prometheus.selfmetrics import SelfMetrics
from buildprof.ingest import Ingest
from buildprof.lifecycle import Ending, Wishes, run_lives
from buildprof.model.build import Engine
from buildprof.model.check import Check
from buildprof.model.series import Contribution
from buildprof.model.standing import AgentStanding, SourceStanding, WatchedDirectory
from buildprof.sources.docker_api import DockerApi
from buildprof.sources.endpoint import Endpoint, parse_endpoint
from buildprof.sources.layers.kept import FILE_NAME as LAYERS_FILE_NAME
from buildprof.sources.tree.database import FILE_NAME
from buildprof.store import queries
from buildprof.store.connect import open_store
from buildprof.supervisor import Source, SourceHealth, State, supervise
from buildprof.upkeep import notice_loss, tend
from buildprof.web.app import AppState, create_app
from buildprof.web.live import LiveEvents
from buildprof.web.server import is_loopback, serve

STOP_SECONDS = 2.5
CLOSE_SECONDS = 2.0
"""Together less than the 5 s in which SIGTERM ends the agent."""

_log = structlog.get_logger(__name__)


def run_agent(settings: Settings, reload: Callable[[], Settings], checks: Callable[[Settings], Sequence[Check]]) -> int:
    """Run the daemon until SIGTERM or SIGINT; see `lifecycle.run_lives`. Returns the exit code.

    `checks` are those of `doctor`, which the page of health shows.
    """
    return run_lives(settings, reload, partial(_run, checks))


async def _run(checks: Callable[[Settings], Sequence[Check]], settings: Settings, wishes: Wishes) -> Ending:
    """One life of the agent, with one set of settings: builds every part, and ends when that is wished."""
    ending = asyncio.create_task(wishes.begin().wait(), name="wishes")
    store = await asyncio.to_thread(open_store, settings.store_url)
    own, live = SelfMetrics(__version__), LiveEvents()
    scope = agent_id(settings.data_dir)
    contexts = Contexts(settings.data_dir / FILE_NAME, settings.watch, watch_builds=settings.watch_builds)
    ingest = Ingest(
        store,
        scope=scope,
        max_projects=settings.max_projects,
        max_targets=settings.max_targets,
        on_write=own.store_written,
        changes=contexts.changes,
    )
    redactor = make_redactor(redaction_key(settings.data_dir), settings.redact, settings.allow_build_args)
    desk = Desk(ingest, live, settings.buildx_dirs, redactor, contexts)
    sources, captures = _sources(settings, desk, own)
    analyst = ImageAnalyst(settings, desk, lambda: any(one.is_busy for one in captures))
    desk.on_image = analyst.want
    state = AppState(
        store=store,
        stored_series=StoredSeries(lambda since: queries.changed_series(store, scope, since)),
        self_metrics=own,
        live=live,
        unready=lambda: _unready(sources, captures),
        version=__version__,
        loopback_only=is_loopback(settings.listen),
        image_growth=partial(image_growth, store, lambda: settings, most_entries=PAGE_ENTRIES),
        standing=lambda: _standing(settings, sources, contexts, ingest),
        checks=partial(checks, settings),
    )
    listening = asyncio.Event()  # before that the agent may still have to say that it cannot

    def on_listening(url: str) -> None:
        told = {"version": __version__, "docker_host": settings.docker_host, "data_dir": str(settings.data_dir)}
        _log.info("agent starts", url=url, **told)
        notify.ready(f"serving {url}")
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
        asyncio.create_task(tend(desk, settings.data_dir, settings.retention_days, own.store_size), name="upkeep"),
        asyncio.create_task(notify.stay_alive(), name="watchdog"),
        asyncio.create_task(contexts.run(own, desk.remember_directory), name="contexts"),
        asyncio.create_task(analyst.run(), name="images"),
        asyncio.create_task(notice_loss(store, partial(wishes.ask, Ending.REOPEN)), name="store"),
    ]
    gc.unfreeze()  # what a life before this one made may go
    gc.collect()
    gc.freeze()  # what start-up made stays: the collector need not look at it again
    waiting: list[asyncio.Task[Any]] = [ending, *running]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()
        done, late = await asyncio.wait(running, timeout=STOP_SECONDS)
        closing = asyncio.create_task(asyncio.to_thread(_close, desk, ingest, store, contexts))
        _, stuck = await asyncio.wait({closing}, timeout=CLOSE_SECONDS)
        if stuck and wishes.stop:
            # Somebody else holds the store. What was not written is read again from the engine's history.
            _log.warning("the store did not take the last writes in time")
            os._exit(0)
        await closing
    for task in late:
        _log.warning("did not stop in time", task=task.get_name())
    for task in done:
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error
    reason = wishes.end()
    _log.info("agent stops", reason=reason.value)
    return reason


def _standing(settings: Settings, sources: Sequence[Source], contexts: Contexts, ingest: Ingest) -> AgentStanding:
    """What the page of health tells; for any thread."""
    projects, targets = ingest.labels_used()
    return AgentStanding(
        sources=tuple(
            SourceStanding(
                name=one.name,
                builder=one.builder,
                state=one.state.value,
                reason=one.reason,
                up_seconds=one.up_seconds,
                last_event_ns=one.last_event_ns,
                events=one.events,
                restarts=one.restarts,
                dropped=one.lost,
            )
            for one in (source.health for source in sources)
        ),
        directories=tuple(
            WatchedDirectory(
                directory=one.directory,
                state=one.state,
                directories=one.directories,
                files=one.files,
                unwatched=one.unwatched_directories,
                overflows=one.overflows,
            )
            for one in contexts.standing()
        ),
        projects_labelled=projects,
        max_projects=settings.max_projects,
        targets_labelled=targets,
        max_targets=settings.max_targets,
        retention_days=settings.retention_days,
        data_dir=str(settings.data_dir),
        files=tuple((name, _size_bytes(settings.data_dir / name)) for name in (FILE_NAME, LAYERS_FILE_NAME)),
    )


def _size_bytes(file: Path) -> int:
    """Of a database with its log; 0 if it is not there."""
    files = (file, file.with_name(f"{file.name}-wal"))
    return sum(one.stat().st_size for one in files if one.exists())


def _close(desk: Desk, ingest: Ingest, store: SqlEngine, contexts: Contexts) -> None:
    desk.close()
    contexts.close()
    ingest.close()
    store.dispose()


def _sources(settings: Settings, desk: Desk, own: SelfMetrics) -> tuple[list[Source], list[BuildkitCapture]]:
    """All that is followed: the engine's BuildKit and events, and further BuildKit endpoints."""
    main = parse_endpoint(settings.docker_host, settings.docker_cert_dir)
    api = DockerApi(main)
    # A history that agents share tells builders apart by their hosts.
    preferred = "default" if desk.ingest.engine.dialect.name == "sqlite" else socket.gethostname()
    name = desk.ingest.builder_name(main.url, preferred)
    sources: list[Source] = []
    captures: list[BuildkitCapture] = []

    async def docker_engine(_buildkit_version: str) -> Engine:
        return Engine("docker", (await api.engine_info()).version)

    followed = [Builder(name, main, docker_engine, api.image_facts)]
    followed += [_buildkitd(desk, parse_endpoint(url)) for url in settings.builders]
    for builder in followed:
        cache = CacheReader(builder.name, own.cache_read, lambda changes: _add(desk, changes), desk.save_lost)
        capture = BuildkitCapture(builder, desk, cache, own.builds_running)
        captures.append(capture)
        sources.append(Source(SourceHealth("buildkit", builder.name, own), capture.run))
    buildkit_health = sources[0].health
    events = ClassicCapture(
        builder=name,
        endpoint=main,
        api=api,
        desk=desk,
        lacks_history=lambda: _lacks_history(buildkit_health),
    )
    events.buildkit_is_busy = lambda: captures[0].is_busy
    sources.append(Source(SourceHealth("docker_events", name, own), events.run))
    return sources, captures


def _lacks_history(buildkit: SourceHealth) -> bool | None:
    return None if buildkit.state is State.STARTING else buildkit.state is State.UNSUPPORTED


def _buildkitd(desk: Desk, endpoint: Endpoint) -> Builder:
    async def engine(version: str) -> Engine:
        return Engine("buildkit", version)

    async def no_image(_digest: str) -> None:
        return None

    name = desk.ingest.builder_name(endpoint.url, endpoint.url.partition("://")[2][:90])
    return Builder(name, endpoint, engine, no_image)


async def _add(desk: Desk, changes: list[Contribution]) -> None:
    await desk.write(lambda: desk.ingest.add(changes))


def _unready(sources: list[Source], captures: list[BuildkitCapture]) -> str | None:
    """Why history has not been read yet: None once every BuildKit that has a history was read, or is known to have none."""
    for source, capture in zip(sources, captures, strict=False):
        if not capture.ready.is_set() and source.health.state is not State.UNSUPPORTED:
            return f"{source.health.builder}: {source.health.reason or 'the build history is being read'}"
    return None
