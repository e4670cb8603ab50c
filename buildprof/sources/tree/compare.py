"""What differs between two moments of a tree in what a step takes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import xxhash

from buildprof.model.recipe import ContextUse
from buildprof.model.snapshot import MAX_PATHS, ContextChanges, Snapshot
from buildprof.sources.tree.database import Database
from buildprof.sources.tree.entry import Entry, Listing, make_listing, unpack
from buildprof.sources.tree.selection import Taken, below, roots, select

MAX_PATH_LENGTH = 4096

Pair = tuple[bytes, Entry | None, Entry | None]
"""A path in the tree, and what was there before and after."""


class Moment:
    """A tree as of a snapshot, read from the database as it is asked for, or at once."""

    def __init__(self, database: Database, tree: int, number: int) -> None:
        self._database = database
        self.tree = tree
        self.number = number
        self._read: dict[bytes, bytes | None] = {}
        self._is_complete = False

    def read_all(self) -> None:
        """Read all directories at once, which is quicker if most are needed."""
        self._read = dict(self._database.at(self.tree, self.number))
        self._is_complete = True

    def listing(self, directory: bytes) -> Listing | None:
        """The entries of a directory; None if it was not there."""
        if directory not in self._read and not self._is_complete:
            self._read[directory] = self._database.directory(self.tree, directory, self.number)
        blob = self._read.get(directory)
        return unpack(blob) if blob else None


def moment(database: Database, snapshot: Snapshot) -> Moment | None:
    """The tree as of a snapshot; None if that is no longer kept."""
    tree = database.tree_of(snapshot.number)
    return None if tree is None else Moment(database, tree, snapshot.number)


def compare(database: Database, before: Snapshot, after: Snapshot, uses: Sequence[ContextUse]) -> ContextChanges | None:
    """What differs in what the uses take; None if a snapshot is no longer kept.

    What the uses take is told apart by the names that the builder knows: a link that now leads to equal files changes
    nothing. The paths that are given are those in the tree.
    """
    first, second = moment(database, before), moment(database, after)
    if first is None or second is None:
        return None
    pairs: dict[bytes, Pair] = {}
    in_place: list[ContextUse] = []
    for use in uses:
        old = [(root.name, root.path) for root in roots(first, use)]
        new = [(root.name, root.path) for root in roots(second, use)]
        if first.tree == second.tree and not _has_moved(old, new):
            in_place.append(use)
        else:
            pairs |= _differences(select(first, [use]), select(second, [use]))
    if in_place:
        directories = database.changed(first.tree, *sorted((first.number, second.number)))
        differing = _raw_differences(first, second, directories)
        for use in in_place:
            pairs |= _those_taken(first, second, use, differing)
    is_certain = before.is_exact and after.is_exact and all(_is_certain(pair, before, after) for pair in pairs.values())
    return _changes([pair for pair in pairs.values() if _is_difference(pair[1], pair[2])], is_certain)


def digest(database: Database, snapshot: Snapshot, uses: Sequence[ContextUse]) -> str | None:
    """Equal digests: equal names, contents, kinds, modes and link targets. None: not kept, or something is not known."""
    there = moment(database, snapshot)
    if there is None:
        return None
    if any(not use.path or use.wildcard for use in uses):
        there.read_all()
    hashed = xxhash.xxh3_128()
    for use in uses:
        for root in roots(there, use):
            for taken in sorted(below(there, root), key=lambda one: one.name):
                listing = there.listing(taken.path) if taken.entry.is_directory else None
                if not taken.entry.is_known or (listing is not None and not listing.is_readable):
                    return None
                hashed.update(repr((taken.name, taken.entry.identity)).encode())
        hashed.update(b"\0")
    return hashed.hexdigest()


def _has_moved(old: list[tuple[bytes, bytes]], new: list[tuple[bytes, bytes]]) -> bool:
    """Whether a name leads elsewhere than before, or goes over a link, so that names and paths have to be told apart."""
    were = dict(old)
    return any(name != path for name, path in (*old, *new)) or any(were.get(name, path) != path for name, path in new)


def _differences(old: dict[bytes, Taken], new: dict[bytes, Taken]) -> dict[bytes, Pair]:
    pairs: dict[bytes, Pair] = {}
    for name in old.keys() | new.keys():
        first, second = old.get(name), new.get(name)
        there = second or first
        if there is not None and (first is None or second is None or first.entry != second.entry):
            pairs[there.path] = there.path, first.entry if first else None, second.entry if second else None
    return pairs


def _raw_differences(first: Moment, second: Moment, directories: Iterable[bytes]) -> dict[bytes, dict[bytes, Pair]]:
    """All that differs in these directories: by directory, by name."""
    found: dict[bytes, dict[bytes, Pair]] = {}
    for directory in directories:
        old = {entry.name: entry for entry in first.listing(directory) or ()}
        new = {entry.name: entry for entry in second.listing(directory) or ()}
        prefix = directory + b"/" if directory else b""
        pairs = {
            name: (prefix + name, old.get(name), new.get(name))
            for name in old.keys() | new.keys()
            if old.get(name) != new.get(name)
        }
        if pairs:
            found[directory] = pairs
    return found


class _Sparse:
    """A moment with only what differs in it, and the way there."""

    def __init__(self, whole: Moment, differing: dict[bytes, dict[bytes, Pair]]) -> None:
        self._whole = whole
        self._names: dict[bytes, set[bytes]] = {directory: set(names) for directory, names in differing.items()}
        for directory in differing:
            here = directory
            while here:
                above, _, name = here.rpartition(b"/")
                self._names.setdefault(above, set()).add(name)
                here = above

    def listing(self, directory: bytes) -> Listing | None:
        """The entries of a directory that differ or lead there."""
        names = self._names.get(directory)
        listing = self._whole.listing(directory) if names is not None else None
        if listing is None or names is None:
            return None
        return make_listing([entry for entry in listing if entry.name in names], listing.mtime_ns)


def _those_taken(
    first: Moment, second: Moment, use: ContextUse, differing: dict[bytes, dict[bytes, Pair]]
) -> dict[bytes, Pair]:
    """The differences that a use takes, whose names and paths are the same."""
    old_tree, new_tree = _Sparse(first, differing), _Sparse(second, differing)
    old = {taken.path: taken for root in roots(first, use) for taken in below(old_tree, root)}
    new = {taken.path: taken for root in roots(second, use) for taken in below(new_tree, root)}
    pairs = _differences(old, new)
    # A directory that is taken for what is in it was perhaps taken before for something else, which does not differ.
    return {
        path: pair
        for path, pair in pairs.items()
        if not (pair[1] is None and _was_same(first, path, pair[2]))
        and not (pair[2] is None and _was_same(second, path, pair[1]))
    }


def _was_same(other: Moment, path: bytes, entry: Entry | None) -> bool:
    """Whether a directory stood in the other moment too."""
    if entry is None or not entry.is_directory:
        return False
    above, _, name = path.rpartition(b"/")
    listing = other.listing(above)
    there = listing.find(name) if listing is not None else None
    return there is not None and there.identity == entry.identity


def _is_difference(old: Entry | None, new: Entry | None) -> bool:
    if old is None or new is None:
        return True
    if old.is_same(new) and not (old.is_known and new.is_known):
        return False
    return old.identity != new.identity


def _is_certain(pair: Pair, before: Snapshot, after: Snapshot) -> bool:
    """Whether a pair is known to be equal or not, and was so when each build began."""
    _, old, new = pair
    if (old and old.ctime_ns > before.at_ns) or (new and new.ctime_ns > after.at_ns):
        return False
    if old is None or new is None or old.is_same(new) or (old.is_known and new.is_known):
        return True
    return old.size != new.size or old.mode != new.mode


def _changes(pairs: list[Pair], is_certain: bool) -> ContextChanges:
    changed: list[bytes] = []
    added: list[bytes] = []
    removed: list[bytes] = []
    size = 0
    for path, old, new in sorted(pairs, key=lambda pair: pair[0]):
        (added if old is None else removed if new is None else changed).append(path)
        size += new.size if new is not None and new.is_file else 0
    return ContextChanges(
        _named(changed), _named(added), _named(removed), len(changed), len(added), len(removed), size, is_certain
    )


def _named(paths: list[bytes]) -> tuple[str, ...]:
    return tuple(readable(path) for path in paths[:MAX_PATHS])


def readable(path: bytes) -> str:
    """A path as text: what is not UTF-8 or cannot be printed is escaped."""
    text = path[:MAX_PATH_LENGTH].decode("utf-8", "backslashreplace")
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
