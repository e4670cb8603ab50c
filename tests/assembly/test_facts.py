from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildprof.assembly import facts as module
from buildprof.assembly.facts import BuildFacts, join_intervals, total_seconds
from buildprof.model.events import StatusUpdate, Vertex, VertexLog, VertexStatus
from buildprof.model.step import Interval
from tests.assembly.events import facts_of, vertex
from tests.recordings.replay import NAMES, load

INTERVALS = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)).map(lambda ends: Interval(*sorted(ends))))
REPORTS = st.builds(
    Vertex,
    digest=st.sampled_from("abc"),
    name=st.sampled_from(["", "x", "y"]),
    inputs=st.lists(st.sampled_from("abc"), max_size=2).map(tuple),
    cached=st.booleans(),
    started_ns=st.none() | st.integers(1, 9),
    completed_ns=st.none() | st.integers(1, 9),
    error=st.sampled_from(["", "broken"]),
)


def unit_stretches(intervals, clip=None):
    """Which of the stretches n … n+1 lie in an interval, counted one by one."""
    return {
        point
        for interval in intervals
        for point in range(interval.started_ns, interval.completed_ns)
        if clip is None or clip.started_ns <= point < clip.completed_ns
    }


@given(INTERVALS, st.none() | INTERVALS.filter(bool).map(lambda found: found[0]))
def test_joined_intervals_cover_what_the_intervals_cover_within_the_build(intervals, clip):
    joined = join_intervals(intervals, clip)

    assert unit_stretches(joined) == unit_stretches(intervals, clip)
    assert all(one.completed_ns < other.started_ns for one, other in pairwise(joined))
    assert total_seconds(joined) == pytest.approx(len(unit_stretches(intervals, clip)) / 1e9)


@given(INTERVALS)
def test_joining_joined_intervals_changes_nothing(intervals):
    joined = join_intervals(intervals)

    assert join_intervals(joined) == joined
    assert join_intervals(intervals[::-1]) == joined


def observed(reports):
    facts = BuildFacts()
    for report in reports:
        facts.observe(StatusUpdate(vertices=(report,)))
    return facts


@given(st.lists(REPORTS, max_size=12))
def test_reports_that_come_again_change_nothing(reports):
    once, twice = observed(reports), observed(reports)
    for report in reports:
        twice.observe(StatusUpdate(vertices=(report,)))

    assert twice == once


@given(st.lists(REPORTS, max_size=12), st.randoms(use_true_random=False))
def test_the_order_in_which_vertices_are_reported_does_not_matter(reports, random):
    by_digest = {digest: [one for one in reports if one.digest == digest] for digest in "abc"}
    order = [one.digest for one in reports]
    random.shuffle(order)

    assert observed([by_digest[digest].pop(0) for digest in order]).vertices == observed(reports).vertices


@pytest.mark.parametrize("name", NAMES)
def test_a_recording_that_is_read_in_one_message_or_twice_is_the_same_build(name):
    recording = load(name)
    whole = BuildFacts()
    for _ in range(2):
        whole.observe(StatusUpdate(vertices=tuple(one for update in recording.updates for one in update.vertices)))

    bare = BuildFacts()
    for update in recording.updates:
        bare.observe(replace(update, statuses=(), logs=()))
    assert whole == bare
    assert not recording.facts.dropped


def test_what_was_ever_said_to_be_work_is_work():
    vertices = facts_of([Vertex("a", "a", cached=False, started_ns=1), Vertex("a", "a", (), True, 1, 5)]).vertices

    assert [run.cached for run in vertices["a"].runs.values()] == [False]


def test_a_read_of_the_cache_is_no_work():
    vertices = facts_of(vertex("a", (1, 5, "cached"))).vertices

    assert not vertices["a"].executed_runs()
    assert vertices["a"].cached


def test_an_error_that_a_later_run_made_good_is_none():
    assert facts_of(vertex("a", (1, 2, "broken"), (3, 4))).vertices["a"].error() == ""
    assert facts_of(vertex("a", (3, 4, "broken"), (1, 2))).vertices["a"].error() == "broken"


def test_an_error_while_the_cache_is_read_is_one():
    reports = [Vertex("a", "a", (), True, 1), Vertex("a", "a", (), True, 1, 5, "cannot read")]

    assert facts_of(reports).vertices["a"].error() == "cannot read"


