"""The judge of answers is strict where it must be, and no stricter."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.explaining import score
from tests.corpus.judge import Observed, Verdict, judge
from tests.corpus.scenario import Miss, Scenario, source_changed

DOCKERFILE = "FROM base\nCOPY src /src\nRUN ls /src\n"
EXPECTED = source_changed("COPY src /src", ["src/sub/a.txt"], collateral=["RUN ls /src"])
PATHS: dict[str, Any] = {"changed": ["src/sub/a.txt"], "added": [], "removed": []}


def step(id_: str, line: int, outcome: str) -> dict[str, Any]:
    return {"id": id_, "lines": [line, line], "cacheable": True, "kind": "copy", "outcome": outcome}


def said(**changes: Any) -> dict[str, Any]:
    answer = {"step_id": "copy", "name": "", "cause": "source_changed", "confidence": "certain", "evidence": PATHS}
    return {**answer, "collateral": ["run"], "also": [], **changes}


def verdict_on(*misses: dict[str, Any], expected: Miss = EXPECTED, outcome: str = "miss") -> Verdict:
    build = {"steps": [step("copy", 2, outcome), step("run", 3, outcome)]}
    roots = frozenset({"copy"} if outcome == "miss" else ())
    observed = Observed(build, {"misses": misses}, DOCKERFILE, roots, first_ref="first")
    return judge(Scenario("one", {}, [], [expected]), observed)


def test_a_right_answer_is_right():
    verdict = verdict_on(said())
    assert verdict.problems == []
    assert verdict.answers[0].is_right


@pytest.mark.parametrize(
    "answer",
    [
        said(cause="evicted", evidence={}),
        said(evidence={**PATHS, "changed": ["src/other.txt"]}),
        said(evidence={**PATHS, "added": ["src/b.txt"]}),
        said(evidence={**PATHS, "changed": None}),
        said(collateral=[]),
        said(collateral=["run", "copy"]),
    ],
)
def test_another_cause_path_or_collateral_is_wrong_and_certain(answer: dict[str, Any]):
    totals = score([verdict_on(answer)])
    assert (totals.answers, totals.right_evidence, totals.wrong_and_certain) == (1, 0.0, 1)


def test_a_directory_above_a_changed_file_may_be_named():
    assert verdict_on(said(evidence={**PATHS, "changed": ["src/sub", "src/sub/a.txt"]})).problems == []


def test_a_miss_that_is_none_is_a_wrong_answer():
    totals = score([verdict_on(said(), said(step_id="run"))])
    assert (totals.answers, totals.wrong_and_certain) == (2, 1)


def test_silence_is_wrong_but_not_certain():
    totals = score([verdict_on()])
    assert (totals.right_causes, totals.wrong_and_certain) == (0.0, 0)


def test_an_engine_that_did_otherwise_is_told():
    assert verdict_on(outcome="hit").labels[0] == "root misses are [], not ['COPY src /src']"


def test_a_scenario_that_could_not_be_run_counts_against_the_share():
    assert score([verdict_on(said()), Verdict("two", error="no")]).right_causes == 0.5
