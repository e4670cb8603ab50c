"""The Docker events stream (`GET /events`), by the docker SDK in a thread, as an async iterator.

An engine keeps the last 256 events in memory and sends those from `since` on, then live ones; a restart of the engine
empties that memory (moby/moby daemon/events). It drops events for a client that reads slowly, and tells nobody; so
the thread never waits for the loop: what it reads goes into a bounded queue, and when that is full the oldest event
is dropped and counted.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import docker

from buildprof.model.events import EngineEvent
from buildprof.model.text import NANOSECONDS, clean
from buildprof.sources.docker_sdk import as_endpoint_error, connect_sdk
from buildprof.sources.endpoint import Endpoint, EndpointError

QUEUE_EVENTS = 4096
MAX_ATTRIBUTES = 100
MAX_ATTRIBUTE_CHARS = 1000

OVERLAP_NS = 2 * NANOSECONDS
"""Events can come slightly out of the order of their times; this much is asked for again after a break."""

_REMEMBERED_EVENTS = 4096
_CONNECT_SECONDS = 10
# Of containers only what a build makes, so that exec and health checks of a busy machine are never sent.
_FILTERS: dict[str, list[str]] = {
    "type": ["image", "container", "builder"],
    "event": [
        "create", "start", "kill", "die", "destroy", "commit",
        "tag", "untag", "delete", "load", "import", "pull", "push", "prune",
    ],
}  # fmt: skip

_Key = tuple[int, str, str, str, str]


@dataclass(slots=True)
class EventCursor:
    """How far a stream was read, so that the next one goes on there with no event twice.

    `at_ns` is the time of the newest event, None before the first: then the stream begins now. A cursor made with a
    time only, after a restart of this process, begins right after that time. `dropped` counts events lost to a full
    queue, `on_drop` hears of each.
    """

    at_ns: int | None = None
    dropped: int = 0
    on_drop: Callable[[int], None] | None = None
    _seen: OrderedDict[_Key, None] = field(default_factory=OrderedDict)

    @property
    def since_ns(self) -> int | None:
        """Where the next stream begins."""
        if self.at_ns is None:
            return None
        return self.at_ns - OVERLAP_NS if self._seen else self.at_ns + 1

    def is_new(self, event: EngineEvent) -> bool:
        """Whether an event was not seen yet; from now on it was."""
        key = (event.at_ns, event.type, event.action, event.id, event.attributes.get("name", ""))
        if key in self._seen:
            return False
        self._seen[key] = None
        if len(self._seen) > _REMEMBERED_EVENTS:
            self._seen.popitem(last=False)
        self.at_ns = max(self.at_ns or 0, event.at_ns)
        return True

    def drop(self, count: int) -> None:
        """Count events that were lost."""
        self.dropped += count
        if self.on_drop is not None:
            self.on_drop(count)


async def docker_events(
    endpoint: Endpoint, cursor: EventCursor, on_connect: Callable[[], None] | None = None
) -> AsyncIterator[EngineEvent]:
    """Events of images, containers and the builder, from the cursor on and without end. Moves the cursor.

    Raises:
        EndpointError: the engine cannot be reached, ended the stream, or speaks something else. Call again with the
            same cursor to go on.
    """
    stream = _Stream(endpoint, cursor.since_ns, asyncio.get_running_loop())
    stream.thread.start()
    is_connected = False
    try:
        while True:
            await stream.wakeup.wait()
            stream.wakeup.clear()
            if stream.connected and not is_connected:
                is_connected = True
                if on_connect is not None:
                    on_connect()
            if lost := stream.take_lost():
                cursor.drop(lost)
            while stream.events:
                event = stream.events.popleft()
                if cursor.is_new(event):
                    yield event
            if stream.error is not None and not stream.events:
                raise stream.error
    finally:
        stream.close()


class _Stream:
    """The reading thread and what it shares with the loop."""

    def __init__(self, endpoint: Endpoint, since_ns: int | None, loop: asyncio.AbstractEventLoop) -> None:
        self.events: deque[EngineEvent] = deque()
        self.wakeup = asyncio.Event()
        self.error: EndpointError | None = None
        self.connected = False
        self.thread = threading.Thread(target=self._run, name="docker-events", daemon=True)
        self._endpoint, self._since_ns, self._loop = endpoint, since_ns, loop
        self._lock = threading.Lock()
        self._lost = 0
        self._closed = False
        self._socket: Any = None

    def take_lost(self) -> int:
        with self._lock:
            lost, self._lost = self._lost, 0
            return lost

    def close(self) -> None:
        """End the thread: it sits in a read, which ends when the connection is shut down under it."""
        with self._lock:
            self._closed = True
            if self._socket is not None:
                with contextlib.suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)

    def _run(self) -> None:
        client: docker.APIClient | None = None
        try:
            client = connect_sdk(self._endpoint, _CONNECT_SECONDS)
            self._read(client)
            error = EndpointError(f"{self._endpoint.url} ended the events stream")
        except Exception as caught:  # noqa: BLE001  whatever ends the thread must reach the loop
            try:
                error = as_endpoint_error(self._endpoint, caught)
            except Exception as bug:  # noqa: BLE001
                error = EndpointError(f"the events of {self._endpoint.url} cannot be read: {clean(bug, 300)}")
        finally:
            if client is not None:
                client.close()
        self.error = error
        self._wake()

    def _read(self, client: docker.APIClient) -> None:
        since = None if self._since_ns is None else api_time(self._since_ns)
        # The SDK passes text on as it is; the stubs know only whole seconds.
        response = client.events(since=since, filters=_FILTERS, decode=True)  # type: ignore[call-overload,unused-ignore]
        # The SDK gives no way to end a read from another thread and to close all that it opened: reach for both.
        with contextlib.closing(response._response):  # noqa: SLF001
            with self._lock:
                self._socket = _socket_of(response._response)  # noqa: SLF001
                if self._closed:
                    return
            response._response.raise_for_status()  # noqa: SLF001  # the SDK takes any answer for a stream of events
            self.connected = True
            self._wake()
            try:
                for found in response:
                    event = parse_event(found)
                    if event is not None:
                        self._put(event)
                    if self._closed:
                        return
            finally:
                with self._lock:
                    self._socket = None

    def _put(self, event: EngineEvent) -> None:
        with self._lock:
            if len(self.events) >= QUEUE_EVENTS:
                self.events.popleft()
                self._lost += 1
            self.events.append(event)
        self._wake()

    def _wake(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self.wakeup.set)
        except RuntimeError:
            self._closed = True  # the loop is closed: nobody waits any more


def _socket_of(response: Any) -> Any:
    """The socket under a response of requests."""
    return getattr(getattr(response.raw._fp.fp, "raw", None), "_sock", None)  # noqa: SLF001


def api_time(at_ns: int) -> str:
    """A time as the API takes it: seconds, a point, nine digits of nanoseconds."""
    seconds, nanoseconds = divmod(at_ns, NANOSECONDS)
    return f"{seconds}.{nanoseconds:09}"


def parse_event(found: object) -> EngineEvent | None:
    """An event of the stream with its texts bounded; None for what is no event."""
    if not isinstance(found, Mapping):
        return None
    actor = found.get("Actor")
    actor = actor if isinstance(actor, Mapping) else {}
    attributes = actor.get("Attributes")
    attributes = attributes if isinstance(attributes, Mapping) else {}
    at_ns = found.get("timeNano")
    kind, action = found.get("Type"), found.get("Action")
    if not isinstance(at_ns, int) or not isinstance(kind, str) or not isinstance(action, str):
        return None
    # What tells images, names and exit codes apart comes first: a hostile image has as many labels as it likes.
    names = [name for name in ("image", "name", "exitCode", "signal", "imageID", "imageRef") if name in attributes]
    names += [name for name in list(attributes)[: MAX_ATTRIBUTES + len(names)] if name not in names]
    return EngineEvent(
        type=clean(kind, 50),
        action=clean(action, 100),
        id=clean(actor.get("ID") or "", 300),
        at_ns=at_ns,
        attributes={clean(name, 200): clean(attributes[name], MAX_ATTRIBUTE_CHARS) for name in names[:MAX_ATTRIBUTES]},
    )
