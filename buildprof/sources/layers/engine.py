"""An engine's image with its layers: from the engine's own directories where they can be read, else from a stream of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from buildprof.assembly.layer_commands import layer_commands
from buildprof.assembly.layer_entries import layer_entries
from buildprof.model.image import ImageLayer
from buildprof.model.layer_files import LayerFiles
from buildprof.model.text import clean
from buildprof.sources.docker_socket import NoAnswerError, NotThereError
from buildprof.sources.endpoint import Endpoint
from buildprof.sources.layers.archive import ArchivedImage, read_archive
from buildprof.sources.layers.content_store import may_be_packed, packed_layer_sizes
from buildprof.sources.layers.directories import layer_directories
from buildprof.sources.layers.errors import LayerError
from buildprof.sources.layers.image_api import ImageApi, NoImageError, image_api
from buildprof.sources.layers.kept import KeptLayers
from buildprof.sources.layers.scan import CannotReadDirectoryError, scan_layer
from buildprof.sources.layers.streams import Increments

_MAX_ENTRIES, _MAX_COMMAND_CHARS = 1000, 1000


@dataclass(frozen=True, slots=True)
class Reading:
    """How layers are read: `on_progress` is told bytes as they are read, and may wait; by how many processes at most.

    `on_size` is told about how many bytes there are to read, where that is known.
    """

    on_progress: Callable[[int], None]
    processes: int = 1
    on_size: Callable[[int], None] = lambda _size_bytes: None


def read_engine_image(
    endpoint: Endpoint, image: str, kept: KeptLayers, reading: Reading
) -> tuple[ArchivedImage, int | None]:
    """An image of an engine, and its size in bytes as the engine counts it.

    The image's `id` is the engine's.

    Raises:
        NoImageError: there is no such image, or it was removed meanwhile.
        LayerError: what the engine sends is no such image.
        EndpointError: the engine cannot be reached.
    """
    with image_api(endpoint, image) as api:
        return _read(api, image, kept, reading, is_local=endpoint.scheme == "unix")


def _read(
    api: ImageApi, image: str, kept: KeptLayers, reading: Reading, *, is_local: bool
) -> tuple[ArchivedImage, int | None]:
    inspect = api.inspect_image(image)
    id_ = str(inspect.get("Id", ""))
    size_bytes = size if isinstance(size := inspect.get("Size"), int) and size >= 0 else None
    if size_bytes is not None:
        reading.on_size(size_bytes)
    tags = tuple(clean(tag, 300) for tag in (inspect.get("RepoTags") or ())[:100])
    digests = [str(one) for one in (inspect.get("RootFS") or {}).get("Layers") or ()]
    known = {digest: files for digest in set(digests) if (files := kept.find(digest)) is not None}
    found: dict[str, LayerFiles] | None = known if digests and len(known) == len(set(digests)) else None
    # To ask an engine about itself takes a while: only where a layer, or how it is packed, is to be read.
    info = api.info() if is_local and (found is None or may_be_packed(inspect)) else {}
    if found is None and is_local:
        found = _from_directories(inspect, info, known, reading)
        api.inspect_image(id_)  # an image that is removed meanwhile loses its record before its files
        for digest, files in (found or {}).items():
            if digest not in known:
                kept.keep(digest, files)
    if found is None:
        archived = _from_stream(api, id_, kept, reading.on_progress)
        return ArchivedImage(
            id_, tags or archived.names, archived.platform, archived.digests, archived.layers
        ), size_bytes
    commands = _commands(api.history(id_), len(digests))
    packed_bytes = packed_layer_sizes(inspect, str(info.get("DockerRootDir", ""))) if info else [None] * len(digests)
    layers = tuple(
        ImageLayer(digest, found[digest], command, size_bytes)
        for digest, command, size_bytes in zip(digests, commands, packed_bytes, strict=True)
    )
    platform = "/".join(str(part) for key in ("Os", "Architecture", "Variant") if (part := inspect.get(key)))
    return ArchivedImage(id_, tags, platform, (), layers), size_bytes


def _from_directories(
    inspect: Mapping[str, Any], info: Mapping[str, Any], known: Mapping[str, LayerFiles], reading: Reading
) -> dict[str, LayerFiles] | None:
    """The layers by digest; None if one of them cannot be read in this way."""
    directories = layer_directories(inspect, str(info.get("DockerRootDir", "")), str(info.get("Driver", "")))
    if directories is None:
        return None
    unknown = {digest: directory for digest, directory in directories.items() if digest not in known}
    try:
        return {**known, **dict(_scanned(unknown, reading))}
    except (CannotReadDirectoryError, RuntimeError):  # the second: a process of the pool was killed
        return None


def _scanned(directories: Mapping[str, bytes], reading: Reading) -> Iterator[tuple[str, LayerFiles]]:
    """Layers as they are read, by several processes if wanted: to look at many files keeps a processor busy."""
    if min(reading.processes, len(directories)) < 2:
        for digest, directory in directories.items():
            yield digest, scan_layer(directory, Increments(reading.on_progress))
        return
    import multiprocessing  # noqa: PLC0415 - as long to load as all that a rebuilt image is asked for
    from concurrent.futures import ProcessPoolExecutor, as_completed  # noqa: PLC0415

    # By fork, since to start an interpreter takes as long as to read 10,000 files. What the children do needs no lock
    # that a thread of ours, such as that of a progress bar, could hold meanwhile.
    with ProcessPoolExecutor(reading.processes, multiprocessing.get_context("fork")) as pool:
        scans = {pool.submit(scan_layer, directory): digest for digest, directory in directories.items()}
        for scan in as_completed(scans):
            files = scan.result()
            reading.on_progress(files.size_bytes)
            yield scans[scan], files


def _from_stream(api: ImageApi, image_id: str, kept: KeptLayers, on_progress: Callable[[int], None]) -> ArchivedImage:
    stream = _Stream(api.get_image(image_id), on_progress)
    images = read_archive(stream, known=kept.find)
    if not images:
        raise NoImageError(f"the engine has no image {clean(image_id, 200)!r} any more")
    kept.keep_new(images[0].layers)
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
            except NotThereError:
                raise
            except (NoAnswerError, OSError) as error:  # requests' errors are OSErrors
                raise LayerError(f"the engine did not send the whole image: {clean(error, 200)}") from error
            self._on_progress(len(self._left))
        part, self._left = self._left[:size_bytes], self._left[size_bytes:]
        return part


def _commands(history: object, layers: int) -> list[str]:
    """What made each layer, the lowest first, by an image's history (newest first); "" where they do not fit together."""
    entries = [one for one in history if isinstance(one, Mapping)] if isinstance(history, list) else []
    made = [
        (str(entry.get("CreatedBy") or ""), size if isinstance(size := entry.get("Size"), int) else 0)
        for entry in reversed(entries[:_MAX_ENTRIES])
    ]
    found = layer_entries(made, layers)
    if not found:
        return [""] * layers
    history = [text for text, _ in made]
    return [one[:_MAX_COMMAND_CHARS] for one in layer_commands([history[index] for index in found], history)]
