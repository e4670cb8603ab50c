from __future__ import annotations

import pytest

from buildprof.analysis.project_words import (
    IGNORABLE,
    is_usual,
    lost_by_cause,
    lost_by_file,
    target_label,
    trend_text,
)
from buildprof.analysis.sentences import CAUSE_NAMES
from buildprof.model.build import DEFAULT_TARGET
from buildprof.model.explanation import Cause, Loss


@pytest.mark.parametrize(
    ("project", "target", "label"),
    [("shop", "web", "shop/web"), ("shop", DEFAULT_TARGET, "shop"), ("a\x1b[2J\u202eb", "c\nd", "ab/c d")],
)
def test_a_target_is_named_where_it_has_a_name(project, target, label):
    assert target_label(project, target) == label


@pytest.mark.parametrize(
    ("trend", "text"),
    [(1.0, "="), (1.04, "="), (0.96, "="), (1.12, "+12%"), (0.7, "-30%"), (9.9, "+890%"), (12.3, "12x")],
)
def test_a_trend_is_told_against_what_is_usual(trend, text):
    assert trend_text(trend) == text
    assert is_usual(trend) is (text == "=")


def test_what_was_lost_is_added_up_by_cause_the_dearest_first():
    losses = [
        ("shop", Loss(Cause.SOURCE_CHANGED, "a", 3.0, 2)),
        ("shop", Loss(Cause.EVICTED, "", 5.0)),
        ("shop", Loss(Cause.SOURCE_CHANGED, "b", 4.0)),
        ("blog", Loss(Cause.EVICTED, "", 1.0)),
    ]
    assert [(one.project, one.name, one.seconds, one.misses) for one in lost_by_cause(losses)] == [
        ("shop", CAUSE_NAMES[Cause.SOURCE_CHANGED], 7.0, 3),
        ("shop", CAUSE_NAMES[Cause.EVICTED], 5.0, 1),
        ("blog", CAUSE_NAMES[Cause.EVICTED], 1.0, 1),
    ]


def test_of_files_only_those_are_told_that_made_a_step_miss_and_what_no_step_needs_is_noted():
    losses = [
        ("shop", Loss(Cause.SOURCE_CHANGED, "README.md", 3.0)),
        ("shop", Loss(Cause.SOURCE_CHANGED, "src/app.py", 2.0, 4)),
        ("shop", Loss(Cause.SOURCE_CHANGED, "", 2.0)),
        ("shop", Loss(Cause.BUILD_ARG_CHANGED, "VERSION", 9.0)),
    ]
    found = lost_by_file(losses)
    assert [(one.seconds, one.misses, one.note) for one in found] == [(3.0, 1, IGNORABLE), (2.0, 4, "")]
    assert "README.md" in found[0].name
    assert "src/app.py" in found[1].name
