"""A gRPC channel to the BuildKit behind an engine's socket.

Engine 29.2 and later take gRPC on the socket itself; earlier ones after `POST /grpc` with `Upgrade: h2c`; a
buildkitd takes gRPC only (docs: moby API, `/grpc`). Which of these holds is found by asking.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from enum import Enum
from typing import Any, cast

from grpclib.client import Channel, Handler
from grpclib.const import Status
from grpclib.exceptions import GRPCError, StreamTerminatedError
from grpclib.protocol import H2Protocol

from buildprof.model.text import clean
from buildprof.sources.buildkit.wire.control_grpc import ControlStub
from buildprof.sources.buildkit.wire.control_pb2 import InfoRequest
from buildprof.sources.endpoint import (
    CONNECT_TIMEOUT_SECONDS,
    Endpoint,
    EndpointError,
    UnsupportedError,
    open_transport,
)

_UPGRADE_REQUEST = (
    b"POST /grpc HTTP/1.1\r\nHost: localhost\r\nUser-Agent: buildprof\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n"
    b"Content-Length: 0\r\n\r\n"
)
_MAX_HEADER_BYTES = 16 * 1024
_FRAME_HEADER_BYTES = 9
_SETTINGS = b"\x04\0\0\0\0\0"
"""Type, flags and stream in the header of a SETTINGS frame that is no acknowledgement."""

_NO_BUILDKIT = "no BuildKit behind this socket"


class Transport(Enum):
    """How gRPC is reached."""

    NATIVE = "h2c"
    UPGRADE = "upgrade"


class _Opening(asyncio.Protocol):
    """Asks for the upgrade where that is the way, waits for HTTP/2's first frame, then gives the transport to HTTP/2.

    `opened` is done when both sides speak HTTP/2, and fails where they will not.
    """

    def __init__(self, http2: H2Protocol, way: Transport) -> None:
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._http2 = http2
        self._way = way
        self._awaits_answer = way is Transport.UPGRADE
        self._received = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if self._awaits_answer:
            self._transport.write(_UPGRADE_REQUEST)
        else:
            self._http2.connection_made(self._transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if self._awaits_answer:
            self._read_answer()
        if self._received and not self._awaits_answer and not self.opened.done():
            self._read_first_frame()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio's signature
        self._fail("it closed the connection", is_final=False)

    def abort(self) -> None:
        """Close the connection, if there is one."""
        if self._transport is not None:
            self._transport.abort()

    def _read_answer(self) -> None:
        header, end, rest = bytes(self._received).partition(b"\r\n\r\n")
        if not end:
            if len(self._received) > _MAX_HEADER_BYTES:
                self._fail("it does not speak HTTP")
            return
        status_line = header.split(b"\r\n", 1)[0][:80]
        if status_line.split(b" ")[1:2] != [b"101"]:
            is_at_fault = re.fullmatch(rb"HTTP/1.. 5.*", status_line) is not None
            self._fail(f"it answered {status_line.decode('ascii', 'replace')!r}", is_final=not is_at_fault)
            return
        self._awaits_answer = False
        self._received = bytearray(rest)
        self._http2.connection_made(cast("asyncio.Transport", self._transport))

    def _read_first_frame(self) -> None:
        """A server's first frame is of SETTINGS, short, and of stream 0 (RFC 9113, 3.4)."""
        is_whole = len(self._received) >= _FRAME_HEADER_BYTES
        if self._received[0] != 0 or (is_whole and bytes(self._received[3:_FRAME_HEADER_BYTES]) != _SETTINGS):
            self._fail("it does not speak HTTP/2")
        elif is_whole:
            cast("asyncio.Transport", self._transport).set_protocol(self._http2)
            self._http2.data_received(bytes(self._received))
            self.opened.set_result(None)

    def _fail(self, reason: str, *, is_final: bool = True) -> None:
        """What is not final may be another time; but a native connection that is not to be had calls for the upgrade."""
        if not self.opened.done():
            error = UnsupportedError if is_final or self._way is Transport.NATIVE else EndpointError
            self.opened.set_exception(error(f"{_NO_BUILDKIT}: {reason}"))
        self.abort()


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
        opening = _Opening(http2, self.transport)
        await open_transport(self.endpoint, lambda: opening)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_SECONDS):
                await opening.opened
        except BaseException:
            opening.abort()
            raise
        if cast("Handler", http2.handler).connection_lost:
            raise ConnectionResetError(f"{_NO_BUILDKIT}: it closed the connection")
        return http2

    def __del__(self) -> None:
        """Silent: whoever opened the channel closes it, and a lost peer is no news here."""
        with contextlib.suppress(Exception):
            self.close()


async def connect(endpoint: Endpoint) -> tuple[BuildkitChannel, str]:
    """Open a channel, native first, else upgraded, and return it with BuildKit's version ("" if it tells none).

    Raises:
        UnsupportedError: the endpoint answers, but offers no BuildKit in either way.
        EndpointError: the endpoint cannot be reached, or is not itself at the moment.
    """
    failure = EndpointError("")
    for transport in (Transport.NATIVE, Transport.UPGRADE):
        channel = BuildkitChannel(endpoint, transport)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_SECONDS):
                return channel, await _version(channel)
        except UnsupportedError as error:
            failure = error
        except TimeoutError:
            failure = EndpointError(f"{_NO_BUILDKIT}: no answer within {CONNECT_TIMEOUT_SECONDS:.0f} s")
        except (GRPCError, StreamTerminatedError, ConnectionError) as error:
            failure = EndpointError(f"{_NO_BUILDKIT}: {_one_line(error)}")
        except BaseException:
            channel.close()
            raise
        channel.close()
    raise failure


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
