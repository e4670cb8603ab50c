"""What a BuildKit tells of its builds: the history, each build's progress, the blobs that a record names, the cache."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator

from grpclib.client import Channel
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from buildprof.model.cache import CacheUsage
from buildprof.model.events import BuildRecord, StatusUpdate
from buildprof.sources.buildkit.convert import record_from_wire, status_from_wire, usage_from_wire
from buildprof.sources.buildkit.wire.content_grpc import ContentStub
from buildprof.sources.buildkit.wire.content_pb2 import ReadContentRequest
from buildprof.sources.buildkit.wire.control_grpc import ControlStub
from buildprof.sources.buildkit.wire.control_pb2 import BuildHistoryRequest, DiskUsageRequest, StatusRequest
from buildprof.sources.endpoint import UnsupportedError

MAX_BLOB_BYTES = 32 * 1024 * 1024


async def listen(channel: Channel, *, early_exit: bool = False) -> AsyncIterator[BuildRecord]:
    """Records of active and stored builds, then of builds as they start and end; only what is known, if `early_exit`.

    A record comes again, with a higher generation, when the engine amends it. The order is not promised.

    Raises:
        UnsupportedError: the engine keeps no history (before 24).
    """
    try:
        async with ControlStub(channel).ListenBuildHistory.open() as stream:
            await stream.send_message(BuildHistoryRequest(EarlyExit=early_exit), end=True)
            async for event in stream:
                yield record_from_wire(event.type, event.record)
    except GRPCError as error:
        if error.status is Status.UNIMPLEMENTED:
            raise UnsupportedError("the engine keeps no build history: it needs Engine 24 or later") from error
        raise


async def follow(channel: Channel, ref: str) -> AsyncGenerator[StatusUpdate]:
    """The progress of one build from its start to its end, also when it has ended already."""
    async with ControlStub(channel).Status.open() as stream:
        await stream.send_message(StatusRequest(Ref=ref), end=True)
        async for response in stream:
            yield status_from_wire(response)


async def read_blob(channel: Channel, digest: str) -> bytes:
    """A blob that a record names, from the engine's content store.

    Raises:
        GRPCError: it is gone.
        ValueError: it is larger than MAX_BLOB_BYTES.
    """
    received = bytearray()
    async with ContentStub(channel).Read.open() as stream:
        await stream.send_message(ReadContentRequest(digest=digest), end=True)
        async for part in stream:
            received += part.data
            if len(received) > MAX_BLOB_BYTES:
                raise ValueError(f"blob {digest[:80]} is larger than {MAX_BLOB_BYTES} bytes")
    return bytes(received)


async def disk_usage(channel: Channel, builder: str, at_ns: int) -> CacheUsage:
    """All records of the builder's cache. The engine holds the cache's lock meanwhile: ask rarely."""
    return usage_from_wire(builder, at_ns, await ControlStub(channel).DiskUsage(DiskUsageRequest()))
