from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from buildprof.analysis.misses import root_misses
from buildprof.model.step import Kind, Outcome, Step
from tests.cli.sample_builds import shop


def names(ids: frozenset[str]) -> set[str]:
    return {id_.removeprefix("sha256:").partition(":")[0] for id_ in ids}


def make(id_: str, outcome: Outcome, *inputs: str, kind: Kind = Kind.RUN) -> Step:
    return Step(id_, id_, kind, outcome, inputs=inputs, cacheable=kind is not Kind.CONTEXT)


def test_a_miss_after_a_hit_is_a_root_and_what_follows_is_not() -> None:
    assert names(root_misses(shop().steps)) == {"COPY . ."}


def test_steps_that_are_not_cacheable_are_looked_through() -> None:
    steps = [
        make("a", Outcome.MISS),
        make("context", Outcome.NONE, "a", kind=Kind.CONTEXT),
        make("b", Outcome.MISS, "context"),
    ]
    assert root_misses(steps) == {"a"}


def test_a_miss_behind_a_hit_has_a_cause_of_its_own() -> None:
    steps = [make("a", Outcome.MISS), make("b", Outcome.HIT, "a"), make("c", Outcome.MISS, "b")]
    assert root_misses(steps) == {"a", "c"}


def test_a_miss_that_follows_one_shared_with_another_build_is_no_root() -> None:
    assert root_misses([make("a", Outcome.SHARED), make("b", Outcome.MISS, "a")]) == set()


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(Outcome), st.lists(st.integers(0, 12), max_size=3)), max_size=12))
def test_any_graph_with_unknown_inputs_and_circles_gets_an_answer(graph: list[tuple[Outcome, list[int]]]) -> None:
    steps = [make(str(at), outcome, *map(str, inputs)) for at, (outcome, inputs) in enumerate(graph)]
    roots = root_misses(steps)
    assert roots <= {step.id for step in steps if step.outcome is Outcome.MISS}
    assert root_misses([replace(step, outcome=Outcome.HIT) for step in steps]) == set()
