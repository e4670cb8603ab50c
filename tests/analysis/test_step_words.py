"""What a person calls a step."""

from __future__ import annotations

from dataclasses import replace

import pytest

from buildprof.analysis.step_words import least_marked_seconds, step_name, step_place, step_title
from buildprof.model.step import Kind
from tests.cli.sample_builds import shop, step


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("FROM docker.io/library/node:20@sha256:aa", "FROM node:20"),
        ("FROM docker.io/me/x:1", "FROM me/x:1"),
        ("RUN echo docker.io/library/x@sha256:aa", "RUN echo docker.io/library/x@sha256:aa"),
    ],
)
def test_a_base_image_is_named_without_its_digest(name: str, said: str) -> None:
    assert step_name(step(name, place=("a", 1, 2))) == said


def test_a_linked_copy_and_an_internal_step_have_names_of_their_own() -> None:
    assert step_name(step("COPY a b", place=("a", 1, 2), kind=Kind.MERGE)) == "LINK COPY a b"
    assert step_name(step("exporting to image", kind=Kind.EXPORT)) == "exporting to image"


def test_a_place_is_padded_and_what_is_outside_of_stages_has_none() -> None:
    assert step_place(step("RUN a", place=("a", 2, 10))) == " 2/10"
    assert step_place(step("export", kind=Kind.EXPORT)) == ""
    assert step_title(step("RUN a", place=("a", 2, 10))) == "a 2/10 RUN a"


def test_a_step_is_marked_if_it_took_a_hundredth_of_the_build_or_is_the_longest() -> None:
    of = shop()
    assert least_marked_seconds(of) == pytest.approx(0.418)
    quick = replace(of, steps=tuple(replace(one, duration_seconds=0.01) for one in of.steps))
    assert least_marked_seconds(quick) == 0.01
