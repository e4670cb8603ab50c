"""What got worse, in words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from buildprof.analysis.regression_words import SIGNAL_NAMES, worse_builds, worse_figures
from buildprof.model.regression import Changes, Regression, Signal

SLOWER = Regression(
    Signal.DURATION_SECONDS, "default", "Dockerfile", "linux/amd64", False, "k6g3", 1, "k6g4", 3, 41.8, 12.0, 15.5,
    Changes(),
)  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "build time 41.8 s, usually 12.0 s and at most 15.5 s"),
        (
            {"signal": Signal.HIT_RATIO, "value": 0.25, "median": 0.9, "threshold": 0.8},
            "cache hits 25%, usually 90% and at least 80%",
        ),
        (
            {"signal": Signal.IMAGE_SIZE_BYTES, "value": 3e8, "median": 1e8, "threshold": 1.1e8},
            "image size 300 MB, usually 100 MB and at most 110 MB",
        ),
        (
            {"signal": Signal.CACHED_STEPS, "value": None, "median": None, "threshold": None},
            "a step is lost from the cache",
        ),
    ],
)
def test_a_figure_is_told_beside_what_is_usual_and_on_which_side_it_may_be(changes: dict, said: str) -> None:
    assert worse_figures(replace(SLOWER, **changes)) == said


def test_every_signal_has_a_name() -> None:
    assert set(SIGNAL_NAMES) == set(Signal)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "3 builds (Dockerfile, linux/amd64)"),
        ({"builds": 1, "is_cold": True}, "1 build (cold, Dockerfile, linux/amd64)"),
        ({"dockerfile": "", "platform": ""}, "3 builds"),
        ({"dockerfile": "a\x1b[2Jb\u202e", "platform": "p" * 100}, f"3 builds (ab, {'p' * 59}…)"),
    ],
)
def test_builds_are_counted_and_told_by_what_sets_them_apart(changes: dict, said: str) -> None:
    assert worse_builds(replace(SLOWER, **changes)) == said
