"""Layers laid over each other, and what becomes of their files.

As the OCI image specification has it (layer.md, "Applying Changesets"): the whiteouts and opaque directories of a layer
act on the layers below it alone; directories merge; all else replaces what has its name, with all that was below it.
Time and memory are linear in the entries.
"""

from __future__ import annotations

from array import array
from bisect import bisect
from collections.abc import Iterator, Sequence
from itertools import compress

from buildprof.model.image import ImageLayer
from buildprof.model.layer_files import CONTENT_BYTES, UNKNOWN_CONTENT, EntryKind, LayerFiles

# What a name stands for: the number of a file, or one of these. The layer that put something without bytes there is
# subtracted from _OTHER, so that a layer knows what is its own.
_DIRECTORY = -1
_OTHER = -2

REMOVED, OVERWRITTEN, METADATA_ONLY = 1, 2, 3
"""What becomes of a file that has lost its last name; of several that tells most which is highest."""

# Names of directories, which are kept whole, may take so much and this many times what all names of the layers take.
_FREE_BYTES, _ROOM = 64 * 2**20, 4

_FILE = int(EntryKind.FILE)  # a member of an enumeration is slow to get
_NAMES = (EntryKind.FILE, EntryKind.HARD_LINK, EntryKind.SYMLINK, EntryKind.OTHER)
_WITHOUT_NAME = frozenset(set(EntryKind).difference(_NAMES))


class TooDeepError(Exception):
    """The names imply more directories than memory should be given for; the message is one line."""


