"""Regressions as JSON documents, and back: what `projects --json` prints, the HTTP API serves and the store keeps.

Field names and their order are a promise to scripts. Figures are in the unit of their signal; unknown is null.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from buildprof.model.document import Document, TargetFigures, project_document
from buildprof.model.regression import Changes, NewMiss, Regression, Signal, StepGrowth
from buildprof.model.text import rfc3339


def regression_document(regression: Regression) -> Document:
    """One active regression of a target."""
    changes = regression.changes
    return {
        "signal": regression.signal.value,
        "builder": regression.builder,
        "dockerfile": regression.dockerfile or None,
        "platform": regression.platform or None,
        "cold": regression.is_cold,
        "since": {"ref": regression.since_ref, "started_at": rfc3339(regression.since_ns)},
        "last_ref": regression.last_ref,
        "builds": regression.builds,
        "value": _figure(regression.value),
        "baseline_median": _figure(regression.median),
        "baseline_threshold": _figure(regression.threshold),
        "text": changes.sentence,
        "steps": [
            {"step_id": one.step_id, "name": one.name, "before": _figure(one.before), "now": _figure(one.now)}
            for one in changes.steps
        ],
        "misses": [{"step_id": one.step_id, "cause": one.cause, "text": one.sentence} for one in changes.misses],
    }


def project_with_regressions(figures: TargetFigures, regressions: Sequence[Regression]) -> Document:
    """One line of `projects`, with the active regressions of the target."""
    return {**project_document(figures), "regressions": [regression_document(one) for one in regressions]}


def stored_document(regression: Regression) -> Document:
    """The same with what a time of RFC 3339 does not keep as an integer."""
    return {**regression_document(regression), "since_ns": regression.since_ns}


def regression_from(document: Mapping[str, Any]) -> Regression:
    """Undo `stored_document`.

    Raises:
        KeyError, TypeError, ValueError: it is no such document.
    """
    return Regression(
        signal=Signal(document["signal"]),
        builder=document["builder"],
        dockerfile=document["dockerfile"] or "",
        platform=document["platform"] or "",
        is_cold=document["cold"],
        since_ref=document["since"]["ref"],
        since_ns=document["since_ns"],
        last_ref=document["last_ref"],
        builds=document["builds"],
        value=document["value"],
        median=document["baseline_median"],
        threshold=document["baseline_threshold"],
        changes=Changes(
            tuple(StepGrowth(one["step_id"], one["name"], one["before"], one["now"]) for one in document["steps"]),
            tuple(NewMiss(one["step_id"], one["cause"], one["text"]) for one in document["misses"]),
            document["text"],
        ),
    )


def _figure(value: float | None) -> float | None:
    return None if value is None else round(value, 9)
