"""Why builds missed, asked of the agent beside real engines, for every scenario of the corpus."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks.explaining import score
from benchmarks.harness import MeasurementError
from tests.corpus.catalogue import RUNS, SCENARIOS
from tests.corpus.runner import Corpus, running_corpus

KNOWN_LIMITS: dict[str, str] = {}
"""Scenarios whose answer is known to be wrong, each with the reason. The totals count them all the same."""

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]  # the first test waits for engines, the last for all


@pytest.fixture(scope="module")
def corpus(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Corpus]:
    """The scenarios of the chosen tests under way; all of them if the totals are asked for."""
    wanted = [one.callspec.params for one in request.session.items if hasattr(one, "callspec")]
    ids = {(one["where"], one["name"]) for one in wanted if one.keys() >= {"where", "name"}}
    everything = any(getattr(one, "originalname", "") == "test_the_totals" for one in request.session.items)
    chosen = [(one, where) for one, where in RUNS if everything or (where, one.name) in ids]
    with running_corpus(chosen, tmp_path_factory.mktemp("corpus")) as running:
        yield running


@pytest.mark.parametrize(
    ("where", "name"), [pytest.param(where, one.name, id=f"{where}-{one.name}") for one, where in RUNS]
)
def test_the_cause_and_its_evidence_are_told(corpus: Corpus, where: str, name: str):
    try:
        verdict = corpus.verdict(where, name)
    except MeasurementError as error:
        pytest.skip(str(error))
    if name in KNOWN_LIMITS and not verdict.error and not verdict.labels:
        pytest.xfail(KNOWN_LIMITS[name])
    assert verdict.problems == []


def test_the_totals(corpus: Corpus):
    verdicts = corpus.verdicts()
    if not verdicts:
        pytest.skip("no engine")
    totals = score(verdicts)
    assert totals.right_causes >= 0.95
    assert totals.right_evidence >= 0.95
    assert totals.wrong_and_certain == 0


def test_scenarios_have_names_of_their_own():
    names = [one.name for one in SCENARIOS]
    assert len(set(names)) == len(names) >= 60
    assert KNOWN_LIMITS.keys() <= set(names)
