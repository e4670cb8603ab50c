from dataclasses import replace

from buildprof.analysis.image_steps import base_layers, image_steps, steps_of_layers
from buildprof.model.step import Layer
from tests.analysis.recipes import a_build, stage
from tests.recordings.replay import replay_name


def built(*digests: str):
    steps = stage("COPY a /", "RUN b", "COPY c /")
    steps = [replace(step, layer=Layer(digest, 1)) for step, digest in zip(steps, digests, strict=True)]
    return a_build("b", *steps)


def ids(found):
    return [one and one.step_id for one in found]


def test_layers_belong_to_the_steps_that_name_their_digest():
    build = built("sha256:1", "sha256:2", "sha256:3")
    layers = [("sha256:base",), ("sha256:1", "x"), ("y", "sha256:2"), ("sha256:3",)]
    found = steps_of_layers(build, layers)
    assert ids(found) == [None, "1", "2", "3"]
    assert found[1].lines == build.steps[0].lines
    assert base_layers(found) == 1


def test_where_steps_name_no_digest_the_last_layers_are_theirs():
    assert ids(steps_of_layers(built("", "", ""), [(f"sha256:{n}",) for n in range(5)])) == [None, None, "1", "2", "3"]


def test_of_an_image_with_fewer_layers_than_steps_nothing_is_told():
    found = steps_of_layers(built("", "", ""), [("sha256:0",)])
    assert ids(found) == [None]
    assert base_layers(found) == 0


def test_only_the_last_stage_and_what_it_stands_on_is_in_the_image():
    build = replay_name("docker-28-cold")
    made = image_steps(build)
    assert [(step.stage, step.instruction) for step in made] == [
        ("deps", "FROM"), ("stage-2", "COPY"), ("stage-2", "COPY"), ("stage-2", "RUN"),
    ]  # fmt: skip
    found = steps_of_layers(build, [(step.layer.digest,) for step in made if step.layer])
    assert ids(found) == [None, *(step.id for step in made[1:])]
    assert base_layers(found) == 1
