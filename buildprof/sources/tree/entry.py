"""What is kept of a file, and of a directory: its entries packed into one run of bytes.

A directory is kept in columns, sorted by name: all stat records, all states, all hashes, all names, all link targets.
So a directory that did not change is found by two comparisons of bytes, and 100,000 files take some 7 MB.
"""

from __future__ import annotations

import os
import stat
import struct
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import IntEnum

STAT = struct.Struct("<HIIqqqQ")
"""st_mode, uid, gid, size (of a device its number), mtime, ctime (ns), inode; of a directory no size and times."""

HASH_BYTES = 16
_HEAD = struct.Struct("<IIqB")
_NO_HASH = bytes(HASH_BYTES)


class State(IntEnum):
    """What is known of an entry's content."""

    NONE = 0
    """It has none that is hashed: a directory, a link, a device …"""
    HASHED = 1
    PENDING = 2
    """A large file that has not been read yet."""
    UNREADABLE = 3
    RACY = 4
    """Hashed so soon after its last change that a further one may have left the same times."""
    PASSED = 5
    """An ignored directory that is passed through, since a `!` pattern may bring back something below it."""


REDO = bytes([State.PENDING, State.UNREADABLE, State.RACY])
"""States that are looked at again though the file's stat record is the same."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A file, directory, link or other thing, by its name in its directory. `content` is xxh3_128 of its bytes."""

    name: bytes
    mode: int
    uid: int
    gid: int
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    state: State = State.NONE
    content: bytes = _NO_HASH
    target: bytes = b""

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory."""
        return stat.S_ISDIR(self.mode)

    @property
    def is_link(self) -> bool:
        """Whether it is a symbolic link."""
        return stat.S_ISLNK(self.mode)

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file."""
        return stat.S_ISREG(self.mode)

    @property
    def is_known(self) -> bool:
        """Whether all of it that a build looks at is known."""
        return self.state not in {State.PENDING, State.UNREADABLE}

    @property
    def identity(self) -> tuple[int, int, int, bytes, bytes]:
        """What a build sees of it besides its name: kind and mode, device, content, link target. Not times and owner.

        BuildKit's client sends all as owned by root, and its content hash leaves times out (cache/contenthash). Of a
        link it takes the mode as 0777. Of a file whose content is not known the size stands in.
        """
        mode = stat.S_IFLNK if self.is_link else self.mode
        device = self.size if stat.S_ISCHR(mode) or stat.S_ISBLK(mode) else 0
        size = self.size if self.is_file and not self.is_known else 0
        return mode, device, size, self.content, self.target

    def is_same(self, other: Entry) -> bool:
        """Whether the stat records are equal, so that the content has to be."""
        return self._record() == other._record()

    def _record(self) -> tuple[int, int, int, int, int, int, int]:
        return self.mode, self.uid, self.gid, self.size, self.mtime_ns, self.ctime_ns, self.inode


@dataclass(frozen=True, slots=True)
class Listing:
    """A directory's entries in columns; `names` and `targets` are joined by NUL, `targets` those of its links alone.

    `mtime_ns` is the directory's own; `is_readable` is false if its entries could not be read.
    """

    mtime_ns: int = 0
    is_readable: bool = True
    count: int = 0
    stats: bytes = b""
    states: bytes = b""
    hashes: bytes = b""
    names: bytes = b""
    targets: bytes = b""

    def pack(self) -> bytes:
        """As one run of bytes."""
        head = _HEAD.pack(self.count, len(self.names), self.mtime_ns, self.is_readable)
        return b"".join((head, self.stats, self.states, self.hashes, self.names, self.targets))

    def name_list(self) -> list[bytes]:
        """The names, sorted."""
        return self.names.split(b"\0") if self.count else []

    def __iter__(self) -> Iterator[Entry]:
        targets = iter(self.targets.split(b"\0"))
        records = zip(self.name_list(), STAT.iter_unpack(self.stats), self.states, strict=True)
        for index, (name, record, state) in enumerate(records):
            target = next(targets) if stat.S_ISLNK(record[0]) else b""
            content = self.hashes[index * HASH_BYTES : (index + 1) * HASH_BYTES]
            mode, uid, gid, size, mtime_ns, ctime_ns, inode = record
            yield Entry(name, mode, uid, gid, size, mtime_ns, ctime_ns, inode, State(state), content, target)

    def find(self, name: bytes) -> Entry | None:
        """The entry of this name."""
        names = self.name_list()
        index = bisect_left(names, name)
        if index == len(names) or names[index] != name:
            return None
        record = self.stats[index * STAT.size : (index + 1) * STAT.size]
        target = b""
        if stat.S_ISLNK(STAT.unpack(record)[0]):
            modes = (one[0] for one in STAT.iter_unpack(self.stats[: index * STAT.size]))
            target = self.targets.split(b"\0")[sum(map(stat.S_ISLNK, modes))]
        content = self.hashes[index * HASH_BYTES : (index + 1) * HASH_BYTES]
        return make_entry(name, record, State(self.states[index]), content, target)

    @property
    def needs_another_look(self) -> bool:
        """Whether some entry's content is to be read again though nothing seems changed."""
        return State.RACY in self.states or State.PENDING in self.states or State.UNREADABLE in self.states


