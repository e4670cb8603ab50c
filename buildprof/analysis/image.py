"""Which bytes of an image's layers are seen in the end, which are not, and which layer is to blame.

Layers are laid over each other as the OCI image specification has it (layer.md, "Applying Changesets"): the whiteouts
and opaque directories of a layer act on the layers below it alone; directories merge; all else replaces what has its
name, with all that was below it. Time and memory are linear in the entries.
"""

from __future__ import annotations

from array import array
from bisect import bisect
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import compress
from struct import iter_unpack

from buildprof.model.image import ImageAnalysis, ImageLayer, LayerSummary, Waste, WasteKind
from buildprof.model.layer_files import CONTENT_BYTES, UNKNOWN_CONTENT, EntryKind, LayerFiles
from buildprof.model.text import clean

MAX_WASTE = 100
"""How many wastes of each kind an analysis lists."""

# What a name stands for: the number of a file, or one of these. The layer that put something without bytes there is
# subtracted from _OTHER, so that a layer knows what is its own.
_DIRECTORY = -1
_OTHER = -2

_REMOVED, _OVERWRITTEN, _METADATA_ONLY = 1, 2, 3
_FATES = {_REMOVED: WasteKind.REMOVED, _OVERWRITTEN: WasteKind.OVERWRITTEN, _METADATA_ONLY: WasteKind.METADATA_ONLY}

# Names of directories, which are kept whole, may take so much and this many times what all names of the layers take.
_FREE_BYTES, _ROOM = 64 * 2**20, 4

_FILE = int(EntryKind.FILE)  # a member of an enumeration is slow to get
_NAMES = (EntryKind.FILE, EntryKind.HARD_LINK, EntryKind.SYMLINK, EntryKind.OTHER)
_WITHOUT_NAME = frozenset(set(EntryKind).difference(_NAMES))
_IS_FILE = bytes(kind == EntryKind.FILE for kind in range(256))

_Found = tuple[int, int, bytes, int, bytes]
"""A waste as it is sorted: minus its bytes, layer, path, the layer that caused it, the path of the same bytes."""


class TooDeepError(Exception):
    """The names imply more directories than memory should be given for; the message is one line."""


class Stack:
    """Layers laid over each other. Their FILE entries are numbered, from the first of the lowest layer on.

    `starts` has the first number of each layer and, last, how many there are. `names` counts the names that each file
    has in the end. `fates` and `causes` tell of one without a name what became of it (an index of `_FATES`) and in
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
        fate = _OVERWRITTEN
        if now is None:
            fate = _REMOVED
        elif now >= self._first and self.sizes[old] == self.sizes[now]:
            content = self.content(old)
            fate = _METADATA_ONLY if content and content == self.content(now) else _OVERWRITTEN
        self.causes[old] = index
        self.fates[old] = max(self.fates[old], fate)


def analyse(layers: Sequence[ImageLayer]) -> ImageAnalysis:
    """Find what of an image's layers, the lowest first, is wasted.

    A file's bytes are wasted, once, when it has lost its last name; the waste has the path of the file's entry. Files
    of no bytes waste nothing and are not listed. Wastes are in the order of their bytes, then of layer and path; the
    MAX_WASTE largest of each kind are listed. `wasted_bytes` is the sum of `waste_bytes` without duplicates.

    Raises:
        TooDeepError: see there.
    """
    stack = Stack(layers)
    stack.forget_names()
    found: dict[WasteKind, list[_Found]] = {kind: [] for kind in WasteKind}
    totals, counts = dict.fromkeys(WasteKind, 0), dict.fromkeys(WasteKind, 0)
    own_wasted_bytes = 0
    summaries = []
    for index, layer in enumerate(layers):
        wasted_bytes = 0
        for number, path in _files(stack, index, layer, stack.fates):
            size_bytes, kind, cause = stack.sizes[number], _FATES[stack.fates[number]], stack.causes[number]
            if not size_bytes:
                continue
            wasted_bytes += size_bytes
            own_wasted_bytes += 0 if layers[cause].is_base else size_bytes
            totals[kind] += size_bytes
            counts[kind] += 1
            _keep_largest(found[kind], (-size_bytes, index, path, cause, b""))
        summaries.append(_summary(index, layer, stack.changes[index], wasted_bytes))
    for one in _duplicates(stack, layers):
        totals[WasteKind.DUPLICATE] -= one[0]
        counts[WasteKind.DUPLICATE] += 1
        _keep_largest(found[WasteKind.DUPLICATE], one)
    return ImageAnalysis(
        stored_bytes=sum(stack.sizes),
        visible_bytes=stack.visible_bytes,
        own_wasted_bytes=own_wasted_bytes,
        layers=tuple(summaries),
        waste=tuple(_listed(found)),
        waste_bytes=totals,
        waste_count=counts,
    )


def display_path(path: bytes) -> str:
    """A path of an image as it may be shown to people: one line, 4096 characters at most."""
    return clean(path.decode("utf-8", "surrogateescape"))


def _files(stack: Stack, index: int, layer: ImageLayer, chosen: bytes | bytearray) -> Iterator[tuple[int, bytes]]:
    """The number and the path of those files of a layer for which `chosen`, of all files, is not 0."""
    first, end = stack.starts[index], stack.starts[index + 1]
    of_layer = chosen[first:end]
    if not any(of_layer):
        return iter(())
    paths = compress(layer.files.paths.split(b"\0"), layer.files.kinds.translate(_IS_FILE))
    return compress(zip(range(first, end), paths, strict=True), of_layer)


def _duplicates(stack: Stack, layers: Sequence[ImageLayer]) -> Iterator[_Found]:
    """All but the first of the visible files that have the same bytes, in the order of layers and paths."""
    digests = [digest for (digest,) in iter_unpack(f"{CONTENT_BYTES}s", stack.contents)]
    counts = Counter(compress(digests, stack.names))
    repeated = {digest for digest, count in counts.items() if count > 1} - {UNKNOWN_CONTENT}
    chosen = bytearray(map(repeated.__contains__, digests))
    del digests, counts  # of a million files they take as much as all else
    for number in compress(range(len(chosen)), bytes(chosen)):
        chosen[number] = stack.sizes[number] > 0 and stack.names[number] > 0
    first: dict[tuple[bytes | None, int], bytes] = {}
    for index, layer in enumerate(layers):
        for path, number in sorted((path, number) for number, path in _files(stack, index, layer, chosen)):
            key = stack.content(number), stack.sizes[number]
            if key in first:
                yield -stack.sizes[number], index, path, index, first[key]
            else:
                first[key] = path


def _keep_largest(found: list[_Found], one: _Found) -> None:
    found.append(one)
    if len(found) >= 8 * MAX_WASTE:
        found.sort()
        del found[MAX_WASTE:]


def _listed(found: dict[WasteKind, list[_Found]]) -> Iterable[Waste]:
    largest = [(one, kind) for kind, ones in found.items() for one in sorted(ones)[:MAX_WASTE]]
    for (minus_bytes, layer, path, cause, same_as), kind in sorted(largest):
        yield Waste(display_path(path), -minus_bytes, kind, layer, cause, display_path(same_as))


def _summary(index: int, layer: ImageLayer, changes: tuple[int, int, int], wasted_bytes: int) -> LayerSummary:
    added, changed, removed = changes
    return LayerSummary(
        index=index,
        digest=layer.digest,
        size_bytes=layer.files.size_bytes,
        compressed_bytes=layer.compressed_bytes,
        command=layer.command,
        is_base=layer.is_base,
        files_added=added,
        files_changed=changed,
        files_removed=removed,
        wasted_bytes=wasted_bytes,
    )
