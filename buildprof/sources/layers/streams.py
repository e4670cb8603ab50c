"""Streams of bytes, and what can be laid over one: a look ahead, a digest, a count."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from buildprof.sources.layers.errors import LayerError

CHUNK_BYTES = 1 << 20


class Readable(Protocol):
    """A file, a pipe, an HTTP response: `read` gives `size_bytes` or fewer, b"" only at the end."""

    def read(self, size_bytes: int, /) -> bytes:
        """The next bytes."""


class PeekableStream:
    """A stream whose first bytes can be looked at before they are read."""

    __slots__ = ("_head", "_stream")

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self._head = b""

    def peek(self, size_bytes: int) -> bytes:
        """The next `size_bytes`, fewer only where the stream ends; nothing is consumed."""
        while len(self._head) < size_bytes and (chunk := self._stream.read(CHUNK_BYTES)):
            self._head += chunk
        return self._head[:size_bytes]

    def read(self, size_bytes: int) -> bytes:
        """The next bytes."""
        if not self._head:
            return self._stream.read(size_bytes)
        chunk, self._head = self._head[:size_bytes], self._head[size_bytes:]
        return chunk


class HashedStream:
    """A stream that hashes and counts what passes."""

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self._state = hashlib.sha256()
        self.size_bytes = 0

    def read(self, size_bytes: int) -> bytes:
        """The next bytes."""
        chunk = self._stream.read(size_bytes)
        self._state.update(chunk)
        self.size_bytes += len(chunk)
        return chunk

    @property
    def digest(self) -> str:
        """Of what was read, such as "sha256:e3b0…"."""
        return f"sha256:{self._state.hexdigest()}"


class Increments:
    """Told what is done in all, tells what has been done since it was told last."""

    def __init__(self, on_progress: Callable[[int], None]) -> None:
        self._on_progress = on_progress
        self._done = 0

    def __call__(self, done_bytes: int) -> None:
        """So many bytes are done."""
        more, self._done = done_bytes - self._done, done_bytes
        self._on_progress(more)


class FileSlice:
    """A part of a file, from where it stands."""

    def __init__(self, file: BinaryIO, size_bytes: int) -> None:
        self._file = file
        self._left_bytes = size_bytes

    def read(self, size_bytes: int) -> bytes:
        """The next bytes."""
        chunk = self._file.read(min(size_bytes, self._left_bytes))
        if not chunk and size_bytes and self._left_bytes:
            raise LayerError("the archive is cut off")
        self._left_bytes -= len(chunk)
        return chunk


class Counter:
    """Tells how many bytes are done."""

    def __init__(self, on_progress: Callable[[int], None]) -> None:
        self._tell = on_progress
        self._done_bytes = 0

    def add(self, size_bytes: int) -> None:
        """So many more."""
        self._done_bytes += size_bytes
        self._tell(self._done_bytes)

    def of(self, stream: Readable) -> Readable:
        """The same stream; what is read of it is done."""
        return _CountedStream(stream, self)


@dataclass(frozen=True, slots=True)
class _CountedStream:
    stream: Readable
    counted: Counter

    def read(self, size_bytes: int, /) -> bytes:
        """The next bytes."""
        chunk = self.stream.read(size_bytes)
        self.counted.add(len(chunk))
        return chunk
