"""Images with known waste: random layers, what they must be found to be, and ways to put them where layers are found.

`images()` makes layers that every way can hold: as tar streams (`layer_tar`), as upper directories of an overlay
(`write_upper_directory`, root only), in archives of whole images (`image_archive`). `wild_layers()` makes layers that
only a tar stream can hold: names twice, parents that are missing, links to what is not there.

`truth` says what an analysis has to find. It shares nothing with the analysis: it copies whole trees of files, lays the
entries over them one by one, and looks which files are left.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import platform
import stat
import tarfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias

import xxhash
from hypothesis import strategies as st

from buildprof.model.image import ImageLayer, WasteKind
from buildprof.model.layer_files import EntryKind, LayerEntry, LayerFiles, LayerFilesBuilder

NAMES = (b"a", b"b", b"c", b"a.b", b"lib", b"with space", "é".encode(), b"\xff\xfe", b"new\nline", b"x" * 120)
"""Names of files: few, so that layers meet; strange ones among them."""

_DIRECTORY_KINDS = frozenset({EntryKind.DIRECTORY, EntryKind.OPAQUE_DIRECTORY})


@dataclass(frozen=True, slots=True)
class MadeEntry:
    """An entry of a layer with all that an archive has of it; OTHER is a FIFO."""

    path: bytes
    kind: EntryKind
    data: bytes = b""
    target: bytes = b""
    mode: int = 0o644


MadeLayer: TypeAlias = tuple[MadeEntry, ...]


def layer_files(layer: MadeLayer) -> LayerFiles:
    """What reading the layer must give."""
    builder = LayerFilesBuilder()
    for entry in layer:
        if entry.kind is EntryKind.FILE:
            digest = xxhash.xxh3_128_digest(entry.data)
            builder.add(LayerEntry(entry.path, entry.kind, len(entry.data), digest))
        else:
            builder.add(LayerEntry(entry.path, entry.kind, target=entry.target))
    return builder.build()


def image_layers(layers: Sequence[MadeLayer], base_layers: int = 0) -> tuple[ImageLayer, ...]:
    """The layers as they are analysed."""
    return tuple(
        ImageLayer(
            digest="sha256:" + hashlib.sha256(layer_tar(layer)).hexdigest(),
            files=layer_files(layer),
            command=f"RUN step {index}",
            is_base=index < base_layers,
        )
        for index, layer in enumerate(layers)
    )


# Random layers


CONTENTS = st.sampled_from([b"", b"x", b"y", b"yy", b"z" * 512, b"w" * 5000])
"""Few, so that files are alike; some of equal size, one of more than a block of an archive, one of nothing."""

_LIKELY_NAMES = st.one_of(st.sampled_from(NAMES[:3]), st.sampled_from(NAMES))
PATHS = st.lists(_LIKELY_NAMES, min_size=1, max_size=3).map(b"/".join)
_SHORT_PATHS = st.lists(_LIKELY_NAMES, min_size=1, max_size=2).map(b"/".join)

_KINDS = st.sampled_from(EntryKind)
_MODES = st.sampled_from((0o755, 0o700))
_TARGETS = st.sampled_from((b"a", b"/b/c", b"../nothing"))


@st.composite
def images(
    draw: st.DrawFn, max_layers: int = 5, max_changes: int = 8, *, links_below: bool = False
) -> tuple[MadeLayer, ...]:
    """Layers as engines make them: parents first, names in order, each once, no whiteout of a name that is there.

    `links_below` allows hard links to files of lower layers, which a directory cannot hold.
    """
    layers: list[MadeLayer] = []
    tree: Tree = {}
    for index in range(draw(st.integers(1, max_layers))):
        layer = _layer_over(draw, tree, max_changes, links_below=links_below)
        tree = _applied(tree, layer, index)[0]
        layers.append(layer)
    return tuple(layers)


def _layer_over(draw: st.DrawFn, below: Tree, max_changes: int, *, links_below: bool) -> MadeLayer:
    """Changes of what is there are as likely as new names."""
    there = _names(below)
    names = sorted([*there, *_directories(below)])
    upper: dict[bytes, MadeEntry] = {}
    opaque: set[bytes] = set()
    for _ in range(draw(st.integers(0, max_changes))):
        path = draw(st.sampled_from(names) if names and draw(st.booleans()) else PATHS)
        entry = _change(draw, path, there, upper, links_below=links_below)
        if not _fits(entry, upper):
            continue
        if entry.kind is EntryKind.OPAQUE_DIRECTORY:
            opaque.add(path)
            entry = replace(entry, kind=EntryKind.DIRECTORY)
        upper |= {one: MadeEntry(one, EntryKind.DIRECTORY, mode=0o755) for one in _parents(path) if one not in upper}
        upper[path] = entry
    entries = []
    for entry in sorted(upper.values(), key=lambda one: _order(one.path)):
        entries.append(entry)
        if entry.path in opaque:
            entries.append(MadeEntry(entry.path, EntryKind.OPAQUE_DIRECTORY))
    return tuple(entries)


def _change(
    draw: st.DrawFn, path: bytes, there: dict[bytes, Name], upper: dict[bytes, MadeEntry], *, links_below: bool
) -> MadeEntry:
    """A change of one name over what the layers below show, `there`; of a directory both kinds have a mode."""
    kind = draw(_KINDS)
    if kind in _DIRECTORY_KINDS:
        return MadeEntry(path, kind, mode=draw(_MODES))
    if kind is EntryKind.SYMLINK:
        return MadeEntry(path, kind, target=draw(_TARGETS))
    if kind in {EntryKind.OTHER, EntryKind.WHITEOUT}:
        return MadeEntry(path, kind)
    if kind is EntryKind.HARD_LINK:
        # the first name in the order of an archive is the file, so that a directory is read as the same entries
        own = [one.path for one in upper.values() if one.kind is EntryKind.FILE and _order(one.path) < _order(path)]
        lower = [name for name, one in there.items() if isinstance(one, Inode) and name != path]
        if targets := sorted(own + [name for name in lower if links_below and _is_free(name, upper)]):
            return MadeEntry(path, kind, target=draw(st.sampled_from(targets)))
    old = there.get(path)
    if isinstance(old, Inode) and draw(st.booleans()):
        return MadeEntry(path, EntryKind.FILE, old.data, mode=0o755)
    return MadeEntry(path, EntryKind.FILE, draw(CONTENTS))


def _order(path: bytes) -> list[bytes]:
    """Parents first, then by name."""
    return path.split(b"/")


def _parents(path: bytes) -> list[bytes]:
    names = path.split(b"/")[:-1]
    return [b"/".join(names[: end + 1]) for end in range(len(names))]


def _is_free(path: bytes, upper: dict[bytes, MadeEntry]) -> bool:
    """Whether a layer leaves a name of the layers below as it is."""
    return path not in upper and not any(
        upper[one].kind not in _DIRECTORY_KINDS for one in _parents(path) if one in upper
    )


def _fits(entry: MadeEntry, upper: dict[bytes, MadeEntry]) -> bool:
    if not _is_free(entry.path, upper):
        return False
    below = entry.path + b"/"
    return entry.kind in _DIRECTORY_KINDS or not any(path.startswith(below) for path in upper)


def wild_layers(max_layers: int = 4, max_entries: int = 10) -> st.SearchStrategy[tuple[MadeLayer, ...]]:
    """Any entries in any order."""
    path = _SHORT_PATHS
    entries = st.one_of(
        st.builds(MadeEntry, path, st.just(EntryKind.FILE), CONTENTS),
        st.builds(MadeEntry, path, st.just(EntryKind.HARD_LINK), target=path),
        st.builds(MadeEntry, path, st.sampled_from((EntryKind.WHITEOUT, EntryKind.DIRECTORY, EntryKind.OTHER))),
        st.builds(MadeEntry, path | st.just(b""), st.just(EntryKind.OPAQUE_DIRECTORY)),
        st.builds(MadeEntry, path, st.just(EntryKind.SYMLINK), target=path),
    )
    return st.lists(st.lists(entries, max_size=max_entries).map(tuple), max_size=max_layers).map(tuple)


# What is true of them


@dataclass(eq=False, slots=True)
class Inode:
    """A file: the bytes of a FILE entry."""

    layer: int
    path: bytes
    data: bytes


@dataclass(eq=False, slots=True)
class Special:
    """Anything without bytes: a symbolic link, a FIFO."""


Name: TypeAlias = Inode | Special
Tree: TypeAlias = "dict[bytes, Name | Tree]"


@dataclass(frozen=True, slots=True, order=True)
class TrueWaste:
    """As `Waste`, with the path as it is."""

    path: bytes
    bytes: int
    kind: WasteKind
    layer: int
    caused_by_layer: int
    same_as: bytes = b""


@dataclass(frozen=True, slots=True)
class TrueLayer:
    """As `LayerSummary`."""

    size_bytes: int
    files_added: int
    files_changed: int
    files_removed: int
    wasted_bytes: int


@dataclass(frozen=True, slots=True)
class Truth:
    """What an analysis has to find; `waste` in no order, `visible` the bytes of each file by its names."""

    stored_bytes: int
    visible_bytes: int
    own_wasted_bytes: int
    layers: tuple[TrueLayer, ...]
    waste: tuple[TrueWaste, ...]
    visible: dict[bytes, bytes]


def truth(layers: Sequence[MadeLayer], base_layers: int = 0) -> Truth:
    """Count by hand."""
    tree: Tree = {}
    waste: list[TrueWaste] = []
    counts: list[tuple[int, int, int]] = []
    for index, layer in enumerate(layers):
        before = _names(tree)
        tree, given = _applied(tree, layer, index)
        after = _names(tree)
        counts.append(
            (
                len(after.keys() - before.keys()),
                sum(1 for path in after.keys() & before.keys() if path in {name for name, _ in given}),
                len(before.keys() - after.keys()),
            )
        )
        names: defaultdict[Inode, set[bytes]] = defaultdict(set)
        for path, one in [*before.items(), *given]:
            if isinstance(one, Inode):
                names[one].add(path)
        for inode in names.keys() - set(after.values()):
            if inode.data:
                kinds = {_why(inode, _found(tree, path), index) for path in names[inode]}
                kind = next(
                    kind
                    for kind in (WasteKind.METADATA_ONLY, WasteKind.OVERWRITTEN, WasteKind.REMOVED)
                    if kind in kinds
                )
                waste.append(TrueWaste(inode.path, len(inode.data), kind, inode.layer, index))
    stored = [sum(len(entry.data) for entry in layer) for layer in layers]
    visible = _names(tree)
    inodes = {one for one in visible.values() if isinstance(one, Inode)}
    wasted = [sum(one.bytes for one in waste if one.layer == index) for index in range(len(layers))]
    return Truth(
        stored_bytes=sum(stored),
        visible_bytes=sum(len(inode.data) for inode in inodes),
        own_wasted_bytes=sum(one.bytes for one in waste if one.caused_by_layer >= base_layers),
        layers=tuple(TrueLayer(stored[at], *counts[at], wasted[at]) for at in range(len(layers))),
        waste=(*waste, *_true_duplicates(inodes)),
        visible={path: one.data for path, one in visible.items() if isinstance(one, Inode)},
    )


def _true_duplicates(inodes: set[Inode]) -> Iterator[TrueWaste]:
    alike: defaultdict[bytes, list[Inode]] = defaultdict(list)
    for inode in sorted(inodes, key=lambda one: (one.layer, one.path)):
        alike[inode.data].append(inode)
    for data, (first, *others) in alike.items():
        for one in others if data else ():
            yield TrueWaste(one.path, len(data), WasteKind.DUPLICATE, one.layer, one.layer, first.path)


def _why(inode: Inode, now: Name | Tree | None, index: int) -> WasteKind:
    if now is None:
        return WasteKind.REMOVED
    if isinstance(now, Inode) and now.layer == index and now.data == inode.data:
        return WasteKind.METADATA_ONLY
    return WasteKind.OVERWRITTEN


def _applied(below: Tree, layer: MadeLayer, index: int) -> tuple[Tree, list[tuple[bytes, Name]]]:
    """The tree with a layer laid over it, and each name that the layer gave in the order in which it did."""
    tree, given = _without_hidden(below, layer), []
    for entry in layer:
        if entry.kind is EntryKind.WHITEOUT:
            continue
        if entry.kind in _DIRECTORY_KINDS:
            _made_directory(tree, entry.path)
            continue
        new: Name = Special()
        if entry.kind is EntryKind.FILE:
            new = Inode(index, entry.path, entry.data)
        elif entry.kind is EntryKind.HARD_LINK:
            places = (_found(tree, entry.target), _found(below, entry.target))
            new = next((place for place in places if isinstance(place, Inode | Special)), new)
        parent, _, name = entry.path.rpartition(b"/")
        _made_directory(tree, parent)[name] = new
        given.append((entry.path, new))
    return tree, given


def _without_hidden(below: Tree, layer: MadeLayer) -> Tree:
    """A copy of the tree without what the layer's whiteouts and opaque directories hide."""
    tree = _copied(below)
    for entry in layer:
        parent, _, name = entry.path.rpartition(b"/")
        if entry.kind is EntryKind.WHITEOUT and isinstance(directory := _found(tree, parent), dict):
            directory.pop(name, None)
        elif entry.kind is EntryKind.OPAQUE_DIRECTORY and isinstance(directory := _found(tree, entry.path), dict):
            directory.clear()
    return tree


