"""What is read of one build: its progress, and when it has ended what the engine attests and what it uploaded."""

from __future__ import annotations

import asyncio
import contextlib

import structlog
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from buildprof.assembly.build import BuildInputs
from buildprof.assembly.facts import BuildFacts
from buildprof.assembly.names import parse_name
from buildprof.assembly.provenance import Provenance, ProvenanceError, merge_provenances, parse_provenance
from buildprof.assembly.trace import uploaded_digests
from buildprof.model.events import BuildRecord
from buildprof.model.step import Kind
from buildprof.sources.buildkit.connection import BuildkitChannel
from buildprof.sources.buildkit.history import follow, read_blob

READ_SECONDS = 60.0
"""How long one answer about a build may take: a builder that gives none keeps no other build waiting for ever."""

QUIET_SECONDS = 0.02
"""The engine sends all that was said so far at once; after a pause of this length it is what is said now."""

REPLAY_PAUSES_SECONDS = (0.1, 0.2, 0.4)

_log = structlog.get_logger(__name__)


async def read_progress(channel: BuildkitChannel, ref: str) -> BuildFacts:
    """The progress of a running build up to now.

    Raises:
        GRPCError: the connection broke, or the engine does not know the build.
    """
    facts = BuildFacts()
    updates = follow(channel, ref)
    with contextlib.suppress(TimeoutError):
        async with contextlib.aclosing(updates), asyncio.timeout(READ_SECONDS) as deadline:
            async for update in updates:
                facts.observe(update)
                deadline.reschedule(asyncio.get_running_loop().time() + QUIET_SECONDS)
    return facts


async def read_facts(channel: BuildkitChannel, ref: str) -> BuildFacts:
    """The progress of an ended build as the engine replays it; empty where the engine has none.

    At the moment of a build's end the engine may know neither the job any more nor its record yet: it is asked again.

    Raises:
        GRPCError: the connection broke.
    """
    for pause_seconds in REPLAY_PAUSES_SECONDS:
        facts = await _replay(channel, ref)
        if facts.vertices:
            return facts
        await asyncio.sleep(pause_seconds)
    return await _replay(channel, ref)


async def _replay(channel: BuildkitChannel, ref: str) -> BuildFacts:
    facts = BuildFacts()
    try:
        async with asyncio.timeout(READ_SECONDS):
            async for update in follow(channel, ref):
                facts.observe(update)
    except TimeoutError:
        _log.warning("the engine does not end the progress of an ended build", ref=ref)
    except GRPCError as error:
        if error.status in (Status.UNAVAILABLE, Status.CANCELLED):
            raise
        _log.warning("the engine has no progress of a build", ref=ref, reason=error.message)
    return facts


async def read_provenance(channel: BuildkitChannel, record: BuildRecord) -> Provenance:
    """What the engine attests of a finished build; empty where there is nothing, as for a failed one."""
    found: list[Provenance] = []
    for _, digest in record.attestations:
        try:
            async with asyncio.timeout(READ_SECONDS):
                found.append(parse_provenance(await read_blob(channel, digest)))
        except (GRPCError, ValueError, ProvenanceError, TimeoutError) as error:
            _log.warning("provenance cannot be read", ref=record.ref, reason=str(error))
    return merge_provenances(found) if found else Provenance()


async def read_uploaded(channel: BuildkitChannel, inputs: BuildInputs, record: BuildRecord) -> frozenset[str] | None:
    """What the build uploaded, by its trace, which is read only where something was exported; None if unknown."""
    names = (vertex.name for vertex in inputs.facts.vertices.values())
    if not record.trace_digest or not any(parse_name(name).kind is Kind.CACHE_EXPORT for name in names):
        return inputs.uploaded
    try:
        async with asyncio.timeout(READ_SECONDS):
            return uploaded_digests(await read_blob(channel, record.trace_digest))
    except (GRPCError, ValueError, TimeoutError) as error:
        _log.warning("trace cannot be read", ref=record.ref, reason=str(error))
        return inputs.uploaded
