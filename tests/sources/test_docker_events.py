import asyncio
import json
from pathlib import Path

import pytest

from buildprof.model.events import EngineEvent
from buildprof.sources.docker_events import (
    MAX_ATTRIBUTE_CHARS,
    MAX_ATTRIBUTES,
    OVERLAP_NS,
    QUEUE_EVENTS,
    EventCursor,
    _Stream,
    api_time,
    docker_events,
    parse_event,
)
from buildprof.sources.endpoint import EndpointError, parse_endpoint

AT_NS = 1_795_489_030_606_727_928


def event(at_ns: int = AT_NS, name: str = "app:1") -> EngineEvent:
    return EngineEvent("image", "tag", "sha256:1", at_ns, {"name": name})


def test_a_time_keeps_its_nanoseconds():
    assert api_time(AT_NS) == "1795489030.606727928"
    assert api_time(1_000_000_001) == "1.000000001"


def test_an_event_is_parsed():
    found = {
        "Type": "image",
        "Action": "tag",
        "Actor": {"ID": "sha256:1", "Attributes": {"name": "app:1"}},
        "timeNano": AT_NS,
    }
    assert parse_event(found) == event()


@pytest.mark.parametrize(
    "found", [None, [], 1, "x", {}, {"Type": "image", "Action": "tag"}, {"Type": 1, "Action": 2, "timeNano": 3}]
)
def test_what_is_no_event_is_left_out(found: object):
    assert parse_event(found) is None


def test_a_hostile_event_is_bounded_and_keeps_what_matters():
    attributes = {f"label{number}": "x" * 100_000 for number in range(10_000)} | {"name": "a\x1b[31m\nb"}
    found = parse_event(
        {"Type": "image", "Action": "t" * 9999, "Actor": {"ID": "i" * 9999, "Attributes": attributes}, "timeNano": 1}
    )
    assert found is not None
    assert len(found.attributes) == MAX_ATTRIBUTES
    assert all(len(value) <= MAX_ATTRIBUTE_CHARS for value in found.attributes.values())
    assert found.attributes["name"] == "a b"
    assert len(found.id) <= 300


def test_a_cursor_begins_now_and_goes_on_with_an_overlap():
    cursor = EventCursor()
    assert cursor.since_ns is None
    assert cursor.is_new(event())
    assert cursor.since_ns == AT_NS - OVERLAP_NS


def test_a_cursor_lets_no_event_through_twice():
    cursor = EventCursor()
    same_moment = event(name="app:2")
    assert [cursor.is_new(one) for one in (event(), same_moment, event(), same_moment)] == [True, True, False, False]
    assert cursor.is_new(event(AT_NS - 1))
    assert cursor.at_ns == AT_NS


def test_a_cursor_made_of_a_time_begins_right_after_it():
    assert EventCursor(AT_NS).since_ns == AT_NS + 1


async def test_what_a_full_queue_loses_is_counted_and_the_newest_are_kept():
    stream = _Stream(parse_endpoint("unix:///nowhere"), None, asyncio.get_running_loop())
    for number in range(QUEUE_EVENTS + 3):
        stream._put(event(number))
    assert stream.take_lost() == 3
    assert stream.take_lost() == 0
    assert [stream.events[0].at_ns, stream.events[-1].at_ns] == [3, QUEUE_EVENTS + 2]


async def test_a_missing_socket_is_one_line(tmp_path: Path):
    with pytest.raises(
        EndpointError, match=r"^no engine at unix://.*: the socket does not exist; is docker running\?$"
    ):
        await anext(docker_events(parse_endpoint(f"unix://{tmp_path}/none.sock"), EventCursor()))


@pytest.mark.parametrize(
    "answer", [b"", b"220 mail.example SMTP\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhi!\n"]
)
async def test_a_socket_of_something_else_is_one_line(tmp_path: Path, answer: bytes):
    async def speak(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await writer.drain()
        writer.close()

    path = tmp_path / "other.sock"
    async with await asyncio.start_unix_server(speak, path):
        with pytest.raises(EndpointError) as caught:
            await anext(docker_events(parse_endpoint(f"unix://{path}"), EventCursor()))
    assert "\n" not in str(caught.value)


async def test_a_stream_that_ends_is_an_error_after_its_last_event(tmp_path: Path):
    """An engine that goes away must not look like one where nothing happens."""
    line = json.dumps(
        {
            "Type": "image",
            "Action": "tag",
            "Actor": {"ID": "sha256:1", "Attributes": {"name": "app:1"}},
            "timeNano": AT_NS,
        }
    )

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        body = b'{"ApiVersion": "1.41"}' if b"/version" in request else line.encode()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n" + body)
        await writer.drain()
        writer.close()

    path = tmp_path / "short.sock"
    async with await asyncio.start_unix_server(speak, path):
        stream = docker_events(parse_endpoint(f"unix://{path}"), EventCursor())
        assert await anext(stream) == event()
        with pytest.raises(EndpointError, match="ended the events stream"):
            await anext(stream)