def _copied(tree: Tree) -> Tree:
    return {name: _copied(one) if isinstance(one, dict) else one for name, one in tree.items()}


def _found(tree: Tree, path: bytes) -> Name | Tree | None:
    place: Name | Tree | None = tree
    for name in path.split(b"/") if path else ():
        place = place.get(name) if isinstance(place, dict) else None
    return place


def _made_directory(tree: Tree, path: bytes) -> Tree:
    for name in path.split(b"/") if path else ():
        one = tree.get(name)
        if not isinstance(one, dict):
            one = tree[name] = {}
        tree = one
    return tree


def _names(tree: Tree, prefix: bytes = b"") -> dict[bytes, Name]:
    names: dict[bytes, Name] = {}
    for name, one in tree.items():
        if isinstance(one, dict):
            names |= _names(one, prefix + name + b"/")
        else:
            names[prefix + name] = one
    return names


def _directories(tree: Tree, prefix: bytes = b"") -> Iterator[bytes]:
    for name, one in tree.items():
        if isinstance(one, dict):
            yield prefix + name
            yield from _directories(one, prefix + name + b"/")


# Where layers are found

_TAR_TYPES = {
    EntryKind.FILE: tarfile.REGTYPE,
    EntryKind.DIRECTORY: tarfile.DIRTYPE,
    EntryKind.SYMLINK: tarfile.SYMTYPE,
    EntryKind.HARD_LINK: tarfile.LNKTYPE,
    EntryKind.OTHER: tarfile.FIFOTYPE,
    EntryKind.WHITEOUT: tarfile.REGTYPE,
    EntryKind.OPAQUE_DIRECTORY: tarfile.REGTYPE,
}


