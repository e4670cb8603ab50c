from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildprof.analysis.step_times import StepRun, percentile, step_times


def runs(identity: str, *seconds: float, name: str = "RUN make", stage: str = "app") -> list[StepRun]:
    return [StepRun(identity, name, stage, one, f"{identity}-{place}") for place, one in enumerate(seconds)]


def test_the_steps_with_the_largest_median_come_first():
    found = step_times([*runs("a", 1.0, 2.0, 90.0), *runs("b", 5.0, 6.0), *runs("c", 3.0)], 2)
    assert [(one.runs, one.median_seconds, one.ref) for one in found] == [(2, 5.5, "b-1"), (1, 3.0, "c-0")]
    assert step_times(runs("a", 1.0, 90.0, 2.0), 2)[0].ref == "a-1"


def test_a_step_that_was_renamed_goes_by_its_last_name():
    (one,) = step_times([*runs("a", 1.0, name="RUN make"), *runs("a", 2.0, name="RUN make all", stage="base")], 9)
    assert (one.name, one.stage, one.runs) == ("RUN make all", "base", 2)


def test_steps_of_one_name_in_two_stages_are_two():
    found = step_times([*runs("a", 1.0, stage="x"), *runs("b", 1.0, stage="w")], 9)
    assert [one.stage for one in found] == ["w", "x"]


def test_without_a_run_there_is_no_step():
    assert step_times([], 9) == []


@pytest.mark.parametrize(("count", "expected"), [(1, 1), (2, 2), (19, 19), (20, 19), (100, 95), (101, 96)])
def test_the_95th_percentile_is_a_value_that_was_measured(count, expected):
    assert percentile([float(one) for one in range(1, count + 1)], 0.95) == expected


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=60), st.floats(0.01, 1))
def test_so_large_a_share_of_the_values_is_not_above_the_percentile(values, share):
    found = percentile(sorted(values), share)
    assert sum(value <= found for value in values) >= share * len(values) - 1e-6
    assert sum(value < found for value in values) < share * len(values) + 1e-6
