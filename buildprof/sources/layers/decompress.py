"""A stream unpacked as it comes: gzip, zstd, or plain, told from its first bytes; bounded in memory and in length."""

from __future__ import annotations

import zlib
from enum import StrEnum
from typing import IO, cast

import zstandard

from buildprof.model.text import clean, human_size
from buildprof.sources.layers.errors import LayerError, LayerLimitError
from buildprof.sources.layers.streams import PeekableStream, Readable

MAGIC_BYTES = 6

_PACKED_CHUNK_BYTES = 1 << 16
# What the zstd command line takes without being told to; a frame may ask for 2 GiB (RFC 8878, 3.1.1.1.2).
_MAX_WINDOW_BYTES = 1 << 27


class Compression(StrEnum):
    """How a stream is packed. OTHER are formats that engines take and that are not read here."""

    NONE = "none"
    GZIP = "gzip"
    ZSTD = "zstd"
    OTHER = "other"


def compression_of(head: bytes) -> Compression:
    """What the first MAGIC_BYTES of a stream say (RFC 1952; RFC 8878, 3.1.1 and 3.1.2 for skippable frames)."""
    if head.startswith(b"\x1f\x8b"):
        return Compression.GZIP
    if head.startswith(b"\x28\xb5\x2f\xfd") or (head[1:4] == b"\x2a\x4d\x18" and head[0] & 0xF0 == 0x50):
        return Compression.ZSTD
    return Compression.OTHER if head.startswith((b"\xfd7zXZ\0", b"BZh")) else Compression.NONE


class UnpackedStream:
    """What `stream` holds, unpacked by its first bytes. `compression` says how it was packed.

    `read` raises LayerError for damaged data and for gzip that is cut off, LayerLimitError after `max_bytes`. Zstd that
    is cut off ends early without an error: who reads it compares a digest or a length.
    """

    __slots__ = ("_left_bytes", "_max_bytes", "_source", "compression")

    def __init__(self, stream: Readable, max_bytes: int) -> None:
        packed = PeekableStream(stream)
        self.compression = compression_of(packed.peek(MAGIC_BYTES))
        self._left_bytes = self._max_bytes = max_bytes
        self._source: Readable = packed
        if self.compression is Compression.GZIP:
            self._source = _GzipStream(packed)
        elif self.compression is Compression.ZSTD:
            unpacker = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW_BYTES)
            self._source = unpacker.stream_reader(
                cast("IO[bytes]", packed),  # of which `read` alone is used
                read_size=_PACKED_CHUNK_BYTES,
                read_across_frames=True,
            )
        elif self.compression is Compression.OTHER:
            raise LayerError("compressed by xz or bzip2; only gzip and zstd are read")

    def read(self, size_bytes: int) -> bytes:
        """The next unpacked bytes."""
        try:
            chunk = self._source.read(size_bytes)
        except (zlib.error, zstandard.ZstdError) as error:
            raise LayerError(f"damaged {self.compression} data: {clean(error, 120)}") from None
        self._left_bytes -= len(chunk)
        if self._left_bytes < 0:
            raise LayerLimitError(f"unpacks to more than {human_size(self._max_bytes)}")
        return chunk

    @property
    def unpacked_bytes(self) -> int:
        """How much was read so far."""
        return self._max_bytes - self._left_bytes


def open_decompressed(stream: Readable, max_bytes: int) -> UnpackedStream:
    """`stream` unpacked, by its first bytes; never more than `max_bytes`, and never more memory than a few chunks.

    Raises LayerError if it is packed in a way that is not read here.
    """
    return UnpackedStream(stream, max_bytes)


class _GzipStream:
    """Gzip members one after the other, zeros between and after them passed over (RFC 1952, 2.2)."""

    __slots__ = ("_inflate", "_packed", "_stream")

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self._packed = b""
        self._inflate = zlib.decompressobj(zlib.MAX_WBITS | 16)

    def read(self, size_bytes: int) -> bytes:
        while True:
            if self._inflate.eof and not self._is_at_next_member():
                return b""
            if not self._packed:
                self._packed = self._stream.read(_PACKED_CHUNK_BYTES)
                if not self._packed:
                    raise LayerError("the gzip data is cut off")
            chunk = self._inflate.decompress(self._packed, size_bytes)
            self._packed = self._inflate.unused_data if self._inflate.eof else self._inflate.unconsumed_tail
            if chunk:
                return chunk

    def _is_at_next_member(self) -> bool:
        while not (packed := self._packed.lstrip(b"\0")):
            packed = self._packed = self._stream.read(_PACKED_CHUNK_BYTES)
            if not packed:
                return False
        self._packed = packed
        self._inflate = zlib.decompressobj(zlib.MAX_WBITS | 16)
        return True
