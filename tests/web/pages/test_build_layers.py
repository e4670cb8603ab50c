"""The layers of a build's image as bars."""

from __future__ import annotations

from dataclasses import replace

from buildprof.model.build import Build, Image
from buildprof.model.image import LayerStep
from buildprof.model.image_document import image_document
from buildprof.model.step import Outcome
from buildprof.web.pages.build_layers import layers
from buildprof.web.pages.waterfall import row_id
from tests.cli.sample_builds import build, linked, step
from tests.web.conftest import SCOPE
from tests.web.pages.test_image import ID, MB, a_report


def two_steps() -> Build:
    first = step("COPY a .", Outcome.MISS, 0, 1, size=10 * MB, place=("app", 1, 2))
    second = step("RUN make", Outcome.MISS, 1, 2, size=40 * MB, place=("app", 2, 2))
    return build(linked(first, second), image=Image(ID, ("shop:1",), 100 * MB, 3))


def analysed(site, *steps: LayerStep | None) -> None:
    report = replace(a_report(), steps=steps)
    site.writer.save_image("default", image_document(report), [], scope=SCOPE, at_ns=1)


def test_of_an_image_that_is_not_analysed_they_are_those_that_the_steps_made(site):
    one = two_steps()
    found = layers(site.state.store, one)
    assert (found.image, [row.size_bytes for row in found.rows]) == ("", [10 * MB, 40 * MB])
    assert [row.row for row in found.rows] == [row_id(each.id) for each in one.steps]
    assert [row.bar.parts[0].width for row in found.rows if row.bar] == [25.0, 100.0]
    assert {row.wasted_bytes for row in found.rows} == {None}


def test_of_an_analysed_image_they_are_all_with_base_and_waste(site):
    one = two_steps()
    analysed(site, None, *(LayerStep(one.ref, each.id) for each in one.steps))
    found = layers(site.state.store, one)
    assert found.image == ID
    assert [(row.name, row.size_bytes, row.wasted_bytes, row.is_base) for row in found.rows] == [
        ("FROM base", 50 * MB, 0, True),
        ("COPY a .", 40 * MB, 30 * MB, False),
        ("RUN make", 10 * MB, 0, False),
    ]
    assert [row.row for row in found.rows] == ["", *(row_id(each.id) for each in one.steps)]
    assert [row.bar.parts[0].kind for row in found.rows if row.bar] == ["base", "layer", "layer"]


def test_a_layer_that_an_earlier_build_made_has_its_command_and_no_row_here(site):
    analysed(site, None, LayerStep("earlier", "of-another-build"), None)
    found = layers(site.state.store, two_steps())
    assert [(row.name, row.row) for row in found.rows[1:]] == [("RUN make", ""), ("", "")]


def test_a_build_without_layers_has_none(site):
    found = layers(site.state.store, build(()))
    assert (found.rows, found.image) == ((), "")


def test_a_layer_of_unknown_or_no_size_has_no_bar_of_its_own(site):
    first = step("RUN a", Outcome.MISS, 0, 1, size=0, place=("app", 1, 2))
    second = step("RUN b", Outcome.MISS, 1, 2, size=9, place=("app", 2, 2))
    rows = layers(site.state.store, build(linked(first, second))).rows
    assert [(row.size_bytes, row.bar is None) for row in rows] == [(0, True), (9, False)]
