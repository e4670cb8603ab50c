from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from buildprof.analysis.alignment import align
from tests.analysis.recipes import a_build, stage


def partners(before, after):
    return {step: one.id for step, one in align(a_build("a", *before), a_build("b", *after)).partners.items()}


def test_a_changed_instruction_finds_its_earlier_form():
    assert partners(stage("RUN a", "RUN b", "RUN c"), stage("RUN a", "RUN x", "RUN c")) == {
        "1": "1",
        "2": "2",
        "3": "3",
    }


def test_an_inserted_instruction_has_no_partner_and_the_rest_keep_theirs():
    assert partners(stage("RUN a", "RUN b"), stage("RUN a", "COPY x /", "RUN b")) == {"1": "1", "3": "2"}


def test_a_removed_instruction_is_an_edit_before_the_next_step():
    found = align(a_build("a", *stage("RUN a", "RUN b", "RUN c")), a_build("b", *stage("RUN a", "RUN c")))
    (edit,) = found.edits["2"]
    assert (edit.before.text, edit.after, edit.is_step) == ("RUN b", None, True)


def test_what_makes_no_step_is_an_edit_before_the_next_step():
    before, after = stage("USER one", "RUN a"), stage("USER two", "RUN a")
    (edit,) = align(a_build("a", *before), a_build("b", *after)).edits["1"]
    assert (edit.before.text, edit.after.text, edit.is_step) == ("USER one", "USER two", False)


def test_a_stage_that_came_before_does_not_shift_the_stages_after_it():
    before = stage("RUN a", "RUN b")
    after = [*stage("RUN tool", name="tool"), *stage("RUN a", "RUN b", name="stage-1")]
    assert partners(before, after) == {"stage-11": "1", "stage-12": "2"}


def test_a_renamed_stage_is_known_by_its_instructions():
    before = [*stage("RUN a", name="one"), *stage("RUN b", name="two")]
    after = [*stage("RUN b", name="second"), *stage("RUN a", name="first")]
    assert partners(before, after) == {"first1": "one1", "second1": "two1"}


@given(st.lists(st.sampled_from(["RUN a", "RUN b", "COPY c /", "ENV d=1", "RUN e"]), max_size=12))
def test_a_build_is_aligned_with_itself_step_by_step(texts):
    steps = stage(*texts)
    found = align(a_build("a", *steps), a_build("b", *steps))
    assert {step: one.id for step, one in found.partners.items()} == {step.id: step.id for step in steps}
    assert found.edits == {}


@given(*[st.lists(st.sampled_from(["RUN a", "RUN b", "COPY c /", "ENV d=1"]), max_size=10)] * 2)
def test_no_step_has_two_partners_and_equal_ones_are_found_as_often_as_can_be_in_order(old, new):
    found = partners(stage(*old), stage(*new))
    assert len(set(found.values())) == len(found)
    assert [int(one) for one in found.values()] == sorted(int(one) for one in found.values())
