"""A gRPC channel to the BuildKit behind an engine's socket.

Engine 29.2 and later take gRPC on the socket itself; earlier ones after `POST /grpc` with `Upgrade: h2c`; a
buildkitd takes gRPC only (docs: moby API, `/grpc`). Which of these holds is found by asking.
"""

from __future__ import annotations

import asyncio
import contextlib
from enum import Enum
from typing import Any, cast

from grpclib.client import Channel
from grpclib.const import Status
from grpclib.exceptions import GRPCError, StreamTerminatedError
from grpclib.protocol import H2Protocol

from buildprof.model.text import clean
from buildprof.sources.buildkit.wire.control_grpc import ControlStub
from buildprof.sources.buildkit.wire.control_pb2 import InfoRequest
from buildprof.sources.endpoint import CONNECT_TIMEOUT_SECONDS, Endpoint, UnsupportedError, open_transport

_UPGRADE_REQUEST = (
    b"POST /grpc HTTP/1.1\r\nHost: localhost\r\nUser-Agent: buildprof\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n"
    b"Content-Length: 0\r\n\r\n"
)
_MAX_HEADER_BYTES = 16 * 1024


class Transport(Enum):
    """How gRPC is reached."""

    NATIVE = "h2c"
    UPGRADE = "upgrade"


class _UpgradeProtocol(asyncio.Protocol):
    """Asks for the upgrade, then gives the transport, with every byte after the header, to HTTP/2."""

    def __init__(self, http2: H2Protocol) -> None:
        self._http2 = http2
        self._received = bytearray()
        self._transport: asyncio.Transport | None = None
        self.upgraded: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(_UPGRADE_REQUEST)

    def data_received(self, data: bytes) -> None:
        self._received += data
        header, end, rest = bytes(self._received).partition(b"\r\n\r\n")
        if not end:
            if len(self._received) > _MAX_HEADER_BYTES:
                self._fail("it does not speak HTTP")
            return
        status_line = header.split(b"\r\n", 1)[0]
        if status_line.split(b" ")[1:2] != [b"101"]:
            self._fail(f"it answered {status_line[:80].decode('ascii', 'replace')!r}")
            return
        transport = cast("asyncio.Transport", self._transport)
        transport.set_protocol(self._http2)
        self._http2.connection_made(transport)
        if rest:
            self._http2.data_received(rest)
        if not self.upgraded.done():
            self.upgraded.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio's signature
        self._fail("it closed the connection")

    def _fail(self, reason: str) -> None:
        if not self.upgraded.done():
            self.upgraded.set_exception(UnsupportedError(f"no BuildKit behind this socket: {reason}"))
        self.abort()

    def abort(self) -> None:
        """Close the connection, if there is one."""
        if self._transport is not None:
            self._transport.abort()


class BuildkitChannel(Channel):
    """grpclib's channel over a connection that we open.

    `_create_connection` and `_protocol_factory` are grpclib's own names, not its public interface: the version is
    pinned, and tests/sources/buildkit/test_connection.py fails when they move.
    """

    def __init__(self, endpoint: Endpoint, transport: Transport) -> None:
        super().__init__(path=endpoint.url)
        self.endpoint = endpoint
        self.transport = transport

    async def _create_connection(self) -> H2Protocol:
        http2: H2Protocol = self._protocol_factory()
        if self.transport is Transport.NATIVE:
            await open_transport(self.endpoint, lambda: http2)
            return http2
        upgrade = _UpgradeProtocol(http2)
        await open_transport(self.endpoint, lambda: upgrade)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_SECONDS):
                await upgrade.upgraded
        except BaseException:
            upgrade.abort()
            raise
        return http2

    def __del__(self) -> None:
        """Silent: whoever opened the channel closes it, and a lost peer is no news here."""
        with contextlib.suppress(Exception):
            self.close()


async def connect(endpoint: Endpoint) -> tuple[BuildkitChannel, str]:
    """Open a channel, native first, else upgraded, and return it with BuildKit's version ("" if it tells none).

    Raises:
        UnsupportedError: the endpoint answers, but offers no BuildKit in either way.
        EndpointError: the endpoint cannot be reached.
    """
    reason = ""
    for transport in (Transport.NATIVE, Transport.UPGRADE):
        channel = BuildkitChannel(endpoint, transport)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_SECONDS):
                return channel, await _version(channel)
        except UnsupportedError as error:
            reason = str(error)
        except TimeoutError:
            reason = f"no BuildKit behind this socket: no answer within {CONNECT_TIMEOUT_SECONDS:.0f} s"
        except (GRPCError, StreamTerminatedError, ConnectionError) as error:
            reason = f"no BuildKit behind this socket: {_one_line(error)}"
        except BaseException:
            channel.close()
            raise
        channel.close()
    raise UnsupportedError(reason)


async def _version(channel: BuildkitChannel) -> str:
    """BuildKit's version by `Info`, which engines before 23 do not have."""
    try:
        reply: Any = await ControlStub(channel).Info(InfoRequest())
    except GRPCError as error:
        if error.status is Status.UNIMPLEMENTED:
            return ""
        raise
    return clean(reply.buildkitVersion.version, 100)


def _one_line(error: Exception) -> str:
    said = error.message or error.status.name if isinstance(error, GRPCError) else str(error)
    return clean(said, 300) or type(error).__name__
