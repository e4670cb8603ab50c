"""The members of a tar stream, as they pass.

A reader of our own, since the standard library's takes ten times as long for an entry and keeps all of them. Formats:
POSIX ustar and pax, GNU's long names, sizes in base 256 and sparse files ("tar.h", and "Storing Sparse Files" in GNU
tar's manual), and files from before all of them. Where they leave a choice we do as Go's archive/tar, by which engines
unpack layers: links, directories and devices have no content whatever their size says, and global pax records change
no entry. Nothing is ever written to disk.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import NamedTuple

from xxhash import xxh3_128, xxh3_128_digest

from buildprof.sources.layers.errors import LayerError, LayerLimitError
from buildprof.sources.layers.streams import CHUNK_BYTES, Readable

BLOCK_BYTES = 512
_MAX_EXTENSION_BYTES = 1 << 20
_FREE_EXTENSIONS_BYTES, _MEMBER_EXTENSION_BYTES = 64 << 20, 512
"""What extended headers, and maps of sparse files, may take in all: so much, and so much more for each member of theirs."""

_RECORD_BYTES, _NUMBER_BYTES = 64, 16
"""What a record, and a number of a map, counts for: to take apart a mebibyte of small ones takes a fifth of a second."""

_MAX_SIZE_BYTES = (1 << 63) - 1
_ZERO_BLOCK = bytes(BLOCK_BYTES)

# name, size, checksum, type flag, link name, magic, prefix: at 0, 124, 148, 156, 157, 257, 345.
_unpack_header = struct.Struct("100s24x12s12x8sc100s6s82x155s12x").unpack
_USTAR_MAGIC = b"ustar\0"  # GNU's, "ustar ", has other things where the prefix would be
_FILES = frozenset((b"0", b"\0", b"7", b"S"))
_WITHOUT_CONTENT = frozenset((b"1", b"2", b"3", b"4", b"5", b"6"))
_EXTENSIONS = frozenset((b"x", b"g", b"L", b"K"))

Segments = tuple[tuple[int, int], ...]
"""Where a sparse file has data: offset and length of each, ascending."""


class Member(NamedTuple):
    """One member. `name` and `link` are as written, `kind` is the header's type flag, "0" of every regular file.

    `size_bytes` is the size of a file, holes included; `segments` is None unless it is sparse.
    """

    name: bytes
    kind: bytes
    size_bytes: int
    link: bytes
    segments: Segments | None = None


class TarReader:
    """The members of a plain tar stream; `read` and `digest` give the content of the one that came last.

    What is not read of a content is passed over, by `skip` where there is one: it moves the stream on by so many bytes.
    LayerError for what is no tar or is cut off. It ends after two blocks of zeros, or with the stream between members.
    """

    __slots__ = ("_allowed_bytes", "_at", "_buffer", "_left_bytes", "_offset", "_padding_bytes", "_skip", "_stream")

    def __init__(self, stream: Readable, skip: Callable[[int], object] | None = None) -> None:
        self._stream = stream
        self._skip = skip
        self._buffer = b""
        self._offset = 0  # of the buffer's end in the stream
        self._at = self._left_bytes = self._padding_bytes = 0
        self._allowed_bytes = _FREE_EXTENSIONS_BYTES  # of extended headers to come

    def __iter__(self) -> Iterator[Member]:  # noqa: C901, PLR0912, PLR0915  # a million turns in a layer: one loop, in line
        pax: list[tuple[bytes, bytes]] = []
        records = pax
        long_name = long_link = b""
        while True:
            # The next block as `_next_block` finds it, here for the buffer that has it whole.
            at = self._at + self._left_bytes + self._padding_bytes
            block = self._buffer[at : at + BLOCK_BYTES]
            if len(block) == BLOCK_BYTES:
                self._at = at + BLOCK_BYTES
                self._left_bytes = self._padding_bytes = 0
            elif not (block := self._next_block()):
                break
            name, size_field, checksum, kind, link, magic, prefix = _unpack_header(block)
            # The sum of a block's bytes is in its Adler-32, modulo 65521: forty times as fast as adding them up.
            total = (zlib.adler32(block) & 0xFFFF) + 255 - sum(checksum)
            if (total - _checksum(checksum)) % 65521:
                if block == _ZERO_BLOCK:
                    if (following := self._next_block()) and following != _ZERO_BLOCK:
                        raise LayerError("something follows the end of the tar archive")
                    break
                if not _has_signed_checksum(block):
                    raise LayerError("not a tar archive, or damaged: the checksum of a header does not match")
            size = _octal(size_field)
            if kind in _EXTENSIONS:
                content = self._extension(size)
                if kind == b"x":
                    pax = _pax_records(content)
                    self._charge(len(pax) * _RECORD_BYTES)
                elif kind == b"L":
                    long_name = content.partition(b"\0")[0]
                elif kind == b"K":
                    long_link = content.partition(b"\0")[0]
                continue
            name = name.partition(b"\0")[0]
            link = link.partition(b"\0")[0] if link[0] else b""
            if magic == _USTAR_MAGIC and prefix[0]:
                name = prefix.partition(b"\0")[0] + b"/" + name
            sparse: dict[bytes, bytes] | None = None
            if pax or long_name or long_link:
                records = pax
                found = dict(records)
                name = long_name or found.get(b"path") or name
                link = long_link or found.get(b"linkpath") or link
                size = _decimal(found[b"size"]) if found.get(b"size") else size
                sparse = {key: value for key, value in found.items() if key.startswith(b"GNU.sparse.")}
                pax, long_name, long_link = [], b"", b""
                self._allowed_bytes += _MEMBER_EXTENSION_BYTES
            if kind == b"\0":
                kind = b"5" if name.endswith(b"/") else b"0"
            if kind in _WITHOUT_CONTENT:
                size = 0
            self._left_bytes = size
            self._padding_bytes = -size % BLOCK_BYTES
            if kind == b"S":
                segments, size = self._old_sparse_map(block)
                self._charge(len(segments) * _NUMBER_BYTES)
                yield Member(name, b"0", size, link, _checked(segments, size, self._left_bytes))
            elif sparse and kind in _FILES:
                segments, size = self._pax_sparse_map(sparse, records)
                self._charge(len(segments) * _NUMBER_BYTES)
                name = sparse.get(b"GNU.sparse.name") or name
                yield Member(name, b"0", size, link, _checked(segments, size, self._left_bytes))
            else:
                yield Member(name, b"0" if kind == b"7" else kind, size, link)
        if pax or long_name or long_link:
            raise LayerError("the tar archive is cut off")

    @property
    def content_offset(self) -> int:
        """Where in the stream the content of the current member begins, or what is left of it."""
        return self._offset - len(self._buffer) + self._at

    def read(self, size_bytes: int) -> bytes:
        """More of the current member's content; b"" at its end."""
        if not self._left_bytes:
            return b""
        if self._at == len(self._buffer):
            self._fill()
        chunk = self._buffer[self._at : self._at + min(self._left_bytes, size_bytes)]
        self._at += len(chunk)
        self._left_bytes -= len(chunk)
        return chunk

    def digest(self) -> bytes:
        """XXH3-128 of what is left of the current member's content."""
        end = self._at + self._left_bytes
        if end <= len(self._buffer):
            found = xxh3_128_digest(self._buffer[self._at : end])
            self._at = end
            self._left_bytes = 0
            return found
        state = xxh3_128()
        while chunk := self.read(CHUNK_BYTES):
            state.update(chunk)
        return state.digest()

    def drain(self) -> None:
        """Read the stream to its end: what follows the archive is part of its digest."""
        self._buffer, self._at = b"", 0
        while self._stream.read(CHUNK_BYTES):
            pass

    def _fill(self) -> None:
        self._buffer = self._stream.read(CHUNK_BYTES)
        self._offset += len(self._buffer)
        self._at = 0
        if not self._buffer:
            raise LayerError("the tar archive is cut off")

    def _next_block(self) -> bytes:
        """The block after the current content; b"" at the end of the stream."""
        at = self._at + self._left_bytes + self._padding_bytes
        if at > len(self._buffer):
            self._pass_over(at - len(self._buffer))
            at = self._at
        self._left_bytes = self._padding_bytes = 0
        block = self._buffer[at : at + BLOCK_BYTES]
        if len(block) < BLOCK_BYTES:
            self._buffer, at = block, 0
            while len(self._buffer) < BLOCK_BYTES and (chunk := self._stream.read(CHUNK_BYTES)):
                self._buffer += chunk
                self._offset += len(chunk)
            block = self._buffer[:BLOCK_BYTES]
            if 0 < len(block) < BLOCK_BYTES:
                raise LayerError("the tar archive is cut off")
        self._at = at + len(block)
        return block

    def _pass_over(self, size_bytes: int) -> None:
        """Leave behind that much of what comes after the buffer."""
        self._buffer, self._at = b"", 0
        if self._skip is not None:
            # All but one byte, which is read: a seek goes past the end of a file that is cut off.
            self._skip(size_bytes - 1)
            self._offset += size_bytes - 1
            size_bytes = 1
        while True:
            self._fill()
            if size_bytes <= len(self._buffer):
                self._at = size_bytes
                return
            size_bytes -= len(self._buffer)

    def _take(self, size_bytes: int) -> bytes:
        """Exactly so many bytes of the current content, which are few."""
        parts = []
        while size_bytes:
            if not (chunk := self.read(size_bytes)):
                raise LayerError("the tar archive has a member that ends too early")
            parts.append(chunk)
            size_bytes -= len(chunk)
        return b"".join(parts)

    def _charge(self, size_bytes: int) -> None:
        self._allowed_bytes -= size_bytes
        if self._allowed_bytes < 0:
            raise LayerLimitError("the tar archive has more extended headers than its members can need")

    def _extension(self, size_bytes: int) -> bytes:
        if size_bytes > _MAX_EXTENSION_BYTES:
            raise LayerLimitError(f"the tar archive has an extended header of more than {_MAX_EXTENSION_BYTES} bytes")
        self._charge(size_bytes)
        self._left_bytes = size_bytes
        self._padding_bytes = -size_bytes % BLOCK_BYTES
        return self._take(size_bytes)

    def _old_sparse_map(self, header: bytes) -> tuple[list[int], int]:
        """Offsets and lengths in turn, and the size: of an old GNU header and the blocks that continue it."""
        content = self._left_bytes, self._padding_bytes
        self._left_bytes = self._padding_bytes = 0
        numbers = [_octal(header[at : at + 12]) for at in range(386, 482, 12) if header[at]]
        is_continued = header[482]
        while is_continued:
            if not (block := self._next_block()):
                raise LayerError("the tar archive is cut off")
            numbers += [_octal(block[at : at + 12]) for at in range(0, 504, 12) if block[at]]
            is_continued = block[504]
            if len(numbers) * 12 > _MAX_EXTENSION_BYTES:
                raise LayerLimitError("the tar archive has a sparse file of too many pieces")
        self._left_bytes, self._padding_bytes = content
        return numbers, _octal(header[483:495])

    def _pax_sparse_map(self, sparse: dict[bytes, bytes], pax: list[tuple[bytes, bytes]]) -> tuple[list[int], int]:
        """The same of pax records: GNU's formats 0.0 (a record each), 0.1 (one record), 1.0 (before the data)."""
        if (sparse.get(b"GNU.sparse.major"), sparse.get(b"GNU.sparse.minor")) == (b"1", b"0"):
            size = _decimal(sparse.get(b"GNU.sparse.realsize", b""))
            text = self._take(BLOCK_BYTES)
            wanted = 1 + 2 * _decimal(text.partition(b"\n")[0])
            if wanted * 2 > _MAX_EXTENSION_BYTES:
                raise LayerLimitError("the tar archive has a sparse file of too many pieces")
            lines = text.count(b"\n")
            blocks = [text]
            while lines < wanted:
                blocks.append(self._take(BLOCK_BYTES))
                lines += blocks[-1].count(b"\n")
            return [_decimal(number) for number in b"".join(blocks).split(b"\n", wanted)[1:wanted]], size
        size = _decimal(sparse.get(b"GNU.sparse.size") or sparse.get(b"GNU.sparse.realsize", b""))
        if listed := sparse.get(b"GNU.sparse.map"):
            return [_decimal(number) for number in listed.split(b",")], size
        pieces = [value for key, value in pax if key in {b"GNU.sparse.offset", b"GNU.sparse.numbytes"}]
        return [_decimal(number) for number in pieces], size


