from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buildprof.analysis.baselines import (
    DAY_NS,
    FAMILIAR_NS,
    JUDGED,
    LEAST_HISTORY,
    LEVEL_BUILDS,
    RECOVERED,
    REMEMBERED,
    RULES,
    TOLD_BUILDS,
    WEEK_NS,
    WORSE,
    standing,
    standings,
)
from buildprof.analysis.changes import BAD_COMPARED, GOOD_COMPARED
from buildprof.analysis.regressions import CURRENT, STEP_HISTORY, USED_TO_HIT
from buildprof.model.regression import MEASURED, Signal

MONTH = 30 * 4
"""Builds of a month, four a day."""


def steadily(*figures: float, apart_ns: int = DAY_NS // 4, begin_ns: int = 0) -> list[tuple[int, float]]:
    return [(begin_ns + place * apart_ns, figure) for place, figure in enumerate(figures)]


def noisy(level: float, count: int, seed: int = 1) -> list[float]:
    chance = random.Random(seed)
    return [level * chance.gauss(1, 0.03) for _ in range(count)]


def since(figures, signal=Signal.DURATION_SECONDS, **times):
    return standing(signal, steadily(*figures, **times)).since


def said_after(figures, signal=Signal.DURATION_SECONDS, **times):
    """The builds after which a regression was told."""
    return [place for place, one in enumerate(standings(signal, steadily(*figures, **times))) if one.since is not None]


def test_nothing_is_said_before_enough_builds_are_known():
    for count in range(LEAST_HISTORY + 3):
        stands = standing(Signal.DURATION_SECONDS, steadily(*[10.0] * count))
        assert stands.since is None
        assert (stands.baseline is None) == (count < LEAST_HISTORY + 3)
    assert since([10.0] * LEAST_HISTORY + [100.0] * 3) is None


def test_a_baseline_tells_what_is_usual_and_how_far_that_goes():
    stands = standing(Signal.DURATION_SECONDS, steadily(*[100.0] * 30))
    assert stands.baseline is not None
    assert (stands.baseline.median, stands.baseline.threshold) == (100.0, 110.0)
    assert stands.good[-1] == 26  # the last three may be the beginning of something


def test_a_step_is_told_with_its_third_build_and_since_its_first():
    figures = [*noisy(60, MONTH), *noisy(90, 3)]
    assert said_after(figures) == [MONTH + 2]
    assert since(figures) == MONTH


def test_one_build_in_between_that_is_as_usual_does_not_hide_a_step():
    assert since([*noisy(60, MONTH), 90, 90, 60, 90]) == MONTH
    assert said_after([*noisy(60, MONTH), 90, 60, 60, 90, 60, 60]) == []


def test_a_spike_is_no_regression_even_if_it_lasts_for_two_builds():
    assert said_after([*noisy(60, MONTH), 300, 280, *noisy(60, 10), 400, *noisy(60, 10)]) == []


def test_a_regression_is_over_when_two_of_three_builds_are_as_usual():
    figures = [*noisy(60, MONTH), *noisy(90, 5), 60, 60, 60]
    assert said_after(figures) == [MONTH + 2, MONTH + 3, MONTH + 4, MONTH + 5]


def test_what_was_worse_is_no_part_of_the_baseline_when_it_is_over():
    before = standing(Signal.DURATION_SECONDS, steadily(*noisy(60, MONTH)))
    after = standing(Signal.DURATION_SECONDS, steadily(*noisy(60, MONTH), *noisy(90, 10), *noisy(60, 6)))
    assert before.baseline is not None
    assert after.baseline is not None
    assert after.baseline.threshold == pytest.approx(before.baseline.threshold, rel=0.02)
    assert not set(after.good) & set(range(MONTH, MONTH + 10))


def test_a_level_that_nobody_mends_is_the_usual_one_in_the_end():
    figures = [*noisy(60, MONTH), *noisy(90, 40)]
    assert said_after(figures) == list(range(MONTH + 2, MONTH + 2 + TOLD_BUILDS))
    stands = standing(Signal.DURATION_SECONDS, steadily(*figures))
    assert stands.baseline is not None
    assert stands.baseline.median == pytest.approx(90, rel=0.05)
    assert since([*figures, *noisy(130, 3)], apart_ns=DAY_NS) == MONTH + 40


def test_a_slow_drift_is_compared_with_what_was_before_it():
    figures = [60 * min(2.0, 1 + 0.01 * max(0, place - MONTH)) for place in range(MONTH + 60)]
    told = said_after(figures, apart_ns=DAY_NS // 10)
    assert told
    assert figures[told[0]] < 60 * 1.3


def test_an_improvement_makes_the_better_level_the_usual_one():
    figures = [*noisy(60, MONTH), *noisy(30, 40)]
    assert said_after(figures) == []
    assert since([*figures, *noisy(60, 3)]) == MONTH + 40


def test_what_one_build_in_ten_reaches_is_usual():
    figures = [90.0 if place % 8 == 0 else 60.0 for place in range(MONTH)]
    assert said_after([*figures, 90, 90, 90, 90]) == []
    assert since([*figures, 120, 120, 120]) == MONTH


def test_a_slow_weekday_is_no_regression_when_the_week_is_known():
    """Ten builds a day: what was slow a week before is out of the builds that a share of peaks is taken of."""
    figures = [60.0 * (1.4 if place // 10 % 7 == 3 else 1.0) for place in range(280)]
    assert said_after(figures, apart_ns=DAY_NS // 10) == []


def test_in_its_first_week_a_target_may_be_slow_for_a_day_unless_it_is_far_from_usual():
    first_days = [60.0] * 30
    assert said_after([*first_days, *[80.0] * 8, *[60.0] * 4], apart_ns=DAY_NS // 10) == []
    assert since([*first_days, *[80.0] * 12], apart_ns=DAY_NS // 10) == 30
    assert since([*first_days, *[100.0] * 3], apart_ns=DAY_NS // 10) == 30


def test_a_regression_that_lasts_for_a_week_is_not_taken_for_a_weekday():
    figures = [*noisy(60, MONTH), *noisy(90, 18)]
    assert said_after(figures, apart_ns=WEEK_NS // 16)[-1] == MONTH + 17


@pytest.mark.parametrize(
    ("signal", "usual", "worse"),
    [
        (Signal.DURATION_SECONDS, 0.5, 1.4),
        (Signal.EXECUTED_SECONDS, 0.0, 0.9),
        (Signal.HIT_RATIO, 0.9, 0.81),
        (Signal.IMAGE_SIZE_BYTES, 2e6, 2.9e6),
        (Signal.CONTEXT_BYTES, 0.0, 900_000.0),
    ],
)
def test_a_difference_that_matters_to_nobody_is_not_told(signal, usual, worse):
    assert said_after([usual] * 40 + [worse] * 10, signal) == []
    beyond = usual + 2 * RULES[signal].sign * max(abs(worse - usual), RULES[signal].floor)
    assert since([usual] * 40 + [beyond] * 4, signal) == 40


def test_a_hit_ratio_is_worse_when_it_is_lower():
    stands = standing(Signal.HIT_RATIO, steadily(*[0.9] * 40))
    assert stands.baseline is not None
    assert stands.baseline.threshold == pytest.approx(0.8)
    assert since([0.5] * 40 + [1.0] * 10, Signal.HIT_RATIO) is None


def test_the_page_has_the_numbers_of_the_code():
    page = " ".join((Path(__file__).parents[2] / "docs/regressions.md").read_text().split())
    for words in (
        f"{WORSE} of the last {JUDGED} builds are beyond",
        f"{RECOVERED} of the last 3 builds are as usual",
        f"before {LEAST_HISTORY} good builds are known. The last {REMEMBERED} are looked at",
        f"{LEVEL_BUILDS} good builds in a row",
        f"told for {TOLD_BUILDS} builds",
        f"first {FAMILIAR_NS // DAY_NS} days",
        f"below {RULES[Signal.DURATION_SECONDS].far_share:.0%}",
        f"last {BAD_COMPARED} builds of the regression are compared with the last {GOOD_COMPARED} good ones",
        f"at least {USED_TO_HIT:.0%} of up to {STEP_HISTORY} such builds",
        f"among the last {CURRENT} builds",
    ):
        assert words.replace("%", " %") in page, words


figures_of_any_kind = st.lists(
    st.floats(0, 1e15) | st.sampled_from([0.0, 1.0, 10.0]) | st.floats(9.0, 11.0), max_size=60
)


@settings(deadline=None)
@given(st.sampled_from(MEASURED), figures_of_any_kind)
def test_whatever_builds_are_like_a_standing_is_sound(signal, figures):
    for count, stands in enumerate(standings(signal, steadily(*figures)), 1):
        assert stands.since is None or LEAST_HISTORY <= stands.since < count
        assert list(stands.good) == sorted(set(stands.good))
        assert not stands.good or stands.since is None or stands.good[-1] < stands.since
        if stands.baseline is not None:
            sign = RULES[signal].sign
            assert sign * stands.baseline.threshold > sign * stands.baseline.median or stands.baseline.median > 1e14


@settings(deadline=None)
@given(st.sampled_from(MEASURED), figures_of_any_kind)
def test_after_each_build_it_stands_as_if_that_were_the_last(signal, figures):
    points = steadily(*figures)
    stood = list(standings(signal, points))
    if points:
        assert stood[-1] == standing(signal, points)
        assert stood[len(points) // 2] == standing(signal, points[: len(points) // 2 + 1])


@settings(deadline=None)
@given(st.floats(1, 1000), st.integers(12, 100))
def test_builds_that_are_all_alike_never_regress(figure, count):
    assert said_after([figure] * count) == []
