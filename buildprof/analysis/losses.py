"""What misses cost, thing by thing: seconds by file, argument, image or instruction."""

from __future__ import annotations

from buildprof.model.explanation import Cause, Explanation, Loss, Miss
from buildprof.model.text import clean

MAX_SUBJECT_CHARS = 200


def losses(explanation: Explanation) -> list[Loss]:
    """The seconds of each root miss, shared evenly among the things that caused it; they add up to the blamed seconds."""
    return [loss for miss in explanation.misses for loss in _of_miss(miss)]


def _of_miss(miss: Miss) -> list[Loss]:
    names = _subjects(miss) or [""]
    seconds = (miss.blamed_seconds or 0.0) / len(names)
    return [Loss(miss.finding.cause, clean(name, MAX_SUBJECT_CHARS), seconds) for name in names]


def _subjects(miss: Miss) -> list[str]:
    evidence = miss.finding.evidence
    match miss.finding.cause:
        case Cause.SOURCE_CHANGED:
            return [path for kind in ("changed", "added", "removed") for path in evidence.get(kind) or ()]
        case Cause.BUILD_ARG_CHANGED:
            return list(evidence.get("names") or ())
        case Cause.BASE_CHANGED:
            return [evidence.get("image") or ""]
        case Cause.REMOTE_CHANGED:
            return [evidence.get("url") or ""]
        case Cause.INSTRUCTION_CHANGED:
            text = evidence.get("after") or evidence.get("before") or ""
            return [text.splitlines()[0] if text else ""]
        case _:
            return []
