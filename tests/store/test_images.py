from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine

from buildprof.model.build import Image
from buildprof.store.errors import Ambiguous, NotFound
from buildprof.store.images import build_of_image, image_of, stored_image
from buildprof.store.queries import changed_series
from buildprof.store.writer import Writer
from tests.store.samples import T0, make_build

SCOPE = "here"


def a_document(id_: str = "sha256:abcdef", image: str = "shop-web:latest", **changes: Any) -> dict[str, Any]:
    sizes = {"stored_bytes": 10, "wasted_bytes": 1, "efficiency": 0.9}
    return {"id": id_, "image": image, **sizes, "layers": [], "waste": [], **changes}


def save(writer: Writer, document: dict[str, Any], at_ns: int = 1) -> None:
    writer.save_image("default", document, [], scope=SCOPE, at_ns=at_ns)


def test_an_image_is_found_by_its_name_and_by_a_prefix_of_its_id(engine: Engine, writer: Writer) -> None:
    document = a_document()
    save(writer, document)
    for name in ("shop-web", "shop-web:latest", "sha256:abcdef", "sha256:abcd", "abcd"):
        assert stored_image(engine, name) == document
    for name in ("shop", "shop-web:1", "abc", "sha256:", ""):
        with pytest.raises(NotFound):
            stored_image(engine, name)


def test_of_a_name_the_newest_image_is_meant_and_of_a_prefix_none_of_several(engine: Engine, writer: Writer) -> None:
    save(writer, newer := a_document("sha256:abcd2"), at_ns=2)
    save(writer, a_document("sha256:abcd1"), at_ns=1)
    assert stored_image(engine, "shop-web") == newer
    with pytest.raises(Ambiguous):
        stored_image(engine, "abcd")


def test_an_image_that_is_analysed_again_is_stored_once(engine: Engine, writer: Writer) -> None:
    save(writer, a_document())
    save(writer, again := a_document(image="shop-web:2"), at_ns=2)
    assert stored_image(engine, "abcdef") == again
    with pytest.raises(NotFound):
        stored_image(engine, "shop-web:latest")


def test_an_image_has_all_the_names_that_builds_gave_it(engine: Engine, writer: Writer) -> None:
    for ref, id_, tags, at_ns in (
        ("1", "sha256:old1", ("shop:1",), T0),
        ("2", "sha256:new2", ("web:1", "shop:1"), T0 + 1),
    ):
        writer.save_build(make_build(ref, started_ns=at_ns, image=Image(id_, tags, 10, 1)), scope=SCOPE)
        save(writer, a_document(id_, tags[0]), at_ns=at_ns)
    for name in ("web:1", "shop:1", "docker.io/library/shop:1"):
        assert stored_image(engine, name)["id"] == "sha256:new2"
    assert stored_image(engine, "old1")["id"] == "sha256:old1"


def test_an_image_belongs_to_the_builds_that_made_it(engine: Engine, writer: Writer) -> None:
    build = make_build("ref-1", builder="default", image=Image("sha256:abcdef", ("shop-web:latest",), 10, 1))
    writer.save_build(build, scope=SCOPE)
    assert image_of(engine, build) is None
    save(writer, document := a_document())
    assert image_of(engine, build) == document
    found = build_of_image(engine, ["sha256:abcdef"])
    assert found is not None
    assert found.ref == "ref-1"
    assert build_of_image(engine, ["sha256:other"]) is None


def test_images_are_deleted_with_the_builds_of_their_time(engine: Engine, writer: Writer) -> None:
    save(writer, a_document("sha256:aaaa", "old"), at_ns=5)
    save(writer, a_document("sha256:bbbb", "new"), at_ns=50)
    writer.delete_older_than(10)
    assert stored_image(engine, "bbbb")
    with pytest.raises(NotFound):
        stored_image(engine, "aaaa")
    assert changed_series(engine, SCOPE)[0] == []
