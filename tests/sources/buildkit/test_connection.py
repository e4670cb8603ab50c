import asyncio
import gc
import inspect
import os

import pytest
from grpclib.client import Channel
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from buildprof.sources import endpoint as endpoint_module
from buildprof.sources.buildkit import connection as module
from buildprof.sources.buildkit.connection import Transport, connect
from buildprof.sources.buildkit.history import follow, listen
from buildprof.sources.buildkit.wire import control_pb2 as wire
from buildprof.sources.endpoint import EndpointError, UnsupportedError, parse_endpoint
from tests.sources.buildkit.servers import BuildKit, native, saying, speaking, upgrading


@pytest.fixture
def path(tmp_path):
    return tmp_path / "s"


@pytest.fixture
def impatient(monkeypatch):
    for one in (module, endpoint_module):
        monkeypatch.setattr(one, "CONNECT_TIMEOUT_SECONDS", 0.2)


@pytest.fixture(autouse=True)
def nothing_is_left():
    """What a test leaves open says so when it is collected, and warnings are errors."""
    yield
    gc.collect()


async def refusal(path, error=UnsupportedError):
    """The one line that the endpoint is refused with."""
    with pytest.raises(EndpointError) as caught:
        async with asyncio.timeout(5):
            await connect(parse_endpoint(f"unix://{path}"))
    message = str(caught.value)
    assert type(caught.value) is error
    assert message.isprintable()
    assert 0 < len(message) < 500
    return message


def test_grpclib_still_has_the_private_names_that_the_upgrade_stands_on():
    assert inspect.iscoroutinefunction(Channel._create_connection)
    assert list(inspect.signature(Channel._protocol_factory).parameters) == ["self"]
    assert {"connection_made", "data_received"} <= set(dir(module.H2Protocol))


async def test_a_socket_that_speaks_grpc_is_taken_as_it_is(path):
    async with native(path):
        channel, version = await connect(parse_endpoint(f"unix://{path}"))
        assert (channel.transport, version) == (Transport.NATIVE, "v0.99.0")
        channel.close()


async def test_a_native_buildkit_tells_its_history_and_its_builds(path):
    record = wire.BuildHistoryRecord(Ref="abc", FrontendAttrs={"filename": "D"}, Generation=3)
    events = [wire.BuildHistoryEvent(type=wire.COMPLETE, record=record)]
    updates = [
        wire.StatusResponse(vertexes=[wire.Vertex(digest=f"sha256:{n}", name="[1/1] RUN x")]) for n in range(300)
    ]
    async with native(path, BuildKit(events=events, updates=updates)):
        channel, _ = await connect(parse_endpoint(f"unix://{path}"))
        assert [(one.ref, one.generation) async for one in listen(channel, early_exit=True)] == [("abc", 3)]
        assert [one.vertices[0].digest async for one in follow(channel, "abc")] == [f"sha256:{n}" for n in range(300)]
        channel.close()


async def test_a_socket_that_upgrades_is_asked_to_and_what_comes_with_the_answer_is_not_lost(path, tmp_path):
    asked = []
    async with native(tmp_path / "buildkit"), speaking(path, upgrading(tmp_path / "buildkit", asked)):
        channel, version = await connect(parse_endpoint(f"unix://{path}"))
        assert (channel.transport, version) == (Transport.UPGRADE, "v0.99.0")
        assert [one async for one in listen(channel, early_exit=True)] == []
        channel.close()
    assert asked == [b"PRI * HTTP/2.0", b"POST /grpc HTTP/1.1"]


@pytest.mark.parametrize(
    ("version", "told"), [(None, ""), ("", ""), ("v1\x1b[31m\n" + "x" * 5000, "v1 " + "x" * 96 + "…")]
)
async def test_a_version_is_one_short_line_or_unknown(path, version, told):
    async with native(path, BuildKit(version)):
        channel, found = await connect(parse_endpoint(f"unix://{path}"))
        assert found == told
        channel.close()