def layer_tar(layer: MadeLayer, tar_format: int = tarfile.PAX_FORMAT) -> bytes:
    """The layer as the engine archives it: whiteouts as `.wh.` files (OCI image specification, layer.md)."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tar_format, errors="surrogateescape") as archive:
        for entry in layer:
            parent, slash, name = entry.path.rpartition(b"/")
            path = entry.path
            if entry.kind is EntryKind.WHITEOUT:
                path = parent + slash + b".wh." + name
            elif entry.kind is EntryKind.OPAQUE_DIRECTORY:
                path = (entry.path + b"/" if entry.path else b"") + b".wh..wh..opq"
            header = tarfile.TarInfo(path.decode("utf-8", "surrogateescape"))
            header.type, header.mode, header.size = _TAR_TYPES[entry.kind], entry.mode, len(entry.data)
            header.linkname = entry.target.decode("utf-8", "surrogateescape")
            archive.addfile(header, io.BytesIO(entry.data))
    return buffer.getvalue()


def write_upper_directory(layer: MadeLayer, directory: Path) -> None:
    """The layer as an overlay's upper directory (kernel, filesystems/overlayfs.rst): character devices 0/0 and an xattr.

    PermissionError unless root.
    """
    root = os.fsencode(directory)
    for entry in layer:
        path = os.path.join(root, entry.path)  # noqa: PTH118  a name may be no text
        if entry.kind is EntryKind.FILE:
            Path(os.fsdecode(path)).write_bytes(entry.data)
        elif entry.kind is EntryKind.DIRECTORY:
            os.mkdir(path)  # noqa: PTH102
        elif entry.kind is EntryKind.OPAQUE_DIRECTORY:
            os.setxattr(path, "trusted.overlay.opaque", b"y")
        elif entry.kind is EntryKind.SYMLINK:
            os.symlink(entry.target, path)  # noqa: PTH211
        elif entry.kind is EntryKind.HARD_LINK:
            os.link(os.path.join(root, entry.target), path)  # noqa: PTH118
        elif entry.kind is EntryKind.OTHER:
            os.mkfifo(path)
        else:
            os.mknod(path, stat.S_IFCHR, os.makedev(0, 0))
        if entry.kind in {EntryKind.FILE, EntryKind.DIRECTORY}:
            os.chmod(path, entry.mode)  # noqa: PTH101


def image_archive(
    layers: Sequence[MadeLayer],
    tag: str = "made:latest",
    *,
    layout: Literal["oci", "old"] = "oci",
    compressed: bool = False,
) -> bytes:
    """An image as `docker save` writes it: since Engine 25 an OCI layout as well (`oci`), before a directory a layer.

    `compressed` layers are of the OCI layout only, as of an engine with the containerd image store.
    """
    tars = [layer_tar(layer) for layer in layers]
    config = _json(
        {
            "architecture": {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine()),
            "os": "linux",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [_digest(tar) for tar in tars]},
            "history": [{"created_by": f"RUN step {index}"} for index in range(len(layers))]
            + [{"created_by": "ENV A=1", "empty_layer": True}],
        }
    )
    files: dict[str, bytes]
    if layout == "old":
        names = [f"{_digest(tar + bytes([index]))[7:]}/layer.tar" for index, tar in enumerate(tars)]
        config_name = f"{_digest(config)[7:]}.json"
        files = {config_name: config, **dict(zip(names, tars, strict=True))}
        files["manifest.json"] = _json([{"Config": config_name, "RepoTags": [tag], "Layers": names}])
        return _plain_tar(files)
    blobs = [gzip.compress(tar, 1) if compressed else tar for tar in tars]
    suffix = "+gzip" if compressed else ""
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": _descriptor("application/vnd.oci.image.config.v1+json", config),
            "layers": [_descriptor(f"application/vnd.oci.image.layer.v1.tar{suffix}", blob) for blob in blobs],
        }
    )
    named = _descriptor("application/vnd.oci.image.manifest.v1+json", manifest)
    named["annotations"] = {"io.containerd.image.name": f"docker.io/library/{tag}"}
    files = {_blob_name(blob): blob for blob in [*blobs, config, manifest]}
    files["index.json"] = _json({"schemaVersion": 2, "manifests": [named]})
    files["manifest.json"] = _json(
        [{"Config": _blob_name(config), "RepoTags": [tag], "Layers": [_blob_name(blob) for blob in blobs]}]
    )
    files["oci-layout"] = _json({"imageLayoutVersion": "1.0.0"})
    return _plain_tar(files)


def _json(value: object) -> bytes:
    return json.dumps(value).encode()


def _digest(blob: bytes) -> str:
    return "sha256:" + hashlib.sha256(blob).hexdigest()


def _blob_name(blob: bytes) -> str:
    return "blobs/sha256/" + _digest(blob).removeprefix("sha256:")


def _descriptor(media_type: str, blob: bytes) -> dict[str, object]:
    return {"mediaType": media_type, "digest": _digest(blob), "size": len(blob)}


def _plain_tar(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in files.items():
            header = tarfile.TarInfo(name)
            header.size = len(data)
            archive.addfile(header, io.BytesIO(data))
    return buffer.getvalue()
