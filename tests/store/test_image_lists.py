from __future__ import annotations

from sqlalchemy import Engine

from buildprof.model.build import Build, Image, Status, Summary
from buildprof.store.image_lists import analysed_images, build_head, builds_of_same_image, stored_rows
from buildprof.store.writer import Writer
from tests.store.samples import SECOND, T0, make_build
from tests.store.test_images import a_document


def save(writer: Writer, ref: str, at: int = 0, image_id: str = "sha256:abcd", **changes) -> Build:
    started_ns = T0 + at * SECOND
    fields = {"started_ns": started_ns, "completed_ns": started_ns + 1, "image": Image(image_id, ("shop:1",), 10, 1)}
    build = make_build(ref, **(fields | changes))
    writer.save_build(build, scope="agent")
    return build


def analysed(writer: Writer, id_: str, name: str = "shop:1", at_ns: int = 1, builder: str = "default", **sizes) -> None:
    writer.save_image(builder, a_document(id_, name, **sizes), [], scope="agent", at_ns=at_ns)


def test_of_each_name_the_image_that_was_analysed_last_is_listed(engine: Engine, writer: Writer) -> None:
    analysed(writer, "sha256:1111", at_ns=1)
    analysed(writer, "sha256:2222", at_ns=3, stored_bytes=200, wasted_bytes=50)
    analysed(writer, "sha256:3333", "blog:1", at_ns=2)
    shop, blog = analysed_images(engine, 10)
    assert (shop.id, shop.name, shop.versions, shop.analysed_ns) == ("sha256:2222", "shop:1", 2, 3)
    assert (shop.stored_bytes, shop.wasted_bytes, shop.efficiency) == (200, 50, 0.75)
    assert (blog.id, blog.versions) == ("sha256:3333", 1)
    assert [one.name for one in analysed_images(engine, 1)] == ["shop:1"]


def test_images_without_a_name_go_by_their_ids(engine: Engine, writer: Writer) -> None:
    analysed(writer, "sha256:1111", "")
    analysed(writer, "sha256:2222", "", at_ns=2)
    assert [(one.id, one.versions) for one in analysed_images(engine, 10)] == [("sha256:2222", 1), ("sha256:1111", 1)]


def test_an_image_of_nothing_is_efficient(engine: Engine, writer: Writer) -> None:
    analysed(writer, "sha256:1111", stored_bytes=0, wasted_bytes=0)
    assert analysed_images(engine, 1)[0].efficiency == 1.0


def test_an_image_has_the_last_build_that_made_it_on_its_builder(engine: Engine, writer: Writer) -> None:
    save(writer, "first", 0)
    save(writer, "second", 1, target="api")
    save(writer, "elsewhere", 2, builder="other")
    analysed(writer, "sha256:abcd")
    analysed(writer, "sha256:ffff", "alone:1")
    found = {one.name: (one.project, one.target, one.ref) for one in analysed_images(engine, 10)}
    assert found == {"shop:1": ("shop", "api", "second"), "alone:1": ("", "", "")}


def test_the_head_of_the_newest_of_some_builds_is_found(engine: Engine, writer: Writer) -> None:
    save(writer, "one", 5)
    save(writer, "two", 3)
    found = build_head(engine, ["two", "one", "unknown"])
    assert found is not None
    assert (found.ref, found.steps) == ("one", ())
    assert build_head(engine, ["unknown"]) is None


def test_builds_of_the_same_image_are_completed_ones_of_target_dockerfile_and_builder(
    engine: Engine, writer: Writer
) -> None:
    save(writer, "a", 1)
    save(writer, "failed", 2, status=Status.FAILED)
    save(writer, "no image", 3, image=None)
    save(writer, "other target", 4, target="api")
    save(writer, "other file", 5, dockerfile="other/Dockerfile")
    save(writer, "other builder", 6, builder="remote")
    save(writer, "b", 7)
    last = save(writer, "c", 8)
    save(writer, "later", 9)
    assert [one.ref for one in builds_of_same_image(engine, last, 9)] == ["a", "b", "c"]
    assert [one.ref for one in builds_of_same_image(engine, last, 2)] == ["b", "c"]


def test_what_is_stored_is_counted(engine: Engine, writer: Writer) -> None:
    assert stored_rows(engine) == {"build": 0, "step": 0, "analysed image": 0}
    save(writer, "a", summary=Summary(steps=3))
    save(writer, "b", 1, summary=Summary(steps=1))
    analysed(writer, "sha256:1111")
    assert stored_rows(engine) == {"build": 2, "step": 4, "analysed image": 1}
