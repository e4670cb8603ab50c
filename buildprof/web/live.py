"""What happens now, as server-sent events (WHATWG HTML, "Server-sent events") to a few clients at once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from buildprof.model.build import Build
from buildprof.model.document import build_document, step_document
from buildprof.model.step import Step
from buildprof.web.problems import Problem

MAX_CLIENTS = 16
MAX_WAITING_EVENTS = 256
KEEP_ALIVE_SECONDS = 15.0
SEND_SECONDS = 10.0
"""How long a client may leave what it was sent unread."""

Waiting = asyncio.Queue[bytes | None]
"""Messages that a client has not been sent yet; None ends the stream."""


class LiveEvents:
    """Hands each event to every client. Lives in the event loop's thread.

    A client that does not read as fast as events come loses its connection, never the events of others.
    """

    def __init__(self, max_clients: int = MAX_CLIENTS, max_waiting: int = MAX_WAITING_EVENTS) -> None:
        self._max_clients = max_clients
        self._max_waiting = max_waiting
        self._clients: set[Waiting] = set()
        self._closed = False

    @property
    def clients(self) -> int:
        """Count the clients that listen."""
        return len(self._clients)

    def build_started(self, build: Build) -> None:
        """Tell that a build was seen to run: event `build_started`, the build without its steps."""
        if self._clients:
            self._publish("build_started", build_document(build, with_steps=False))

    def step_finished(self, build: Build, step: Step) -> None:
        """Tell that a step of a running build ended: event `step_finished`, the build's ref, builder, project, target, the step."""
        if self._clients:
            head = {"ref": build.ref, "builder": build.builder, "project": build.project, "target": build.target}
            self._publish("step_finished", {**head, "step": step_document(step)})

    def build_finished(self, build: Build) -> None:
        """Tell that a build ended and is stored: event `build_finished`, the build without its steps."""
        if self._clients:
            self._publish("build_finished", build_document(build, with_steps=False))

    def close(self) -> None:
        """End all streams, and those to come, so that a server can stop."""
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

    def _drop(self, queue: Waiting) -> None:
        self._clients.discard(queue)
        while not queue.empty():
            queue.get_nowait()
        queue.put_nowait(None)

    def subscribe(self) -> Waiting:
        """Give a queue of messages for one more client. Raises Problem 503 when no more can listen."""
        if self._closed or len(self._clients) >= self._max_clients:
            raise Problem(503, f"no more than {self._max_clients} clients can follow events at once")
        queue: Waiting = asyncio.Queue(self._max_waiting)
        self._clients.add(queue)
        return queue

    def unsubscribe(self, queue: Waiting) -> None:
        """Forget a client that has gone."""
        self._clients.discard(queue)


class EventStream(StreamingResponse):
    """One client's stream. Ends when the client goes, or leaves what it was sent unread for SEND_SECONDS."""

    media_type = "text/event-stream"

    def __init__(self, live: LiveEvents) -> None:
        self._live = live
        self._waiting = live.subscribe()
        super().__init__(_messages(self._waiting))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the client, and forget it whatever happened."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._live.unsubscribe(self._waiting)

    async def stream_response(self, send: Send) -> None:
        """Send the stream to its end, or to the client's."""

        async def send_soon(message: Message) -> None:
            async with asyncio.timeout(SEND_SECONDS):
                await send(message)

        with suppress(TimeoutError):
            await super().stream_response(send_soon)


async def _messages(waiting: Waiting) -> AsyncIterator[bytes]:
    """Give events as they come, and a ping when nothing happens: that is how a dead connection is noticed."""
    yield b"retry: 3000\n\n"
    while True:
        try:
            message = await asyncio.wait_for(waiting.get(), KEEP_ALIVE_SECONDS)
        except TimeoutError:
            message = b"event: ping\ndata: {}\n\n"
        if message is None:
            return
        yield message
