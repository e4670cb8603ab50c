"""Where the steps of a build stand in a drawing."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from buildprof.analysis.waterfall import (
    ASSUMED_PIXELS,
    MOST_TICKS,
    Row,
    Waterfall,
    horizon_seconds,
    path_segments,
    ticks,
    waterfall,
)
from buildprof.model.build import Build, Status
from buildprof.model.step import Outcome, Step
from tests.cli.sample_builds import ALL, NOW, at, build, failed, linked, multi_platform, running, shop, step

SECONDS = st.floats(-5, 60)


@st.composite
def builds(draw: st.DrawFn) -> Build:
    """Builds of any outcomes, with steps that overlap, begin too early, and never end."""
    steps = []
    for number in range(draw(st.integers(0, 12))):
        begin, end = draw(st.none() | SECONDS), draw(st.none() | SECONDS)
        if begin is None or (end is not None and end < begin):
            end = None
        one = step(
            f"RUN {number}", draw(st.sampled_from(Outcome)), begin, end,
            place=(draw(st.sampled_from("abc")), number + 1, 12), on_critical_path=draw(st.booleans()),
        )  # fmt: skip
        steps.append(one)
    ended = draw(st.none() | st.floats(0, 60))
    if ended is None:
        return build(linked(*steps), status=Status.RUNNING, completed_ns=None)
    return build(linked(*steps), completed_ns=at(ended))


def rows(drawn: Waterfall) -> list[Row]:
    return [row for lane in drawn.lanes for run in lane.runs for row in run.rows]


def row_of(drawn: Waterfall, one: Step) -> Row:
    return next(row for row in rows(drawn) if row.step.id == one.id)


@given(builds())
def test_everything_is_within_the_drawing(of: Build) -> None:
    drawn = waterfall(of, at(30))
    for row in rows(drawn):
        if row.x is not None and row.width is not None:
            assert row.x >= 0
            assert row.width >= 0
            assert row.x + row.width <= 100.001
    for path in [lane.path for lane in drawn.lanes] + [row.path for row in rows(drawn)]:
        for piece in path:
            assert 0 <= min(piece.x1, piece.x2) <= max(piece.x1, piece.x2) <= 100.001
            assert 0 <= min(piece.y1, piece.y2) <= max(piece.y1, piece.y2) <= 1
    assert all(0 <= tick.x <= 100 for tick in drawn.ticks)


@given(builds())
def test_every_step_has_one_row_folded_or_not(of: Build) -> None:
    drawn = waterfall(of, at(30))
    assert sorted(row.step.id for row in rows(drawn)) == sorted(one.id for one in of.steps)
    assert sum(lane.steps for lane in drawn.lanes) == len(of.steps)


@given(builds())
def test_only_what_takes_less_than_a_pixel_and_decides_nothing_folds(of: Build) -> None:
    for lane in waterfall(of, at(30)).lanes:
        for run in lane.runs:
            assert run.is_folded == (len(run.rows) > 1)
            if run.is_folded:
                assert of.completed_ns is not None
                assert all((row.width or 0) < 100 / ASSUMED_PIXELS for row in run.rows)
                assert not any(row.is_critical or row.is_root for row in run.rows)
                assert not {row.state for row in run.rows} & {"failed", "canceled", "skipped"}


@given(builds())
def test_the_critical_path_is_one_continuous_line(of: Build) -> None:
    drawn = waterfall(of, at(30))
    height = 0
    ends: dict[tuple[float, float], int] = {}
    pieces = 0
    for lane in drawn.lanes:
        for path in [lane.path, *(row.path for run in lane.runs for row in run.rows)]:
            for piece in path:
                pieces += 1
                for x, y in ((piece.x1, piece.y1), (piece.x2, piece.y2)):
                    ends[x, height + y] = ends.get((x, height + y), 0) + 1
            height += 1
    # Uprights meet each other at the edges of rows: an end there alone would be a gap.
    assert all(count > 1 for (_, y), count in ends.items() if y == int(y))
    assert pieces == 0 or of.completed_ns is not None


@pytest.mark.parametrize("name", sorted(ALL))
def test_a_bar_begins_and_ends_when_its_step_did(name: str) -> None:
    of = ALL[name]()
    drawn = waterfall(of, NOW)
    if not drawn.seconds:
        return
    for row in rows(drawn):
        if row.x is not None and row.step.started_ns is not None and row.width is not None and row.seconds is not None:
            assert row.x == pytest.approx(100 * (row.step.started_ns - of.started_ns) / 1e9 / drawn.seconds, abs=0.01)
            assert row.width == pytest.approx(100 * row.seconds / drawn.seconds, abs=0.01)


def test_lanes_are_stages_in_reading_order_with_what_is_before_and_after() -> None:
    assert [lane.name for lane in waterfall(shop(), NOW).lanes] == ["preparation", "deps", "build", "final", "export"]


def test_each_platform_has_lanes_of_its_own_and_a_single_one_is_not_named() -> None:
    assert {lane.platform for lane in waterfall(multi_platform(), NOW).lanes} >= set(multi_platform().platforms)
    assert {lane.platform for lane in waterfall(shop(), NOW).lanes} == {""}


def test_quick_steps_side_by_side_fold_and_a_root_miss_among_them_does_not() -> None:
    quick = [step(f"RUN {n}", Outcome.HIT, 1, 1.001, place=("app", n + 1, 5)) for n in range(5)]
    (lane,) = waterfall(build(linked(*quick)), NOW).lanes
    assert [len(run.rows) for run in lane.runs] == [5]
    quick[2] = replace(quick[2], outcome=Outcome.MISS)
    (lane,) = waterfall(build(linked(*quick)), NOW).lanes
    assert [len(run.rows) for run in lane.runs] == [2, 1, 2]


def test_what_did_not_run_has_no_bar_and_what_failed_is_never_folded() -> None:
    drawn = waterfall(failed(), NOW)
    skipped = [row for row in rows(drawn) if row.state == "skipped"]
    assert [row.x for row in skipped] == [None]
    assert [row.state for row in rows(drawn)].count("failed") == 1


def test_a_running_step_grows_to_now_and_those_that_have_not_begun_wait() -> None:
    of = running()
    early, late = waterfall(of, NOW), waterfall(of, NOW + 10**9)
    (before,) = [row for row in rows(early) if row.state == "running"]
    after = row_of(late, before.step)
    assert (after.seconds or 0) - (before.seconds or 0) == pytest.approx(1)
    assert all(row.x is None for row in rows(early) if row.state == "waiting")
    assert not any(run.is_folded for lane in early.lanes for run in lane.runs)


def test_of_a_build_without_a_length_no_step_has_a_place() -> None:
    drawn = waterfall(replace(shop(), completed_ns=at(0)), NOW)
    assert not drawn.seconds
    assert drawn.ticks == ()
    assert drawn.spaces == 0
    assert {row.x for row in rows(drawn)} == {None}


@given(st.floats(0, 1e6))
def test_a_running_build_has_room_and_its_axis_never_shrinks(elapsed: float) -> None:
    assert horizon_seconds(elapsed) > elapsed
    assert horizon_seconds(elapsed + 1) >= horizon_seconds(elapsed)


@example(3610.0, 6)
@given(st.floats(1e-6, 1e6), st.integers(0, 6))
def test_ticks_are_even_begin_at_zero_and_are_few_with_different_words(seconds: float, zoom: int) -> None:
    found = ticks(seconds, MOST_TICKS << zoom)
    assert found[0].x == 0
    assert found[0].text == "0 s"
    assert 1 <= len(found) <= (MOST_TICKS << zoom) + 2
    assert len({one.text for one in found}) == len(found)
    gaps = [second.x - first.x for first, second in pairwise(found)]
    assert all(gap == pytest.approx(gaps[0], abs=0.01) for gap in gaps)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (41.8, ["0 s", "10 s", "20 s", "30 s", "40 s"]),
        (0.3, ["0 s", "50 ms", "100 ms", "150 ms", "200 ms", "250 ms", "300 ms"]),
        (8000, ["0 s", "30 m", "1 h", "1 h 30 m", "2 h"]),
        (600, ["0 s", "2 m", "4 m", "6 m", "8 m", "10 m"]),
    ],
)
def test_ticks_are_round(seconds: float, words: list[str]) -> None:
    assert [one.text for one in ticks(seconds)] == words


def test_zoom_adds_ticks_between_those_that_there_were_and_they_stay_round() -> None:
    last = [one.text for one in ticks(72, MOST_TICKS << 6)][-3:]
    assert last == ["1 m 11.6 s", "1 m 11.8 s", "1 m 12 s"]
    assert [one.text for one in ticks(2, MOST_TICKS << 4)][:3] == ["0 s", "50 ms", "100 ms"]
    assert "1.05 s" in {one.text for one in ticks(2, MOST_TICKS << 4)}


@pytest.mark.parametrize("zoom", range(7))
@pytest.mark.parametrize("seconds", [0.37, 72, 3610])
def test_lines_at_even_distances_stand_where_the_ticks_do(seconds: float, zoom: int) -> None:
    drawn = waterfall(build((step("RUN a", Outcome.MISS, 0, seconds),), completed_ns=at(seconds)), NOW, zoom)
    for number, tick in enumerate(drawn.ticks):
        assert 100 * number / drawn.spaces == pytest.approx(tick.x, abs=0.002)


def test_zoom_unfolds_what_has_become_wider_than_a_pixel() -> None:
    quick = [step(f"RUN {n}", Outcome.HIT, 1, 1.005, place=("app", n + 1, 5)) for n in range(5)]
    of = build(linked(*quick, step("RUN sleep", Outcome.MISS, 1, 11, place=("app", 6, 6))))
    assert [len(run.rows) for run in waterfall(of, NOW).lanes[0].runs] == [5, 1]
    assert [len(run.rows) for run in waterfall(of, NOW, zoom=4).lanes[0].runs] == [1] * 6


def test_all_of_the_critical_path_that_can_be_seen_is_marked_and_more_of_it_when_it_is_larger() -> None:
    long = step("RUN long", Outcome.MISS, 0, 10, place=("app", 1, 3), on_critical_path=True)
    short = step("RUN short", Outcome.MISS, 10, 10.1, place=("app", 2, 3), on_critical_path=True)
    shorter = step("RUN shorter", Outcome.MISS, 10.1, 10.105, place=("app", 3, 3), on_critical_path=True)
    of = build(linked(long, short, shorter))

    def marked(zoom: int) -> list[str]:
        return [row.step.command for row in waterfall(of, NOW, zoom).rows if row.is_critical]

    assert marked(0) == ["long", "short"]
    assert marked(5) == ["long", "short", "shorter"]


def test_nothing_is_critical_while_a_build_runs() -> None:
    of = running()
    of = replace(of, steps=tuple(replace(one, on_critical_path=True) for one in of.steps))
    assert not any(row.is_critical for row in waterfall(of, NOW).rows)


def test_the_path_crosses_the_rows_between_two_of_its_steps() -> None:
    found = path_segments(["a", "b", "c"], [("a", (0.0, 40.0)), ("c", (40.0, 60.0))])
    assert [(one.x1, one.y1, one.x2, one.y2) for one in found["b"]] == [(40.0, 0.0, 40.0, 1.0)]
    assert found["a"][-1].y2 == 1.0
    assert (found["c"][-1].y1, found["c"][-1].x1) == (0.0, 40.0)
    assert found["d"] == ()


def test_a_line_to_and_fro_across_thousands_of_rows_is_not_drawn() -> None:
    order = [str(number) for number in range(2000)]
    chain = [(str(at if at % 2 else 1999 - at), (at / 20, 0.01)) for at in range(2000)]
    assert path_segments(order, chain) == {}
    assert len(path_segments(order, [(one, (at / 20, 0.01)) for at, one in enumerate(order)])) == 2000


@pytest.mark.parametrize("end", [-5.0, 0.0])
def test_a_build_that_ended_before_it_began_is_drawn_without_times(end: float) -> None:
    assert waterfall(replace(shop(), completed_ns=at(end)), NOW).ticks == ()
