"""What makes the difference of size between two images: which layers, and which files."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from heapq import nsmallest
from operator import attrgetter

from buildprof.analysis.image import display_path
from buildprof.analysis.stack import Stack
from buildprof.model.image import FileGrowth, ImageLayer

MAX_GROWTHS = 100
"""How many files a comparison lists."""


@dataclass(frozen=True, slots=True)
class LayerGrowth:
    """A layer that is not in both images, or a pair of them that one command made.

    `before` and `after` are indices, None for a layer that came, or went; `before_bytes` and `after_bytes` are those of
    the layers' files, 0 where there is no layer.
    """

    before: int | None
    after: int | None
    command: str
    before_bytes: int
    after_bytes: int

    @property
    def difference_bytes(self) -> int:
        """After less before."""
        return self.after_bytes - self.before_bytes


@dataclass(frozen=True, slots=True)
class ImageGrowth:
    """An image and a later one. The stored bytes are those of all layers, the visible ones of what is seen in the end.

    `common_layers` counts the layers that both have at the same place; `layers` are all others, in the order of the
    later image, then those that went. Their differences sum up to that of the stored bytes. `files` are the MAX_GROWTHS
    visible files that differ most, the largest difference first; of all that differ `file_count` is the number,
    `grown_bytes` what they grew and `shrunk_bytes` what they shrank: grown - shrunk is the difference of the visible
    bytes.
    """

    stored_before_bytes: int
    stored_after_bytes: int
    visible_before_bytes: int
    visible_after_bytes: int
    common_layers: int
    layers: tuple[LayerGrowth, ...]
    files: tuple[FileGrowth, ...]
    file_count: int
    grown_bytes: int
    shrunk_bytes: int


def growth(before: Sequence[ImageLayer], after: Sequence[ImageLayer]) -> ImageGrowth:
    """Compare two images by their layers, the lowest first.

    A file is one however many names it has, and goes by the first of them. It differs if its bytes do, whatever its
    mode and times are; bytes that were not read differ from all but themselves.
    """
    earlier, later = Stack(before), Stack(after)
    files: list[_Difference] = []
    file_count = grown_bytes = shrunk_bytes = 0
    for one in _differences(earlier, later, _common_files(before, after, later)):
        file_count += 1
        grown_bytes += max(one.difference_bytes, 0)
        shrunk_bytes += max(-one.difference_bytes, 0)
        files.append(one)
        if len(files) >= 8 * MAX_GROWTHS:
            files = nsmallest(MAX_GROWTHS, files, key=attrgetter("rank"))
    return ImageGrowth(
        stored_before_bytes=sum(earlier.sizes),
        stored_after_bytes=sum(later.sizes),
        visible_before_bytes=earlier.visible_bytes,
        visible_after_bytes=later.visible_bytes,
        common_layers=sum(_is_common(*pair) for pair in zip(before, after, strict=False)),
        layers=tuple(_layer_growths(before, after)),
        files=tuple(one.growth() for one in nsmallest(MAX_GROWTHS, files, key=attrgetter("rank"))),
        file_count=file_count,
        grown_bytes=grown_bytes,
        shrunk_bytes=shrunk_bytes,
    )


@dataclass(frozen=True, slots=True)
class _Difference:
    """A FileGrowth with the path as it is."""

    path: bytes
    before_bytes: int | None
    after_bytes: int | None
    layer: int

    @property
    def difference_bytes(self) -> int:
        return (self.after_bytes or 0) - (self.before_bytes or 0)

    @property
    def rank(self) -> tuple[int, int, bytes]:
        """The largest difference first; of equal ones the largest file."""
        return -abs(self.difference_bytes), -max(self.before_bytes or 0, self.after_bytes or 0), self.path

    def growth(self) -> FileGrowth:
        return FileGrowth(display_path(self.path), self.before_bytes, self.after_bytes, self.layer)


def _common_files(before: Sequence[ImageLayer], after: Sequence[ImageLayer], later: Stack) -> int:
    """How many files, from the first on, both images have in the same layers: they have the same numbers in both."""
    layers = 0
    for pair in zip(before, after, strict=False):
        if not _is_common(*pair):
            break
        layers += 1
    return later.starts[layers]


def _differences(earlier: Stack, later: Stack, common: int) -> Iterator[_Difference]:
    """The visible files that differ, in no order."""
    old = {path: number for path, number in earlier.seen() if number >= common or not later.names[number]}
    for path, number in later.seen():
        if number < common and earlier.names[number]:
            continue
        before, size_bytes = old.pop(path, None), later.sizes[number]
        if before is None:
            yield _Difference(path, None, size_bytes, later.layer_of(number))
            continue
        content = later.content(number)
        if content is None or content != earlier.content(before) or size_bytes != earlier.sizes[before]:
            yield _Difference(path, earlier.sizes[before], size_bytes, later.layer_of(number))
    for path, number in old.items():
        yield _Difference(path, earlier.sizes[number], None, earlier.layer_of(number))


def _is_common(before: ImageLayer, after: ImageLayer) -> bool:
    return before.digest == after.digest


def _layer_growths(before: Sequence[ImageLayer], after: Sequence[ImageLayer]) -> Iterator[LayerGrowth]:
    """Layers of one digest are a pair wherever they are, then those of one command, in their order."""
    in_place = {index for index, pair in enumerate(zip(before, after, strict=False)) if _is_common(*pair)}
    old = [index for index in range(len(before)) if index not in in_place]
    new = [index for index in range(len(after)) if index not in in_place]
    pairs: dict[int, int] = {}
    for attribute in ("digest", "command"):
        key = attrgetter(attribute)
        waiting: defaultdict[str, deque[int]] = defaultdict(deque)
        for index in _without(old, pairs.values()):
            if key(before[index]):
                waiting[key(before[index])].append(index)
        for index in _without(new, pairs):
            if partners := waiting.get(key(after[index])):
                pairs[index] = partners.popleft()
    for index in new:
        partner = pairs.get(index)
        before_bytes = 0 if partner is None else before[partner].files.size_bytes
        yield LayerGrowth(partner, index, after[index].command, before_bytes, after[index].files.size_bytes)
    for index in _without(old, pairs.values()):
        yield LayerGrowth(index, None, before[index].command, before[index].files.size_bytes, 0)


def _without(indices: Iterable[int], taken: Iterable[int]) -> list[int]:
    known = set(taken)
    return [index for index in indices if index not in known]
