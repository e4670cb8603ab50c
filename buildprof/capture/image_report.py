"""An image's report: its layers read, tied to the steps of the build that made them, and analysed."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from buildprof.analysis.image import analyse
from buildprof.analysis.image_steps import base_layers, steps_of_layers
from buildprof.analysis.stack import TooDeepError
from buildprof.assembly.redact import make_redactor
from buildprof.data_dir import redaction_key
from buildprof.model.build import Build
from buildprof.model.image import ImageLayer, ImageReport, LayerStep
from buildprof.model.step import Step
from buildprof.sources.endpoint import parse_endpoint
from buildprof.sources.layers.archive import ArchivedImage, read_archive
from buildprof.sources.layers.engine import Reading, read_engine_image
from buildprof.sources.layers.errors import LayerError
from buildprof.sources.layers.image_api import NoImageError
from buildprof.sources.layers.kept import FILE_NAME, KeptLayers
from buildprof.sources.layers.streams import Increments

STDIN = "-"


@dataclass(frozen=True, slots=True)
class Place:
    """Where images, and what is known of them, are: the engine, the data directory, the store; and what is redacted.

    The fields are as in the place.
    """

    docker_host: str
    docker_cert_dir: Path | None
    data_dir: Path
    store_url: str
    redact: tuple[str, ...] = ()
    allow_build_args: tuple[str, ...] = ()


def is_path(image: str) -> bool:
    """Whether an image is named by a path, or is standard input."""
    return image == STDIN or image.startswith(("/", "./", "../", "~/")) or image in (".", "..")


def read_image(place: Place, image: str, reading: Reading) -> tuple[ArchivedImage, int | None]:
    """An image of the engine, an archive or a directory, with its layers, and its size in bytes as the engine counts it.

    Raises:
        NoImageError: there is no such image.
        LayerError: it is damaged, or no image.
        EndpointError: the engine cannot be reached.
    """
    kept = KeptLayers(place.data_dir / FILE_NAME if place.data_dir.is_dir() else None)
    try:
        if is_path(image):
            return _read_archive(image, kept, reading), None
        endpoint = parse_endpoint(place.docker_host, place.docker_cert_dir)
        return read_engine_image(endpoint, image, kept, reading)
    finally:
        kept.close()


def make_report(
    place: Place, name: str, found: ArchivedImage, size_bytes: int | None, build: Build | None
) -> ImageReport:
    """The layers tied and analysed, without secrets. `name` is what it was asked for as.

    LayerError if it is too deep to be laid together.
    """
    key = redaction_key(place.data_dir) if place.data_dir.is_dir() else bytes(32)
    redact = make_redactor(key, place.redact, place.allow_build_args).text
    steps = steps_of_layers(build, [(layer.digest,) for layer in found.layers]) if build is not None else ()
    base = base_layers(steps)
    by_id = {step.id: step for step in build.steps} if build is not None else {}
    layers: Sequence[ImageLayer] = [
        replace(
            layer,
            command=redact(layer.command),
            is_base=index < base,
            compressed_bytes=layer.compressed_bytes or _compressed_bytes(by_id, steps[index] if steps else None),
        )
        for index, layer in enumerate(found.layers)
    ]
    try:
        analysis = analyse(layers)
    except TooDeepError as error:
        raise LayerError(str(error)) from error
    waste = tuple(replace(one, path=redact(one.path), same_as=redact(one.same_as)) for one in analysis.waste)
    name = name if is_path(name) else next(iter(found.names), name)
    return ImageReport(name, found.id, replace(analysis, waste=waste), size_bytes, steps)


def _compressed_bytes(steps: Mapping[str, Step], made_by: LayerStep | None) -> int | None:
    """What the builder said of the step's layer: an engine's directories do not tell."""
    layer = steps[made_by.step_id].layer if made_by is not None else None
    return layer.compressed_bytes if layer is not None else None


def _read_archive(image: str, kept: KeptLayers, reading: Reading) -> ArchivedImage:
    name = "standard input" if image == STDIN else image
    source = sys.stdin.buffer if image == STDIN else Path(image).expanduser()
    try:
        if isinstance(source, Path) and source.is_file():
            reading.on_size(source.stat().st_size)
        images = read_archive(source, known=kept.find, on_progress=Increments(reading.on_progress))
    except LayerError as error:
        raise LayerError(f"{name}: {error}") from error
    except OSError as error:
        raise LayerError(f"{name}: cannot be read: {error.strerror}") from error
    if not images:
        raise NoImageError(f"{name}: holds no image")
    kept.keep_new(images[0].layers)
    return images[0]
