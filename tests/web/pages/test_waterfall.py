"""The rows of a waterfall with their words."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given

from buildprof.analysis.waterfall import waterfall
from buildprof.model.build import Build
from buildprof.model.step import Outcome, Resources
from buildprof.web.pages.waterfall import LEAST_WIDTH, ROW_PIXELS, LaneRows, StepRow, lanes, row_id, state_word, why_id
from tests.analysis.test_waterfall import builds
from tests.cli.sample_builds import NOW, at, build, failed, linked, running, shop, step


def drawn(of: Build, **causes: str) -> list[LaneRows]:
    return lanes(waterfall(of, NOW), set(), causes)


def rows(of: Build) -> list[StepRow]:
    return [row for lane in drawn(of) for run in lane.runs for row in run.rows]


@given(builds())
def test_no_bar_is_too_small_to_see_or_leaves_the_drawing(of: Build) -> None:
    made = lanes(waterfall(of, at(30)), set(), {})
    bars = [row.bar for lane in made for run in lane.runs for row in run.rows] + [
        run.bar for lane in made for run in lane.runs
    ]
    for bar in filter(None, bars):
        assert bar.width >= LEAST_WIDTH
        assert bar.x >= 0
        assert bar.x + bar.width <= 100.011


@given(builds())
def test_each_row_has_an_id_of_its_own_and_waits_only_for_rows_that_are_there(of: Build) -> None:
    made = [row for lane in lanes(waterfall(of, at(30)), set(), {}) for run in lane.runs for row in run.rows]
    ids = {row.id for row in made}
    assert len(ids) == len(made)
    assert all(set(row.inputs.split()) <= ids - {row.id} for row in made)


def test_the_path_reaches_over_the_edges_of_its_rows() -> None:
    heights = {y for row in rows(shop()) for line in row.path for y in (line.y1, line.y2)}
    assert heights <= {-1.0, ROW_PIXELS + 1.0, round(0.8 * ROW_PIXELS, 1)}
    assert len(heights) == 3


def test_a_miss_with_a_cause_of_its_own_is_written_large() -> None:
    words = {row.label: row.word for row in rows(shop())}
    assert words["COPY . ."] == "MISS"
    assert words["RUN npm run build"] == "miss"
    assert words["RUN npm ci"] == "hit"
    assert state_word("none", is_root=False) == ""


def test_an_explained_miss_and_what_followed_from_it_lead_to_the_same_sentence() -> None:
    of = shop()
    root, follower = (next(one.id for one in of.steps if one.command == what) for what in (". .", "npm run build"))
    made = lanes(waterfall(of, NOW), {root}, {follower: root})
    whys = {row.id: row.why for lane in made for run in lane.runs for row in run.rows}
    assert whys[row_id(root)] == whys[row_id(follower)] == why_id(root)
    assert sorted(set(whys.values())) == sorted({"", why_id(root)})


def test_quick_steps_are_one_row_that_says_how_many_and_what_they_are() -> None:
    quick = [step(f"RUN {n}", Outcome.HIT, 1, 1.001, place=("app", n + 1, 5)) for n in range(4)]
    (lane,) = drawn(build(linked(*quick)))
    (run,) = lane.runs
    assert run.label == "4 quick steps, all hit"
    assert run.bar is not None
    assert run.bar.kind == "hit"
    assert lane.text.startswith("4 steps, ")
    mixed = [*quick[:3], replace(quick[3], outcome=Outcome.SHARED)]
    (lane,) = drawn(build(linked(*mixed)))
    assert [(run.label, run.bar and run.bar.kind) for run in lane.runs] == [("4 quick steps", "none")]


@pytest.mark.parametrize(
    ("outcome", "more", "said"),
    [
        (Outcome.MISS, {"on_critical_path": True}, "miss 2.0 s, on the critical path"),
        (Outcome.MISS, {"slack_seconds": 3.0}, "miss 2.0 s, slack 3.0 s"),
        (Outcome.HIT, {"saved_seconds": 130.0}, "hit 2.0 s, saved 2 m 10 s"),
        (Outcome.NONE, {}, "took 2.0 s"),
        (Outcome.MISS, {"resources": Resources(cpu_seconds=1.5, memory_peak_bytes=5_000_000)},
         "miss 2.0 s, processor 1.5 s, memory 5 MB"),
    ],
)  # fmt: skip
def test_a_bar_says_its_outcome_time_and_slack(outcome: Outcome, more: dict[str, object], said: str) -> None:
    (row,) = rows(build((step("RUN make", outcome, 0, 2, place=("app", 1, 1), **more),)))
    assert row.text == said


def test_a_running_step_says_for_how_long_it_runs_and_one_that_never_ran_that_it_did_not() -> None:
    assert [row.text.rpartition(" for ")[0] for row in rows(running()) if row.state == "running"] == ["runs"]
    assert [row.text for row in rows(failed()) if row.state == "skipped"] == ["did not run"]


def test_a_step_that_began_and_whose_end_is_not_known_is_not_said_to_have_not_run() -> None:
    (row,) = rows(build((step("RUN make", Outcome.CANCELED, 1, place=("app", 1, 1)),)))
    assert row.bar is not None
    assert row.seconds is None
    assert row.text == "began, but nobody knows how long it took"
