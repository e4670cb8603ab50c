from __future__ import annotations

from dataclasses import replace
from typing import Any

from sqlalchemy import Engine

from buildprof.model.build import Image
from buildprof.model.step import Kind, Layer
from buildprof.store.queries import find_build
from buildprof.store.writer import Writer
from tests.store.samples import make_build, make_step
from tests.store.test_images import a_document

SCOPE = "here"
BUILD = make_build(
    image=Image("sha256:abcdef", ("shop-web:latest",), 10, 3),
    steps=(
        make_step("from", kind=Kind.FROM, cacheable=False),
        make_step("a", inputs=("from",), layer=Layer("sha256:packed-a", 8192, 120)),
        make_step("b", inputs=("a",), layer=Layer("sha256:packed-b", 4096, 90)),
    ),
)


def a_layer(digest: str, size_bytes: int) -> dict[str, Any]:
    return {"digest": digest, "size_bytes": size_bytes}


def sizes(engine: Engine) -> list[tuple[int | None, int | None]]:
    layers = [step.layer for step in find_build(engine, "ref1").steps if step.layer]
    return [(layer.size_bytes, layer.compressed_bytes) for layer in layers]


def test_layers_are_as_large_as_their_files_once_the_image_was_analysed(engine: Engine, writer: Writer) -> None:
    writer.save_build(BUILD, scope=SCOPE)
    assert sizes(engine) == [(8192, 120), (4096, 90)]
    layers = [a_layer("sha256:base", 700), a_layer("sha256:a", 2), a_layer("sha256:b", 5)]
    writer.save_image("default", a_document(layers=layers), [], scope=SCOPE, at_ns=1)
    assert sizes(engine) == [(2, 120), (5, 90)]


def test_a_from_has_the_last_layer_of_its_base(engine: Engine, writer: Writer) -> None:
    base, *rest = BUILD.steps
    writer.save_build(replace(BUILD, steps=(replace(base, layer=Layer("sha256:packed", 4096, 50)), *rest)), scope=SCOPE)
    layers = [a_layer(f"sha256:{name}", size) for name, size in (("below", 900), ("base", 70), ("a", 2), ("b", 5))]
    writer.save_image("default", a_document(layers=layers), [], scope=SCOPE, at_ns=1)
    assert sizes(engine) == [(70, 50), (2, 120), (5, 90)]


def test_an_image_whose_layers_do_not_fit_the_steps_changes_no_size(engine: Engine, writer: Writer) -> None:
    writer.save_build(BUILD, scope=SCOPE)
    writer.save_image("default", a_document(layers=[a_layer("sha256:squashed", 7)]), [], scope=SCOPE, at_ns=1)
    writer.save_image("other", a_document(layers=[a_layer("sha256:a", 2)] * 3), [], scope=SCOPE, at_ns=1)
    assert sizes(engine) == [(8192, 120), (4096, 90)]
