"""Is the cause of a miss told right? Every scenario of tests/corpus on real engines, its label against the answer.

Prints the share of right causes and of right evidence, how many wrong answers were called certain, and what is wrong.

    python -m benchmarks.explaining [--only WORD ...] [--labels] [--quick] [--json FILE]
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.harness import MeasurementError, Result, at_least, at_most, figure, make_parser, report
from tests.corpus.catalogue import RUNS
from tests.corpus.judge import Verdict
from tests.corpus.runner import running_corpus
from tests.corpus.scenario import SHARED, Scenario

LIMIT = 0.95


@dataclass(frozen=True, slots=True)
class Score:
    """Shares are of all answers: one for each root miss that is labelled or told, one for each build without any."""

    answers: int
    right_causes: float
    right_evidence: float
    wrong_and_certain: int


def score(verdicts: Sequence[Verdict]) -> Score:
    """Add up. A scenario without an answer (its engine, its label or its agent failed) counts as one that is wrong.

    An answer is wrong if its cause is, or what it rests on; evidence is right only of a right cause.
    """
    answers = [answer for one in verdicts for answer in one.answers]
    count = len(answers) + sum(not one.answers for one in verdicts)
    return Score(
        answers=count,
        right_causes=sum(one.cause_is_right for one in answers) / max(count, 1),
        right_evidence=sum(one.is_right for one in answers) / max(count, 1),
        wrong_and_certain=sum(one.is_certain and not one.is_right for one in answers),
    )


def results(verdicts: Sequence[Verdict]) -> list[Result]:
    """What is told of the corpus."""
    totals = score(verdicts)
    return [
        figure("scenarios run", len(verdicts), "runs", f"{totals.answers} answers"),
        at_least("right causes", totals.right_causes, LIMIT, "of 1"),
        at_least("right causes and evidence", totals.right_evidence, LIMIT, "of 1"),
        at_most("wrong answers marked certain", totals.wrong_and_certain, 0, "answers"),
    ]


def measure(chosen: Sequence[tuple[Scenario, str]], *, labels_only: bool = False) -> list[Verdict]:
    """Run scenarios and print what is wrong, as it comes. MeasurementError if an engine cannot be had."""
    verdicts = []
    with (
        tempfile.TemporaryDirectory(prefix="bp-corpus-") as directory,
        running_corpus(chosen, Path(directory), labels_only=labels_only) as corpus,
    ):
        for scenario, where in chosen:
            verdicts.append(corpus.verdict(where, scenario.name))
            for problem in verdicts[-1].problems:
                print(f"{where}-{scenario.name}: {problem}", flush=True)
    return verdicts


def main() -> int:
    """Print figures and every wrong answer; 3 if an engine could not be had."""
    parser = make_parser(__doc__)
    parser.add_argument("--only", action="append", metavar="WORD", help="scenarios with this in their id; repeatable")
    parser.add_argument("--labels", action="store_true", help="only check the labels against the engines")
    arguments = parser.parse_args()
    chosen = [
        (one, where)
        for one, where in RUNS
        if (not arguments.quick or where == SHARED)
        and (not arguments.only or any(word in f"{where}-{one.name}" for word in arguments.only))
    ]
    try:
        verdicts = measure(chosen, labels_only=arguments.labels)
    except MeasurementError as error:
        print(f"explaining: {error}", file=sys.stderr)
        return 3
    if arguments.labels:
        wrong = sum(bool(one.problems) for one in verdicts)
        report("explaining", [at_most("wrong labels", wrong, 0, "scenarios", f"of {len(verdicts)}")], arguments.json)
    else:
        report("explaining", results(verdicts), arguments.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
