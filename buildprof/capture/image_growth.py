"""What made the difference between the images of two builds: from what was kept of their layers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from sqlalchemy import Engine

from buildprof.analysis.growth import ImageGrowth, growth
from buildprof.analysis.stack import TooDeepError
from buildprof.assembly.redact import make_redactor
from buildprof.config import Settings
from buildprof.model.build import Build
from buildprof.model.document import Document
from buildprof.model.image import ImageLayer
from buildprof.sources.layers.kept import FILE_NAME, KeptLayers
from buildprof.store.images import image_of

PAGE_ENTRIES = 100_000
"""Of both images, so that a page answers soon and the agent stays small."""


def image_growth(
    store: Engine,
    settings: Callable[[], Settings],
    before: Build,
    after: Build,
    *,
    most_entries: int | None = None,
) -> ImageGrowth | None:
    """The growth from one build's image to the other's; None if one of them was not analysed, or is no longer kept.

    `settings` are asked only if both were. None too where the layers of both have more entries than `most_entries`.
    """
    documents = [image_of(store, build) for build in (before, after)]
    if documents[0] is None or documents[1] is None:
        return None
    chosen = settings()
    kept = KeptLayers(chosen.data_dir / FILE_NAME)
    try:
        earlier, later = (_layers(document, kept) for document in documents if document is not None)
    finally:
        kept.close()
    if earlier is None or later is None:
        return None
    if most_entries is not None and sum(len(layer.files) for layer in (*earlier, *later)) > most_entries:
        return None
    try:
        found = growth(earlier, later)
    except TooDeepError:
        return None
    redact = make_redactor(bytes(32), chosen.redact, chosen.allow_build_args).text  # no hash is made by it
    return replace(found, files=tuple(replace(file, path=redact(file.path)) for file in found.files))


def _layers(document: Document, kept: KeptLayers) -> list[ImageLayer] | None:
    layers = []
    for layer in document["layers"]:
        files = kept.find(layer["digest"])
        if files is None:
            return None
        layers.append(ImageLayer(layer["digest"], files, layer["command"], is_base=layer["base"]))
    return layers
