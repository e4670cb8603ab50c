"""Explanations as JSON documents, and back: what `explain --json` prints, the HTTP API serves and the store keeps.

Field names and their order are a promise to scripts. Durations are seconds; unknown is null.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from buildprof.model.document import Document, rounded_seconds
from buildprof.model.explanation import Cause, Confidence, Explanation, Finding, Miss
from buildprof.model.step import Step


def explanation_document(
    explanation: Explanation, steps: Iterable[Step] = (), *, sentences: Mapping[str, str] | None = None, text: str = ""
) -> Document:
    """All that `explain` tells of a build. `steps` are the build's own: they give a miss its name and its lines.

    `sentences` has one for each miss, by the id of its step; `text` is the paragraph.
    """
    by_id, told = {step.id: step for step in steps}, sentences or {}
    return {
        "ref": explanation.ref,
        "project": explanation.project,
        "target": explanation.target,
        "compared_to": explanation.compared_to,
        "misses": [_miss(miss, by_id.get(miss.step_id), told.get(miss.step_id, "")) for miss in explanation.misses],
        "blamed_seconds": rounded_seconds(explanation.blamed_seconds),
        "text": text,
    }


def explanation_from(document: Mapping[str, Any]) -> Explanation:
    """Undo `explanation_document`: names, lines and sentences are left out, for they are made of the build.

    Raises:
        KeyError, TypeError, ValueError: it is no such document.
    """
    return Explanation(
        ref=document["ref"],
        project=document["project"],
        target=document["target"],
        compared_to=document["compared_to"],
        misses=tuple(_miss_from(miss) for miss in document["misses"]),
        blamed_seconds=float(document["blamed_seconds"]),
    )


def _miss(miss: Miss, step: Step | None, sentence: str) -> Document:
    return {
        "step_id": miss.step_id,
        "name": step.name if step else None,
        "lines": list(step.lines) if step and step.lines else None,
        **_finding(miss.finding),
        "executed_seconds": rounded_seconds(miss.executed_seconds),
        "collateral": list(miss.collateral),
        "blamed_seconds": rounded_seconds(miss.blamed_seconds),
        "text": sentence,
        "also": [_finding(finding) for finding in miss.also],
        "via": miss.via or None,
    }


def _miss_from(document: Mapping[str, Any]) -> Miss:
    return Miss(
        step_id=document["step_id"],
        finding=_finding_from(document),
        also=tuple(_finding_from(finding) for finding in document["also"]),
        via=document["via"] or "",
        executed_seconds=document["executed_seconds"],
        collateral=tuple(document["collateral"]),
        blamed_seconds=document["blamed_seconds"],
    )


def _finding(finding: Finding) -> Document:
    return {
        "cause": finding.cause.value,
        "confidence": finding.confidence.value,
        "evidence": dict(finding.evidence),
    }


def _finding_from(document: Mapping[str, Any]) -> Finding:
    return Finding(Cause(document["cause"]), Confidence(document["confidence"]), dict(document["evidence"]))
