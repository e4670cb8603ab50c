"""Follows an engine's events: classic builds, images of engines without history, and what befalls images and caches."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Iterable
from dataclasses import replace

from buildprof.assembly.classic import ClassicTracker
from buildprof.assembly.classic_facts import ImageRecord, image_answer
from buildprof.capture.classic_places import ClassicPlaces
from buildprof.capture.desk import CLIENT_FIRST_SECONDS, Desk
from buildprof.model.build import Build, Engine
from buildprof.model.events import EngineEvent
from buildprof.model.text import NANOSECONDS
from buildprof.sources.docker_api import DockerApi
from buildprof.sources.docker_events import EventCursor, docker_events
from buildprof.sources.endpoint import Endpoint
from buildprof.store import queries
from buildprof.supervisor import SourceHealth

WRITE_SECONDS = 1.0
REPLAYED_SECONDS = 5
"""When the events that a stream has to catch up with have come."""

DECISION_SECONDS = 10.0
"""How long to wait for the answer whether the engine keeps a history of BuildKit builds."""

CLOCK_SLACK_NS = 60 * NANOSECONDS
"""How far the engine's clock may be ahead of ours."""

AT_ONCE_NS = 20_000_000
"""An event that is looked at so soon is one of builds whose clients still run: the rest of no build is as short."""

KEPT_ATTRIBUTES = ("name", "reclaimed")
"""What of an image's or a prune's event is of use later."""

STORED_TYPES = frozenset({"image", "builder"})
"""Events that explain something later; those of containers are only read for classic builds."""


