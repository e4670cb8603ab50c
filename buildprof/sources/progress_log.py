"""A client's `--progress=rawjson` stream, read as it comes.

Clients print one JSON object for each update: BuildKit's `client.SolveStatus` by Go's JSON encoder. buildx 0.13
prints it indented, over many lines; later ones print one line. Other text of the client stands between.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, BinaryIO

from buildprof.model.events import StatusUpdate, Vertex, VertexLog, VertexStatus
from buildprof.sources.import_file import ImportFormatError

MAX_OBJECT_BYTES = 16 * 1024 * 1024
"""BuildKit's own limit for a message of its API; no client prints a longer one."""

_MAX_TEXT_CHARS = 16_384
_MAX_ID_CHARS = 200
_MAX_CLIENT_ERROR_CHARS = 4_096
_INT64_MAX = 2**63 - 1
_KEYS = ("vertexes", "statuses", "logs", "warnings")
_EXPECTED = "expected a JSON object as docker build --progress=rawjson prints it"
_RFC3339 = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(?:Z|([+-])(\d\d):(\d\d))", re.ASCII)


@dataclass(slots=True)
class ProgressLog:
    """The updates of a stream, and what was noticed on the way; iterate once, then look at the rest.

    `skipped_lines` counts lines that are no JSON, `truncated` says that the last object is cut off (all before it
    was given), `client_error` is the last line in which the client said `ERROR:`, the way in which it ends when a
    build failed or was canceled. Iterating raises ImportFormatError for what is no such stream.
    """

    file: BinaryIO
    skipped_lines: int = field(default=0, init=False)
    truncated: bool = field(default=False, init=False)
    client_error: str = field(default="", init=False)
    _line_number: int = field(default=0, init=False)

    def __iter__(self) -> Iterator[StatusUpdate]:
        found = False
        while line := self._next_line(MAX_OBJECT_BYTES):
            if not line.startswith(b"{"):
                self._skip(line)
                continue
            first_line = self._line_number
            text = self._whole_object(line)
            if text is None:
                break
            document = self._parse(text, first_line)
            if document is None:
                break
            found = True
            try:
                yield _update(document)
            except ValueError as error:
                raise ImportFormatError(f"line {first_line}: {error}; {_EXPECTED}") from None
        if not found:
            raise ImportFormatError(
                f"no build progress in {self._line_number} lines; {_EXPECTED}, or a .dockerbuild archive"
            )

    def _next_line(self, limit_bytes: int) -> bytes:
        line = self.file.readline(limit_bytes + 1)
        self._line_number += bool(line)
        if len(line) > limit_bytes:
            raise ImportFormatError(
                f"line {self._line_number}: more than {MAX_OBJECT_BYTES >> 20} MiB in one object; {_EXPECTED}"
            )
        return line

    def _skip(self, line: bytes) -> None:
        text = line.decode(errors="replace").strip()
        self.skipped_lines += bool(text)
        if text.startswith("ERROR: "):
            self.client_error = text.removeprefix("ERROR: ")[:_MAX_CLIENT_ERROR_CHARS]

    def _whole_object(self, line: bytes) -> bytes | None:
        """The object that begins with this line; of an indented one all lines to its `}`. None if that is missing."""
        if line.rstrip() != b"{":
            return line
        lines, size_bytes = [line], len(line)
        while line := self._next_line(MAX_OBJECT_BYTES - size_bytes):
            lines.append(line)
            size_bytes += len(line)
            if line.rstrip() == b"}" and line.startswith(b"}"):
                return b"".join(lines)
        self.truncated = True
        return None

    def _parse(self, text: bytes, first_line: int) -> dict[str, Any] | None:
        try:
            document = json.loads(text)
        except (ValueError, RecursionError):
            if not text.endswith(b"\n"):
                self.truncated = True
                return None
            raise ImportFormatError(f"line {first_line}: not JSON; {_EXPECTED}") from None
        if document and not any(key in document for key in _KEYS):
            raise ImportFormatError(f"line {first_line}: JSON with none of the keys {', '.join(_KEYS)}; {_EXPECTED}")
        return document  # type: ignore[no-any-return]  # it begins with a brace, so it is a dict


