from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildprof.analysis.timeline import SHORTEST_MARKED_SECONDS, critical_path, with_critical_path
from buildprof.model.step import Kind, Outcome, Step
from tests.recordings.replay import NAMES, replay_name

SECOND = 1_000_000_000


def step(step_id, seconds, inputs="", kind=Kind.RUN, started=None):
    """A step of so many seconds that started at a second, or at no known time."""
    return Step(
        id=step_id,
        name=step_id,
        kind=kind,
        outcome=Outcome.MISS,
        inputs=tuple(inputs),
        duration_seconds=seconds,
        started_ns=None if started is None else started * SECOND,
        completed_ns=None if started is None else int((started + (seconds or 0)) * SECOND),
    )


@st.composite
def graphs(draw):
    """Steps without times, so that their inputs are all there is; durations are binary fractions, so sums are exact."""
    size = draw(st.integers(1, 7))
    ids = "abcdefg"[:size]
    made = []
    for index, step_id in enumerate(ids):
        inputs = draw(st.lists(st.sampled_from(ids[:index] or "?"), max_size=3))
        made.append(step(step_id, draw(st.none() | st.integers(0, 64).map(lambda eighths: eighths / 8)), inputs))
    return draw(st.permutations(made))


def all_paths(steps):
    """Every chain from a step without inputs to one without dependents."""
    by_id = {one.id: one for one in steps}

    def ending_in(one):
        inputs = {by_id[i].id: by_id[i] for i in one.inputs if i in by_id}.values()
        return [[*path, one] for before in inputs for path in ending_in(before)] or [[one]]

    return [path for one in steps for path in ending_in(one)]


def length(path):
    return sum(one.duration_seconds or 0.0 for one in path)


@given(graphs())
def test_the_critical_path_is_the_longest_of_all_paths(steps):
    found = critical_path(steps)

    assert found.seconds == max(map(length, all_paths(steps)))
    by_id = {one.id: one for one in steps}
    assert length([by_id[one] for one in found.ids]) == found.seconds
    assert list(found.ids) in [[one.id for one in path] for path in all_paths(steps)]


@given(graphs(), st.data())
def test_a_step_may_grow_by_its_slack_and_no_more_before_the_total_grows(steps, data):
    found = critical_path(steps)
    grown = data.draw(st.sampled_from(steps))

    def total_with(extra):
        slower = replace(grown, duration_seconds=(grown.duration_seconds or 0.0) + extra)
        return critical_path([slower if one.id == grown.id else one for one in steps]).seconds

    slack = found.slack_seconds[grown.id]
    assert slack >= 0
    assert total_with(slack) == found.seconds
    assert total_with(slack + 0.125) == found.seconds + 0.125


@given(graphs())
def test_marked_steps_are_a_chain_in_which_each_has_no_slack(steps):
    marked, seconds = with_critical_path(steps)
    chain = [one for one in marked if one.on_critical_path]

    assert sum(one.duration_seconds for one in chain) == seconds
    assert all(one.slack_seconds == 0 and one.duration_seconds >= SHORTEST_MARKED_SECONDS for one in chain)
    assert all((one.slack_seconds is None) == (one.duration_seconds is None) for one in marked)
    assert any({one.id for one in chain} <= {other.id for other in path} for path in all_paths(steps))
    assert [replace(one, on_critical_path=False, slack_seconds=None) for one in marked] == steps


def test_of_equal_chains_the_first_is_taken():
    assert critical_path([step("a", 1.0), step("b", 1.0)]).ids == ("a",)
    assert critical_path([step("b", 1.0), step("a", 1.0)]).ids == ("b",)


def test_without_steps_there_is_no_path():
    assert with_critical_path([]) == ((), None)
    assert critical_path([]).ids == ()


def test_a_circle_of_inputs_has_no_path():
    marked, seconds = with_critical_path([step("a", 1.0, "b"), step("b", 1.0, "a")])

    assert seconds is None
    assert [(one.on_critical_path, one.slack_seconds) for one in marked] == [(False, None)] * 2


