"""What happens now, as server-sent events (WHATWG HTML, "Server-sent events") to a few clients at once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from starlette.responses import StreamingResponse
from starlette.types import Send

from buildprof.model.build import Build
from buildprof.model.document import build_document, step_document
from buildprof.model.step import Step
from buildprof.web.problems import Problem

MAX_CLIENTS = 16
MAX_WAITING_EVENTS = 256
KEEP_ALIVE_SECONDS = 15.0
SEND_SECONDS = 10.0
"""How long a client may leave what it was sent unread."""

_End = None
_Queue = asyncio.Queue[bytes | None]


class LiveEvents:
    """Hands each event to every client. Lives in the event loop's thread.

    A client that does not read as fast as events come loses its connection, never the events of others.
    """

    def __init__(self, max_clients: int = MAX_CLIENTS, max_waiting: int = MAX_WAITING_EVENTS) -> None:
        self._max_clients = max_clients
        self._max_waiting = max_waiting
        self._clients: set[_Queue] = set()
        self._closed = False

    @property
    def clients(self) -> int:
        """How many clients listen."""
        return len(self._clients)

    def build_started(self, build: Build) -> None:
        """A build was seen to run: event `build_started`, the build without its steps."""
        if self._clients:
            self._publish("build_started", build_document(build, with_steps=False))

    def step_finished(self, build: Build, step: Step) -> None:
        """A step of a running build ended: event `step_finished`, the build's ref, builder, project, target, the step."""
        if self._clients:
            head = {"ref": build.ref, "builder": build.builder, "project": build.project, "target": build.target}
            self._publish("step_finished", {**head, "step": step_document(step)})

    def build_finished(self, build: Build) -> None:
        """A build ended and is stored: event `build_finished`, the build without its steps."""
        if self._clients:
            self._publish("build_finished", build_document(build, with_steps=False))

    def close(self) -> None:
        """Ends all streams, and those to come, so that a server can stop."""
        self._closed = True
        for queue in list(self._clients):
            self._drop(queue)

    def _publish(self, event: str, document: dict[str, Any]) -> None:
        message = f"event: {event}\ndata: {json.dumps(document, separators=(',', ':'))}\n\n".encode()
        for queue in list(self._clients):
            try:
                queue.put_nowait(message)
            except asyncio.QueueFull:
                self._drop(queue)

    def _drop(self, queue: _Queue) -> None:
        self._clients.discard(queue)
        while not queue.empty():
            queue.get_nowait()
        queue.put_nowait(_End)

    @contextmanager
    def _listening(self) -> Iterator[_Queue]:
        queue: _Queue = asyncio.Queue(self._max_waiting)
        self._clients.add(queue)
        try:
            yield queue
        finally:
            self._clients.discard(queue)

    def refuse_when_full(self) -> None:
        """Raises Problem 503 when no more clients can listen."""
        if self._closed or len(self._clients) >= self._max_clients:
            raise Problem(503, f"no more than {self._max_clients} clients can follow events at once")

    async def stream(self) -> AsyncIterator[bytes]:
        """The bytes of one client's stream: events, and a comment when nothing happens, to find the dead."""
        self.refuse_when_full()
        with self._listening() as queue:
            yield b"retry: 3000\n\n"
            while True:
                try:
                    message = await asyncio.wait_for(queue.get(), KEEP_ALIVE_SECONDS)
                except TimeoutError:
                    message = b": nothing happens\n\n"
                if message is _End:
                    return
                yield message


class EventStream(StreamingResponse):
    """A response that gives a client up when what it was sent stays unread for SEND_SECONDS."""

    media_type = "text/event-stream"

    async def stream_response(self, send: Send) -> None:
        """Sends the stream to its end, or to the client's."""

        async def send_soon(message: Any) -> None:
            async with asyncio.timeout(SEND_SECONDS):
                await send(message)

        with suppress(TimeoutError):
            await super().stream_response(send_soon)