class ClassicCapture:
    """Follows one engine's events stream.

    `lacks_history` tells whether BuildKit builds are to be seen as images, since the engine keeps no history of them;
    None while nobody knows.
    """

    def __init__(
        self,
        *,
        builder: str,
        endpoint: Endpoint,
        api: DockerApi,
        desk: Desk,
        lacks_history: Callable[[], bool | None],
    ) -> None:
        self.buildkit_is_busy: Callable[[], bool] = lambda: False
        """Whether BuildKit builds run now."""
        self._builder = builder
        self._endpoint = endpoint
        self._api = api
        self._desk = desk
        self._lacks_history = lacks_history
        self._places = ClassicPlaces(desk, endpoint.url)
        self._waited_at = 0.0
        self._tracker = ClassicTracker(builder, Engine("docker", ""), desk.redact, redactor=desk.plain_redactor)
        self._cursor: EventCursor | None = None
        self._pending: list[EngineEvent] = []
        self._written: int | None = None

    async def run(self, health: SourceHealth) -> None:
        """Follow until the stream breaks.

        Raises:
            EndpointError: the engine cannot be reached, or ended the stream.
        """
        self._tracker.engine = Engine("docker", (await self._api.engine_info()).version)
        self._tracker.buildkit_images = await self._decided()
        cursor = self._cursor = self._cursor or await self._stored_cursor()
        cursor.on_drop = health.dropped
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._write_now_and_then(cursor))
                await self._follow(health, cursor)
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from errors
        finally:
            await self._write(cursor)
            await self._api.close()

    async def _follow(self, health: SourceHealth, cursor: EventCursor) -> None:
        """Fold the events in, one by one, until the stream breaks."""
        async for event in docker_events(self._endpoint, cursor, on_connect=health.up):
            health.event()
            self._tracker.buildkit_images = self._lacks_history() is True
            is_tag = (event.type, event.action) == ("image", "tag")
            is_only_event = is_tag and not self._tracker.open_refs and not self.buildkit_is_busy()
            questions = self._tracker.questions(event)
            is_container = bool(questions) and not is_tag
            if is_only_event or is_container:
                await self._places.look(event.at_ns)  # first of all: a client can be gone soon
            is_seen_at_once = is_container and time.time_ns() - event.at_ns < AT_ONCE_NS
            gone = self._places.gone(self._tracker.open_refs) if is_seen_at_once else ()
            if is_tag:
                await self._let_client_go()
            answers = await self._api.answer(questions)
            if is_only_event and _is_classic(image_answer(answers, event.id)):
                await self._places.tagged(event.at_ns)
            await self._save(self._tracker.fold(event, answers, gone))
            if is_container:
                busy = self._tracker.busy_refs(event.at_ns) if is_seen_at_once else ()
                await self._places.began(self._tracker.open_refs, busy)
            if event.type in STORED_TYPES:
                self._pending.append(self._without_secrets(event))

    async def _save(self, builds: Iterable[Build]) -> None:
        for build in builds:
            placed = await self._places.placed(build)
            if placed.context or not await self._desk.has_place(placed):  # else a stream is read again
                self._desk.finished(await self._desk.save(placed))

    async def _let_client_go(self) -> None:
        """Wait a moment where the tag may be that of a BuildKit build, whose client waits; containers cannot wait long."""
        now = time.monotonic()
        if self.buildkit_is_busy() and now - self._waited_at > WRITE_SECONDS:
            self._waited_at = now
            await asyncio.sleep(CLIENT_FIRST_SECONDS)

    async def _close_interrupted(self, before_ns: int) -> None:
        """End the builds that a killed engine took with it: the events of their ends never come.

        A stream that only broke brings them when it goes on, so this is asked some seconds later, of containers that
        were there before: a new one may just not have started yet.
        """
        containers = self._tracker.running_containers(before_ns)
        dead = [
            one for one in containers if not ((found := await self._api.inspect_container(one)) and found.is_running)
        ]
        await self._save(self._tracker.interrupted(dead))

    def _without_secrets(self, event: EngineEvent) -> EngineEvent:
        """The event as it may be stored: its attributes hold the image's labels, in which any argument may stand."""
        attributes = {
            name: self._desk.redact(event.attributes[name]) for name in KEPT_ATTRIBUTES if name in event.attributes
        }
        return replace(event, attributes=attributes)

    async def _decided(self) -> bool:
        give_up = time.monotonic() + DECISION_SECONDS
        while (lacks := self._lacks_history()) is None and time.monotonic() < give_up:  # noqa: ASYNC110  # asked of another source
            await asyncio.sleep(0.05)
        return lacks is True

    async def _stored_cursor(self) -> EventCursor:
        """Where an earlier agent stopped; else the beginning: the engine remembers its last 256 events.

        A time to come is of a clock that was put back since: then all are read again, which changes nothing in the
        builds that are known.
        """
        stored = await asyncio.to_thread(queries.cursor, self._desk.ingest.engine, self._cursor_name)
        at_ns = int(stored) if stored and stored.isdigit() else 0
        return EventCursor(at_ns=0 if at_ns > time.time_ns() + CLOCK_SLACK_NS else at_ns)

    @property
    def _cursor_name(self) -> str:
        return f"docker_events/{self._builder}"

    async def _write_now_and_then(self, cursor: EventCursor) -> None:
        began_ns = time.time_ns()
        for second in itertools.count(1):
            await asyncio.sleep(WRITE_SECONDS)
            if second == REPLAYED_SECONDS:
                await self._close_interrupted(began_ns)
            await self._save(self._tracker.expire(time.time_ns()))
            await self._write(cursor)

    async def _write(self, cursor: EventCursor) -> None:
        """Store what came, then how far the stream was read: to before the oldest build that has not ended."""
        open_since_ns = self._tracker.open_since_ns
        position = cursor.at_ns if open_since_ns is None else open_since_ns - 1
        if not self._pending and position == self._written:
            return
        events, self._pending = self._pending, []
        await self._desk.write(
            lambda: self._desk.ingest.save_events(self._builder, events, (self._cursor_name, str(position or 0)))
        )
        self._written = position


def _is_classic(image: ImageRecord | None) -> bool:
    return image is not None and not image.is_buildkit
