"""Which images an archive holds, and of which layers, by the JSON documents in it.

OCI's `index.json` leads to manifests, over more indexes where an image is for several platforms (OCI image
specification, image-index.md and manifest.md); docker's `manifest.json` lists configuration, tags and layers of each
image. A configuration has the digests of the unpacked layers and the history (config.md).
"""

from __future__ import annotations

import hashlib
import json
import platform as machine_platform
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from buildprof.model.text import clean
from buildprof.sources.layers.errors import LayerError, LayerLimitError

MAX_LAYERS = 4096
MAX_READS = 10_000
MAX_READ_BYTES = 256 << 20
"""What is read of documents in all, however often they name each other."""

_MAX_DEPTH = 4
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_SHORT_ID = re.compile(r"(?:sha256:)?[0-9a-f]{6,64}")
_MACHINES = {
    "x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "armv6l": "arm", "i386": "386", "i686": "386",
    "loongarch64": "loong64",
}  # fmt: skip  # what Go calls them; the rest have the same name in both

Document = Callable[[str], bytes | None]
"""The content of a document of the archive by its name; None if it is not there."""


@dataclass(frozen=True, slots=True)
class LayerDescription:
    """A layer: the digest of its unpacked archive, its member's name, and what the history says made it."""

    diff_id: str
    member: str
    command: str


@dataclass(frozen=True, slots=True)
class ImageDescription:
    """An image. `id` is the digest of its configuration; `digests` are those of its manifest and the index above it.

    `names` are tags in the form that docker shows; `platform` is such as "linux/arm64/v8".
    """

    id: str
    names: tuple[str, ...]
    platform: str
    digests: tuple[str, ...]
    layers: tuple[LayerDescription, ...]


@dataclass(frozen=True, slots=True)
class _Found:
    """An image before it is chosen; those of one `group` are the same image for several platforms."""

    config: dict[str, Any]
    id: str
    names: tuple[str, ...]
    members: tuple[str, ...]
    group: str
    digests: tuple[str, ...] = ()
    platform: str = field(default="")
    packed_bytes: tuple[int | None, ...] = ()


def describe_images(document: Document, name: str | None = None, platform: str | None = None) -> list[ImageDescription]:
    """The images of an archive: all, or those that have `name` as a tag or begin of an id.

    Of an image for several platforms, the one for `platform`, by default this machine's; an image that is there for
    one platform only is taken whatever that is, unless one was asked for.

    Raises LayerError if there is none, or the documents are damaged or contradict each other.
    """
    bounded = _bounded(document)
    found = list(_merged([*_oci_images(bounded), *_docker_images(bounded)]))
    if not found:
        raise LayerError("no image in it: neither an OCI archive nor one of docker save, or cut off")
    if name is not None:
        named = [image for image in found if _is_called(image, name)]
        if not named:
            has = ", ".join([one for image in found for one in (image.names or (image.id[7:19],))][:8])
            raise LayerError(f"no image {clean(name, 200)!r} in it; it has {has}")
        found = named
    return [_described(image) for image in _for_platform(found, platform)]


def packed_sizes(document: Document, digest: str, diff_ids: Sequence[str]) -> list[int | None]:
    """Bytes of the packed layers of an image by the digest of its manifest, or of an index above it; the lowest first.

    None of a layer that is not packed; of all of them where no manifest for layers with these `diff_ids` is found.
    Raises LayerError for documents that are damaged.
    """
    for image in _images_below(_bounded(document), {"digest": digest}, (), (), 0):
        if _list(_dict(image.config, "rootfs"), "diff_ids") == list(diff_ids) and len(diff_ids) == len(image.members):
            return list(image.packed_bytes)
    return [None] * len(diff_ids)


def _bounded(document: Document) -> Document:
    reads = read_bytes = 0

    def read(name: str) -> bytes | None:
        nonlocal reads, read_bytes
        content = document(name)
        reads += 1
        read_bytes += len(content or b"")
        if reads > MAX_READS or read_bytes > MAX_READ_BYTES:
            raise LayerLimitError("documents that name others without end")
        return content

    return read


def _oci_images(document: Document) -> Iterator[_Found]:
    content = document("index.json")
    if content is not None:
        for descriptor in _list(_object(content, "index.json"), "manifests"):
            yield from _images_below(document, descriptor, (), _names_of(descriptor), 0)


def _images_below(
    document: Document, descriptor: Any, above: tuple[str, ...], names: tuple[str, ...], depth: int
) -> Iterator[_Found]:
    """The images that a descriptor leads to. What is not in the archive, and what is no image, is passed over."""
    if depth > _MAX_DEPTH:
        raise LayerLimitError("indexes below indexes without end")
    digest = descriptor.get("digest") if isinstance(descriptor, dict) else None
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        return
    content = document(_member_of(digest))
    if content is None or "vnd.docker.reference.type" in _dict(descriptor, "annotations"):
        return  # the latter: an attestation, which looks like an image (BuildKit, docs/attestations)
    manifest = _object(content, f"the manifest {digest[:19]}")
    if isinstance(below := manifest.get("manifests"), list):
        for one in below:
            yield from _images_below(document, one, (digest, *above), names, depth + 1)
        return
    config_digest = _dict(manifest, "config").get("digest")
    if not isinstance(config_digest, str) or not _DIGEST.fullmatch(config_digest):
        return
    config_content = document(_member_of(config_digest))
    if config_content is None:
        return
    config = _object(config_content, f"the configuration {config_digest[:19]}")
    if "rootfs" not in config:
        return  # an artifact
    layers = [_dict(layer) for layer in _list(manifest, "layers")]
    members = tuple(_member_of(str(layer.get("digest"))) for layer in layers)
    packed_bytes = tuple(map(_packed_bytes, layers))
    group = above[-1] if above else "".join(names)
    platform = _platform_of(config)
    yield _Found(config, config_digest, names, members, group, (digest, *above), platform, packed_bytes)