def is_tar(head: bytes) -> bool:
    """Whether a stream that begins so is a tar archive: its first block is a header, or zeros."""
    block = head[:BLOCK_BYTES]
    if len(block) < BLOCK_BYTES:
        return False
    return block == _ZERO_BLOCK or _has_signed_checksum(block) or _has_checksum(block)


def _checked(numbers: list[int], size_bytes: int, stored_bytes: int) -> Segments:
    """The map of a sparse file. LayerError unless its pieces ascend, lie within the file, and are what is stored."""
    segments = tuple(zip(numbers[::2], numbers[1::2], strict=False))
    at = 0
    for offset, length in segments:
        if offset < at:
            raise LayerError("the tar archive has a sparse file whose pieces are out of order")
        at = offset + length
    if at > size_bytes or len(numbers) % 2 or sum(numbers[1::2]) != stored_bytes:
        raise LayerError("the tar archive has a sparse file whose pieces do not make its size")
    return segments


def _pax_records(content: bytes) -> list[tuple[bytes, bytes]]:
    """The records of an extended header: "length key=value" and a newline each (POSIX, pax, "Extended Header")."""
    records = []
    at = 0
    while at < len(content):
        length = content[at : at + 20].partition(b" ")[0]
        end = at + int(length) if length.isdigit() else 0
        key, equals, value = content[at + len(length) + 1 : max(end - 1, 0)].partition(b"=")
        if not equals or end > len(content) or content[end - 1 : end] != b"\n":
            raise LayerError("the tar archive has an extended header that is damaged")
        if b"\0" in value and key in {b"path", b"linkpath", b"GNU.sparse.name"}:
            raise LayerError("the tar archive has a name with a NUL")
        records.append((key, value))
        at = end
    return records


