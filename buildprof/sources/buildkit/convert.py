"""BuildKit's protobuf messages as our events. Lengths are bounded here, before anything else sees them."""

from __future__ import annotations

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from buildprof.model.cache import CacheRecord, CacheUsage
from buildprof.model.events import BuildRecord, RecordState, StatusUpdate, Vertex, VertexLog, VertexStatus
from buildprof.sources.buildkit.wire import control_pb2 as wire

MAX_NAME_CHARS = 16_384
"""A vertex' name holds a whole RUN, heredoc's first line only; nobody reads more than this of it."""

MAX_INPUTS = 5_000
_MAX_ERROR_CHARS = 16_384
_MAX_ID_CHARS = 200
_MAX_SECONDS = 2**63 // 1_000_000_000
_MAX_ATTRIBUTE_CHARS = 65_536
_PROVENANCE = "https://slsa.dev/provenance/"

_RECORD_STATES: dict[int, RecordState] = {
    wire.STARTED: RecordState.STARTED,
    wire.COMPLETE: RecordState.COMPLETE,
    wire.DELETED: RecordState.DELETED,
}


def nanoseconds(message: Message, field: str) -> int | None:
    """A timestamp field in nanoseconds since the epoch; None if it is absent or Go's or Unix' zero time.

    Nor is it a time if 64 bits do not hold it.
    """
    if not message.HasField(field):
        return None
    timestamp: Timestamp = getattr(message, field)
    is_time = 0 < timestamp.seconds < _MAX_SECONDS and 0 <= timestamp.nanos < 1_000_000_000
    return timestamp.seconds * 1_000_000_000 + timestamp.nanos if is_time else None


def record_from_wire(event_type: int, record: wire.BuildHistoryRecord) -> BuildRecord:
    """A record of the build history."""
    results = {"": record.Result, **record.Results} if record.HasField("Result") else dict(record.Results)
    attestations = tuple(
        (_text(platform, _MAX_ID_CHARS), _text(descriptor.digest, _MAX_ID_CHARS))
        for platform, result in sorted(results.items())
        for descriptor in result.Attestations
        if _text(descriptor.annotations.get("in-toto.io/predicate-type", ""), _MAX_ID_CHARS).startswith(_PROVENANCE)
    )
    has_error = record.HasField("error")
    return BuildRecord(
        ref=_text(record.Ref, _MAX_ID_CHARS),
        state=_RECORD_STATES.get(event_type, RecordState.COMPLETE),
        generation=record.Generation,
        created_ns=nanoseconds(record, "CreatedAt") or 0,
        completed_ns=nanoseconds(record, "CompletedAt"),
        frontend_attrs=_bounded(dict(record.FrontendAttrs)),
        exporters=tuple(
            (_text(exporter.Type, _MAX_ID_CHARS), _bounded(dict(exporter.Attrs))) for exporter in record.Exporters
        ),
        exporter_response=_bounded(dict(record.ExporterResponse)),
        error_code=record.error.code if has_error else None,
        error_message=_text(record.error.message, _MAX_ERROR_CHARS) if has_error else "",
        result_digest=_result_digest(record),
        attestations=attestations,
        trace_digest=_text(record.trace.digest, _MAX_ID_CHARS) if record.HasField("trace") else "",
    )


def status_from_wire(response: wire.StatusResponse) -> StatusUpdate:
    """One message of a `Status` stream."""
    return StatusUpdate(
        vertices=tuple(
            Vertex(
                digest=_text(vertex.digest, _MAX_ID_CHARS),
                name=_text(vertex.name, MAX_NAME_CHARS),
                inputs=tuple(_text(digest, _MAX_ID_CHARS) for digest in vertex.inputs[:MAX_INPUTS]),
                cached=vertex.cached,
                started_ns=nanoseconds(vertex, "started"),
                completed_ns=nanoseconds(vertex, "completed"),
                error=_text(vertex.error, _MAX_ERROR_CHARS),
                group_id=_text(vertex.progressGroup.id, _MAX_ID_CHARS),
            )
            for vertex in response.vertexes
        ),
        statuses=tuple(
            VertexStatus(
                id=_text(status.ID, MAX_NAME_CHARS),
                vertex=_text(status.vertex, _MAX_ID_CHARS),
                name=_text(status.name, MAX_NAME_CHARS),
                current=status.current,
                total=status.total,
                timestamp_ns=nanoseconds(status, "timestamp"),
                started_ns=nanoseconds(status, "started"),
                completed_ns=nanoseconds(status, "completed"),
            )
            for status in response.statuses
        ),
        logs=tuple(
            VertexLog(_text(log.vertex, _MAX_ID_CHARS), log.msg, log.stream, nanoseconds(log, "timestamp"))
            for log in response.logs
        ),
    )


def usage_from_wire(builder: str, at_ns: int, response: wire.DiskUsageResponse) -> CacheUsage:
    """All records of the cache."""
    return CacheUsage(
        builder,
        at_ns,
        tuple(
            CacheRecord(
                id=_text(record.ID, _MAX_ID_CHARS),
                size_bytes=record.Size,
                description=_text(record.Description, MAX_NAME_CHARS),
                record_type=_text(record.RecordType, _MAX_ID_CHARS),
                in_use=record.InUse,
                shared=record.Shared,
                created_ns=nanoseconds(record, "CreatedAt") or 0,
                last_used_ns=nanoseconds(record, "LastUsedAt"),
                parents=tuple(_text(one, _MAX_ID_CHARS) for one in record.Parents or (record.Parent,) if one),
            )
            for record in response.record
        ),
    )


def _result_digest(record: wire.BuildHistoryRecord) -> str:
    """Engine 24 and 25 fill `ResultDeprecated` alone; later ones `Results` as well."""
    if record.Result.HasField("ResultDeprecated"):
        return _text(record.Result.ResultDeprecated.digest, _MAX_ID_CHARS)
    return next((_text(one.digest, _MAX_ID_CHARS) for _, one in sorted(record.Result.Results.items())), "")


def _text(value: str | bytes, limit_chars: int) -> str:
    """A text field, bounded. What is not UTF-8 comes as bytes (proto2); BuildKit up to 0.12 does not look."""
    text = value if isinstance(value, str) else value.decode("utf-8", "replace")
    return text[:limit_chars]


def _bounded(attributes: dict[str, str]) -> dict[str, str]:
    return {_text(key, _MAX_ID_CHARS): _text(value, _MAX_ATTRIBUTE_CHARS) for key, value in attributes.items()}