def _docker_images(document: Document) -> Iterator[_Found]:
    content = document("manifest.json")
    if content is None:
        return
    for listed in _list({"": _json(content, "manifest.json")}, ""):
        image = _dict(listed)
        config_content = document(str(image.get("Config")))
        if config_content is None:
            raise LayerError("the archive has no configuration of an image that it lists, or is cut off")
        config = _object(config_content, "a configuration")
        names = tuple(_familiar(str(tag)) for tag in _list(image, "RepoTags"))
        members = tuple(str(member) for member in _list(image, "Layers"))
        image_id = f"sha256:{hashlib.sha256(config_content).hexdigest()}"
        yield _Found(config, image_id, names, members, image_id, (), _platform_of(config))


def _merged(found: list[_Found]) -> Iterator[_Found]:
    """Each image once, with all its names: an archive can list it in both layouts, and under several tags."""
    by_id: dict[str, _Found] = {}
    for image in found:
        before = by_id.setdefault(image.id, image)
        names = tuple(dict.fromkeys((*before.names, *image.names)))
        by_id[image.id] = replace(before, names=names)
    return iter(by_id.values())


def _for_platform(found: list[_Found], platform: str | None) -> list[_Found]:
    groups: dict[str, list[_Found]] = {}
    for image in found:
        groups.setdefault(image.group, []).append(image)
    wanted = platform or f"linux/{_MACHINES.get(machine_platform.machine(), machine_platform.machine())}"
    chosen: list[_Found] = []
    for group in groups.values():
        fitting = [image for image in group if _is_for(image.platform, wanted)]
        chosen += fitting or (group if platform is None and len(group) == 1 else [])
    if not chosen:
        has = ", ".join(sorted({image.platform for image in found})[:20])
        raise LayerError(f"no image for {clean(wanted, 60)} in it; it has {has}")
    return chosen


def _is_for(platform: str, wanted: str) -> bool:
    has, asked = platform.split("/"), wanted.split("/")
    return has[:2] == asked[:2] and (len(asked) < 3 or has[2:] == asked[2:])


def _is_called(image: _Found, name: str) -> bool:
    if _familiar(name) in image.names:
        return True
    start = name if name.startswith("sha256:") else f"sha256:{name}"
    return bool(_SHORT_ID.fullmatch(name)) and any(one.startswith(start) for one in (image.id, *image.digests))


def _described(image: _Found) -> ImageDescription:
    diff_ids = _list(_dict(image.config, "rootfs"), "diff_ids")
    if len(diff_ids) != len(image.members) or len(diff_ids) > MAX_LAYERS:
        raise LayerError(
            f"an image whose manifest lists {len(image.members)} layers, its configuration {len(diff_ids)}"
        )
    if not all(isinstance(diff_id, str) and _DIGEST.fullmatch(diff_id) for diff_id in diff_ids):
        raise LayerError("an image with layers that have no SHA-256 digest")
    commands = [
        clean(_dict(entry).get("created_by") or "")
        for entry in _list(image.config, "history")
        if not _dict(entry).get("empty_layer")
    ]
    if len(commands) != len(diff_ids):  # better none than another layer's
        commands = [""] * len(diff_ids)
    layers = zip(diff_ids, image.members, commands, strict=True)
    return ImageDescription(
        image.id, image.names, image.platform, image.digests, tuple(LayerDescription(*layer) for layer in layers)
    )


def _names_of(descriptor: Any) -> tuple[str, ...]:
    """The name that an index gives an image: containerd's in full, else OCI's, which can be a mere tag."""
    notes = _dict(descriptor, "annotations")
    name = notes.get("io.containerd.image.name") or notes.get("org.opencontainers.image.ref.name")
    return (_familiar(name),) if name and isinstance(name, str) else ()


def _familiar(name: str) -> str:
    """As docker shows it: without the default registry, with a tag."""
    text = clean(name, 300).removeprefix("docker.io/").removeprefix("library/")
    return text if "@" in text or ":" in text.rpartition("/")[2] else f"{text}:latest"


def _platform_of(config: dict[str, Any]) -> str:
    parts = (config.get("os"), config.get("architecture"), config.get("variant"))
    return "/".join(clean(part, 30) for part in parts if part and isinstance(part, str))


def _packed_bytes(descriptor: dict[str, Any]) -> int | None:
    """The size of a layer's blob by its descriptor; None unless its media type says that it is packed."""
    kind, size_bytes = str(descriptor.get("mediaType")), descriptor.get("size")
    is_packed = kind.endswith(("+gzip", "+zstd", ".gzip"))  # the last: docker's, before OCI's
    return size_bytes if is_packed and type(size_bytes) is int and size_bytes >= 0 else None


def _member_of(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/', 1)}"


def _json(content: bytes, what: str) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        raise LayerError(f"{what} is no JSON") from None


def _object(content: bytes, what: str) -> dict[str, Any]:
    document = _json(content, what)
    if not isinstance(document, dict):
        raise LayerError(f"{what} is no JSON object")
    return document


def _dict(value: Any, key: str | None = None) -> dict[str, Any]:
    """A JSON object, or the one under a key of it; empty if there is none."""
    found = value.get(key) if key is not None and isinstance(value, dict) else value
    return found if isinstance(found, dict) else {}


def _list(value: dict[str, Any], key: str) -> list[Any]:
    """The list under a key of a JSON object, empty if there is none. LayerError for another thing."""
    found = value.get(key) or []
    if not isinstance(found, list):
        raise LayerError(f"{key or 'manifest.json'} is no list")
    return found
