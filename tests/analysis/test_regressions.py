from __future__ import annotations

from dataclasses import replace

import pytest

from buildprof.analysis.baselines import DAY_NS
from buildprof.analysis.contributions import LabelBudget
from buildprof.analysis.regressions import judged, regression_contributions, steps_in_question
from buildprof.model.regression import Reading, Signal
from buildprof.model.series import Effect
from buildprof.model.step import Outcome

LOST, HIT = "lost", "hit"
T0 = 1_790_000_000 * 10**9


def readings(*durations: float, begin: int = 0, **changes) -> list[Reading]:
    """Six builds a day, in order, with these durations."""
    made = []
    for place, seconds in enumerate(durations, begin):
        started_ns = T0 + place * DAY_NS // 6
        figures = {Signal.DURATION_SECONDS: seconds, Signal.HIT_RATIO: 0.9}
        one = Reading(
            f"ref{place}", "default", "Dockerfile", "linux/amd64", started_ns, started_ns + 10**9, False, figures
        )
        made.append(replace(one, **changes))
    return made


def in_order(*several: list[Reading]) -> list[Reading]:
    return sorted((one for many in several for one in many), key=lambda one: one.started_ns)


def signals(verdict) -> list[Signal]:
    return [one.regression.signal for one in verdict.found]


def test_without_builds_nothing_is_known():
    verdict = judged([])
    assert (verdict.found, dict(verdict.baselines)) == ((), {})


def test_a_regression_names_its_first_build_and_its_last_and_the_figures():
    verdict = judged(readings(*[10.0] * 60, 20.0, 21.0, 22.0))
    (found,) = verdict.found
    one = found.regression
    assert (one.signal, one.since_ref, one.last_ref, one.builds) == (Signal.DURATION_SECONDS, "ref60", "ref62", 3)
    assert (one.value, one.median, one.threshold) == (22.0, 10.0, 11.0)
    assert (one.builder, one.dockerfile, one.platform, one.is_cold) == ("default", "Dockerfile", "linux/amd64", False)
    assert [build.ref for build in found.since] == ["ref60", "ref61", "ref62"]
    assert found.good[-1].ref == "ref59"


@pytest.mark.parametrize(
    "kind", [{"is_cold": True}, {"platform": "linux/arm64"}, {"dockerfile": "dev.Dockerfile"}, {"builder": "remote"}]
)
def test_builds_of_another_kind_are_not_compared(kind):
    usual, other = readings(*[10.0] * 60), readings(*[30.0] * 60, **kind)
    alternating = in_order(usual[::2], other[1::2])
    verdict = judged(alternating)
    assert verdict.found == ()
    assert len(verdict.baselines) == 2


def test_a_regression_of_any_kind_that_is_built_still_counts():
    arm = readings(*[30.0] * 40, *[60.0] * 3, platform="linux/arm64")
    verdict = judged(in_order(arm, readings(*[10.0] * 10, begin=40)))
    assert [one.regression.platform for one in verdict.found] == ["linux/arm64"]
    assert verdict.baselines[Signal.DURATION_SECONDS].median == 30.0
    assert judged(in_order(arm, readings(*[10.0] * 40, begin=40))).found == ()  # nobody builds it any more


def test_the_baseline_is_that_of_warm_builds_of_what_was_built_last():
    cold = readings(*[90.0] * 30, is_cold=True)
    warm = readings(*[10.0] * 30)
    other = readings(*[50.0] * 30, platform="linux/arm64")
    last_cold = in_order(warm[:29], cold, other[:28])
    assert judged(last_cold).baselines[Signal.DURATION_SECONDS].median == 10.0


def test_a_builder_that_is_new_is_compared_with_all():
    """As runners are that live for a few builds each."""
    fleet = [
        replace(one, builder=f"runner-{place // 3}") for place, one in enumerate(readings(*[10.0] * 60, *[20.0] * 3))
    ]
    (found,) = judged(fleet).found
    assert (found.regression.builder, found.regression.since_ref) == ("runner-20", "ref60")


