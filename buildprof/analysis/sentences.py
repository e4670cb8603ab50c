"""Explanations in words that a newcomer understands: why a step missed, what followed, what to do, how it is known.

Whatever the evidence holds, a sentence is one line without control characters, of MAX_SENTENCE characters at most.
"""

from __future__ import annotations

from itertools import takewhile

from buildprof.analysis.advice import advice
from buildprof.analysis.words import (
    EXCERPT_CHARS,
    MAX_SENTENCE,
    NAMED,
    PATH_CHARS,
    Evidence,
    count_of,
    dockerfile_place,
    ended,
    image_name,
    joined,
    listed,
    minute,
    named_step,
    path_tail,
    short_digest,
    text_of,
    texts_of,
)
from buildprof.model.build import DEFAULT_TARGET, Build
from buildprof.model.document import Document
from buildprof.model.explanation import Cause, Confidence, Explanation, Finding, Loss, Miss
from buildprof.model.explanation_document import explanation_document
from buildprof.model.step import Step
from buildprof.model.text import clean, human_size, plural, said_duration

MAX_PARAGRAPH = 2000


TOLD_MISSES = 3
"""How many misses the paragraph tells of; it counts the rest."""


CAUSE_NAMES = {
    Cause.FIRST_BUILD: "first build",
    Cause.INSTRUCTION_CHANGED: "Dockerfile edited",
    Cause.SOURCE_CHANGED: "files changed",
    Cause.BASE_CHANGED: "base image changed",
    Cause.BUILD_ARG_CHANGED: "build argument changed",
    Cause.REMOTE_CHANGED: "remote source changed",
    Cause.NO_CACHE: "cache turned off",
    Cause.EVICTED: "cache removed",
    Cause.COLD_BUILDER: "built on another builder",
    Cause.UNKNOWN: "not known",
}
"""What causes are called for people, as a heading or in a table."""


def told(explanation: Explanation, build: Build) -> Document:
    """The document of `explain`, with its sentences."""
    sentences = {miss.step_id: miss_sentence(miss, build) for miss in explanation.misses}
    return explanation_document(explanation, build.steps, sentences=sentences, text=paragraph(explanation, build))


def paragraph(explanation: Explanation, build: Build) -> str:
    """All in one paragraph: the dearest misses, what followed from them, and what to do about each."""
    if is_first_build(explanation):
        return first_build_sentence(explanation, build)
    if not explanation.misses:
        return "No step missed the cache."
    parts: list[str] = []
    for miss in explanation.misses[:TOLD_MISSES]:
        parts += [miss_sentence(miss, build), followed(miss), advice(miss, build)]
    if (rest := len(explanation.misses) - TOLD_MISSES) > 0:
        parts.append(f"{rest} more {plural(rest, 'step')} missed for other reasons.")
    if len(explanation.misses) > 1:
        parts.append(f"In all, misses cost {said_duration(explanation.blamed_seconds)}.")
    return clean(" ".join(filter(None, parts)), MAX_PARAGRAPH)


def is_first_build(explanation: Explanation) -> bool:
    """Whether nothing earlier is known of any step that missed: the first build of a project on a builder."""
    findings = [miss.finding for miss in explanation.misses]
    return bool(findings) and all(one.cause is Cause.FIRST_BUILD and not one.evidence.get("reason") for one in findings)


def first_build_sentence(explanation: Explanation, build: Build) -> str:
    """What is said of a first build in place of a sentence for each miss."""
    builder, project = clean(build.builder, 60), clean(build.project, 100)
    if build.target != DEFAULT_TARGET:
        project += f"/{clean(build.target, 100)}"
    cost = f": its steps took {said_duration(explanation.blamed_seconds)}" if explanation.blamed_seconds else ""
    return f"This is the first build of {project} that is known on builder {builder}{cost}."


