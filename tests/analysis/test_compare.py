from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buildprof.analysis.compare import compare_builds, compare_document, step_size_bytes
from buildprof.model.build import Build
from buildprof.model.step import Layer, Outcome, Step
from tests.cli.sample_builds import ALL, build, shop, step


def with_steps(*steps: Step) -> Build:
    return build(tuple(replace(one, id=f"{at}-{one.id}") for at, one in enumerate(steps)))


def run(text: str, position: int, *, stage: str = "", seconds: float | None = 1.0, **more: object) -> Step:
    end = None if seconds is None else seconds
    return step(f"RUN {text}", Outcome.MISS, 0.0, end, place=(stage, position, 9), **more)


def changes(before: Build, after: Build) -> list[tuple[str, str | None, str | None]]:
    return [
        (pair.change, pair.before and pair.before.command, pair.after and pair.after.command)
        for pair in compare_builds(before, after).pairs
    ]


def test_a_build_compared_with_itself_differs_in_nothing() -> None:
    for make in ALL.values():
        comparison = compare_builds(make(), make())
        assert {pair.change for pair in comparison.pairs} == {"same"}
        assert comparison.difference_seconds == pytest.approx(0.0)


def test_identity_wins_over_text_and_place() -> None:
    before = with_steps(run("a", 1, identity="x"), run("b", 2, identity="y"))
    after = with_steps(run("b", 1, identity="y"), run("a2", 2, identity="x"))
    assert changes(before, after) == [("same", "b", "b"), ("edited", "a", "a2")]


def test_an_inserted_step_is_new_and_the_rest_keep_their_partners() -> None:
    before = with_steps(run("a", 1), run("b", 2))
    after = with_steps(run("a", 1), run("new", 2), run("b", 3))
    assert changes(before, after) == [("same", "a", "a"), ("added", None, "new"), ("same", "b", "b")]


def test_a_changed_instruction_finds_what_stood_in_its_place() -> None:
    before = with_steps(run("a", 1), run("old", 2))
    after = with_steps(run("a", 1), run("new", 2))
    assert changes(before, after) == [("same", "a", "a"), ("edited", "old", "new")]


def test_a_base_image_of_another_digest_is_another_base_and_one_of_another_tag_is_edited() -> None:
    old, moved, other = (
        with_steps(step(f"FROM {name}", place=("", 1, 9))) for name in ("a@sha256:1", "a@sha256:2", "b")
    )
    assert [change for change, *_ in changes(old, moved)] == ["base"]
    assert [change for change, *_ in changes(old, other)] == ["edited"]


def test_the_document_tells_what_base_became_of_which() -> None:
    old, moved = (with_steps(step(f"FROM {name}", place=("", 1, 9))) for name in ("a@sha256:1", "a@sha256:2"))
    document = compare_document(compare_builds(old, moved))
    assert document["bases"] == [{"image": "a", "before": "sha256:1", "after": "sha256:2"}]
    assert document["steps"][0]["difference_bytes"] is None


def test_a_removed_step_stands_before_what_followed_it() -> None:
    before = with_steps(run("a", 1), run("gone", 2), run("b", 3))
    after = with_steps(run("a", 1), step("COPY c", place=("", 2, 9)), run("b", 3))
    assert changes(before, after) == [
        ("same", "a", "a"),
        ("added", None, "c"),
        ("removed", "gone", None),
        ("same", "b", "b"),
    ]


def test_the_same_text_in_two_stages_is_two_steps() -> None:
    before = with_steps(run("a", 1, stage="x"), run("a", 1, stage="y"))
    after = with_steps(run("a", 1, stage="y"))
    assert sorted(changes(before, after)) == [("removed", "a", None), ("same", "a", "a")]


def test_differences_are_after_less_before() -> None:
    before = with_steps(run("a", 1, seconds=1.0, size=100), run("gone", 2, seconds=2.0))
    after = with_steps(replace(run("a", 1, seconds=4.0, size=150), outcome=Outcome.HIT))
    pair, gone = compare_builds(before, after).pairs
    assert (pair.change, pair.difference_seconds, pair.difference_bytes) == ("outcome", 3.0, 50)
    assert (gone.difference_seconds, gone.difference_bytes) == (-2.0, None)
    assert compare_builds(before, after).difference_seconds == 1.0


def test_a_step_that_still_runs_has_an_unknown_difference() -> None:
    comparison = compare_builds(with_steps(run("a", 1)), with_steps(run("a", 1, seconds=None)))
    assert comparison.pairs[0].difference_seconds is None


def test_the_size_of_a_step_is_its_layer_else_its_record_else_what_it_moved() -> None:
    one = run("a", 1)
    assert step_size_bytes(one) is None
    assert step_size_bytes(replace(one, transferred_bytes=3)) == 3
    assert step_size_bytes(replace(one, transferred_bytes=3, stored_bytes=2)) == 2
    assert step_size_bytes(replace(one, stored_bytes=2, layer=Layer("d", -1))) == 2
    assert step_size_bytes(replace(one, stored_bytes=2, layer=Layer("d", 1))) == 1


def test_a_base_image_that_moved_nothing_has_no_known_size() -> None:
    base = replace(step("FROM a", place=("", 1, 9)), transferred_bytes=0)
    assert step_size_bytes(base) is None
    assert step_size_bytes(replace(base, transferred_bytes=7)) == 7
    assert step_size_bytes(replace(base, layer=Layer("d", 0))) == 0


texts = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(1, 3), st.sampled_from(["", "x"])), min_size=1, max_size=6
)


@settings(deadline=None)
@given(texts, texts)
def test_every_step_of_both_builds_is_in_exactly_one_pair(
    before: list[tuple[str, int, str]], after: list[tuple[str, int, str]]
) -> None:
    builds = [with_steps(*(run(text, at, stage=stage) for text, at, stage in one)) for one in (before, after)]
    pairs = compare_builds(*builds).pairs
    assert sorted(p.before.id for p in pairs if p.before) == sorted(one.id for one in builds[0].steps)
    assert sorted(p.after.id for p in pairs if p.after) == sorted(one.id for one in builds[1].steps)


def test_builds_of_which_one_has_no_known_steps_have_no_difference() -> None:
    bare = replace(shop(), steps=())
    for pair in ((bare, shop()), (shop(), bare)):
        comparison = compare_builds(*pair)
        assert (comparison.pairs, comparison.difference_seconds) == ((), None)
        assert compare_document(comparison)["difference_seconds"] is None


def test_the_document_has_heads_sums_and_pairs() -> None:
    document = compare_document(compare_builds(shop(), shop()))
    assert list(document) == ["before", "after", "difference_seconds", "bases", "steps"]
    assert "steps" not in document["before"]
    assert list(document["steps"][0]) == [
        *("name", "change", "difference_seconds", "difference_bytes", "before", "after"),
    ]


def test_a_layer_that_both_builds_have_has_not_grown_though_it_is_told_in_two_ways() -> None:
    """The engine counts blocks or archives; an analysed image has the bytes of its files."""
    told = step("RUN make", Outcome.HIT, 0, 0, place=("app", 1, 1), layer=Layer("sha256:1", 1161))
    analysed = replace(told, layer=Layer("sha256:1", 1000))
    other = replace(told, layer=Layer("sha256:2", 1000))
    assert [compare_builds(build((told,)), build((one,))).pairs[0].difference_bytes for one in (analysed, other)] == [
        0,
        -161,
    ]