def rfc3339_ns(text: str) -> int | None:
    """Nanoseconds since the epoch of an RFC 3339 time; None for Go's or Unix' zero time. ValueError if it is none."""
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError("a time that is not RFC 3339")
    seconds_text, fraction, sign, hours, minutes = match.groups()
    moment = datetime.fromisoformat(seconds_text).replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    if sign:
        offset = timedelta(hours=int(hours), minutes=int(minutes))
        moment += offset if sign == "-" else -offset
    seconds = moment.days * 86_400 + moment.seconds
    if seconds > _INT64_MAX // 1_000_000_000:
        raise ValueError("a time past the year 2262")
    return seconds * 1_000_000_000 + int((fraction or "").ljust(9, "0")) if seconds > 0 else None


def _update(document: dict[str, Any]) -> StatusUpdate:
    """ValueError says which value is of the wrong type."""
    return StatusUpdate(
        vertices=tuple(_vertex(entry) for entry in _objects(document, "vertexes")),
        statuses=tuple(_status(entry) for entry in _objects(document, "statuses")),
        logs=tuple(_log(entry) for entry in _objects(document, "logs")),
    )


def _vertex(entry: dict[str, Any]) -> Vertex:
    inputs = _typed(entry, "inputs", list, [])
    if not all(isinstance(digest, str) for digest in inputs):
        raise ValueError('"inputs" that are not text')
    group = _typed(entry, "progressGroup", dict, {})
    return Vertex(
        digest=_text(entry, "digest", _MAX_ID_CHARS),
        name=_text(entry, "name"),
        inputs=tuple(digest[:_MAX_ID_CHARS] for digest in inputs),
        cached=_typed(entry, "cached", bool, False),
        started_ns=_time(entry, "started"),
        completed_ns=_time(entry, "completed"),
        error=_text(entry, "error"),
        group_id=_text(group, "id", _MAX_ID_CHARS),
    )


def _status(entry: dict[str, Any]) -> VertexStatus:
    return VertexStatus(
        id=_text(entry, "id"),
        vertex=_text(entry, "vertex", _MAX_ID_CHARS),
        name=_text(entry, "name"),
        current=_count(entry, "current"),
        total=_count(entry, "total"),
        timestamp_ns=_time(entry, "timestamp"),
        started_ns=_time(entry, "started"),
        completed_ns=_time(entry, "completed"),
    )


def _log(entry: dict[str, Any]) -> VertexLog:
    try:
        data = base64.b64decode(_typed(entry, "data", str, ""), validate=True)
    except ValueError:
        raise ValueError('"data" that is not base64') from None
    return VertexLog(_text(entry, "vertex", _MAX_ID_CHARS), data, _count(entry, "stream"), _time(entry, "timestamp"))


def _objects(document: dict[str, Any], key: str) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = _typed(document, key, list, [])
    if not all(isinstance(entry, dict) for entry in entries):
        raise ValueError(f'"{key}" that are not objects')
    return entries


def _typed(entry: dict[str, Any], key: str, kind: type, default: Any) -> Any:
    """A value of an entry; Go prints null for an empty list or no value."""
    value = entry.get(key)
    if value is None:
        return default
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ValueError(f'"{key}" of the wrong type')
    return value


def _text(entry: dict[str, Any], key: str, limit_chars: int = _MAX_TEXT_CHARS) -> str:
    text: str = _typed(entry, key, str, "")
    return text[:limit_chars]


def _count(entry: dict[str, Any], key: str) -> int:
    number: int = _typed(entry, key, int, 0)
    if abs(number) > _INT64_MAX:
        raise ValueError(f'"{key}" out of range')
    return max(number, 0)


def _time(entry: dict[str, Any], key: str) -> int | None:
    text = _typed(entry, key, str, None)
    return None if text is None else rfc3339_ns(text)
