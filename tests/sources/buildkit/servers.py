"""Servers on a socket: a BuildKit that speaks gRPC at once, an engine that upgrades to it, and others that do neither."""

import asyncio
import contextlib

from grpclib.const import Status
from grpclib.exceptions import GRPCError
from grpclib.server import Server

from buildprof.sources.buildkit.wire import control_pb2 as wire
from buildprof.sources.buildkit.wire.control_grpc import ControlBase


class BuildKit(ControlBase):
    """Answers as a BuildKit would that has seen these builds."""

    def __init__(self, version="v0.99.0", events=(), updates=()):
        self.version = version
        self.events = events
        self.updates = updates

    async def Info(self, stream):  # noqa: N802  # the service's own name, as those below
        await stream.recv_message()
        if self.version is None:
            raise GRPCError(Status.UNIMPLEMENTED, "unknown method Info")
        if isinstance(self.version, GRPCError):
            raise self.version
        await stream.send_message(wire.InfoResponse(buildkitVersion=wire.BuildkitVersion(version=self.version)))

    async def ListenBuildHistory(self, stream):  # noqa: N802
        request = await stream.recv_message()
        for event in self.events:
            await stream.send_message(event)
        if not request.EarlyExit:
            await asyncio.Event().wait()

    async def Status(self, stream):  # noqa: N802
        await stream.recv_message()
        for update in self.updates:
            await stream.send_message(update)

    async def DiskUsage(self, stream):  # noqa: N802
        await stream.recv_message()
        await stream.send_message(wire.DiskUsageResponse(record=[wire.UsageRecord(ID="a", Size=5)]))


@contextlib.asynccontextmanager
async def native(path, buildkit=None):
    """A BuildKit on a unix socket, with no HTTP before it."""
    server = Server([buildkit or BuildKit()])
    await server.start(path=str(path))
    try:
        yield
    finally:
        server.close()
        await server.wait_closed()


@contextlib.asynccontextmanager
async def speaking(path, answer):
    """A server that answers each connection with a function; at its end every client must have closed its own."""
    answering = set()

    async def handle(reader, writer):
        answering.add(asyncio.current_task())
        with contextlib.suppress(ConnectionError):
            await answer(reader, writer)
        with contextlib.suppress(ConnectionError):
            writer.close()
            await writer.wait_closed()

    server = await asyncio.start_unix_server(handle, path)
    try:
        yield
    finally:
        server.close()
        async with asyncio.timeout(10):
            await asyncio.gather(*answering)


def saying(data, *, then_close=False):
    """Say this, whatever is asked; then close, or listen until the client closes."""

    async def answer(reader, writer):
        await reader.read(1)
        writer.write(data)
        await writer.drain()
        while not then_close and await reader.read(65536):
            pass

    return answer


def upgrading(path_of_buildkit, asked):
    """Do as an engine does on `POST /grpc`: give the connection to BuildKit; what BuildKit says first goes with the answer."""

    async def answer(reader, writer):
        header = await reader.readuntil(b"\r\n\r\n")
        asked.append(header.split(b"\r\n")[0])
        if not header.startswith(b"POST /grpc HTTP/1.1\r\n") or b"\r\nUpgrade: h2c\r\n" not in header:
            writer.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
            return
        buildkit_reader, buildkit_writer = await asyncio.open_unix_connection(path_of_buildkit)
        first = await buildkit_reader.read(65536)
        assert first, "an HTTP/2 server speaks first"
        writer.write(b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n" + first)
        await asyncio.gather(_pump(reader, buildkit_writer), _pump(buildkit_reader, writer))

    return answer


async def _pump(reader, writer):
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
