"""Reading a bbolt file, in which containerd and BuildKit keep their records, while its owner writes to it.

No lock is taken: the owner would wait for us. A transaction of bbolt writes only pages that no state before it uses,
then one of the two meta pages with the next number (bbolt, tx.go, Commit); so what was read is one state of the file if
the newest number is the same afterwards. The layout is that of bbolt's internal/common: page.go, meta.go, bucket.go.
Numbers have the byte order of the machine that wrote them.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from struct import Struct
from typing import TypeVar

_MAGIC = 0xED0CDAED
_VERSION = 2
_BRANCH, _LEAF = 1, 2
_IS_BUCKET = 1
_PAGE_HEADER = Struct("=QHHI")  # number, kind, elements, pages that follow it
_BRANCH_ELEMENT = Struct("=IIQ")  # position from the element's own start, length of the key, page
_LEAF_ELEMENT = Struct("=IIII")  # flags, position from the element's own start, lengths of key and value
_META = Struct(
    "=IIIIQQQQQQ"
)  # magic, version, page size, flags, root, sequence, free list, pages, transaction, checksum
_BUCKET = Struct("=QQ")  # root, or 0 if its one page follows; sequence
_PAGE_SIZES = tuple(512 << shift for shift in range(12))
_FNV_OFFSET, _FNV_PRIME, _64_BITS = 0xCBF29CE484222325, 0x100000001B3, (1 << 64) - 1

_MAX_DEPTH = 32
_MAX_READ_BYTES = 64 * 1024 * 1024
_TRIES = 10
_PAUSE_SECONDS = 0.02

_T = TypeVar("_T")


class BoltError(Exception):
    """The file is no bbolt file, is damaged, or was written to all the time. One line."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """A map of keys to values and to further buckets. Only to be used while `read_bolt` reads."""

    _pages: _Pages
    _root: int
    _inline: bytes = b""
    _depth: int = 0

    def items(self) -> Iterator[tuple[bytes, bytes | Bucket]]:
        """All of it, by key. BoltError if the file is damaged."""
        yield from self._below(self._inline or self._pages.read(self._root), _MAX_DEPTH)

    def get(self, key: bytes) -> bytes | Bucket | None:
        """What a key has. BoltError if the file is damaged."""
        page = self._inline or self._pages.read(self._root)
        for _ in range(_MAX_DEPTH):
            if _kind(page) == _LEAF:
                return next((value for name, value in self._leaf(page) if name == key), None)
            number = None
            for first, below in _branch(page):
                if first > key:
                    break
                number = below
            if number is None:
                return None
            page = self._pages.read(number)
        raise BoltError("its pages lie too deep")

    def bucket(self, *path: bytes) -> Bucket | None:
        """The bucket at the end of a path of keys. BoltError if the file is damaged."""
        found: bytes | Bucket | None = self
        for key in path:
            found = found.get(key) if isinstance(found, Bucket) else None
        return found if isinstance(found, Bucket) else None

    def _below(self, page: bytes, depth: int) -> Iterator[tuple[bytes, bytes | Bucket]]:
        if depth == 0:
            raise BoltError("its pages lie too deep")
        if _kind(page) == _LEAF:
            yield from self._leaf(page)
            return
        for _, number in _branch(page):
            yield from self._below(self._pages.read(number), depth - 1)

    def _leaf(self, page: bytes) -> Iterator[tuple[bytes, bytes | Bucket]]:
        left = len(page)
        for at, (flags, position, key_length, value_length) in _elements(page, _LEAF_ELEMENT):
            left -= key_length + value_length
            if left < 0:  # they would overlap, and a small file could be read as a very large one
                raise BoltError("a page holds more than its size")
            key = _slice(page, at + position, key_length)
            value = _slice(page, at + position + key_length, value_length)
            yield key, self._nested(value) if flags & _IS_BUCKET else value

    def _nested(self, value: bytes) -> Bucket:
        if len(value) < _BUCKET.size:
            raise BoltError("a bucket is cut off")
        root, _ = _BUCKET.unpack_from(value)
        inline = b"" if root else value[_BUCKET.size :]
        if inline and len(inline) < _PAGE_HEADER.size:
            raise BoltError("a bucket is cut off")
        if self._depth == _MAX_DEPTH:
            raise BoltError("its buckets lie too deep")
        return Bucket(self._pages, root, inline, self._depth + 1)


def read_bolt(path: str | bytes | os.PathLike[str], read: Callable[[Bucket], _T]) -> _T:
    """What `read` makes of a file's outermost bucket, in one state of the file.

    `read` is called again if the file was written to meanwhile, and must bear with any bytes. What it returns must hold
    no Bucket.

    Raises:
        BoltError: the file is no bbolt file, damaged, or changed at every try.
        OSError: it cannot be opened or read.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise BoltError("not a file")
        for _ in range(_TRIES):
            meta = _newest_meta(descriptor)
            problem: BoltError | None = None
            try:
                answer = read(Bucket(_Pages(descriptor, meta), meta.root))
            except BoltError as error:
                problem = error
            if _newest_meta(descriptor).transaction == meta.transaction:
                if problem is not None:
                    raise problem
                return answer
            time.sleep(_PAUSE_SECONDS)
    finally:
        os.close(descriptor)
    raise BoltError("it is written to all the time")