def test_a_step_that_speaks_of_cancelling_has_not_been_canceled():
    said = 'process "/bin/sh -c echo context canceled; exit 1" did not complete successfully: exit code: 1'

    assert not facts_of(vertex("a", (1, 2, said))).vertices["a"].was_canceled()
    assert facts_of(vertex("a", (1, 2, f"{said}: context canceled"))).vertices["a"].was_canceled()


def test_a_run_that_ends_before_it_starts_takes_no_time():
    run = facts_of(vertex("a", (5, 3))).vertices["a"].runs[5]

    assert (run.started_ns, run.completed_ns) == (5, 5)


def test_vertices_past_the_bound_are_dropped_and_counted(monkeypatch):
    monkeypatch.setattr(module, "MAX_VERTICES", 2)
    facts = facts_of(*(vertex(digest, (1, 2)) for digest in "abc"))

    assert list(facts.vertices) == ["a", "b"]
    assert facts.dropped == 2  # the two reports on c


def test_runs_past_the_bound_are_dropped_and_counted(monkeypatch):
    monkeypatch.setattr(module, "MAX_RUNS_PER_VERTEX", 2)
    facts = facts_of(vertex("a", (1, None), (3, 4), (5, 6), (1, 2)))

    assert {run.started_ns: run.completed_ns for run in facts.vertices["a"].runs.values()} == {1: 2, 3: 4}
    assert facts.dropped == 1


def test_inputs_past_the_bound_are_left_out(monkeypatch):
    monkeypatch.setattr(module, "MAX_INPUTS_PER_VERTEX", 2)

    assert facts_of(vertex("a", inputs="bcd")).vertices["a"].inputs == ("b", "c")


def test_a_transfer_keeps_its_furthest_progress(monkeypatch):
    monkeypatch.setattr(module, "MAX_TRANSFERS_PER_VERTEX", 1)
    facts = facts_of(vertex("a"))
    for current, total in ((-5, -1), (7, 10), (3, 0)):
        facts.observe(StatusUpdate(statuses=(VertexStatus("blob", "a", "", current, total),)))
    facts.observe(
        StatusUpdate(statuses=(VertexStatus("another", "a", "", 1, 1), VertexStatus("x", "nobody", "", 1, 1)))
    )

    assert {id_: (one.current, one.total) for id_, one in facts.vertices["a"].transfers.items()} == {"blob": (7, 10)}
    assert facts.dropped == 2


def logged(*data):
    facts = facts_of(vertex("a"))
    for one in data:
        facts.observe(StatusUpdate(logs=(VertexLog("a", one),)))
    return facts.vertices["a"]


@given(st.lists(st.binary(max_size=50), max_size=5))
def test_any_bytes_are_a_log(data):
    assert all(isinstance(line, str) for line in logged(*data).log_lines())


def test_a_log_keeps_its_last_lines_however_long_it_is():
    data = [
        b"".join(b"line %d\n" % number for number in range(start, start + 1000)) for start in range(0, 50_000, 1000)
    ]
    log = logged(*data)

    assert log.log_lines() == tuple(f"line {number}" for number in range(49_800, 50_000))
    assert len(log.log_tail) <= 2 * module.MAX_LOG_BYTES


def test_a_log_is_cut_between_lines_so_that_no_half_of_a_secret_is_left():
    lines = b"".join(b"TOKEN=correct-horse-%04d\n" % number for number in range(3000))
    log = logged(*(lines for _ in range(5)), b"the end\n")

    assert log.log_tail.startswith(b"TOKEN=")
    assert log.log_lines()[-1] == "the end"
    assert len(logged(b"x" * 10_000_000, b"\nafter\n").log_tail) < module.MAX_LOG_BYTES


def test_the_log_of_a_step_that_ended_well_is_not_kept():
    facts = facts_of(vertex("a", (1, None)), vertex("b", (1, None)))
    for digest, error in (("a", ""), ("b", "broken")):
        facts.observe(
            StatusUpdate((Vertex(digest, digest, (), False, 1, 2, error),), logs=(VertexLog(digest, b"x\n"),))
        )

    assert facts.vertices["a"].log_lines() == ()
    assert facts.vertices["b"].log_lines() == ("x",)


def test_a_log_of_no_known_vertex_is_dropped_and_counted():
    facts = BuildFacts()
    facts.observe(StatusUpdate(logs=(VertexLog("a", b"x"),)))

    assert facts.dropped == 1
