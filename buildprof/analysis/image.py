"""Which bytes of an image's layers are seen in the end, which are not, and which layer is to blame."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import compress
from struct import iter_unpack

from buildprof.analysis.stack import METADATA_ONLY, OVERWRITTEN, REMOVED, Stack
from buildprof.model.image import ImageAnalysis, ImageLayer, LayerSummary, Waste, WasteKind
from buildprof.model.layer_files import CONTENT_BYTES, UNKNOWN_CONTENT, EntryKind
from buildprof.model.text import clean

MAX_WASTE = 100
"""How many wastes of each kind an analysis lists."""

_FATES = {REMOVED: WasteKind.REMOVED, OVERWRITTEN: WasteKind.OVERWRITTEN, METADATA_ONLY: WasteKind.METADATA_ONLY}
_IS_FILE = bytes(kind == EntryKind.FILE for kind in range(256))

_Found = tuple[int, int, bytes, int, bytes]
"""A waste as it is sorted: minus its bytes, layer, path, the layer that caused it, the path of the same bytes."""


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
