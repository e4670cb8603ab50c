from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildprof.web.pages.axis import Unit, dates, scale, tick_text
from buildprof.web.pages.chart import BOTTOM, HEIGHT, TOP, Level, Mark, Series, Slot, chart

NOON_NS = 1_790_000_000_000_000_000  # 2026-09-21 14:13:20 UTC
MINUTE_NS = 60_000_000_000
DAY_NS = 1440 * MINUTE_NS


def slots(count: int, apart_ns: int = MINUTE_NS) -> list[Slot]:
    return [Slot(f"/builds/ref{at}", NOON_NS + at * apart_ns, f"ref{at}") for at in range(count)]


def drawn(values, *, unit=Unit.SECONDS, **options):
    return chart("id", "Build time", unit, slots(len(values)), [Series("time", values)], **options)


@pytest.mark.parametrize(
    ("values", "unit", "expected"),
    [
        ([0.0, 41.8], Unit.SECONDS, ["0", "15 s", "30 s", "45 s"]),
        ([3.0, 130.0], Unit.SECONDS, ["0", "1 min", "2 min", "3 min"]),
        ([0.004, 0.018], Unit.SECONDS, ["0", "5 ms", "10 ms", "15 ms", "20 ms"]),
        ([4000.0, 100.0], Unit.SECONDS, ["0", "30 min", "1 h", "1.5 h"]),
        ([3900.0, 3960.0], Unit.SECONDS, ["1 h", "1 h 02 m", "1 h 04 m", "1 h 06 m"]),
        ([214e6, 100e6], Unit.BYTES, ["0", "100 MB", "200 MB", "300 MB"]),
        ([1.91e6, 1.93e6], Unit.BYTES, ["1.8 MB", "1.85 MB", "1.9 MB", "1.95 MB"]),
        ([0.2, 0.4], Unit.SHARE, ["0%", "25%", "50%", "75%", "100%"]),
        ([0.0], Unit.SECONDS, ["0", "1 s"]),
    ],
)
def test_an_axis_has_round_figures_with_units(values, unit, expected):
    assert [tick_text(at, unit) for at in scale(values, unit, from_zero=False)] == expected


def test_an_axis_of_figures_that_are_near_to_each_other_begins_near_to_them():
    ticks = scale([214e6, 220e6], Unit.BYTES, from_zero=False)
    assert 200e6 <= ticks[0] <= 214e6
    assert ticks[-1] >= 220e6
    assert scale([214e6, 220e6], Unit.BYTES, from_zero=True)[0] == 0


@given(st.lists(st.floats(0, 1e15), min_size=1, max_size=20), st.sampled_from(Unit), st.booleans())
def test_an_axis_holds_all_figures_with_few_ticks_that_rise(values, unit, from_zero):
    if unit is Unit.SHARE:
        values = [value / 1e15 for value in values]
    ticks = scale(values, unit, from_zero=from_zero)
    assert ticks[0] <= min(values) + 1e-9 * max(values)
    assert ticks[-1] >= max(values) * (1 - 1e-6)
    assert ticks == sorted(set(ticks))
    assert 2 <= len(ticks) <= 8


@given(st.floats(1e-3, 1e6), st.floats(0, 1), st.sampled_from((Unit.SECONDS, Unit.BYTES)), st.booleans(), st.booleans())
def test_no_two_ticks_of_an_axis_read_the_same(high, share, unit, is_narrow, from_zero):
    if unit is Unit.BYTES:
        high *= 1e6
    low = high * (1 - share / 50) if is_narrow else high * share
    texts = [tick_text(at, unit) for at in scale([low, high], unit, from_zero=from_zero)]
    assert len(set(texts)) == len(texts)


def test_builds_of_one_day_are_told_by_their_time_and_those_of_many_by_their_date():
    assert [tick.text for tick in dates([slot.at_ns for slot in slots(3)])] == ["14:13", "14:14", "14:15"]
    assert [tick.text for tick in dates([slot.at_ns for slot in slots(3, DAY_NS)])] == ["21 Sep", "22 Sep", "23 Sep"]


def test_a_time_is_told_once_for_all_builds_of_its_minute():
    assert [tick.text for tick in dates([NOON_NS + at for at in range(20)])] == ["14:13"]


def test_dates_keep_apart_on_a_narrow_screen():
    ticks = dates([slot.at_ns for slot in slots(60, DAY_NS)])
    assert 3 <= len(ticks) <= 6
    assert all(after.at - before.at >= 15 for before, after in pairwise(ticks))


