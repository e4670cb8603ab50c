"""An engine's image with its layers: from the engine's own directories where they can be read, else from a stream of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from typing import Any

import docker
import requests
from docker.errors import DockerException, NotFound

from buildprof.assembly.history_text import layer_command
from buildprof.model.image import ImageLayer
from buildprof.model.layer_files import LayerFiles
from buildprof.model.text import clean
from buildprof.sources.docker_sdk import as_endpoint_error, connect_sdk
from buildprof.sources.endpoint import Endpoint
from buildprof.sources.layers.archive import ArchivedImage, read_archive
from buildprof.sources.layers.directories import layer_directories
from buildprof.sources.layers.errors import LayerError
from buildprof.sources.layers.kept import KeptLayers
from buildprof.sources.layers.scan import CannotReadDirectoryError, scan_layer
from buildprof.sources.layers.streams import Increments

STREAM_TIMEOUT_SECONDS = 600
"""How long an engine may think before it sends a part of an image: it packs what is not packed."""

_MAX_COMMANDS = 1000
_WITHOUT_LAYER = frozenset(
    "ARG CMD ENTRYPOINT ENV EXPOSE HEALTHCHECK LABEL MAINTAINER ONBUILD SHELL STOPSIGNAL USER VOLUME".split()  # noqa: SIM905
)


class NoImageError(Exception):
    """The engine has no such image, or has it no longer."""


def read_engine_image(
    endpoint: Endpoint, image: str, kept: KeptLayers, on_progress: Callable[[int], None]
) -> tuple[ArchivedImage, int | None]:
    """An image of an engine, and its size in bytes as the engine counts it. `on_progress` is told bytes as they are read.

    The image's `id` is the engine's.

    Raises:
        NoImageError: there is no such image, or it was removed meanwhile.
        LayerError: what the engine sends is no such image.
        EndpointError: the engine cannot be reached.
    """
    try:
        with closing(connect_sdk(endpoint, STREAM_TIMEOUT_SECONDS)) as client:
            return _read(client, image, kept, on_progress, is_local=endpoint.scheme == "unix")
    except (LayerError, NoImageError):
        raise
    except NotFound:
        raise NoImageError(f"the engine has no image {clean(image, 200)!r}") from None
    except Exception as error:
        raise as_endpoint_error(endpoint, error) from error


def _read(
    client: docker.APIClient, image: str, kept: KeptLayers, on_progress: Callable[[int], None], *, is_local: bool
) -> tuple[ArchivedImage, int | None]:
    inspect: Mapping[str, Any] = client.inspect_image(image)  # type: ignore[no-untyped-call]
    info: Mapping[str, Any] = client.info()
    id_ = str(inspect.get("Id", ""))
    size_bytes = size if isinstance(size := inspect.get("Size"), int) and size >= 0 else None
    tags = tuple(clean(tag, 300) for tag in (inspect.get("RepoTags") or ())[:100])
    digests = [str(one) for one in (inspect.get("RootFS") or {}).get("Layers") or ()]
    directories = layer_directories(inspect, str(info.get("DockerRootDir", "")), str(info.get("Driver", "")))
    found: dict[str, LayerFiles] | None = None
    if directories is not None and is_local:
        found = _from_directories(directories, kept, on_progress)
    if found is None and digests:
        known = {digest: files for digest in set(digests) if (files := kept.find(digest)) is not None}
        found = known if len(known) == len(set(digests)) else None
    if found is None:
        archived = _from_stream(client, id_, kept, on_progress)
        return ArchivedImage(
            id_, tags or archived.names, archived.platform, archived.digests, archived.layers
        ), size_bytes
    commands = _commands(client.history(id_), len(digests))  # type: ignore[no-untyped-call]
    layers = tuple(
        ImageLayer(digest, found[digest], command) for digest, command in zip(digests, commands, strict=True)
    )
    return ArchivedImage(id_, tags, "", (), layers), size_bytes


def _from_directories(
    directories: Mapping[str, bytes], kept: KeptLayers, on_progress: Callable[[int], None]
) -> dict[str, LayerFiles] | None:
    """The layers by digest; None if one of them cannot be read in this way."""
    found: dict[str, LayerFiles] = {}
    for digest, directory in directories.items():
        files = kept.find(digest)
        if files is None:
            try:
                files = scan_layer(directory, Increments(on_progress))
            except CannotReadDirectoryError:
                return None
            kept.keep(digest, files)
        found[digest] = files
    return found


def _from_stream(
    client: docker.APIClient, image_id: str, kept: KeptLayers, on_progress: Callable[[int], None]
) -> ArchivedImage:
    stream = _Stream(client.get_image(image_id), on_progress)
    images = read_archive(stream, known=kept.find)
    if not images:
        raise NoImageError(f"the engine has no image {clean(image_id, 200)!r} any more")
    for layer in images[0].layers:
        if kept.find(layer.digest) is None:
            kept.keep(layer.digest, layer.files)
    return images[0]


class _Stream:
    """What an engine sends, to be read in pieces of any size."""

    def __init__(self, parts: Iterator[bytes], on_progress: Callable[[int], None]) -> None:
        self._parts = parts
        self._on_progress = on_progress
        self._left = b""

    def read(self, size_bytes: int, /) -> bytes:
        """At most so many bytes, none at the end. LayerError if the engine breaks off."""
        if not self._left:
            try:
                self._left = next(self._parts, b"")
            except (requests.exceptions.RequestException, DockerException, OSError) as error:
                raise LayerError(f"the engine broke off: {clean(error, 200)}") from error
            self._on_progress(len(self._left))
        part, self._left = self._left[:size_bytes], self._left[size_bytes:]
        return part


def _commands(history: object, layers: int) -> list[str]:
    """What made each layer, the lowest first, by an image's history (newest first); "" where they do not fit together."""
    entries = [one for one in history if isinstance(one, Mapping)] if isinstance(history, list) else []
    made = [
        (layer_command(str(entry.get("CreatedBy") or ""))[:_MAX_COMMANDS], entry.get("Size") or 0)
        for entry in reversed(entries)
    ]
    with_layer = [one for one in made if one[0].partition(" ")[0] not in _WITHOUT_LAYER]
    if len(with_layer) > layers:  # a WORKDIR of a directory that is there makes no layer
        with_layer = [(text, size) for text, size in with_layer if size or not text.startswith("WORKDIR")]
    if len(with_layer) > layers:
        with_layer = [(text, size) for text, size in with_layer if size]
    return [text for text, _ in with_layer] if len(with_layer) == layers else [""] * layers
