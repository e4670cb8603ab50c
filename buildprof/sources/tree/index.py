"""The index of one tree: read once, then kept up by what inotify tells. It lives in trees.db, not in memory."""

from __future__ import annotations

import os
import stat
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from buildprof.sources.tree.database import Database, TreeNote
from buildprof.sources.tree.entry import Entry, Listing, State, bounded_ns, entry_count, replace_entries, unpack
from buildprof.sources.tree.file_systems import FileSystems
from buildprof.sources.tree.ignore import NOTHING, Patterns, Verdict, read_ignore_file, read_patterns
from buildprof.sources.tree.inotify import Inotify, Watches
from buildprof.sources.tree.scan import Reading, hash_large, open_directory, read_directory, read_entry

MAX_FILES = 1_000_000
NOBODY = 65534
MAX_PENDING = 10_000
BARRIER_SECONDS = 2.0
_BATCH = 500


class CannotWatchError(Exception):
    """A tree that is not watched; the message says why in a few words."""


@dataclass(frozen=True, slots=True)
class _Job:
    """A directory to read: path relative to the root (as text), inode if known, what the patterns say of it."""

    path: str
    inode: int | None
    verdict: Verdict


class Index:
    """One directory as builds with one ignore file see it. All that changes it is done under `lock`."""

    def __init__(self, directory: bytes, ignore_path: bytes, database: Database, inotify: Inotify) -> None:
        self.directory = directory
        self.ignore_path = ignore_path
        self.lock = threading.RLock()
        self.state = "reading"
        self.overflows = 0
        self.rescans = 0
        self.read_ns = 0
        self.newest_ns = 0
        """The latest change of a file that was found by reading, not by an event, in the last `catch_up`."""
        self.entries = 0
        self.directories = 0
        self.pending: deque[tuple[bytes, bytes]] = deque(maxlen=MAX_PENDING)
        self.unwatched: set[bytes] = set()
        self.silent: set[bytes] = set()
        """Directories that are watched and yet can change unheard: by another name of a file, or by another machine."""
        self._inotify = inotify
        self._database = database
        self._stored = database.open_tree(directory, ignore_path, time.time_ns())
        self._watches = Watches(inotify, directory, self._count_overflow)
        self._noted: TreeNote | None = None
        self._ignore_text: bytes | None = None
        self._patterns = Patterns([])
        self._root: tuple[int, int] | None = None
        self._uid: int | None = None
        self._file_systems = FileSystems()
        self._out: list[tuple[bytes, bytes | None]] = []

    @property
    def dirty_names(self) -> int:
        """About how many names have changed since the last `catch_up`."""
        return self._watches.dirty_names

    def catch_up(self) -> None:
        """See all changes that happened before this call. CannotWatchError if the tree is gone or may not be watched."""
        with self.lock:
            self.newest_ns = 0
            try:
                self._catch_up()
            except CannotWatchError as error:
                self._out.clear()
                self._watches.close()
                self._root = None
                self.state = str(error)
                raise
            except BaseException:  # what was taken from the watches is not written: all is read again next time
                self._out.clear()
                self._root = None
                raise
            self._write()
            if not self._inotify.is_available:
                self.state = "polled: no inotify instance"
            else:
                self.state = "polled: out of inotify watches" if self.unwatched else "watched"

    def note(self) -> None:
        """Write down how the tree is watched, if that is not as it was."""
        note = TreeNote(self.directory, self.state, len(self.unwatched), self.overflows)
        if note != self._noted:
            self._database.note(self._stored.id, note)
            self._noted = note

    @property
    def tree(self) -> int:
        """Its number in trees.db."""
        return self._stored.id

    def read_for(self, uid: int | None) -> None:
        """Read what this user may read; of a tree that several name, what all others may."""
        if uid is not None and uid != self._uid:
            self._uid = uid if self._uid is None else NOBODY

    def _may_read(self, place: bytes) -> bool:
        if self._uid in (None, 0):
            return True
        try:
            info = os.stat(place, follow_symlinks=False)  # noqa: PTH116  # bytes
        except OSError:
            return True  # the reading tells what is wrong
        wanted = (stat.S_IRUSR | stat.S_IXUSR) if info.st_uid == self._uid else (stat.S_IROTH | stat.S_IXOTH)
        return info.st_mode & wanted == wanted

    def take_snapshot(self, at_ns: int) -> tuple[int, bool]:
        """Number the state as it is; and whether it is known to be that of `at_ns`."""
        with self.lock:
            number = self._stored.number
            self._stored = self._database.add_snapshot(self._stored.id, at_ns)
            return number, self.newest_ns <= at_ns

    def hash_pending(self, keep_on: Iterator[object]) -> None:
        """Read one large file. What was found is put into every version that has the file with this stat record."""
        if not self.pending:
            return
        directory, name = self.pending.popleft()
        blob = self._database.directory(self._stored.id, directory)
        entry = unpack(blob).find(name) if blob else None
        if entry is None or entry.state is not State.PENDING:
            return
        found = hash_large(os.path.join(self.directory, directory, name), entry, keep_on)  # noqa: PTH118  # bytes
        if found is None:
            return
        with self.lock, self._database.transaction():
            for number, version in self._database.versions(self._stored.id, directory):
                listing = unpack(version)
                old = listing.find(name)
                if old is not None and old.state is State.PENDING and old.is_same(found):
                    changed = replace_entries(listing, {name: found}, listing.mtime_ns)
                    self._database.put(self._stored.id, number, [(directory, changed.pack())])

    def blobs(self) -> dict[bytes, bytes]:
        """All directories as last seen."""
        return self._database.current(self._stored.id)

    def close(self) -> None:
        """Watch no more."""
        with self.lock:
            self._watches.close()

    def _count_overflow(self) -> None:
        self.overflows += 1

    def _catch_up(self) -> None:
        root = self._check_root()
        text = read_ignore_file(self.ignore_path)
        if self._root != root or text != self._ignore_text:
            if text != self._ignore_text:
                self._ignore_text, self._patterns = text, read_patterns(text)
            self._root = root
            self._read_all()
            return
        heard = self._inotify.barrier(BARRIER_SECONDS)
        dirty = self._watches.take()
        if dirty is None or (not heard and self._inotify.is_available):
            self.rescans += 1
            self._read_all()
        elif not self._inotify.is_available:
            self._read_all()
        else:
            with self._database.transaction():
                self._read_dirty(dirty)

    def _check_root(self) -> tuple[int, int]:
        try:
            info = os.stat(self.directory, follow_symlinks=False)  # noqa: PTH116  # bytes
        except OSError:
            raise CannotWatchError("gone") from None
        if not stat.S_ISDIR(info.st_mode):
            raise CannotWatchError("gone")
        if self.directory == b"/":
            raise CannotWatchError("refused: the root of the file system")
        if self._file_systems.are_pseudo(info.st_dev):
            raise CannotWatchError("refused: no real file system")
        return info.st_dev, info.st_ino

    def _read_all(self) -> None:
        """Read all. Others may write meanwhile: what is left half done by a crash is read again at the next start."""
        known = self._database.current(self._stored.id)
        self._watches.take()  # what comes from here on is read again
        self.entries = self.directories = 0
        self.pending.clear()
        self.unwatched.clear()
        self.silent.clear()
        self._read_below([_Job("", None, NOTHING)], known)
        for path in known:  # those that were not met
            self._watches.forget(path)
            self._out.append((path, None))
        self.read_ns = time.time_ns()

    def _read_below(self, jobs: list[_Job], known: dict[bytes, bytes] | None) -> None:
        """Watch and read directories and all below them; what is met is taken out of `known`."""
        while jobs:
            job = jobs.pop()
            path = os.fsencode(job.path)
            old = known.pop(path, None) if known is not None else self._database.directory(self._stored.id, path)
            if self._watches.watch(path):
                self.unwatched.discard(path)
            else:
                self.unwatched.add(path)
            reading = self._read(job, path, old)
            if reading is None:
                self._watches.forget(path)
                self.unwatched.discard(path)
                self.silent.discard(path)
                if old:
                    self._out.append((path, None))
                    if known is None:
                        self.directories -= 1
                        self.entries -= entry_count(old)
                continue
            self.entries += reading.listing.count - (entry_count(old) if known is None else 0)
            self.directories += 1 if known is not None or not old else 0
            self._keep(path, reading)
            prefix = f"{job.path}/" if job.path else ""
            jobs += [_Job(prefix + name, inode, verdict) for name, inode, verdict in reading.directories]

    def _read(self, job: _Job, path: bytes, old: bytes | None) -> Reading | None:
        place = _join(self.directory, path) if path else self.directory
        if not self._may_read(place):
            return Reading(Listing(is_readable=False), is_changed=True, device=0)
        reading = read_directory(place, job.path, old, self._patterns, job.verdict, job.inode)
        if reading is not None and reading.device and self._file_systems.are_pseudo(reading.device):
            return Reading(Listing(is_readable=False), is_changed=True, device=0)
        return reading

    def _keep(self, path: bytes, reading: Reading) -> None:
        if reading.has_links or not self._file_systems.tell_all(reading.device):
            self.silent.add(path)
        else:
            self.silent.discard(path)
        self.newest_ns = max(self.newest_ns, reading.newest_ns)
        if self.entries > MAX_FILES:
            self._database.forget(self._stored.id)
            raise CannotWatchError(f"refused: more than {MAX_FILES:,} files")
        if reading.is_changed:
            self._out.append((path, reading.listing.pack()))
            if len(self._out) >= _BATCH:
                self._write()
        if State.PENDING in reading.listing.states:
            self.pending.extend((path, entry.name) for entry in reading.listing if entry.state is State.PENDING)

    def _read_dirty(self, dirty: dict[bytes, set[bytes] | None]) -> None:
        """Read what changed; a directory that is not watched, or not told of all, may always have."""
        for path in self.unwatched | self.silent:
            dirty[path] = None
        newest_ns = 0
        for path in sorted(dirty):
            old = self._database.directory(self._stored.id, path)
            if old is None:
                continue  # gone meanwhile, or read as a part of what it came with
            names = dirty[path]
            if names is None or not unpack(old).is_readable:
                newest_ns = max(newest_ns, self._read_again(path, old))
            else:
                self._read_names(path, old, names)
            self._write()
        self.newest_ns = max(self.newest_ns, newest_ns)

    def _read_again(self, path: bytes, old: bytes) -> int:
        """Read a directory as a whole, and those below it that are new; gives the latest change found."""
        if not self._watches.is_watched(path) and self._watches.watch(path):
            self.unwatched = self.unwatched - {path}
        text = os.fsdecode(path)
        reading = self._read(_Job(text, None, self._verdict(text)), path, old)
        before = {entry.name: entry for entry in unpack(old) if entry.is_directory}
        if reading is None:
            self._drop(path)
            return 0
        self.entries += reading.listing.count - entry_count(old)
        self._keep(path, reading)
        after = {os.fsencode(name): (inode, verdict) for name, inode, verdict in reading.directories}
        for name in before.keys() - after.keys():
            self._drop(_join(path, name))
        for name, (inode, verdict) in after.items():
            if name not in before or before[name].inode != inode:
                if name in before:
                    self._drop(_join(path, name))
                self._read_below([_Job(os.fsdecode(_join(path, name)), inode, verdict)], None)
        return self.newest_ns

    def _read_names(self, path: bytes, old: bytes, names: set[bytes]) -> None:
        """Look at some entries of a directory again."""
        listing = unpack(old)
        text = os.fsdecode(path)
        verdict = self._verdict(text)
        before = {entry.name: entry for entry in listing} if len(names) > 4 else None
        changes: dict[bytes, Entry | None] = {}
        jobs: list[_Job] = []
        place = _join(self.directory, path) if path else self.directory
        try:
            with open_directory(place) as descriptor:
                mtime_ns = bounded_ns(os.fstat(descriptor).st_mtime_ns)
                for name in names:
                    below = os.fsdecode(_join(path, name))
                    mine = self._patterns.match(below, verdict) if self._patterns else NOTHING
                    known = before.get(name) if before is not None else listing.find(name)
                    entry = self._look(descriptor, path, name, mine, known) if self._is_wanted(below, mine) else None
                    is_directory = entry is not None and entry.is_directory
                    if known is not None and known.is_directory and not (
                        is_directory and entry is not None and entry.inode == known.inode
                    ):  # fmt: skip
                        self._drop(_join(path, name))
                    if entry is not None and entry.is_directory:
                        jobs.append(_Job(below, entry.inode, mine))
                    if entry != known:
                        changes[name] = entry
                        if entry is not None and entry.state is State.PENDING:
                            self.pending.append((path, name))
        except OSError:
            self._drop(path)
            return
        if None in changes.values():  # what is gone has no time: its directory's tells
            self.newest_ns = max(self.newest_ns, mtime_ns)
        if changes or mtime_ns != listing.mtime_ns:
            changed = replace_entries(listing, changes, mtime_ns)
            self.entries += changed.count - listing.count
            self._out.append((path, changed.pack()))
        self._write()
        self._read_below(jobs, None)

    def _look(self, descriptor: int, path: bytes, name: bytes, verdict: Verdict, known: Entry | None) -> Entry | None:
        entry, is_linked = read_entry(descriptor, name, known)
        if is_linked:
            self.silent.add(path)
        return _passed(entry) if entry is not None and verdict[0] else entry

    def _is_wanted(self, path: str, verdict: Verdict) -> bool:
        return not verdict[0] or self._patterns.may_return_below(path)

    def _verdict(self, path: str) -> Verdict:
        """What the patterns say of a directory, from the top down."""
        verdict = NOTHING
        if self._patterns and path:
            parts = path.split("/")
            for depth in range(1, len(parts) + 1):
                verdict = self._patterns.match("/".join(parts[:depth]), verdict)
        return verdict

    def _drop(self, path: bytes) -> None:
        """A directory is gone with all that is below it."""
        self._write()
        for below in self._database.below(self._stored.id, path):
            self.entries -= entry_count(self._database.directory(self._stored.id, below))
            self.directories -= 1
            self._watches.forget(below)
            self.unwatched = self.unwatched - {below}
            self.silent = self.silent - {below}
            self._out.append((below, None))
        self._write()

    def _write(self) -> None:
        if self._out:
            self._database.put(self._stored.id, self._stored.number, self._out)
            self._out = []


def _join(directory: bytes, name: bytes) -> bytes:
    return directory + b"/" + name if directory else name


def _passed(entry: Entry) -> Entry | None:
    """An ignored entry as it is kept: only a directory, and as one that is passed through."""
    if not entry.is_directory:
        return None
    record = (entry.mode, entry.uid, entry.gid, entry.size, entry.mtime_ns, entry.ctime_ns, entry.inode)
    return Entry(entry.name, *record, State.PASSED)