def unpack(blob: bytes) -> Listing:
    """What `Listing.pack` made."""
    count, names_bytes, mtime_ns, is_readable = _HEAD.unpack_from(blob)
    states_at = _HEAD.size + count * STAT.size
    hashes_at = states_at + count
    names_at = hashes_at + count * HASH_BYTES
    targets_at = names_at + names_bytes
    return Listing(
        mtime_ns,
        bool(is_readable),
        count,
        blob[_HEAD.size : states_at],
        blob[states_at:hashes_at],
        blob[hashes_at:names_at],
        blob[names_at:targets_at],
        blob[targets_at:],
    )


def entry_count(blob: bytes | None) -> int:
    """How many entries a packed directory has; 0 for None."""
    return int(_HEAD.unpack_from(blob)[0]) if blob else 0


def bounded_ns(time_ns: int) -> int:
    """A time as 64 bits hold it: a file may be dated after 2262."""
    return max(-(2**63), min(time_ns, 2**63 - 1))


def stat_record(info: os.stat_result) -> bytes:
    """What is kept of a stat: a directory's size and times change with what is in it, which is kept with itself."""
    mode = info.st_mode
    if stat.S_ISDIR(mode):
        return STAT.pack(mode, info.st_uid, info.st_gid, 0, 0, 0, info.st_ino)
    size = info.st_rdev if stat.S_ISCHR(mode) or stat.S_ISBLK(mode) else info.st_size
    times = (bounded_ns(info.st_mtime_ns), bounded_ns(info.st_ctime_ns))
    return STAT.pack(mode, info.st_uid, info.st_gid, size, *times, info.st_ino)


def make_entry(name: bytes, record: bytes, state: State, content: bytes = _NO_HASH, target: bytes = b"") -> Entry:
    """An entry by its stat record."""
    mode, uid, gid, size, mtime_ns, ctime_ns, inode = STAT.unpack(record)
    return Entry(name, mode, uid, gid, size, mtime_ns, ctime_ns, inode, state, content, target)


def make_listing(entries: Iterable[Entry], mtime_ns: int = 0) -> Listing:
    """A directory of these entries."""
    rows = sorted(entries, key=lambda entry: entry.name)
    return Listing(
        mtime_ns,
        is_readable=True,
        count=len(rows),
        stats=b"".join(STAT.pack(*row._record()) for row in rows),  # noqa: SLF001  # its own module's
        states=bytes(row.state for row in rows),
        hashes=b"".join(row.content for row in rows),
        names=b"\0".join(row.name for row in rows),
        targets=b"\0".join(row.target for row in rows if row.is_link),
    )


def replace_entries(listing: Listing, changes: dict[bytes, Entry | None], mtime_ns: int) -> Listing:
    """The listing with some entries put in the place of those of their names, or (None) taken out."""
    kept = {entry.name: entry for entry in listing if entry.name not in changes}
    kept.update({name: entry for name, entry in changes.items() if entry is not None})
    changed = make_listing(kept.values(), mtime_ns)
    return changed if listing.is_readable else replace(changed, is_readable=False)
