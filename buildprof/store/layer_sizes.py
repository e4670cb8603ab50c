"""A build's layers as large as their files are, once its image was analysed: engines count in other ways."""

from __future__ import annotations

import json
from dataclasses import replace

from sqlalchemy import Connection, select

from buildprof.analysis.image_steps import image_steps, steps_of_layers
from buildprof.model.build import Build
from buildprof.model.step import Kind, Step
from buildprof.store import schema
from buildprof.store.rows import key_text


def with_file_sizes(connection: Connection, build: Build) -> Build:
    """The build with the bytes of its layers' files, as `image` has them; as it is where its image was not analysed.

    containerd's image store counts the blocks that a layer takes on disk, the classic one the bytes of its files.
    """
    if build.image is None or all(step.layer is None for step in build.steps):
        return build
    table = schema.images
    here = (table.c.builder == key_text(build.builder)) & (table.c.id == key_text(build.image.id))
    text = connection.scalar(select(table.c.document).where(here))
    if text is None:
        return build
    layers = json.loads(text)["layers"]
    made_by, base = steps_of_layers(build, [layer["digest"] for layer in layers])
    sizes = {step.step_id: layer["size_bytes"] for step, layer in zip(made_by, layers, strict=True) if step}
    lowest = next(iter(image_steps(build)), None)
    if base and lowest is not None and lowest.kind is Kind.FROM:  # it has the last layer of the base
        sizes[lowest.id] = layers[base - 1]["size_bytes"]
    return replace(build, steps=tuple(_sized(step, sizes) for step in build.steps))


def _sized(step: Step, sizes: dict[str, int]) -> Step:
    if step.layer is None or step.id not in sizes:
        return step
    return replace(step, layer=replace(step.layer, size_bytes=sizes[step.id]))