def miss_sentence(miss: Miss, build: Build) -> str:
    """Why one step missed: "COPY . . (Dockerfile:7) missed because README.md changed (1 file, 3.1 kB)."."""
    by_id = {step.id: step for step in build.steps}
    step, finding = by_id.get(miss.step_id), miss.finding
    name = named_step(step, build) if step else clean(miss.step_id, 20) or "A step"
    if finding.cause is Cause.UNKNOWN:
        checked = listed(texts_of(finding.evidence.get("checked")), most=10)
        said = f"none of what was compared explains it: {checked}" if checked else "what made it miss is not known"
        if differs := text_of(finding.evidence, "differs", 60):
            said = f"only {differs} are known to differ"
        return clean(f"{name} missed, and {said}.", MAX_SENTENCE)
    via = by_id.get(miss.via)
    lies = f"; the change lies in {named_step(via, build)}, which itself came from the cache" if via else ""
    because = "missed because" if finding.confidence is Confidence.CERTAIN else "missed, probably because"
    reason = _reason(finding, step, build, is_own=not miss.via)
    return ended(f"{name} {because} {reason}", lies)


def others(miss: Miss, build: Build) -> str:
    """What else would have made the step miss, as a sentence; "" if nothing would."""
    if not miss.also:
        return ""
    step = next((step for step in build.steps if step.id == miss.step_id), None)
    reasons = [
        ("" if one.confidence is Confidence.CERTAIN else "probably ") + _reason(one, step, build, is_own=not miss.via)
        for one in miss.also[:NAMED]
    ]
    return ended(f"It would have missed anyway: {'; '.join(reasons)}")


def followed(miss: Miss) -> str:
    """What a miss cost: "It took 2 steps with it: 38.9 s."; "" if nobody knows."""
    count, seconds = len(miss.collateral), miss.blamed_seconds
    cost = "" if seconds is None else said_duration(seconds)
    if count:
        return f"It took {count} {plural(count, 'step')} with it{f': {cost}' if cost else ''}."
    return f"It cost {cost}." if cost else ""


_PROOFS = {
    Cause.FIRST_BUILD: "no earlier build that is known has this step",
    Cause.INSTRUCTION_CHANGED: "the instructions of both builds were compared",
    Cause.SOURCE_CHANGED: "the files as they were at both builds were compared",
    Cause.BASE_CHANGED: "the digests of the image in both builds were compared",
    Cause.BUILD_ARG_CHANGED: "the values in both builds were compared",
    Cause.REMOTE_CHANGED: "what both builds fetched was compared",
    Cause.NO_CACHE: "the builder was asked for it",
    Cause.EVICTED: "the same was built here before, and its cache record is gone",
    Cause.COLD_BUILDER: "the same was built before, and never here",
}
_NEVER_SUCCEEDED = "the earlier builds that have this step ended without it"


def how_known(miss: Miss) -> str:
    """How sure the cause is and what it rests on; "" of a cause that is not known."""
    if miss.finding.cause is Cause.UNKNOWN:
        return ""
    if miss.finding.confidence is Confidence.CERTAIN:
        is_other = miss.finding.evidence.get("reason") == "never_succeeded"
        return f"Certain: {_NEVER_SUCCEEDED if is_other else _PROOFS[miss.finding.cause]}."
    return "Probable: it is what is left, as far as the builds could be compared."


_SUBJECTS = {
    Cause.BASE_CHANGED: "image ",
    Cause.BUILD_ARG_CHANGED: "argument ",
    Cause.INSTRUCTION_CHANGED: "edited ",
}


def loss_name(loss: Loss) -> str:
    """What time was lost to: the file, the image, the argument, else what its cause is called."""
    subject = path_tail(loss.subject) if loss.cause is Cause.SOURCE_CHANGED else clean(loss.subject, PATH_CHARS)
    if loss.cause is Cause.UNKNOWN:
        return "causes not known"
    if not subject:
        return CAUSE_NAMES[loss.cause]
    return f"{_SUBJECTS.get(loss.cause, '')}{subject}"


