from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildprof.model.explanation import Cause, Confidence, Explanation, Finding, Miss
from buildprof.model.explanation_document import explanation_document, explanation_from
from tests.cli.sample_explanations import ALL

TOP = ["ref", "project", "target", "compared_to", "misses", "blamed_seconds", "text"]
FINDING = ["cause", "confidence", "evidence"]
MISS = [
    *("step_id", "name", "lines", *FINDING, "executed_seconds", "collateral", "blamed_seconds", "text"),
    *("also", "via"),
]

scalars = st.none() | st.integers(-(2**53), 2**53) | st.text(max_size=20)
evidences = st.dictionaries(st.text(max_size=8), scalars | st.lists(scalars, max_size=3), max_size=4)
findings = st.builds(Finding, st.sampled_from(Cause), st.sampled_from(Confidence), evidences)
seconds = st.integers(0, 10**15).map(lambda nanoseconds: nanoseconds / 1e9)
ids = st.text(max_size=10)
misses = st.builds(
    Miss,
    step_id=ids,
    finding=findings,
    also=st.lists(findings, max_size=2).map(tuple),
    via=ids,
    executed_seconds=st.none() | seconds,
    collateral=st.lists(ids, max_size=3).map(tuple),
    blamed_seconds=st.none() | seconds,
)
explanations = st.builds(
    Explanation,
    ref=ids,
    project=ids,
    target=ids,
    compared_to=st.none() | ids,
    misses=st.lists(misses, max_size=3).map(tuple),
    blamed_seconds=seconds,
)


def test_fields_stand_in_the_promised_order() -> None:
    build, explanation = ALL["several"]()
    document = explanation_document(explanation, build.steps)
    assert list(document) == TOP
    assert all(list(miss) == MISS for miss in document["misses"])
    assert all(list(finding) == FINDING for miss in document["misses"] for finding in miss["also"])


@given(explanations)
def test_an_explanation_survives_its_document_and_json(explanation: Explanation) -> None:
    document = json.loads(json.dumps(explanation_document(explanation)))
    assert explanation_from(document) == explanation
    assert explanation_document(explanation_from(document)) == document


def test_names_lines_and_sentences_are_those_of_the_build() -> None:
    build, explanation = ALL["readme"]()
    (miss,) = explanation.misses
    document = explanation_document(explanation, build.steps, sentences={miss.step_id: "Because."}, text="All.")
    assert document["misses"][0]["name"] == "[build 1/2] COPY . ."
    assert document["misses"][0]["lines"] == [7, 7]
    assert (document["misses"][0]["text"], document["text"]) == ("Because.", "All.")


def test_what_is_unknown_is_null() -> None:
    build, explanation = ALL["readme"]()
    (miss,) = explanation.misses
    stranger = replace(miss, step_id="nobody", executed_seconds=None, blamed_seconds=None)
    (document,) = explanation_document(replace(explanation, misses=(stranger,)), build.steps)["misses"]
    unknown = ("name", "lines", "executed_seconds", "blamed_seconds", "via")
    assert [document[key] for key in unknown] == [None] * 5


@pytest.mark.parametrize("document", [{}, {"ref": "r"}, {**dict.fromkeys(TOP, ""), "misses": 3}])
def test_what_is_no_such_document_is_an_error(document: dict[str, object]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        explanation_from(document)
