import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildprof.analysis.savings import HISTORY_LENGTH, with_savings
from buildprof.model.step import Kind, Outcome, Step


def step(outcome=Outcome.HIT, duration_seconds=0.5, identity="i"):
    return Step("id", "name", Kind.RUN, outcome, identity=identity, duration_seconds=duration_seconds)


def saved(one, history):
    return with_savings([one], {"i": history})[0].saved_seconds


def test_a_hit_saves_the_median_of_the_last_five_executions_less_what_it_cost():
    assert saved(step(), [3.0, 1.0, 2.0]) == 1.5
    assert saved(step(), [1.0] * HISTORY_LENGTH + [100.0] * 50) == 0.5
    assert saved(step(), [2.0, 4.0]) == 2.5


def test_a_hit_that_cost_more_than_it_saved_saved_nothing():
    assert saved(step(duration_seconds=9.0), [1.0]) == 0.0


def test_a_hit_of_unknown_cost_saved_all():
    assert saved(step(duration_seconds=None), [1.0]) == 1.0


def test_without_history_nobody_knows_what_was_saved():
    assert saved(step(), []) is None
    assert saved(step(identity="other"), [1.0]) is None


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome is not Outcome.HIT])
def test_only_hits_save(outcome):
    assert saved(step(outcome), [1.0]) is None


@given(st.lists(st.floats(0, 1e6), max_size=10), st.floats(0, 1e6))
def test_what_is_saved_is_never_negative_nor_more_than_was_ever_spent(history, cost):
    seconds = saved(step(duration_seconds=cost), history)

    assert seconds is None if not history else 0 <= seconds <= max(history[:HISTORY_LENGTH])
