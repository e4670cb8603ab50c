from dataclasses import replace

import pytest

from buildprof.analysis.image_steps import image_steps, steps_of_layers
from buildprof.model.build import Source
from buildprof.model.step import Kind, Layer
from tests.analysis.recipes import a_build, stage
from tests.recordings.replay import replay_name


def built(*digests: str | None):
    steps = stage("COPY a /", "RUN b", "COPY c /")
    steps = [
        replace(step, layer=None if digest is None else Layer(digest, 1))
        for step, digest in zip(steps, digests, strict=True)
    ]
    return a_build("b", *steps)


def tied(build, *digests: str):
    found, base = steps_of_layers(build, digests)
    return [one and one.step_id for one in found], base


def test_layers_belong_to_the_steps_that_name_their_digest():
    build = built("x1", "x2", "x3")
    assert tied(build, "base", "x1", "x2", "x3") == ([None, "1", "2", "3"], 1)
    assert steps_of_layers(build, ["base", "x1", "x2", "x3"])[0][1].lines == build.steps[0].lines


def test_a_digest_that_is_there_twice_belongs_to_the_last_that_fits():
    assert tied(built("x1", "same", "same"), "same", "x1", "same", "same") == ([None, "1", "2", "3"], 1)


def test_where_steps_tell_other_digests_the_last_layers_are_theirs():
    assert tied(built("p1", "p2", "p3"), "d0", "d1", "d2", "d3", "d4") == ([None, None, "1", "2", "3"], 2)


@pytest.mark.parametrize(
    "digests",
    [("", "", ""), ("x1", None, "x3"), ("x1", "other", "x3"), ("x3", "x2", "x1")],
)
def test_where_steps_and_layers_do_not_fit_together_nothing_is_told(digests):
    assert tied(built(*digests), "base", "x1", "x2", "x3") == ([None] * 4, 0)
    assert tied(built("x1", "x2", "x3"), "x1") == ([None], 0)


def test_of_a_build_that_makes_no_layer_all_are_of_the_base():
    assert tied(a_build("b"), "x1", "x2") == ([None, None], 2)


def test_only_the_last_stage_and_what_it_stands_on_is_in_the_image():
    build = replay_name("docker-28-cold")
    made = image_steps(build)
    assert [(step.stage, step.instruction) for step in made] == [
        ("deps", "FROM"), ("stage-2", "COPY"), ("stage-2", "COPY"), ("stage-2", "RUN"),
    ]  # fmt: skip
    found, base = steps_of_layers(build, [step.layer.digest for step in made if step.layer])
    assert [one and one.step_id for one in found] == [None, *(step.id for step in made[1:])]
    assert base == 1


def test_a_classic_build_is_a_chain_through_what_makes_no_layer():
    copied, environment, ran = stage("COPY a /", "RUN env", "RUN true")
    steps = (replace(copied, layer=Layer("x1", 1)), replace(environment, kind=Kind.OTHER, cacheable=False), ran)
    build = replace(a_build("b", *steps), source=Source.CLASSIC)
    assert [step.id for step in image_steps(build)] == [copied.id]
    assert tied(build, "base", "x1") == ([None, copied.id], 1)
