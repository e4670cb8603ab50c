"""A layer's tar archive as it passes: its entries, with the hashes of their contents."""

from __future__ import annotations

from dataclasses import dataclass

from xxhash import xxh3_128

from buildprof.model.layer_files import EntryKind, LayerEntry, LayerFiles, LayerFilesBuilder
from buildprof.model.text import clean, human_size
from buildprof.sources.layers.errors import LayerError, LayerLimitError
from buildprof.sources.layers.streams import CHUNK_BYTES, Readable
from buildprof.sources.layers.tar_reader import Segments, TarReader

MAX_PATH_BYTES = 4096
"""Linux takes no longer one (PATH_MAX)."""

_ZEROS = bytes(1 << 16)


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is read before giving up. `unpacked_bytes` counts what comes out of decompression, and holes of files."""

    unpacked_bytes: int = 1 << 38
    entries: int = 2_000_000
    name_bytes: int = 512 << 20


DEFAULT_LIMITS = Limits()


def read_layer(stream: Readable, limits: Limits = DEFAULT_LIMITS) -> LayerFiles:  # noqa: C901, PLR0912  # a million turns in a layer: one loop, in line
    """The entries of an unpacked layer, in its order; contents are hashed as they pass. Reads `stream` to its end.

    Raises LayerError for what is no tar or is cut off, and for names with `..` in them, empty, or longer than
    MAX_PATH_BYTES; LayerLimitError for more than the limits allow.
    """
    found = LayerFilesBuilder()
    reader = TarReader(stream)
    name_bytes = hole_bytes = 0
    max_entries, max_name_bytes = limits.entries, limits.name_bytes
    for count, (name, kind, size, link, segments) in enumerate(reader, 1):
        path = _path(name)
        if b".wh." in path and (markers := _markers(path)) is not None:
            for marker in markers:
                found.add(marker)
        elif kind == b"0":
            if segments is None:
                content = reader.digest()
            else:
                hole_bytes += size
                if hole_bytes > limits.unpacked_bytes:
                    raise LayerLimitError(f"sparse files of more than {human_size(limits.unpacked_bytes)}")
                content = _sparse_digest(reader, segments, size)
            found.add(LayerEntry(path, EntryKind.FILE, size, content))
        elif kind == b"5":
            found.add(LayerEntry(path, EntryKind.DIRECTORY))
        elif kind == b"2":
            if len(link) > MAX_PATH_BYTES:
                raise LayerError(f"a link longer than {MAX_PATH_BYTES} bytes: {_shown(path)}")
            found.add(LayerEntry(path, EntryKind.SYMLINK, target=link))
        elif kind == b"1":
            found.add(LayerEntry(path, EntryKind.HARD_LINK, target=_path(link)))
        else:
            found.add(LayerEntry(path, EntryKind.OTHER))
        if not path and kind != b"5":
            raise LayerError("an entry without a name")
        name_bytes += len(path) + len(link)
        if count > max_entries or name_bytes > max_name_bytes:
            raise LayerLimitError(f"more than {max_entries} entries, or {human_size(max_name_bytes)} of names")
    reader.drain()
    return found.build()


def _path(name: bytes) -> bytes:
    """A name relative to the root: without `.`, empty parts and slashes around it."""
    if name.endswith(b"/"):
        name = name[:-1]
    if len(name) > MAX_PATH_BYTES:
        raise LayerError(f"a name longer than {MAX_PATH_BYTES} bytes: {_shown(name)}")
    if name[:1] not in b"./" and b"/." not in name and b"//" not in name:
        return name
    parts = [part for part in name.split(b"/") if part not in {b"", b"."}]
    if b".." in parts:
        raise LayerError(f"a name that leaves the image: {_shown(name)}")
    return b"/".join(parts)


def _markers(path: bytes) -> tuple[LayerEntry, ...] | None:
    """The whiteout or opaque directory that a path stands for (OCI image specification, layer.md); None if it is none.

    Empty for what aufs kept for itself: `.wh..wh.` and a name, and all below it.
    """
    directory, slash, name = path.rpartition(b"/")
    if name == b".wh..wh..opq":
        return (LayerEntry(directory, EntryKind.OPAQUE_DIRECTORY),)
    if path.startswith(b".wh..wh.") or name.startswith(b".wh..wh."):
        return ()
    if not name.startswith(b".wh."):
        return None
    if name in {b".wh.", b".wh..", b".wh..."}:
        raise LayerError(f"a whiteout of nothing: {_shown(path)}")
    return (LayerEntry(directory + slash + name[4:], EntryKind.WHITEOUT),)


def _sparse_digest(reader: TarReader, segments: Segments, size_bytes: int) -> bytes:
    """The digest of a sparse file as if its zeros were there."""
    state = xxh3_128()
    at = 0
    for offset, length in (*segments, (size_bytes, 0)):
        for left in range(offset - at, 0, -len(_ZEROS)):
            state.update(_ZEROS[:left])
        at = offset + length
        stored = length
        while stored and (chunk := reader.read(min(stored, CHUNK_BYTES))):
            state.update(chunk)
            stored -= len(chunk)
    return state.digest()


def _shown(name: bytes) -> str:
    return repr(clean(name[:300].decode("utf-8", "replace"), 200))
