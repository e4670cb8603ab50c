"""A `.dockerbuild` archive, as `docker buildx history export` writes it.

It is a gzip'd tar of an OCI layout. `index.json` leads, perhaps over one more index, to a manifest for each build;
the manifest's config is the build record as JSON, its layers are the blobs that the record names (docker/buildx,
util/desktop/bundle). The log of a build's status is a run of protobuf messages, each after its length as four
bytes, least first (moby/buildkit, solver/llbsolver/history).
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message import DecodeError

from buildprof.model.events import BuildRecord, LocalState, StatusUpdate
from buildprof.model.text import clean
from buildprof.sources.buildkit.convert import record_from_wire, status_from_wire
from buildprof.sources.buildkit.wire import control_pb2 as wire
from buildprof.sources.buildx_state import local_state_of
from buildprof.sources.import_file import ImportFormatError

MAX_BLOB_BYTES = 64 * 1024 * 1024
MAX_ARCHIVE_BYTES = 256 * 1024 * 1024
"""Of the unpacked archive: a history of 50 builds that all logged much is a tenth of it."""
MAX_MEMBERS = 10_000
MAX_BUILDS = 1_000

_TAR_BLOCK_BYTES = 512
_INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
_RECORD_TYPE = "application/vnd.buildkit.historyrecord.v0"
_BLOB_NAME = re.compile(r"blobs/sha256/([0-9a-f]{64})")
_EXPECTED = "expected what docker buildx history export writes"


@dataclass(frozen=True, slots=True)
class ArchivedBuild:
    """One build of an archive.

    `provenance` holds the bytes of each provenance with its platform ("" for one that has none), `local_state` what
    buildx knew of the build's directory on the machine that exported it.
    """

    record: BuildRecord
    updates: tuple[StatusUpdate, ...]
    provenance: tuple[tuple[str, bytes], ...] = ()
    local_state: LocalState | None = None


def read_build_archive(file: BinaryIO) -> tuple[ArchivedBuild, ...]:
    """All builds of an archive, in its order. Nothing is written to disk.

    Raises ImportFormatError for what is no such archive, is cut off, or unpacks to more than MAX_ARCHIVE_BYTES.
    """
    try:
        members = _read_members(file)
    except (gzip.BadGzipFile, zlib.error) as error:
        raise ImportFormatError(f"not gzip, or damaged: {clean(error, 100)}; {_EXPECTED}") from None
    except EOFError:
        raise ImportFormatError(f"the archive is cut off; {_EXPECTED}") from None
    index = members.get("index.json")
    if index is None:
        raise ImportFormatError(f"a tar file without an index.json; {_EXPECTED}")
    builds = tuple(_build(members, manifest) for manifest in _manifests(members, _json(index, "index.json"), depth=0))
    if not builds:
        raise ImportFormatError(f"the archive's index names no builds; {_EXPECTED}")
    return builds


def _read_members(file: BinaryIO) -> dict[str, bytes]:
    """The index and the blobs. Links, directories and other names are passed over; a blob must match its digest.

    A reader of our own, since tarfile takes lengths of extended headers on trust and recurses over them.
    """
    members: dict[str, bytes] = {}
    with gzip.GzipFile(fileobj=file) as unpacked:
        total_bytes = 0
        for _ in range(MAX_MEMBERS):
            header = _exactly(unpacked, _TAR_BLOCK_BYTES)
            if not header.strip(b"\0"):
                return members
            name, size_bytes = _tar_header(header)
            padded_bytes = -(-size_bytes // _TAR_BLOCK_BYTES) * _TAR_BLOCK_BYTES
            total_bytes += padded_bytes
            if size_bytes > MAX_BLOB_BYTES or total_bytes > MAX_ARCHIVE_BYTES:
                raise ImportFormatError(f"the archive unpacks to more than {MAX_ARCHIVE_BYTES >> 20} MiB")
            content = _exactly(unpacked, padded_bytes)[:size_bytes]
            blob = _BLOB_NAME.fullmatch(name)
            if blob and hashlib.sha256(content).hexdigest() != blob[1]:
                raise ImportFormatError(
                    f"the blob sha256:{blob[1][:12]}… does not match its digest; the archive is damaged"
                )
            if blob or name == "index.json":
                members.setdefault(name, content)
    raise ImportFormatError(f"the archive has more than {MAX_MEMBERS} members")


def _exactly(stream: gzip.GzipFile, size_bytes: int) -> bytes:
    content = stream.read(size_bytes)
    if len(content) < size_bytes:
        raise EOFError
    return content


def _tar_header(header: bytes) -> tuple[str, int]:
    """Name and size of a POSIX ustar header; the name is "" for all but regular files."""
    try:
        size_bytes = int(header[124:136].rstrip(b" \0") or b"0", 8)
        checksum = int(header[148:156].strip(b" \0") or b"0", 8)
    except ValueError:
        raise ImportFormatError(f"not a tar file inside; {_EXPECTED}") from None
    if checksum != sum(header[:148]) + 8 * ord(" ") + sum(header[156:]) or size_bytes < 0:
        raise ImportFormatError(f"not a tar file inside; {_EXPECTED}")
    is_regular = header[156:157] in (b"0", b"\0")
    return (header[:100].rstrip(b"\0").decode("ascii", "replace") if is_regular else ""), size_bytes


def _manifests(members: dict[str, bytes], index: dict[str, Any], depth: int) -> Iterator[dict[str, Any]]:
    """The manifests below an index, over one more index if there is one."""
    entries = index.get("manifests")
    if not isinstance(entries, list) or len(entries) > MAX_BUILDS:
        raise ImportFormatError(f"an index without manifests, or with more than {MAX_BUILDS}; {_EXPECTED}")
    for descriptor in entries:
        document = _json(_blob(members, descriptor), "a manifest")
        if document.get("mediaType") == _INDEX_TYPE:
            if depth > 0:
                raise ImportFormatError(f"indexes below indexes below indexes; {_EXPECTED}")
            yield from _manifests(members, document, depth + 1)
        else:
            yield document


def _build(members: dict[str, bytes], manifest: dict[str, Any]) -> ArchivedBuild:
    config = manifest.get("config")
    if not isinstance(config, dict) or config.get("mediaType") != _RECORD_TYPE:
        raise ImportFormatError(f"an OCI image, not a build record; {_EXPECTED}")
    document = _json(_blob(members, config), "a build record")
    message = _record_message(document)
    record = record_from_wire(wire.COMPLETE, message)
    if not record.ref or not record.created_ns:
        raise ImportFormatError(f"a build record without a ref or a start; {_EXPECTED}")
    logs = _blob(members, {"digest": message.logs.digest}) if message.HasField("logs") else b""
    return ArchivedBuild(
        record=record,
        updates=tuple(_updates(logs)),
        provenance=tuple((platform, _blob(members, {"digest": digest})) for platform, digest in record.attestations),
        local_state=local_state_of(record.ref, document.get("localState")),
    )


def _record_message(document: dict[str, Any]) -> wire.BuildHistoryRecord:
    """Go's JSON of the record as the message. It differs from protobuf's own JSON in its times alone.

    A time is {"seconds", "nanos"}, or RFC 3339 where the exporter's messages had Go's times in them.
    """
    fields = dict(document)
    times = {key: value for key in ("CreatedAt", "CompletedAt") if isinstance(value := fields.get(key), dict)}
    for key in times:
        del fields[key]
    try:
        message = ParseDict(fields, wire.BuildHistoryRecord(), ignore_unknown_fields=True)
        for key, value in times.items():
            getattr(message, key).seconds = value.get("seconds", 0)
            getattr(message, key).nanos = value.get("nanos", 0)
    except (ParseError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise ImportFormatError(f"a build record of another shape ({clean(error, 150)}); {_EXPECTED}") from None
    return message


def _updates(blob: bytes) -> Iterator[StatusUpdate]:
    position = 0
    while position < len(blob):
        try:
            (size_bytes,) = struct.unpack_from("<I", blob, position)
            content = blob[position + 4 : position + 4 + size_bytes]
            if len(content) < size_bytes:
                raise ImportFormatError(f"a build's log that is cut off; {_EXPECTED}")
            yield status_from_wire(wire.StatusResponse.FromString(content))
        except (struct.error, DecodeError):
            raise ImportFormatError(f"a build's log of another shape; {_EXPECTED}") from None
        position += 4 + size_bytes


def _blob(members: dict[str, bytes], descriptor: Any) -> bytes:
    digest = descriptor.get("digest") if isinstance(descriptor, dict) else None
    content = members.get("blobs/" + digest.replace(":", "/", 1)) if isinstance(digest, str) else None
    if content is None:
        raise ImportFormatError(f"a blob is missing: {str(digest)[:80]!r}; {_EXPECTED}")
    return content


def _json(content: bytes, what: str) -> dict[str, Any]:
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise ImportFormatError(f"{what} that is not a JSON object; {_EXPECTED}")
    return document
