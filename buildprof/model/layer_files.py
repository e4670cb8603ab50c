"""What a layer holds: its entries, without their contents. Packed, since a layer can have a million of them."""

from __future__ import annotations

import zlib
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

CONTENT_BYTES = 16
UNKNOWN_CONTENT = bytes(CONTENT_BYTES)


class EntryKind(IntEnum):
    """What an entry of a layer is.

    A HARD_LINK is another name of a file: of one in the same layer, or of one that a layer below has left there. A
    WHITEOUT says that a name of the layers below is gone; an OPAQUE_DIRECTORY that all they had in it is (OCI image
    specification, layer.md, "Whiteouts").
    """

    FILE = 0
    DIRECTORY = 1
    SYMLINK = 2
    HARD_LINK = 3
    OTHER = 4
    WHITEOUT = 5
    OPAQUE_DIRECTORY = 6


class LayerEntry(NamedTuple):
    """One entry. `path` is relative to the root of the image, "" the root itself; never absolute, without `.` and `..`.

    `size_bytes` is that of a FILE, holes included, 0 of all else. `content` is the XXH3-128 digest of a FILE's bytes,
    UNKNOWN_CONTENT where they were not read. `target` is where a SYMLINK points, as written, or the path of the file
    that a HARD_LINK is another name of.
    """

    path: bytes
    kind: EntryKind
    size_bytes: int = 0
    content: bytes = UNKNOWN_CONTENT
    target: bytes = b""


@dataclass(frozen=True, slots=True)
class LayerFiles:
    """The entries of a layer in the order of its archive; of a directory, parents first.

    Columns: `kinds` a byte an entry, `paths` joined by NUL, `sizes` of the FILEs (64 bits each, of this machine's
    order), `contents` of the FILEs, `targets` of the links joined by NUL.
    """

    kinds: bytes = b""
    paths: bytes = b""
    sizes: bytes = b""
    contents: bytes = b""
    targets: bytes = b""

    def __len__(self) -> int:
        return len(self.kinds)

    def __iter__(self) -> Iterator[LayerEntry]:
        sizes = iter(memoryview(self.sizes).cast("Q"))
        targets = iter(self.targets.split(b"\0"))
        contents = self.contents
        at = 0
        for kind, path in zip(self.kinds, self.paths.split(b"\0"), strict=False):
            if kind == EntryKind.FILE:
                yield LayerEntry(path, EntryKind.FILE, next(sizes), contents[at : at + CONTENT_BYTES])
                at += CONTENT_BYTES
            elif kind in (EntryKind.SYMLINK, EntryKind.HARD_LINK):
                yield LayerEntry(path, EntryKind(kind), target=next(targets))
            else:
                yield LayerEntry(path, EntryKind(kind))

    @property
    def size_bytes(self) -> int:
        """Bytes of all files, each once however many names it has."""
        return sum(memoryview(self.sizes).cast("Q"))

    def pack(self) -> bytes:
        """As one compressed value."""
        columns = (self.kinds, self.paths, self.sizes, self.contents, self.targets)
        head = array("Q", (len(column) for column in columns)).tobytes()
        return zlib.compress(head + b"".join(columns), 1)

    @classmethod
    def unpack(cls, packed: bytes) -> LayerFiles:
        """Undo `pack`. ValueError if it is no such value."""
        try:
            data = zlib.decompress(packed)
            lengths = memoryview(data[:40]).cast("Q")
            columns, at = [], 40
            for length in lengths:
                columns.append(data[at : at + length])
                at += length
            if at != len(data):
                raise ValueError("not a packed layer")
            return cls(*columns)
        except (zlib.error, TypeError) as error:
            raise ValueError("not a packed layer") from error


class LayerFilesBuilder:
    """Gathers the entries of a layer."""

    def __init__(self) -> None:
        self._kinds, self._sizes, self._contents = bytearray(), array("Q"), bytearray()
        self._paths, self._targets = bytearray(), bytearray()
        """Each with a NUL behind it."""

    def __len__(self) -> int:
        return len(self._kinds)

    def add(self, entry: LayerEntry) -> None:
        """Add one. ValueError for a path or a target with a NUL."""
        if b"\0" in entry.path or b"\0" in entry.target:
            raise ValueError("a NUL in a path")
        self._kinds.append(entry.kind)
        self._paths += entry.path + b"\0"
        if entry.kind is EntryKind.FILE:
            self._sizes.append(entry.size_bytes)
            self._contents += entry.content
        elif entry.kind in (EntryKind.SYMLINK, EntryKind.HARD_LINK):
            self._targets += entry.target + b"\0"

    def build(self) -> LayerFiles:
        """What was added."""
        return LayerFiles(
            bytes(self._kinds),
            bytes(self._paths[:-1]),
            self._sizes.tobytes(),
            bytes(self._contents),
            bytes(self._targets[:-1]),
        )