def test_a_step_that_names_itself_or_a_stranger_as_input_has_none():
    assert critical_path([step("a", 1.0, "ax")]).ids == ("a",)


def test_a_chain_of_five_thousand_steps_has_its_length():
    chain = [replace(step(str(n), 1.0), inputs=(str(n - 1),)) for n in range(5000)]

    assert critical_path(chain).seconds == 5000


PHASES = [
    step("definition", 1.0, kind=Kind.DOCKERFILE, started=0),
    step("metadata", 1.0, kind=Kind.METADATA, started=1),
    step("ignore", 1.0, kind=Kind.DOCKERFILE, started=2),
    step("base", 2.0, kind=Kind.FROM, started=3),
    step("context", 1.0, kind=Kind.CONTEXT, started=3),
    step("run", 5.0, ["base"], started=5),
    step("copy", 1.0, ["context"], Kind.COPY, started=4),
    step("export", 2.0, kind=Kind.EXPORT, started=10),
    step("cache", 3.0, kind=Kind.CACHE_EXPORT, started=12),
]


def test_a_build_goes_from_the_dockerfile_over_the_stages_to_the_export():
    found = critical_path(PHASES)

    assert found.ids == ("definition", "metadata", "ignore", "base", "run", "export", "cache")
    assert found.seconds == 15.0
    assert found.slack_seconds["copy"] == 5.0


def test_what_was_not_over_when_a_step_began_did_not_hold_it_up():
    slow_import = step("import", 9.0, kind=Kind.CACHE_IMPORT, started=2)
    found = critical_path([*PHASES, slow_import])

    assert "import" not in found.ids
    assert (
        critical_path(
            [step("a", 3.0, kind=Kind.METADATA, started=0), step("b", 1.0, kind=Kind.FROM, started=1)]
        ).seconds
        == 3
    )


def test_stages_that_run_one_after_the_other_by_chance_do_not_wait_for_each_other():
    assert (
        critical_path([step("a", 1.0, kind=Kind.FROM, started=0), step("b", 1.0, kind=Kind.FROM, started=5)]).seconds
        == 1
    )


@given(
    st.lists(
        st.tuples(st.sampled_from(Kind), st.integers(0, 3), st.integers(0, 2), st.booleans()), min_size=1, max_size=8
    )
)
def test_times_that_are_equal_make_no_circle(parts):
    steps = [
        step(str(n), float(seconds), [str(n - 1)] if has_input and n else [], kind, started)
        for n, (kind, started, seconds, has_input) in enumerate(parts)
    ]
    # An input has ended before its dependent starts, as in a build.
    times = {one.id: one for one in steps}
    if all(times[i].completed_ns <= one.started_ns for one in steps for i in one.inputs):
        assert with_critical_path(steps)[1] is not None


@pytest.mark.parametrize("name", NAMES)
def test_the_path_of_a_recording_is_not_longer_than_its_build_and_explains_most_of_it(name):
    build = replay_name(name)
    share = build.summary.critical_path_seconds / build.duration_seconds

    # Of a build without work, what the engine does between the steps is a large part.
    assert (0.4 if "warm" in name else 0.8 if "failed" in name else 0.85) < share <= 1.0


def test_what_runs_one_after_the_other_is_one_chain_also_across_stages():
    steps = [step("a", 2), step("b", 3), step("c", 1, "a")]
    assert critical_path(steps).seconds == 3
    path = critical_path(steps, in_order=True)
    assert (path.ids, path.seconds) == (("a", "b", "c"), 6)
    assert set(path.slack_seconds.values()) == {0}


def test_of_a_failed_build_the_path_ends_where_it_failed_not_at_what_was_canceled_with_it():
    failed = replace(step("a", 5.0), outcome=Outcome.FAILED)
    canceled = replace(step("b", 5.2), outcome=Outcome.CANCELED)
    path = critical_path([step("base", 1.0), replace(failed, inputs=("base",)), replace(canceled, inputs=("base",))])
    assert path is not None
    assert (path.ids, path.seconds) == (("base", "a"), 6.0)
    assert path.slack_seconds["b"] == 0
