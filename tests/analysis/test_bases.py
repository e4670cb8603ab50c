from __future__ import annotations

from buildprof.analysis.bases import BaseChange, base_changes, is_on_other
from buildprof.model.recipe import Recipe
from buildprof.model.step import Kind, Layer, Outcome, Step

OLD, NEW = "sha256:" + "1" * 64, "sha256:" + "2" * 64


def a_from(command: str, layer: str = "") -> Step:
    made = Layer(layer, 10) if layer else None
    return Step("from", f"FROM {command}", Kind.FROM, Outcome.NONE, instruction="FROM", command=command, layer=made)


def a_run(*images: tuple[str, str]) -> Step:
    return Step("run", "RUN x", Kind.RUN, Outcome.HIT, instruction="RUN", recipe=Recipe(images=images))


def found(*pairs: tuple[Step, Step], one_builder: bool = True) -> tuple[BaseChange, ...]:
    return base_changes(pairs, one_builder=one_builder)


def test_the_recipes_of_steps_tell_the_digests_of_what_they_stand_on():
    pair = a_run(("node:20", OLD), ("nginx:1", OLD)), a_run(("node:20", NEW), ("nginx:1", OLD))
    assert found(pair) == (BaseChange("node:20", OLD, NEW),)


def test_a_digest_in_the_dockerfile_tells_it_too():
    assert found((a_from(f"node:20@{OLD}"), a_from(f"node:20@{NEW}"))) == (BaseChange("node:20", OLD, NEW),)
    assert found((a_from(f"node:20@{OLD}"), a_from(f"node:20@{OLD}"))) == ()


def test_of_an_image_whose_digest_nothing_tells_the_last_layer_does_on_one_builder():
    pair = a_from("base", OLD), a_from("base", NEW)
    assert found(pair) == (BaseChange("base"),)
    assert found(pair, one_builder=False) == ()
    assert found((a_from("base", OLD), a_from("base", OLD))) == found((a_from("base", OLD), a_from("base"))) == ()


def test_an_image_that_the_recipes_know_is_not_judged_by_its_layer():
    layers = a_from("docker.io/library/node", OLD), a_from("docker.io/library/node", NEW)
    assert found(layers, (a_run(("node:latest", OLD)), a_run(("node:latest", OLD)))) == ()
    changes = found(layers, (a_run(("node:latest", OLD)), a_run(("node:latest", NEW))))
    assert changes == (BaseChange("node:latest", OLD, NEW),)
    assert is_on_other(layers[1], changes)
    assert not is_on_other(a_from("nginx"), changes)
    assert not is_on_other(a_run(), changes)


def test_what_is_not_known_of_both_builds_is_no_change():
    assert found((a_run(("node:20", "")), a_run(("node:20", NEW)))) == ()
    assert found((a_run(("node:20", OLD)), a_run(("nginx:1", NEW)))) == ()
    assert found((a_run(("node:20", OLD)), a_run(("node:20", OLD), ("node:20", NEW)))) == ()
    assert found((a_from("node:20"), a_from("node:22"))) == ()
