from __future__ import annotations

from dataclasses import replace

from buildprof.analysis.layer_history import OTHERS, layer_history
from buildprof.model.step import Kind, Layer, Step
from tests.analysis.recipes import stage


def built(*layers: tuple[str, int | None]) -> list[Step]:
    """The steps of a build, each with its layer's bytes; None of a step without a layer."""
    return [
        replace(
            step,
            identity=f"identity of {text}",
            layer=None if size_bytes is None else Layer(f"digest {size_bytes}", size_bytes),
        )
        for step, (text, size_bytes) in zip(stage(*(text for text, _ in layers)), layers, strict=True)
    ]


def told(*builds: list[Step], most: int = 9) -> list[tuple[str, tuple[int | None, ...]]]:
    return [(one.name, one.sizes) for one in layer_history(builds, most)]


def test_a_layer_is_followed_from_build_to_build_whatever_its_digest_is():
    assert told(built(("RUN make", 10)), built(("RUN make", 12))) == [("RUN make", (10, 12))]


def test_the_largest_of_the_last_builds_come_first_and_the_rest_is_added_up():
    before = built(("RUN a", 900), ("RUN b", 20), ("RUN c", 30), ("RUN d", 5))
    after = built(("RUN a", 1), ("RUN b", 20), ("RUN c", 40), ("RUN d", 6))
    assert told(before, after, most=2) == [("RUN c", (30, 40)), ("RUN b", (20, 20)), (OTHERS, (905, 7))]


def test_a_layer_that_a_build_does_not_have_is_unknown_there_and_no_zero():
    assert told(built(("RUN a", 7)), built(("RUN b", 3))) == [("RUN a", (7, None)), ("RUN b", (None, 3))]


def test_a_step_without_bytes_makes_no_layer():
    assert told(built(("WORKDIR /a", 0), ("RUN c", None), ("RUN b", 3))) == [("RUN b", (3,))]


def test_the_base_image_is_left_out():
    base = Step("base", "FROM base", Kind.FROM, stage("RUN x")[0].outcome, layer=Layer("b", 99))
    steps = built(("RUN a", 7))
    assert told([base, replace(steps[0], inputs=("base",))]) == [("RUN a", (7,))]


def test_names_are_one_line_without_control_characters():
    ((name, _),) = told(built(("RUN a\x1b[2J\n  b" + "x" * 200, 7)))
    assert name.startswith("RUN a bxxx")
    assert len(name) == 80


def test_without_builds_there_is_nothing():
    assert told() == []
    assert told([], []) == []
