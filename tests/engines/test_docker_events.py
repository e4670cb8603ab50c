"""The events stream of real engines."""

import asyncio
import signal
import threading
from collections.abc import Callable

import docker as docker_sdk
import pytest

from buildprof.model.events import EngineEvent
from buildprof.sources.docker_events import EventCursor, docker_events
from buildprof.sources.endpoint import EndpointError, parse_endpoint
from tests.engines.engine import Engine


class Follower:
    """Reads a stream in a task of its own."""

    def __init__(self, engine: Engine, cursor: EventCursor) -> None:
        self.events: list[EngineEvent] = []
        self.is_up = asyncio.Event()
        self._endpoint, self._cursor = parse_endpoint(engine.host), cursor
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        async for event in docker_events(self._endpoint, self._cursor, self.is_up.set):
            self.events.append(event)

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    async def until(self, action: str, name: str) -> None:
        async with asyncio.timeout(10):
            while not any(one.action == action and name in (one.attributes.get("name"), one.id) for one in self.events):
                await asyncio.sleep(0.02)


async def docker(engine: Engine, *arguments: str, **environment: str) -> str:
    return (await asyncio.to_thread(engine.docker, *arguments, **environment)).stdout.strip()


async def test_what_happens_to_images_is_told(any_engine: Engine, tmp_path):
    follower = Follower(any_engine, EventCursor())
    await follower.is_up.wait()
    await docker(any_engine, "tag", "base:latest", "events:1")
    await follower.until("tag", "events:1")
    await docker(any_engine, "save", "events:1", "-o", str(tmp_path / "image.tar"))
    await docker(any_engine, "rmi", "events:1")
    await docker(any_engine, "load", "-i", str(tmp_path / "image.tar"))
    (tmp_path / "Dockerfile").write_text("FROM base:latest\nLABEL gone=1\n")
    await docker(any_engine, "build", "-q", "-t", "events:2", str(tmp_path), DOCKER_BUILDKIT="0")
    image = await docker(any_engine, "inspect", "events:2", "--format", "{{.Id}}")
    await docker(any_engine, "rmi", "events:2")
    await follower.until("delete", image)
    await docker(any_engine, "rmi", "events:1")
    await follower.stop()
    actions = [(one.type, one.action) for one in follower.events if one.type == "image"]
    for action in ("tag", "untag", "load", "delete"):
        assert ("image", action) in actions


async def test_a_prune_over_http_is_told(fresh_engine: Callable[..., Engine]):
    engine = fresh_engine("trixie")
    follower = Follower(engine, EventCursor())
    await follower.is_up.wait()
    client = docker_sdk.APIClient(base_url=engine.host, version="auto")
    await asyncio.to_thread(client.prune_builds)
    client.close()
    async with asyncio.timeout(10):
        while not any((one.type, one.action) == ("builder", "prune") for one in follower.events):
            await asyncio.sleep(0.02)
    await follower.stop()


async def test_commands_in_containers_and_health_checks_are_not_sent(any_engine: Engine):
    follower = Follower(any_engine, EventCursor())
    await follower.is_up.wait()
    await docker(any_engine, "run", "-d", "--name", "noisy", "--network=host", "base:latest", "sleep", "60")
    await docker(any_engine, "exec", "noisy", "true")
    await docker(any_engine, "rm", "-f", "noisy")
    await follower.until("destroy", "noisy")
    await follower.stop()
    own = {one.action for one in follower.events if one.attributes.get("name") == "noisy"}
    assert own == {"create", "start", "kill", "die", "destroy"}


async def test_a_stream_goes_on_where_the_last_one_ended(any_engine: Engine):
    cursor = EventCursor()
    first = Follower(any_engine, cursor)
    await first.is_up.wait()
    await docker(any_engine, "tag", "base:latest", "resume:1")
    await first.until("tag", "resume:1")
    await first.stop()
    await docker(any_engine, "tag", "base:latest", "resume:2")
    for again in (cursor, EventCursor(cursor.at_ns)):
        second = Follower(any_engine, again)
        await second.until("tag", "resume:2")
        await second.stop()
        assert "resume:1" not in [one.attributes.get("name") for one in second.events]
    await docker(any_engine, "rmi", "resume:1", "resume:2")


@pytest.mark.parametrize("kind", ["bookworm", "trixie", "forky"])
async def test_a_restart_of_the_engine_doubles_no_event(fresh_engine: Callable[..., Engine], kind: str):
    engine = fresh_engine(kind)
    cursor = EventCursor()
    before = Follower(engine, cursor)
    await before.is_up.wait()
    await docker(engine, "tag", "base:latest", "restart:1")
    await before.until("tag", "restart:1")
    await asyncio.to_thread(engine.restart, signal.SIGKILL)
    with pytest.raises(EndpointError) as caught:
        await before.task
    assert "\n" not in str(caught.value)
    await docker(engine, "tag", "base:latest", "restart:2")
    after = Follower(engine, cursor)
    await after.until("tag", "restart:2")
    await after.stop()
    names = [one.attributes.get("name") for one in before.events + after.events if one.action == "tag"]
    assert sorted(names) == ["restart:1", "restart:2"]


async def test_a_stream_that_is_not_wanted_leaves_no_thread(any_engine: Engine):
    follower = Follower(any_engine, EventCursor())
    await follower.is_up.wait()
    await follower.stop()
    async with asyncio.timeout(1):
        while any(thread.name == "docker-events" for thread in threading.enumerate()):
            await asyncio.sleep(0.01)
