from __future__ import annotations

import asyncio
import json

import pytest

from buildprof.web import live as live_module
from buildprof.web.app import create_app
from buildprof.web.live import LiveEvents
from buildprof.web.problems import Problem
from tests.web.conftest import STEP, a_build

SCOPE = {
    "type": "http",
    "asgi": {"version": "3.0", "spec_version": "2.3"},
    "http_version": "1.1",
    "method": "GET",
    "path": "/api/v1/events",
    "raw_path": b"/api/v1/events",
    "query_string": b"",
    "root_path": "",
    "scheme": "http",
    "headers": [(b"host", b"localhost")],
    "client": ("127.0.0.1", 1),
    "server": ("127.0.0.1", 19323),
}


class Listener:
    """A client of the event stream, at the level of ASGI: reads when it is told to, goes when it is told to."""

    def __init__(self, app):
        self.messages: asyncio.Queue = asyncio.Queue()
        self.may_read = asyncio.Event()
        self.may_read.set()
        self.gone = asyncio.Event()
        self.done = asyncio.ensure_future(app(SCOPE, self._receive, self._send))

    async def _receive(self):
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message):
        await self.may_read.wait()
        self.messages.put_nowait(message)

    async def status(self) -> int:
        return (await self.messages.get())["status"]

    async def event(self) -> tuple[str, dict]:
        while True:
            body = (await self.messages.get())["body"].decode()
            if body.startswith("event:"):
                first, second, *rest = body.split("\n")
                assert rest == ["", ""]
                return first.removeprefix("event: "), json.loads(second.removeprefix("data: "))


async def test_events_come_in_order_with_their_documents(site):
    listener = Listener(create_app(site.state))
    assert await listener.status() == 200
    build = a_build(project="<b>\n\ndata: forged")
    site.state.live.build_started(build)
    site.state.live.step_finished(build, STEP)
    site.state.live.build_finished(build)
    name, document = await listener.event()
    assert (name, document["ref"], "steps" in document) == ("build_started", "k6g3ggdn", False)
    name, document = await listener.event()
    assert (name, document["ref"], document["step"]["outcome"]) == ("step_finished", "k6g3ggdn", "miss")
    name, document = await listener.event()
    assert (name, document["project"]) == ("build_finished", "<b>\n\ndata: forged")
    listener.gone.set()
    await listener.done
    assert site.state.live.clients == 0


async def test_nothing_is_kept_when_nobody_listens():
    live = LiveEvents()
    live.build_started(a_build())
    assert live.clients == 0


async def test_a_slow_client_is_dropped_and_others_are_not(site):
    app = create_app(site.state)
    slow, quick = Listener(app), Listener(app)
    assert await slow.status() == await quick.status() == 200
    slow.may_read.clear()
    for number in range(40):
        site.state.live.build_started(a_build(f"ref{number}"))
        assert (await quick.event())[1]["ref"] == f"ref{number}"
    assert site.state.live.clients == 1
    slow.may_read.set()
    await slow.done
    received = [slow.messages.get_nowait() for _ in range(slow.messages.qsize())]
    assert received[-1] == {"type": "http.response.body", "body": b"", "more_body": False}
    assert len(received) < 20
    quick.gone.set()
    await quick.done


async def test_a_client_that_reads_nothing_is_given_up(site, monkeypatch):
    monkeypatch.setattr(live_module, "SEND_SECONDS", 0.01)
    listener = Listener(create_app(site.state))
    await listener.status()
    await listener.messages.get()
    listener.may_read.clear()
    site.state.live.build_started(a_build())
    await listener.done
    assert site.state.live.clients == 0


async def test_silence_is_filled_with_pings(site, monkeypatch):
    monkeypatch.setattr(live_module, "KEEP_ALIVE_SECONDS", 0.01)
    listener = Listener(create_app(site.state))
    await listener.status()
    assert (await listener.messages.get())["body"] == b"retry: 3000\n\n"
    assert (await listener.messages.get())["body"].startswith(b"event: ping\n")
    listener.gone.set()
    await listener.done


async def test_one_client_too_many_is_refused(site):
    app = create_app(site.state)
    listeners = [Listener(app), Listener(app)]
    for listener in listeners:
        assert await listener.status() == 200
    response = await site.client.get("/api/v1/events")
    assert (response.status_code, response.headers["content-type"]) == (503, "application/problem+json")
    for listener in listeners:
        listener.gone.set()
        await listener.done
    later = Listener(app)
    assert await later.status() == 200
    later.gone.set()
    await later.done


async def test_closing_ends_all_streams_and_refuses_new_ones(site):
    listener = Listener(create_app(site.state))
    await listener.status()
    assert site.state.live.clients == 1
    site.state.live.close()
    await listener.done
    with pytest.raises(Problem):
        site.state.live.subscribe()