class Stack:
    """Layers laid over each other. Their FILE entries are numbered, from the first of the lowest layer on.

    `starts` has the first number of each layer and, last, how many there are. `names` counts the names that each file
    has in the end. `fates` and `causes` tell of one without a name what became of it (REMOVED, OVERWRITTEN or METADATA_ONLY) and in
    which layer. `changes` has for each layer how many names it added, changed and removed, those of directories not
    counted.

    Raises:
        TooDeepError: a name of 4 KiB can imply directories whose names take 4 MiB, and a hostile archive many of them.
    """

    def __init__(self, layers: Sequence[ImageLayer]) -> None:
        self.sizes, self.starts = array("Q"), [0]
        for layer in layers:
            self.sizes.frombytes(layer.files.sizes)
            self.starts.append(len(self.sizes))
        self.contents = b"".join(layer.files.contents for layer in layers)
        self.names = array("I", [1]) * len(self.sizes)  # the one that its entry gives it
        self.causes, self.fates = array("I", [0]) * len(self.sizes), bytearray(len(self.sizes))
        self.changes: list[tuple[int, int, int]] = []
        self._room_bytes = _FREE_BYTES + _ROOM * sum(len(layer.files.paths) for layer in layers)
        self._directories: dict[bytes, dict[bytes, int]] = {b"": {}}  # each with the whole paths of what is in it
        # Of the layer that is being laid: names of the layers below that it took or replaced, with what they stood for.
        # None: they showed no such name, and the layer made it a link to a file of theirs, whose number would not tell.
        self._below: dict[bytes, int | None] = {}
        self._own_lost: list[tuple[bytes, int]] = []  # names that it gave to a file and took again
        for index, layer in enumerate(layers):
            self._lay(index, layer.files)

    @property
    def visible_bytes(self) -> int:
        """Bytes of all files that have a name in the end."""
        return sum(compress(self.sizes, self.names))

    def layer_of(self, number: int) -> int:
        """The index of the layer that has a file."""
        return bisect(self.starts, number) - 1

    def content(self, number: int) -> bytes | None:
        """The digest of a file's bytes; None if they are not known."""
        digest = self.contents[number * CONTENT_BYTES : (number + 1) * CONTENT_BYTES]
        return None if digest == UNKNOWN_CONTENT else digest

    def seen(self) -> Iterator[tuple[bytes, int]]:
        """The files that are seen in the end, each once, with the first of its names in the order of bytes."""
        linked: dict[int, bytes] = {}
        for children in self._directories.values():
            for path, number in children.items():
                if number < 0:
                    continue
                if self.names[number] == 1:
                    yield path, number
                else:
                    linked[number] = min(linked.get(number, path), path)
        for number, path in linked.items():
            yield path, number

    def forget_names(self) -> None:
        """Let go of the memory that `seen` needs."""
        self._directories.clear()
        self._below.clear()

    def _lay(self, index: int, files: LayerFiles) -> None:
        self._first, self._mark = self.starts[index], _OTHER - index
        self._added, self._below, self._own_lost = 0, {}, []
        paths = files.paths.split(b"\0")
        self._take_away(files, paths)
        self._put(files, paths)
        self._settle(index)

    def _take_away(self, files: LayerFiles, paths: list[bytes]) -> None:
        """Remove what the layer's whiteouts and opaque directories hide of the layers below."""
        if EntryKind.WHITEOUT not in files.kinds and EntryKind.OPAQUE_DIRECTORY not in files.kinds:
            return
        for kind, path in zip(files.kinds, paths, strict=False):
            if kind == EntryKind.WHITEOUT:
                siblings = self._directories.get(path.rpartition(b"/")[0], {})
                if (old := siblings.pop(path, None)) is not None:
                    self._lose(path, old)
            elif kind == EntryKind.OPAQUE_DIRECTORY and path in self._directories:
                self._lose_tree(path)
                self._directories[path] = {}

    def _put(self, files: LayerFiles, paths: list[bytes]) -> None:
        """Lay the entries over what is there, in their order."""
        below, first, number = self._below, self._first, self._first
        targets = iter(files.targets.split(b"\0"))
        parent, children = b"", self._directories[b""]
        self._added = sum(map(files.kinds.count, _NAMES))
        for kind, path in zip(files.kinds, paths, strict=False):
            if kind == _FILE:
                value = number
                number += 1
            elif kind in _WITHOUT_NAME:
                if kind != EntryKind.WHITEOUT:
                    self._directory(path)
                continue
            else:
                target = next(targets) if kind != EntryKind.OTHER else b""
                value = self._linked(target) if kind == EntryKind.HARD_LINK else self._mark
            directory = path.rpartition(b"/")[0]
            if directory != parent:
                parent, children = directory, self._directory(directory)
            if path in children:
                self._lose(path, children[path])
            children[path] = value
            if 0 <= value < first:
                below.setdefault(path, None)
            if below and path in below:
                self._added -= 1

    def _directory(self, path: bytes) -> dict[bytes, int]:
        """What is in a directory, which is made, with its parents, where there is none."""
        missing = []
        while (children := self._directories.get(path)) is None:
            missing.append(path)
            path = path.rpartition(b"/")[0]
        for one in reversed(missing):
            self._room_bytes -= len(one)
            if self._room_bytes < 0:
                raise TooDeepError("the image has names in too many directories that are nested too deep")
            if (old := children.get(one)) is not None:
                self._lose(one, old)
            children[one] = _DIRECTORY
            children = self._directories[one] = {}
        return children

    def _linked(self, target: bytes) -> int:
        """Give one more name to the file that a hard link points to, even if this layer took it from those below."""
        value = self._at(target)
        if value is None or value == _DIRECTORY:
            value = self._below.get(target)
        if value is None or value < 0:
            return self._mark
        self.names[value] += 1
        return value

    def _at(self, path: bytes) -> int | None:
        return self._directories.get(path.rpartition(b"/")[0], {}).get(path)

    def _lose(self, path: bytes, old: int) -> None:
        """Note that a name no longer stands for what it did; the caller changes the directory that has it."""
        if old == _DIRECTORY:
            self._lose_tree(path)
            return
        if old >= 0:
            self.names[old] -= 1
        if path not in self._below:
            if old < self._first and old != self._mark:
                self._below[path] = old
                return
            self._added -= 1
        if old >= 0:
            self._own_lost.append((path, old))

    def _lose_tree(self, path: bytes) -> None:
        directories = [path]
        while directories:
            for child, old in self._directories.pop(directories.pop()).items():
                if old == _DIRECTORY:
                    directories.append(child)
                else:
                    self._lose(child, old)

    def _settle(self, index: int) -> None:
        """Count what changed, and settle the fate of files that lost their last name.

        Of several names that went at once the one that tells most counts: where the same bytes are now, else where
        anything is.
        """
        added, changed, removed = self._added, 0, 0
        parent, children = b"", self._directories[b""]
        for path, old in self._below.items():
            directory = path.rpartition(b"/")[0]
            if directory != parent:
                parent, children = directory, self._directories.get(directory, {})
            now = children.get(path)
            if now is None or now == _DIRECTORY:
                removed += old is not None
            elif old is None:
                added += 1
            else:
                changed += 1
            if old is not None:
                self._decide(old, now, index)
        for path, old in self._own_lost:
            self._decide(old, self._at(path), index)
        self.changes.append((added, changed, removed))

    def _decide(self, old: int, now: int | None, index: int) -> None:
        """What became of a file that lost a name which stands for something else now."""
        if old < 0 or self.names[old]:
            return
        fate = OVERWRITTEN
        if now is None:
            fate = REMOVED
        elif now >= self._first and self.sizes[old] == self.sizes[now]:
            content = self.content(old)
            fate = METADATA_ONLY if content and content == self.content(now) else OVERWRITTEN
        self.causes[old] = index
        self.fates[old] = max(self.fates[old], fate)
