"""An image's report: its layers read, tied to the steps of the build that made them, and analysed."""

from __future__ import annotations

import stat
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from buildprof.analysis.image import analyse
from buildprof.analysis.image_steps import steps_of_layers
from buildprof.analysis.stack import TooDeepError
from buildprof.assembly.image_names import familiar
from buildprof.assembly.layer_commands import layer_commands
from buildprof.assembly.redact import make_redactor
from buildprof.model.build import Build
from buildprof.model.image import ImageLayer, ImageReport, LayerStep
from buildprof.model.step import Step
from buildprof.model.text import clean
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
    except NoImageError as error:
        if not is_path(image) and Path(image).exists():
            raise NoImageError(f"{error}; the file of that name is ./{image}") from None
        raise
    finally:
        kept.close()


def make_report(
    place: Place, name: str, found: ArchivedImage, size_bytes: int | None, build: Build | None
) -> ImageReport:
    """The layers tied and analysed, without secrets. `name` is what it was asked for as.

    LayerError if it is too deep to be laid together.
    """
    redact = make_redactor(bytes(32), place.redact, place.allow_build_args).text  # no hash is made by it
    digests = [layer.digest for layer in found.layers]
    steps, base = steps_of_layers(build, digests, found.platform) if build is not None else ((), 0)
    by_id = {step.id: step for step in build.steps} if build is not None else {}
    layers: Sequence[ImageLayer] = [
        replace(
            layer,
            command=redact(_command(by_id, steps[index] if steps else None) or layer.command),
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
    if not is_path(name):  # it can have several names, and can be asked for by its id
        name = familiar(name) if familiar(name) in found.names else next(iter(found.names), name)
    return ImageReport(name, found.id, replace(analysis, waste=waste), size_bytes, steps)


def _command(steps: Mapping[str, Step], made_by: LayerStep | None) -> str:
    """The step's own text, which has no values of build arguments in it."""
    step = steps[made_by.step_id] if made_by is not None else None
    return f"{step.instruction} {step.command}" if step is not None else ""


def _compressed_bytes(steps: Mapping[str, Step], made_by: LayerStep | None) -> int | None:
    """What the builder said of the step's layer: an engine's directories do not tell."""
    layer = steps[made_by.step_id].layer if made_by is not None else None
    return layer.compressed_bytes if layer is not None else None


def _may_be_read(path: Path) -> bool:
    """Whether reading it comes to an end: no device, and no FIFO but one that the shell has opened (`<(docker save …)`)."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return True  # the reading says what is wrong
    is_opened = str(path).startswith(("/dev/fd/", "/proc/self/fd/"))
    return stat.S_ISREG(mode) or stat.S_ISDIR(mode) or (stat.S_ISFIFO(mode) and is_opened)


def _read_archive(image: str, kept: KeptLayers, reading: Reading) -> ArchivedImage:
    name = "standard input" if image == STDIN else clean(image, 300)
    source = sys.stdin.buffer if image == STDIN else Path(image).expanduser()
    if isinstance(source, Path) and not _may_be_read(source):
        raise LayerError(f"{name}: is neither a file nor a directory")
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
    if len(images) > 1:
        some = ", ".join(next(iter(one.names), one.id[:19]) for one in images[:4])
        raise LayerError(f"{name}: holds {len(images)} images ({clean(some, 200)}): save one alone")
    kept.keep_new(images[0].layers)
    commands = layer_commands([layer.command for layer in images[0].layers])
    layers = tuple(replace(layer, command=one) for layer, one in zip(images[0].layers, commands, strict=True))
    return replace(images[0], layers=layers)