@dataclass(frozen=True, slots=True)
class _Meta:
    page_size: int
    root: int
    pages: int
    transaction: int


def _newest_meta(descriptor: int) -> _Meta:
    """The later of the two meta pages, of which the other may just be written."""
    first = _meta(os.pread(descriptor, _PAGE_HEADER.size + _META.size, 0))
    sizes = (first.page_size,) if first else _PAGE_SIZES
    second = (_meta(os.pread(descriptor, _PAGE_HEADER.size + _META.size, size), size) for size in sizes)
    found = [meta for meta in (first, *second) if meta is not None]
    if not found:
        raise BoltError("not a bbolt file")
    return max(found, key=lambda meta: meta.transaction)


def _meta(page: bytes, at: int = 0) -> _Meta | None:
    """A meta page that was read at an offset; None if it is none, or written in part only."""
    if len(page) < _PAGE_HEADER.size + _META.size:
        return None
    body = page[_PAGE_HEADER.size :]
    magic, version, page_size, _, root, _, _, pages, transaction, checksum = _META.unpack(body)
    if (magic, version) != (_MAGIC, _VERSION) or _fnv1a(body[: _META.size - 8]) != checksum:
        return None
    return _Meta(page_size, root, pages, transaction) if page_size in _PAGE_SIZES and at in {0, page_size} else None


def _fnv1a(data: bytes) -> int:
    """The 64-bit FNV-1a hash."""
    value = _FNV_OFFSET
    for byte in data:
        value = (value ^ byte) * _FNV_PRIME & _64_BITS
    return value


class _Pages:
    """The pages of one state of a file. As many bytes of them are read as a sane file has, so that no cycle is endless."""

    __slots__ = ("_descriptor", "_left_bytes", "_meta")

    def __init__(self, descriptor: int, meta: _Meta) -> None:
        self._descriptor, self._meta, self._left_bytes = descriptor, meta, _MAX_READ_BYTES

    def read(self, number: int) -> bytes:
        """A page with those that continue it."""
        page = self._pread(number, 1)
        own, _, _, more = _PAGE_HEADER.unpack_from(page)
        if own != number:
            raise BoltError(f"page {number} is another")
        return page + self._pread(number + 1, more) if more else page

    def _pread(self, number: int, count: int) -> bytes:
        size = self._meta.page_size
        if not 2 <= number <= self._meta.pages - count:
            raise BoltError(f"page {number} lies outside")
        self._left_bytes -= count * size
        if self._left_bytes < 0:
            raise BoltError("more pages than are read")
        data = os.pread(self._descriptor, count * size, number * size)
        if len(data) != count * size:
            raise BoltError("the file is cut off")
        return data


def _kind(page: bytes) -> int:
    kind: int = _PAGE_HEADER.unpack_from(page)[1]
    if kind not in {_BRANCH, _LEAF}:
        raise BoltError("a page is no part of a bucket")
    return kind


def _branch(page: bytes) -> Iterator[tuple[bytes, int]]:
    """Pairs of the first key of a page below and its number."""
    for at, (position, length, number) in _elements(page, _BRANCH_ELEMENT):
        yield _slice(page, at + position, length), number


def _elements(page: bytes, layout: Struct) -> Iterator[tuple[int, tuple[int, ...]]]:
    """The elements of a page, each with its offset."""
    _, _, count, _ = _PAGE_HEADER.unpack_from(page)
    table = _slice(page, _PAGE_HEADER.size, count * layout.size)
    return zip(range(_PAGE_HEADER.size, len(page), layout.size), layout.iter_unpack(table), strict=False)


def _slice(page: bytes, at: int, length: int) -> bytes:
    if at + length > len(page):
        raise BoltError("a page is cut off")
    return page[at : at + length]