def test_every_point_says_its_build_and_its_figure_and_leads_there():
    found = drawn([1.0, 2.5])
    assert [(one.href, one.text) for one in found.columns] == [
        ("/builds/ref0", "ref0: 1.0 s"),
        ("/builds/ref1", "ref1: 2.5 s"),
    ]
    assert found.columns[0].shapes[0].y > found.columns[1].shapes[0].y
    assert found.summary == "Build time: from 1.0 s to 2.5 s, last 2.5 s"


def test_a_line_is_broken_where_a_figure_is_not_known_and_nothing_is_drawn_there():
    found = drawn([1.0, 2.0, None, 3.0, 4.0])
    assert len(found.lines) == 2
    assert [one.href for one in found.columns] == [f"/builds/ref{at}" for at in (0, 1, 3, 4)]


def test_a_line_passes_over_builds_that_did_not_complete():
    series = Series("time", [1.0, 9.0, 2.0], ["", "failed", ""], [True, False, True])
    found = chart("id", "Build time", Unit.SECONDS, slots(3), [series])
    assert [len(line.split()) for line in found.lines] == [2]
    assert [one.shapes[0].kind for one in found.columns] == ["", "failed", ""]


def test_bars_stand_on_each_other_and_their_heights_are_their_figures():
    both = [Series("files changed", [3.0, None]), Series("cache removed", [1.0, None])]
    found = chart("id", "Lost", Unit.SECONDS, slots(2), both, is_stacked=True)
    (column,) = found.columns
    lower, upper = column.shapes
    assert lower.height == pytest.approx(3 * upper.height, rel=0.02)
    assert upper.y + upper.height == pytest.approx(lower.y)
    assert lower.y + lower.height == BOTTOM
    assert column.text == "ref0: 4.0 s, files changed 3.0 s, cache removed 1.0 s"
    assert found.legend == (("s0", "files changed"), ("s1", "cache removed"))


def test_a_chart_without_a_figure_is_none():
    assert drawn([None, None]) is None
    assert chart("id", "Lost", Unit.SECONDS, [], [], is_stacked=True) is None


def test_levels_are_in_the_picture_and_their_words_do_not_meet():
    levels = [Level(10.0, "median", "usual 10.0 s"), Level(10.5, "threshold", "worse beyond 10.5 s")]
    found = drawn([9.0, 60.0], levels=levels)
    median, threshold = found.levels
    assert TOP <= threshold.at <= median.at <= BOTTOM
    assert median.text_y - threshold.text_y >= 11


def test_words_of_levels_at_the_bottom_stay_above_the_dates_and_do_not_meet():
    levels = [Level(0.4, "median", "usual 40%"), Level(0.0, "threshold", "worse beyond 0%")]
    for at in (0.4, 0.02):
        median, threshold = drawn([0.5], unit=Unit.SHARE, levels=[replace(levels[0], value=at), levels[1]]).levels
        assert threshold.text_y < BOTTOM
        assert threshold.text_y - median.text_y >= 11


def test_what_is_too_little_to_be_seen_is_told_and_not_drawn():
    both = [Series("files changed", [1000.0, 0.001]), Series("cache removed", [0.001, None])]
    large, little = chart("id", "Lost", Unit.SECONDS, slots(2), both, is_stacked=True).columns
    assert [shape.kind for shape in large.shapes] == ["s0"]
    assert large.text.endswith("files changed 16 m 40 s, cache removed 1 ms")
    assert (little.shapes, little.text) == ((), "ref1: files changed 1 ms")


def test_where_something_began_is_marked_and_leads_to_its_build():
    found = drawn([1.0] * 10, marks=[Mark(8, "worse since")])
    (mark,) = found.marks
    assert (mark.at, mark.href, mark.anchor) == (85.0, "/builds/ref8", "end")


@given(st.lists(st.none() | st.floats(0, 1e18), min_size=1, max_size=150), st.booleans(), st.sampled_from(Unit))
def test_all_that_is_drawn_is_within_the_drawing(values, is_stacked, unit):
    if unit is Unit.SHARE:
        values = [None if value is None else value / 1e18 for value in values]
    found = drawn(values, unit=unit, is_stacked=is_stacked)
    if found is None:
        assert all(value is None for value in values)
        return
    for column in found.columns:
        assert column.left >= 0
        assert column.left + column.width <= 100.1
        for shape in column.shapes:
            assert 0 <= shape.y <= shape.y + shape.height <= HEIGHT
