"""An image's report: its layers read, tied to the steps of the build that made them, and analysed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy import Engine

from buildprof.analysis.image import analyse
from buildprof.analysis.image_steps import base_layers, steps_of_layers
from buildprof.assembly.redact import make_redactor
from buildprof.config import Settings
from buildprof.data_dir import redaction_key
from buildprof.model.build import Build
from buildprof.model.image import ImageLayer, ImageReport
from buildprof.sources.endpoint import parse_endpoint
from buildprof.sources.layers.archive import ArchivedImage, read_archive
from buildprof.sources.layers.engine import NoImageError, read_engine_image
from buildprof.sources.layers.errors import LayerError
from buildprof.sources.layers.kept import FILE_NAME, KeptLayers
from buildprof.store.connect import open_store
from buildprof.store.errors import StoreError
from buildprof.store.images import build_of_image
from buildprof.store.queries import find_build, previous_build
from buildprof.store_location import sqlite_file

STDIN = "-"


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be analysed. `build_ref` is of the build that made it, "" to look for it. `on_progress` gets bytes read."""

    image: str
    build_ref: str
    on_progress: Callable[[int], None]


def is_path(image: str) -> bool:
    """Whether an image is named by a path, or is standard input."""
    return image == STDIN or image.startswith(("/", "./", "../", "~/")) or image in (".", "..")


def read_report(settings: Settings, request: Request) -> tuple[ImageReport, int | None]:
    """The report, and the size in bytes of the image of the build before, None if there is none.

    Raises:
        NoImageError: there is no such image.
        LayerError: it is damaged, or no image.
        EndpointError: the engine cannot be reached.
    """
    kept = KeptLayers(settings.data_dir / FILE_NAME if settings.data_dir.is_dir() else None)
    try:
        found, size_bytes = _read(settings, request, kept)
    finally:
        kept.close()
    build, before_bytes = None, None
    with _store(settings) as store:
        if store is not None:
            build = _build(store, request, found.id)
            before = previous_build(store, build) if build is not None else None
            before_bytes = before.image.size_bytes if before is not None and before.image is not None else None
    name = request.image if is_path(request.image) else next(iter(found.names), request.image)
    return make_report(settings, name, found, size_bytes, build), before_bytes


def make_report(
    settings: Settings, name: str, found: ArchivedImage, size_bytes: int | None, build: Build | None
) -> ImageReport:
    """The layers tied and analysed, without secrets."""
    key = redaction_key(settings.data_dir) if settings.data_dir.is_dir() else bytes(32)
    redact = make_redactor(key, settings.redact, settings.allow_build_args).text
    steps = steps_of_layers(build, [(layer.digest,) for layer in found.layers]) if build is not None else ()
    base = base_layers(steps)
    layers: Sequence[ImageLayer] = [
        replace(layer, command=redact(layer.command), is_base=index < base) for index, layer in enumerate(found.layers)
    ]
    analysis = analyse(layers)
    waste = tuple(replace(one, path=redact(one.path), same_as=redact(one.same_as)) for one in analysis.waste)
    return ImageReport(name, found.id, replace(analysis, waste=waste), size_bytes, steps)


def _read(settings: Settings, request: Request, kept: KeptLayers) -> tuple[ArchivedImage, int | None]:
    if not is_path(request.image):
        endpoint = parse_endpoint(settings.docker_host, settings.docker_cert_dir)
        return read_engine_image(endpoint, request.image, kept, request.on_progress)
    done = 0

    def on_progress(bytes_so_far: int) -> None:
        nonlocal done
        request.on_progress(bytes_so_far - done)
        done = bytes_so_far

    source = sys.stdin.buffer if request.image == STDIN else Path(request.image).expanduser()
    name = "standard input" if request.image == STDIN else request.image
    try:
        images = read_archive(source, known=kept.find, on_progress=on_progress)
    except LayerError as error:
        raise LayerError(f"{name}: {error}") from error
    except OSError as error:
        raise LayerError(f"{name}: cannot be read: {error.strerror}") from error
    if not images:
        raise NoImageError(f"{name}: holds no image")
    for layer in images[0].layers:
        if kept.find(layer.digest) is None:
            kept.keep(layer.digest, layer.files)
    return images[0], None


@contextmanager
def _store(settings: Settings) -> Iterator[Engine | None]:
    """The store, if there is one that can be read: an image can be looked at without."""
    file = sqlite_file(settings.store_url)
    try:
        store = open_store(settings.store_url, create=False) if file is None or file.exists() else None
    except (StoreError, OSError):
        store = None
    try:
        yield store
    finally:
        if store is not None:
            store.dispose()


def _build(store: Engine, request: Request, image_id: str) -> Build | None:
    try:
        if request.build_ref:
            return find_build(store, request.build_ref)
        head = build_of_image(store, image_id)
        return find_build(store, head.ref, builder=head.builder) if head is not None else None
    except StoreError:
        return None
