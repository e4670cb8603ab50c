"""Is what was said of a build what should be? First the labels against the engine, then the explanation against both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from tests.corpus.scenario import FirstRef, Interval, Miss, Scenario

_PATHS = ("changed", "added", "removed")
_MISSED = ("miss", "shared")


@dataclass(frozen=True, slots=True)
class Observed:
    """A scenario's last build: documents of `show` and `explain` (None where nobody was asked), and what they rest on."""

    build: Mapping[str, Any]
    explanation: Mapping[str, Any] | None
    dockerfile: str
    root_steps: frozenset[str]
    first_ref: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What was said of one miss, or of a build without any. `problem` tells what is wrong with it, "" if nothing."""

    cause_is_right: bool
    evidence_is_right: bool
    is_certain: bool
    problem: str = ""

    @property
    def is_right(self) -> bool:
        return self.cause_is_right and self.evidence_is_right


@dataclass(frozen=True, slots=True)
class Verdict:
    """`labels` are what the engine says against the scenario itself; `error` why it could not be run."""

    scenario: str
    labels: tuple[str, ...] = ()
    answers: tuple[Answer, ...] = ()
    error: str = ""

    @property
    def problems(self) -> list[str]:
        told = [self.error] if self.error else []
        return told + [f"label: {one}" for one in self.labels] + [one.problem for one in self.answers if one.problem]


def judge(scenario: Scenario, observed: Observed) -> Verdict:
    """Compare; an explanation that is None is not judged."""
    names = step_names(observed.build, observed.dockerfile)
    labels = tuple(_against_labels(scenario, observed, names))
    explanation = observed.explanation
    if explanation is None:
        return Verdict(scenario.name, labels)
    said = {names.get(one["step_id"], one["name"]): one for one in explanation["misses"]}
    expected = {one.at: one for one in scenario.misses}
    answers = [_answer(one, said.get(at), names, observed) for at, one in expected.items()]
    for at, one in said.items():
        if at not in expected:
            certain = one["confidence"] == "certain"
            answers.append(Answer(False, False, certain, f"{at} is no root miss, but said to be {_brief(one)}"))
    return Verdict(scenario.name, labels, tuple(answers) or (Answer(True, True, is_certain=False),))


def step_names(build: Mapping[str, Any], dockerfile: str) -> dict[str, str]:
    """Scenario's names of the cacheable steps, by id."""
    lines = [line.strip() for line in dockerfile.splitlines()]
    names = {}
    for step in build["steps"]:
        if step["cacheable"]:
            if step["lines"]:
                text = lines[step["lines"][0] - 1]
            else:  # of a classic COPY nobody tells the line
                alike = [line for line in lines if line.startswith(f"{step['instruction']} ")]
                text = alike[0] if len(alike) == 1 else f"{step['instruction']} {step['command']}"
            names[step["id"]] = f"merge {text}" if step["kind"] == "merge" else text
    return names


def _against_labels(scenario: Scenario, observed: Observed, names: Mapping[str, str]) -> list[str]:
    problems = []
    roots = {names[id_] for id_ in observed.root_steps}
    labelled = {one.at for one in scenario.misses}
    # Builds of a group can show a sibling's step beside their own: as a hit it does not matter.
    worked = [names[one["id"]] for one in observed.build["steps"] if one["id"] in names and one["outcome"] != "hit"]
    if len(set(worked)) < len(worked):
        problems.append(f"two steps have one name: {sorted(worked)}")
    if roots != labelled:
        problems.append(f"root misses are {sorted(roots)}, not {sorted(labelled)}")
    collateral = {one for miss in scenario.misses for one in miss.collateral}
    for step in observed.build["steps"]:
        name = names.get(step["id"])
        if name is None:
            continue
        allowed: tuple[str, ...] = ("hit",)
        if name in labelled | collateral:
            allowed = _MISSED
        elif name in scenario.unbuilt:
            allowed = ("failed", "canceled", "skipped")
        if step["outcome"] not in allowed:
            problems.append(f"{name} is {step['outcome']}, not {' or '.join(allowed)}")
    named = labelled | collateral | set(scenario.unbuilt)
    return problems + [f"no step {name}" for name in sorted(named - set(names.values()))]


def _answer(expected: Miss, said: Mapping[str, Any] | None, names: Mapping[str, str], observed: Observed) -> Answer:
    if said is None:
        return Answer(False, False, is_certain=False, problem=f"{expected.at}: nothing is said, not {expected.cause}")
    problems = []
    cause_is_right = said["cause"] in (expected.cause, expected.or_cause)
    if not cause_is_right:
        problems.append(f"{_brief(said)}, not {expected.cause}")
    evidence: list[str] = []
    if said["cause"] == expected.cause:
        evidence += _against_evidence(expected, said, observed)
    collateral = sorted(names.get(id_, id_) for id_ in said["collateral"])
    if collateral != sorted(expected.collateral):
        evidence.append(f"collateral {collateral}, not {sorted(expected.collateral)}")
    if expected.confidence and said["confidence"] != expected.confidence:
        evidence.append(f"{said['confidence']}, not {expected.confidence}")
    also = [one["cause"] for one in said.get("also", ())]
    if not set(expected.also) <= set(also):
        evidence.append(f"also {sorted(also)}, not {sorted(expected.also)}")
    problem = f"{expected.at}: {'; '.join(problems + evidence)}" if problems or evidence else ""
    return Answer(cause_is_right, not problems and not evidence, said["confidence"] == "certain", problem)


def _against_evidence(expected: Miss, said: Mapping[str, Any], observed: Observed) -> list[str]:
    found = said["evidence"]
    problems = [
        f"{key} is {found.get(key)!r}, not {value!r}"
        for key, value in expected.evidence.items()
        if not _matches(key, value, found.get(key), observed)
    ]
    if expected.cause == "instruction_changed" and found.get("lines") and found.get("after"):
        line = observed.dockerfile.splitlines()[found["lines"][0] - 1].rstrip("\\ ").strip()
        if not found["after"].strip().startswith(line):
            problems.append(f"line {found['lines'][0]} is {line!r}, not {found['after']!r}")
    return problems


def _matches(key: str, expected: Any, found: Any, observed: Observed) -> bool:
    match expected:
        case Interval():
            return bool(found) and len(found) == 2 and any(found)
        case FirstRef():
            return bool(found == observed.first_ref)
        case None:
            return found is None
        case str():
            return isinstance(found, str) and _plain(expected) in _plain(found)
        case _ if key in _PATHS:
            return found is not None and _same_paths(expected, found)
        case _:
            return found is not None and sorted(expected) == sorted(found)


def _plain(text: str) -> str:
    return " ".join(text.split())


def _same_paths(expected: Sequence[str], found: Sequence[str]) -> bool:
    """Equal as sets; a directory above an expected path may be named or not."""
    above = {str(parent) for path in expected for parent in PurePosixPath(path).parents}
    return set(expected) <= set(found) <= set(expected) | above


def _brief(said: Mapping[str, Any]) -> str:
    return f"{said['cause']} ({said['confidence']}, {said['evidence']})"