async def test_a_buildkit_that_answers_with_an_error_is_refused_with_it(path):
    failure = GRPCError(Status.PERMISSION_DENIED, "not for\nyou\x1b[31m")
    async with native(path, BuildKit(failure)):
        assert (await refusal(path, EndpointError)).startswith("no BuildKit behind this socket: ")


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "it answered 'HTTP/1.1 404 Not Found'"),
        (b"HTTP/1.1 301 Moved\r\nLocation: /_ping\r\n\r\n", "it answered 'HTTP/1.1 301 Moved'"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 100_000, "it answered 'HTTP/1.1 200 OK'"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "it answered 'SSH-2.0-OpenSSH_9.2'"),
        (b"\x00\xff\x1b[31m\r\n\r\n", "it answered"),
        (b"\r\n\r\n", "it answered ''"),
        (b"x" * 1_000_000, "it does not speak HTTP"),
        (b"HTTP/1.1 101 UPGRADED\r\n" + b"Header: x\r\n" * 10_000, "it does not speak HTTP"),
        (b"HTTP/1.1 101 UPGRADED\r\n\r\nthis is no HTTP/2 at all" * 3, "it does not speak HTTP/2"),
    ],
)
@pytest.mark.parametrize("then_close", [False, True])
async def test_what_is_no_buildkit_is_refused_in_one_line(path, said, reason, then_close):
    async with speaking(path, saying(said, then_close=then_close)):
        assert (await refusal(path)).startswith(f"no BuildKit behind this socket: {reason}")


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 101 UPGR", b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\n"])
async def test_a_connection_that_closes_before_its_answer_is_whole_is_refused(path, said):
    async with speaking(path, saying(said, then_close=True)):
        assert "it closed the connection" in await refusal(path, EndpointError)


@pytest.mark.parametrize("after", [b"", b"\0\0\x08\x06\0\0\0\0\0", b"\xff" * 100])
async def test_a_server_that_breaks_off_after_its_first_frame_is_refused(path, after):
    settings = b"\0\0\0\x04\0\0\0\0\0"
    async with speaking(path, saying(settings + after, then_close=True)):
        await refusal(path, EndpointError)
    async with speaking(path, saying(b"HTTP/1.1 101 UPGRADED\r\n\r\n" + settings + after, then_close=True)):
        await refusal(path, EndpointError)


async def test_an_engine_that_has_trouble_may_have_none_later(path):
    async with speaking(path, saying(b"HTTP/1.1 503 Service Unavailable\r\n\r\n")):
        assert "503" in await refusal(path, EndpointError)


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 101 UPGR", b"HTTP/1.1 101 UPGRADED\r\n\r\n"])
async def test_a_server_that_says_nothing_more_is_given_up(path, said, impatient):
    async with speaking(path, saying(said)):
        assert "no answer within" in await refusal(path, EndpointError)


async def test_a_caller_that_gives_up_leaves_no_connection(path):
    async with speaking(path, saying(b"")):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await connect(parse_endpoint(f"unix://{path}"))


async def test_an_endpoint_that_cannot_be_reached_is_told_apart(path):
    assert "the socket does not exist" in await refusal(path, EndpointError)
    path.write_text("")
    assert "refuses connections" in await refusal(path, EndpointError)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody who may not")
async def test_a_socket_without_permission_says_who_may(path):
    async with native(path):
        path.chmod(0o600)
        os.seteuid(65534)
        try:
            assert "run as root" in await refusal(path, EndpointError)
        finally:
            os.seteuid(0)


async def test_a_lost_connection_is_opened_again_for_the_next_call(path, tmp_path):
    asked = []
    async with native(tmp_path / "buildkit"), speaking(path, upgrading(tmp_path / "buildkit", asked)):
        channel, _ = await connect(parse_endpoint(f"unix://{path}"))
        channel._protocol.connection._transport.abort()
        await asyncio.sleep(0.05)
        assert [one async for one in listen(channel, early_exit=True)] == []
        channel.close()
    assert asked == [b"PRI * HTTP/2.0", b"POST /grpc HTTP/1.1", b"POST /grpc HTTP/1.1"]


async def test_every_engine_is_reached_by_the_upgrade(any_engine):
    channel, version = await connect(parse_endpoint(any_engine.host))

    assert channel.transport is Transport.UPGRADE
    assert bool(version) == any_engine.has_build_history
    channel.close()
