"""Images in archives: what `docker save` writes, OCI archives (tar, also packed) and OCI directories.

Every layer is checked against the digests that name it; one that is known is passed over.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from buildprof.model.image import ImageLayer
from buildprof.model.layer_files import LayerFiles
from buildprof.sources.layers.contents import (
    Layers,
    StoredContents,
    StreamedContents,
    opener_of_directory,
    opener_of_file,
)
from buildprof.sources.layers.decompress import MAGIC_BYTES, Compression, compression_of, open_decompressed
from buildprof.sources.layers.errors import LayerError, LayerLimitError
from buildprof.sources.layers.manifests import ImageDescription, describe_images
from buildprof.sources.layers.streams import Counter, Readable
from buildprof.sources.layers.tar import DEFAULT_LIMITS, Limits

Known = Callable[[str], LayerFiles | None]
Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class ArchivedImage:
    """An image of an archive. `id` is the digest of its configuration; `digests` are its manifest's and its index's.

    An engine with containerd's image store has one of `digests` for the image's id, others have `id`. `names` are tags
    as docker shows them. The layers are the lowest first, none marked as base.
    """

    id: str
    names: tuple[str, ...]
    platform: str
    digests: tuple[str, ...]
    layers: tuple[ImageLayer, ...]


def read_archive(  # noqa: PLR0913  # what is read, and how
    source: Readable | Path,
    *,
    known: Known = lambda _: None,
    limits: Limits = DEFAULT_LIMITS,
    on_progress: Progress = lambda _: None,
    name: str | None = None,
    platform: str | None = None,
) -> tuple[ArchivedImage, ...]:
    """The images of an archive: a stream, a file, or a directory. `name` and `platform` as in `describe_images`.

    `known` gives the entries of a layer whose digest (`diff_id`) is known already. `on_progress` gets the bytes done so
    far, of the archive as it is packed; it may wait, and what it raises ends the reading. `limits` hold for all layers
    together.

    Raises LayerError in one line: no archive of images, cut off, damaged, a layer that does not match its digest;
    LayerLimitError beyond the limits. OSError if the path cannot be read.
    """
    counted = Counter(on_progress)
    layers = Layers(known, limits)
    if not isinstance(source, Path):
        return _of_stream(source, layers, counted, name, platform)
    if source.is_dir():
        return _images(StoredContents(opener_of_directory(source), layers, counted), name, platform)
    with source.open("rb") as file:
        is_plain = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
        if is_plain and compression_of(file.peek(MAGIC_BYTES)[:MAGIC_BYTES]) is Compression.NONE:
            return _images(StoredContents(opener_of_file(file), layers, counted), name, platform)
        return _of_stream(file, layers, counted, name, platform)


def _of_stream(
    stream: Readable, layers: Layers, counted: Counter, name: str | None, platform: str | None
) -> tuple[ArchivedImage, ...]:
    contents = StreamedContents(layers)
    contents.read(open_decompressed(counted.of(stream), layers.limits.unpacked_bytes))
    return _images(contents, name, platform)


def _images(
    contents: StreamedContents | StoredContents, name: str | None, platform: str | None
) -> tuple[ArchivedImage, ...]:
    return tuple(_image(contents, image) for image in describe_images(contents.document, name, platform))


def _image(contents: StreamedContents | StoredContents, image: ImageDescription) -> ArchivedImage:
    layers = []
    for index, layer in enumerate(image.layers, 1):
        called = f"layer {index} of {len(image.layers)} ({layer.diff_id[:19]})"
        try:
            found = contents.layer(layer.member, layer.diff_id)
        except LayerLimitError as error:
            raise LayerLimitError(f"{called}: {error}") from None
        except LayerError as error:
            raise LayerError(f"{called}: {error}") from None
        if found is None:
            raise LayerError(f"{called} is not in the archive")
        if found.error is not None:
            raise LayerError(f"{called}: {found.error}")
        if found.diff_id is not None and found.diff_id != layer.diff_id:
            raise LayerError(f"{called} does not match its digest: it is {found.diff_id[:19]}")
        layers.append(ImageLayer(layer.diff_id, found.files, layer.command, found.compressed_bytes))
    return ArchivedImage(image.id, image.names, image.platform, image.digests, tuple(layers))
