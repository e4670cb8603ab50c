"""Reading one directory: its entries' stat records, and the contents of the files that may have changed.

Links are never followed, FIFOs and devices never opened, and no database of our own, wherever a context has it. A file
that cannot be read and a directory that is gone are no errors.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import xxhash

from buildprof.sources.tree.entry import (
    HASH_BYTES,
    REDO,
    STAT,
    Entry,
    Listing,
    State,
    bounded_ns,
    make_entry,
    stat_record,
    unpack,
)
from buildprof.sources.tree.ignore import Patterns, Verdict

LARGE_BYTES = 16 * 1024 * 1024
"""Larger files are hashed later, so that nobody waits for them."""

CHUNK_BYTES = 1024 * 1024
RACY_NS = 50_000_000
"""Kernels stamp files with a clock that ticks up to every 10 ms; some file systems are coarser."""

_NO_HASH = bytes(HASH_BYTES)
_KIND = 0o170000
_ENCODING = sys.getfilesystemencoding()
_DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


_OWN_SUFFIXES = (b".db", b".db-wal", b".db-shm")
_own_directories: set[tuple[int, int]] = set()


def leave_unopened(directory: Path) -> None:
    """Never open the databases in a directory: this process has SQLite's locks on them.

    POSIX gives up all locks that a process has on a file when it closes any descriptor of it, so to read one of them
    would let others take its log away (sqlite.org/howtocorrupt.html, 2.2). Such files count as unreadable.
    """
    with suppress(OSError):
        info = directory.stat()
        _own_directories.add((info.st_dev, info.st_ino))


def _is_own(name: bytes, directory: int) -> bool:
    if not name.endswith(_OWN_SUFFIXES):
        return False
    info = os.fstat(directory)
    return (info.st_dev, info.st_ino) in _own_directories


@dataclass(frozen=True, slots=True)
class Reading:
    """A directory that was read. `newest_ns` is the latest change of an entry's or the directory's record.

    `directories` are (name, inode, verdict) of those below it that are to be read; `hashed` counts contents read.
    `has_links` tells of files with other names, through which they can change.
    """

    listing: Listing
    is_changed: bool
    device: int
    newest_ns: int = 0
    directories: tuple[tuple[str, int, Verdict], ...] = ()
    hashed: int = 0
    has_links: bool = False


@contextmanager
def open_directory(path: bytes) -> Iterator[int]:
    """A descriptor of a directory; OSError if it is none."""
    descriptor = _open_quietly(path, _DIRECTORY_FLAGS, None)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def read_directory(  # noqa: PLR0913, PLR0917  # all of it changes what is read
    path: bytes, relative: str, old: bytes | None, patterns: Patterns, verdict: Verdict, inode: int | None
) -> Reading | None:
    """Read a directory at `path`; `relative` is its path below the root, `verdict` what the patterns say of it.

    What `old` (packed) knows already is not read again. None if the directory is gone, no directory any more, or has
    another inode than expected.
    """
    before = unpack(old) if old else None
    try:
        with open_directory(path) as descriptor:
            own = os.fstat(descriptor)
            if inode is not None and own.st_ino != inode:
                return None
            return _read(descriptor, own, relative, before, patterns, verdict)
    except OSError as error:
        if error.errno not in {errno.EACCES, errno.EPERM, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENAMETOOLONG}:
            return None
        return Reading(unreadable := Listing(is_readable=False), before != unreadable, 0)


def _read(  # noqa: C901, PLR0912, PLR0913, PLR0915, PLR0917  # one loop, in line
    descriptor: int, own: os.stat_result, relative: str, old: Listing | None, patterns: Patterns, verdict: Verdict
) -> Reading:
    own_mtime_ns = bounded_ns(own.st_mtime_ns)
    newest_ns = max(own_mtime_ns, own.st_ctime_ns)
    prefix = f"{relative}/" if relative else ""
    rows: list[tuple[bytes, bytes, int, bool]] = []
    directories: list[tuple[str, int, Verdict]] = []
    has_patterns = bool(patterns)
    has_links = False
    pack = STAT.pack
    with os.scandir(descriptor) as scanned:  # a hundred thousand turns in a start: nothing that can be left out
        for one in scanned:
            text = one.name
            ignored = False
            mine = verdict
            if has_patterns:
                mine = patterns.match(prefix + text, verdict)
                ignored = mine[0]
                if ignored and not (one.is_dir(follow_symlinks=False) and patterns.may_return_below(prefix + text)):
                    continue
            try:
                info = one.stat(follow_symlinks=False)
            except OSError:
                continue  # gone meanwhile
            mode, uid, gid, inode = info.st_mode, info.st_uid, info.st_gid, info.st_ino
            ctime_ns = info.st_ctime_ns
            newest_ns = ctime_ns if ctime_ns > newest_ns else newest_ns  # noqa: FURB136  # max() is slow
            if mode & _KIND == stat.S_IFREG:
                try:
                    record = pack(mode, uid, gid, info.st_size, info.st_mtime_ns, ctime_ns, inode)
                except struct.error:  # dated after 2262
                    record = stat_record(info)
                has_links = has_links or info.st_nlink > 1
            else:
                record = stat_record(info)
                if mode & _KIND == stat.S_IFDIR:
                    directories.append((text, inode, mine))
            rows.append((text.encode(_ENCODING, "surrogateescape"), record, mode, ignored))
    rows.sort()
    stats = b"".join([row[1] for row in rows])
    names = b"\0".join([row[0] for row in rows])
    if old is not None and old.stats == stats and old.names == names and old.is_readable:
        passed = State.PASSED in old.states or (has_patterns and any(row[3] for row in rows))
        if not passed and not old.needs_another_look:
            same = old if old.mtime_ns == own_mtime_ns else None
            listing = same or _listing(own_mtime_ns, rows, stats, names, old.states, old.hashes, old.targets)
            return Reading(listing, same is None, own.st_dev, newest_ns, tuple(directories), has_links=has_links)
    known = _known(old)
    states, hashes, targets = bytearray(), [], []
    hashed = 0
    for name, record, mode, ignored in rows:
        state, content = State.PASSED if ignored else State.NONE, _NO_HASH
        if stat.S_ISREG(mode):
            state, content, was_read = _content(descriptor, name, record, known.get(name))
            hashed += was_read
        elif stat.S_ISLNK(mode):
            targets.append(read_link(descriptor, name))
        states.append(state)
        hashes.append(content)
    listing = _listing(own_mtime_ns, rows, stats, names, bytes(states), b"".join(hashes), b"\0".join(targets))
    return Reading(listing, listing != old, own.st_dev, newest_ns, tuple(directories), hashed, has_links)


def _listing(  # noqa: PLR0913, PLR0917  # the columns
    mtime_ns: int, rows: list[tuple[bytes, bytes, int, bool]], stats: bytes, names: bytes, states: bytes, hashes: bytes, targets: bytes
) -> Listing:  # fmt: skip
    return Listing(mtime_ns, True, len(rows), stats, states, hashes, names, targets)


def _known(old: Listing | None) -> dict[bytes, tuple[bytes, int, bytes]]:
    """What was known of each name: stat record, state, content."""
    if old is None:
        return {}
    size = STAT.size
    return {
        name: (
            old.stats[index * size : (index + 1) * size],
            old.states[index],
            old.hashes[index * HASH_BYTES : (index + 1) * HASH_BYTES],
        )
        for index, name in enumerate(old.name_list())
    }


def _content(
    directory: int, name: bytes, record: bytes, known: tuple[bytes, int, bytes] | None
) -> tuple[State, bytes, bool]:
    """State and hash of a regular file, and whether it was read for that."""
    if known is not None and known[0] == record and known[1] not in REDO:
        return State(known[1]), known[2], False
    _, _, _, size, mtime_ns, ctime_ns, _ = STAT.unpack(record)
    if _is_own(name, directory):
        return State.UNREADABLE, _NO_HASH, False
    if size > LARGE_BYTES:
        return State.PENDING, _NO_HASH, False
    now_ns = time.time_ns()
    content = _hash_small(directory, name, size)
    if content is None:
        return State.UNREADABLE, _NO_HASH, True
    is_racy = max(mtime_ns, ctime_ns) > now_ns - RACY_NS
    return State.RACY if is_racy else State.HASHED, content, True


def _hash_small(directory: int, name: bytes, size: int) -> bytes | None:
    try:
        descriptor = _open_quietly(name, _FILE_FLAGS, directory)
    except OSError:
        return None
    try:
        if size < CHUNK_BYTES:  # one more than it has tells the end, and what it has grown by shows in its times
            return xxhash.xxh3_128_digest(os.read(descriptor, size + 1))
        digest = xxhash.xxh3_128()
        left = LARGE_BYTES + 1
        while left > 0 and (chunk := os.read(descriptor, CHUNK_BYTES)):
            digest.update(chunk)
            left -= len(chunk)
        return digest.digest()
    except OSError:
        return None
    finally:
        os.close(descriptor)


def hash_large(path: bytes, expected: Entry, keep_on: Iterable[object]) -> Entry | None:
    """Hash a file of any size by chunks, taking one item of `keep_on` before each; it may sleep, or end to give up.

    None if given up, or if the file is not the expected one, before and after.
    """
    with suppress(OSError):
        descriptor = _open_quietly(path, _FILE_FLAGS, None)
        try:
            digest = xxhash.xxh3_128()
            turns = iter(keep_on)
            for chunk in iter(partial(os.read, descriptor, CHUNK_BYTES), b""):
                digest.update(chunk)
                if next(turns, turns) is turns:
                    return None
            info = os.fstat(descriptor)
        finally:
            os.close(descriptor)
        record = make_entry(expected.name, stat_record(info), State.HASHED, digest.digest())
        return record if record.is_same(expected) else None
    return None


def read_entry(directory: int, name: bytes, old: Entry | None) -> tuple[Entry | None, bool]:
    """One entry of an open directory, and whether it is a file with other names; None if it is gone."""
    try:
        info = os.stat(name, dir_fd=directory, follow_symlinks=False)
    except OSError:
        return None, False
    record = stat_record(info)
    state, content, target = State.NONE, _NO_HASH, b""
    if stat.S_ISREG(info.st_mode):
        known = (STAT.pack(*old._record()), int(old.state), old.content) if old else None  # noqa: SLF001
        state, content, _ = _content(directory, name, record, known)
    elif stat.S_ISLNK(info.st_mode):
        target = read_link(directory, name)
    is_linked = stat.S_ISREG(info.st_mode) and info.st_nlink > 1
    return make_entry(name, record, state, content, target), is_linked


def read_link(directory: int, name: bytes) -> bytes:
    """Where a link points to; b"" if it is gone."""
    try:
        return os.readlink(name, dir_fd=directory)
    except OSError:
        return b""


def _open_quietly(path: bytes, flags: int, directory: int | None) -> int:
    """Open without leaving a time of access, which only the owner may ask for."""
    try:
        return os.open(path, flags | os.O_NOATIME, dir_fd=directory)
    except PermissionError:
        return os.open(path, flags, dir_fd=directory)
