"""Why the steps of a build missed: each root miss with its evidence, what followed from it, and what to do."""

from __future__ import annotations

from dataclasses import dataclass

from buildprof.analysis.advice import advice
from buildprof.analysis.evidence import Shown, shown_evidence
from buildprof.analysis.sentences import (
    first_build_sentence,
    followed,
    how_known,
    is_first_build,
    miss_sentence,
    others,
)
from buildprof.analysis.step_words import step_title
from buildprof.model.build import Build, Status
from buildprof.model.explanation import Cause, Explanation, Miss
from buildprof.model.text import clean
from buildprof.web.pages.waterfall import row_id, why_id

MAX_MISSES = 50
MAX_FOLLOWING = 20


@dataclass(frozen=True, slots=True)
class StepLink:
    """A step by its row in the waterfall."""

    row: str
    label: str


@dataclass(frozen=True, slots=True)
class MissView:
    """One root miss in sentences, "" for those that have nothing to say."""

    id: str
    step: StepLink | None
    sentence: str
    others: str
    evidence: Shown
    other_ref: str
    known: str
    followed: str
    following: tuple[StepLink, ...]
    rest: int
    advice: str


@dataclass(frozen=True, slots=True)
class Why:
    """What is said of all misses: `said` instead of them, or before them; `rest` counts those that are not listed."""

    said: str
    misses: tuple[MissView, ...] = ()
    rest: int = 0
    compared_to: str = ""


def why(explanation: Explanation | None, build: Build) -> Why:
    """Explain a build's misses, the dearest first."""
    if explanation is None:
        if build.status is Status.RUNNING:
            return Why("A build is explained when it has ended.")
        return Why("This build is not explained: it has no steps that were looked up in the cache, or it was canceled.")
    if not explanation.misses:
        return Why("No step missed the cache.")
    if is_first_build(explanation):
        return Why(first_build_sentence(explanation, build))
    links = {step.id: StepLink(row_id(step.id), clean(step_title(step), 90)) for step in build.steps}
    misses = tuple(_miss(miss, build, links) for miss in explanation.misses[:MAX_MISSES])
    return Why("", misses, max(len(explanation.misses) - MAX_MISSES, 0), explanation.compared_to or "")


def _miss(miss: Miss, build: Build, links: dict[str, StepLink]) -> MissView:
    following = [links[one] for one in miss.collateral if one in links]
    other = miss.finding.evidence.get("ref")
    return MissView(
        id=why_id(miss.step_id),
        step=links.get(miss.step_id),
        sentence=miss_sentence(miss, build),
        others=others(miss, build),
        evidence=shown_evidence(miss.finding),
        other_ref=other if miss.finding.cause is Cause.COLD_BUILDER and isinstance(other, str) else "",
        known=how_known(miss),
        followed=followed(miss),
        following=tuple(following[:MAX_FOLLOWING]),
        rest=max(len(miss.collateral) - MAX_FOLLOWING, 0),
        advice=advice(miss, build),
    )