def _octal(field: bytes) -> int:
    """A number of a header: octal digits, or base 256 if its first bit is set."""
    if field[0] & 0x80:
        number = int.from_bytes(field, "big") & ((1 << (8 * len(field) - 1)) - 1)
        if field[0] & 0x40 or number > _MAX_SIZE_BYTES:
            raise LayerError("the tar archive has a number that no size can be")
        return number
    digits = field.strip(b" \0")
    if not digits.isdigit():
        digits = digits.partition(b"\0")[0].rstrip(b" ")
        if not digits:
            return 0
    if not digits.isdigit() or b"8" in digits or b"9" in digits:
        raise LayerError("not a tar archive, or damaged: a number in a header cannot be read")
    return int(digits, 8)


# A layer's headers have a few thousand sums between them.
_checksum = lru_cache(maxsize=4096)(_octal)


def _decimal(text: bytes) -> int:
    if not text.isdigit() or len(text) > 19 or int(text) > _MAX_SIZE_BYTES:
        raise LayerError("the tar archive has an extended header with a number that is none")
    return int(text)


def _has_checksum(block: bytes) -> bool:
    try:
        return sum(block) - sum(block[148:156]) + 8 * 32 == _octal(block[148:156])
    except LayerError:
        return False


def _has_signed_checksum(block: bytes) -> bool:
    """Some old programs added signed bytes."""
    rest = block[:148] + block[156:]
    try:
        return sum(rest) + 8 * 32 - 256 * sum(byte > 127 for byte in rest) == _octal(block[148:156])
    except LayerError:
        return False
