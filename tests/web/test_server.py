from __future__ import annotations

import asyncio
import contextlib
import signal
import socket

import httpx
import pytest

from buildprof.web.app import create_app
from buildprof.web.server import ListenError, is_loopback, parse_listen, serve
from tests.web.conftest import a_build


@contextlib.asynccontextmanager
async def running(site, listen="127.0.0.1:0"):
    """The application behind a real socket; gives its URL and the server's task."""
    url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    task = asyncio.ensure_future(
        serve(create_app(site.state), listen, on_listening=url.set_result, on_stopping=site.state.live.close)
    )
    await asyncio.wait({task, url}, return_when=asyncio.FIRST_COMPLETED)
    try:
        if task.done():
            await task
        yield url.result(), task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@pytest.mark.parametrize(
    ("listen", "expected"),
    [
        ("127.0.0.1:19323", ("127.0.0.1", 19323)),
        ("[::1]:19323", ("::1", 19323)),
        ("localhost:0", ("localhost", 0)),
        (":9000", ("", 9000)),
    ],
)
def test_an_address_is_host_and_port(listen, expected):
    assert parse_listen(listen) == expected


@pytest.mark.parametrize("listen", ["", "localhost", "19323", "::1:19323", "host:99999", "host:-1", "host:٣", "host:"])
def test_what_is_no_address_is_one_clear_line(listen):
    with pytest.raises(ListenError) as caught:
        parse_listen(listen)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("listen", "expected"),
    [
        ("127.0.0.1:1", True),
        ("[::1]:1", True),
        ("localhost:1", True),
        (":1", False),
        ("0.0.0.0:1", False),
        ("x:1", False),
    ],
)
def test_loopback_is_told_from_the_rest(listen, expected):
    assert is_loopback(listen) is expected


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize("listen", ["127.0.0.1:0", *(["[::1]:0"] if has_ipv6() else []), "localhost:0"])
async def test_it_serves_over_a_real_socket(site, listen):
    site.save(a_build())
    async with running(site, listen) as (url, _), httpx.AsyncClient(base_url=url) as client:
        assert (await client.get("/-/healthy")).text == "healthy\n"
        assert "buildprof_builds_total" in (await client.get("/metrics")).text
        assert (await client.get("/api/v1/builds/last")).json()["ref"] == "k6g3ggdn"
        assert "server" not in (await client.get("/")).headers


async def test_a_port_that_is_taken_is_one_clear_line(site):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ListenError) as caught:
            await serve(create_app(site.state), address)
    assert (caught.value.address, caught.value.reason) == (address, "address already in use")
    assert str(caught.value) == f"cannot listen on {address}: address already in use"


async def test_an_address_of_another_machine_is_one_clear_line(site):
    with pytest.raises(ListenError) as caught:
        await serve(create_app(site.state), "192.0.2.1:0")
    assert caught.value.reason == "cannot assign requested address"
    with pytest.raises(ListenError, match="no such host"):
        await serve(create_app(site.state), "no-such-host.invalid:0")


async def test_signals_stay_with_the_agent(site):
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    async with running(site) as (url, _), httpx.AsyncClient(base_url=url) as client:
        await client.get("/-/healthy")
        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


async def test_it_stops_within_two_seconds_while_clients_follow_events(site):
    async with (
        running(site) as (url, server),
        httpx.AsyncClient(base_url=url, timeout=5) as client,
        client.stream("GET", "/api/v1/events") as stream,
    ):
        chunks = stream.aiter_bytes()
        assert await anext(chunks) == b"retry: 3000\n\n"
        site.state.live.build_started(a_build())
        assert b"event: build_started" in await anext(chunks)
        server.cancel()
        async with asyncio.timeout(2):
            assert [chunk async for chunk in chunks] == []
            with pytest.raises(asyncio.CancelledError):
                await server


async def raw(url: str, request: bytes) -> bytes:
    """What the server answers to bytes that no client library would send."""
    port = int(url.rstrip("/").rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    answer = await reader.read(65_536)
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
    return answer


async def test_garbage_and_endless_headers_are_refused(site):
    async with running(site) as (url, _):
        assert (await raw(url, b"\x16\x03\x01\x02\x00\r\n\r\n")).startswith(b"HTTP/1.1 400")
        endless = b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 100_000
        assert (await raw(url, endless)).startswith(b"HTTP/1.1 400")
        assert (await raw(url, b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n")).startswith(b"HTTP/1.1 421")
        encoded = b"GET /api/v1/builds/..%2f..%2fetc HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        assert (await raw(url, encoded)).startswith(b"HTTP/1.1 404")
        async with httpx.AsyncClient(base_url=url) as client:
            assert (await client.get("/-/healthy")).status_code == 200
