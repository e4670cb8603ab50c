"""Why the steps of a build missed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from buildprof.model.build import Status
from buildprof.model.explanation import Cause, Confidence, Finding
from buildprof.web.pages.build_why import MAX_FOLLOWING, MAX_MISSES, why
from buildprof.web.pages.waterfall import row_id, why_id
from tests.cli import sample_explanations
from tests.cli.sample_builds import running, shop


def test_a_miss_leads_to_its_row_and_to_those_that_followed() -> None:
    of, explanation = sample_explanations.readme()
    (miss,) = why(explanation, of).misses
    root = explanation.misses[0]
    assert miss.id == why_id(root.step_id)
    assert miss.step is not None
    assert miss.step.row == row_id(root.step_id)
    assert [one.row for one in miss.following] == [row_id(one) for one in root.collateral]
    assert why(explanation, of).compared_to == explanation.compared_to


def test_what_is_too_much_for_a_page_is_counted() -> None:
    of, explanation = sample_explanations.readme()
    root = explanation.misses[0]
    many = replace(root, collateral=root.collateral * 20)
    found = why(replace(explanation, misses=(many,) * (MAX_MISSES + 3)), of)
    assert (len(found.misses), found.rest) == (MAX_MISSES, 3)
    assert len(found.misses[0].following) == MAX_FOLLOWING
    assert found.misses[0].rest == len(many.collateral) - MAX_FOLLOWING


def test_a_build_that_had_the_entry_is_named_for_a_cold_builder_only() -> None:
    of, explanation = sample_explanations.readme()
    for cause, ref in ((Cause.COLD_BUILDER, "other"), (Cause.UNKNOWN, "")):
        finding = Finding(cause, Confidence.LIKELY, {"ref": "other", "builder": "b"})
        told = replace(explanation, misses=(replace(explanation.misses[0], finding=finding),))
        assert why(told, of).misses[0].other_ref == ref


@pytest.mark.parametrize("name", ["none", "first"])
def test_what_needs_no_list_is_one_sentence(name: str) -> None:
    of, explanation = sample_explanations.ALL[name]()
    found = why(explanation, of)
    assert found.said
    assert found.misses == ()


def test_without_an_explanation_it_says_whether_there_will_be_one() -> None:
    assert running().status is Status.RUNNING
    assert why(None, running()).said == "A build is explained when it has ended."
    assert why(None, shop()).said.startswith("This build is not explained")