def _reason(finding: Finding, step: Step | None, build: Build, *, is_own: bool) -> str:  # noqa: C901, PLR0911  # a case for each
    evidence = finding.evidence
    match finding.cause:
        case Cause.FIRST_BUILD:
            return {
                "new_step": "it is new in the Dockerfile",
                "never_succeeded": "it never ran to its end in an earlier build",
            }.get(str(evidence.get("reason")), "no earlier build of it is known")
        case Cause.INSTRUCTION_CHANGED:
            return _edited(evidence, step, build, is_own=is_own)
        case Cause.SOURCE_CHANGED:
            return _files(evidence)
        case Cause.BASE_CHANGED:
            image = image_name(evidence)
            is_source = bool(image) and step is not None and "from=" in step.command and image in step.command
            what = f"the image {image}, from which it takes files," if is_source else f"the base image {image}".rstrip()
            return f"{what} changed{_from_to(evidence)}"
        case Cause.BUILD_ARG_CHANGED:
            names = texts_of(evidence.get("names"))
            what = f"{'value' if len(names) == 1 else 'values'} of {listed(names)}" if names else "value of one"
            return f"the {what} changed (build {plural(len(names) or 1, 'argument')} or environment)"
        case Cause.REMOTE_CHANGED:
            return f"what it fetches from {text_of(evidence, 'url', 120) or 'elsewhere'} changed{_from_to(evidence)}"
        case Cause.NO_CACHE:
            return f"the build was asked not to use the cache ({text_of(evidence, 'option', 60) or '--no-cache'})"
        case Cause.EVICTED:
            by = {
                "prune": "somebody pruned it from the cache",
                "gc": "the builder removed it from its cache to save space",
            }.get(str(evidence.get("by")), "it is the same as before, but was lost from the cache")
            return f"{by}{_between(evidence.get('lost_at'))}"
        case Cause.COLD_BUILDER:
            builder, ref = text_of(evidence, "builder", 60), text_of(evidence, "ref", 12).rstrip("…")
            other = f"builder {builder}" if builder else "another builder"
            return f"only {other} has built it before{f' (build {ref})' if ref else ''}"
        case Cause.UNKNOWN:
            return "something else"


def _edited(evidence: Evidence, step: Step | None, build: Build, *, is_own: bool) -> str:
    before, after = _differing(text_of(evidence, "before", 4096), text_of(evidence, "after", 4096))
    lines = evidence.get("lines")
    line = lines[0] if isinstance(lines, list | tuple) and lines and isinstance(lines[0], int) else None
    is_within = line is None or step is None or step.lines is None or step.lines[0] <= line <= step.lines[1]
    place = (
        "" if is_own and is_within else f" before it{f' ({dockerfile_place(build)}{line})' if line is not None else ''}"
    )
    the = "an instruction" if place else "the instruction"
    if before and before == after:
        return f"what is redacted in {the}{place} changed: `{after}`"
    if before and after:
        return f"{the}{place} changed from `{before}` to `{after}`"
    if before:
        return f"`{before}` before it was removed"
    return f"`{after}` was added{place}" if after else f"the instruction{place} changed"


def _differing(before: str, after: str) -> tuple[str, str]:
    """Where texts are too long, what they begin with alike gives way."""
    if max(len(before), len(after)) > EXCERPT_CHARS and before and after:
        shared = sum(1 for _ in takewhile(lambda both: both[0] == both[1], zip(before, after, strict=False)))
        if shared > EXCERPT_CHARS // 2:
            before, after = (f"…{text[shared - EXCERPT_CHARS // 4 :]}" for text in (before, after))
    return clean(before, EXCERPT_CHARS), clean(after, EXCERPT_CHARS)


def _files(evidence: Evidence) -> str:
    groups = []
    total = 0
    for kind, verb in (("changed", "changed"), ("added", "{} added"), ("removed", "{} removed")):
        names = [path_tail(path) for path in texts_of(evidence.get(kind))]
        count = max(count_of(evidence, f"{kind}_count"), len(names))
        if count:
            total += count
            groups.append(f"{listed(names, count=count)} {verb.format('was' if count == 1 else 'were')}")
    if not groups:
        return "a file that it takes changed"
    size = count_of(evidence, "bytes")
    figures = f"{total} {plural(total, 'file')}" + (f", {human_size(size)}" if size else "")
    return f"{joined(groups)} ({figures})"


def _from_to(evidence: Evidence) -> str:
    before, after = (short_digest(text_of(evidence, key, 200)) for key in ("before", "after"))
    if before and after:
        return f" ({before} before, {after} now)"
    return f" ({after} now)" if after else ""


def _between(interval: object) -> str:
    times = list(interval) if isinstance(interval, list | tuple) else []
    since, until = (minute(times[at]) if at < len(times) else "" for at in (0, 1))
    if since and until:
        return f" between {since} and {until} UTC"
    return f" after {since} UTC" if since else f" before {until} UTC" if until else ""