def test_a_regression_that_two_comparisons_find_is_told_once():
    builds = [*readings(*[10.0] * 60, *[20.0] * 4), *readings(20.0, begin=64, builder="new")]
    assert len(judged(builds).found) == 1


def test_builds_of_which_a_figure_is_unknown_do_not_count_for_it():
    usual = readings(*[10.0] * 60)
    unknown = [replace(one, figures={Signal.HIT_RATIO: 0.9}) for one in readings(*[0.0] * 5, begin=60)]
    verdict = judged([*usual, *unknown, *readings(20.0, 20.0, 20.0, begin=65)])
    assert [one.regression.since_ref for one in verdict.found] == ["ref65"]


def history(*outcomes: str, step: str = "identity"):
    """Builds in which a step came from the cache, was lost from it, or had other inputs ("")."""
    builds = [
        replace(one, steps_lost=(step,) if outcome == LOST else ())
        for one, outcome in zip(readings(*[10.0] * len(outcomes)), outcomes, strict=True)
    ]
    told = {
        (one.builder, one.ref): Outcome.HIT if outcome == HIT else Outcome.MISS
        for one, outcome in zip(builds, outcomes, strict=True)
    }
    return builds, {step: told}


def test_a_step_that_used_to_hit_and_is_lost_twice_is_told():
    builds, outcomes = history(*[HIT] * 12, LOST, LOST)
    assert steps_in_question(builds) == {"identity"}
    (found,) = judged(builds, outcomes).found
    one = found.regression
    assert (one.signal, one.since_ref, one.builds) == (Signal.CACHED_STEPS, "ref12", 2)
    assert (one.value, one.median, one.threshold) == (None, None, None)


@pytest.mark.parametrize(
    "outcomes",
    [
        [*[HIT] * 12, LOST],
        [*[HIT] * 12, LOST, LOST, HIT],
        [*[HIT] * 5, LOST, LOST],
        [*[HIT, HIT, LOST] * 5, LOST, LOST],
        [*[HIT] * 12, "", ""],
    ],
    ids=["once", "served again", "too new", "never did reliably", "inputs changed"],
)
def test_a_step_that_is_not_lost_for_sure_is_not_told(outcomes):
    assert judged(*history(*outcomes)).found == ()


def test_builds_in_which_its_inputs_changed_say_nothing_of_a_step():
    (found,) = judged(*history(*[HIT, ""] * 10, LOST, "", LOST, "")).found
    assert found.regression.since_ref == "ref20"


def test_a_step_may_be_lost_in_builds_that_are_cold_for_it():
    builds, outcomes = history(*[HIT] * 12, LOST, LOST)
    cold = [*builds[:12], *(replace(one, is_cold=True) for one in builds[12:])]
    (found,) = judged(cold, outcomes).found
    assert found.regression.is_cold


def test_a_target_exports_every_signal_and_the_baselines_that_it_has():
    verdict = judged(readings(*[10.0] * 60, 20.0, 21.0, 22.0))
    made = regression_contributions("shop", "web", verdict, 7, LabelBudget())
    assert all((one.effect, one.at_ns) == (Effect.SET, 7) for one in made)
    values = {(one.metric, dict(one.labels)["signal"]): one.value for one in made}
    active = {signal: value for (metric, signal), value in values.items() if metric == "regression_active"}
    assert active == {signal.value: float(signal is Signal.DURATION_SECONDS) for signal in Signal}
    assert values["baseline_median", "duration_seconds"] == 10.0
    assert values["baseline_threshold", "hit_ratio"] == pytest.approx(0.8)
    assert ("baseline_median", "image_size_bytes") not in values
    assert ("baseline_median", "cached_steps") not in values


def test_a_target_without_labels_of_its_own_exports_nothing():
    verdict = judged(readings(*[10.0] * 60))
    assert regression_contributions("shop", "web", verdict, 7, LabelBudget(max_projects=0)) == []
