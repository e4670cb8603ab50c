"""What changed with a regression: the steps that grew, and the misses that came."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import median

from buildprof.analysis.alignment import align
from buildprof.analysis.readings import LOST
from buildprof.analysis.sentences import miss_sentence
from buildprof.analysis.words import MAX_SENTENCE, ended, named_step
from buildprof.model.build import Build
from buildprof.model.explanation import Explanation
from buildprof.model.regression import Changes, NewMiss, Regression, Signal, StepGrowth
from buildprof.model.step import Kind, Outcome, Step
from buildprof.model.text import clean, human_size, said_duration

GOOD_COMPARED, BAD_COMPARED = 9, 3
"""How many builds before and since a regression are compared, the last of each."""

KEPT = 10
"""How many steps, and how many misses, are kept."""

LEAST_SHARE = 0.10
"""A step whose growth is a smaller part of the regression's own is not told of."""

IN_BYTES = frozenset({Signal.IMAGE_SIZE_BYTES, Signal.CONTEXT_BYTES})

Explanations = Mapping[str, Explanation]
"""By the ref of the build."""


def what_changed(
    regression: Regression, good: Sequence[Build], since: Sequence[Build], explanations: Explanations
) -> Changes:
    """Compare the builds of a regression with good ones before, step by step.

    Both with steps, oldest first; what the steps are made of helps to find edited ones. Steps are found again as
    `alignment` does, so that an edited instruction is compared with its earlier form.
    """
    if not since or not since[-1].steps:
        return Changes()
    newest = since[-1]
    before, now = _partners(newest, good), _partners(newest, since)
    grown = _grown(regression, newest, before, now, len(good))
    explained = next(
        ((one, told) for one in reversed(since) if (told := explanations.get(one.ref)) and told.misses), None
    )
    misses = _new_misses(newest, *explained, before, len(good)) if explained else []
    if regression.signal is Signal.CACHED_STEPS:
        misses = [miss for miss in misses if miss.cause in LOST]
    misses = misses[:KEPT]
    return Changes(grown, tuple(misses), _sentence(regression, newest, grown, misses))


def _partners(newest: Build, builds: Sequence[Build]) -> dict[str, list[Step]]:
    """The steps of builds by the step of the newest build that they are."""
    found: defaultdict[str, list[Step]] = defaultdict(list)
    for build in builds:
        same = (build.builder, build.ref) == (newest.builder, newest.ref)
        partners = {step.id: step for step in newest.steps} if same else align(build, newest).partners
        for step_id, step in partners.items():
            found[step_id].append(step)
    return found


def _grown(
    regression: Regression, newest: Build, before: Mapping[str, list[Step]], now: Mapping[str, list[Step]], good: int
) -> tuple[StepGrowth, ...]:
    """The steps that grew by a part of the regression that is worth telling, the largest growth first."""
    size = _size_of(regression.signal)
    least = 0.0
    if regression.value is not None and regression.median is not None and regression.signal is not Signal.HIT_RATIO:
        least = LEAST_SHARE * abs(regression.value - regression.median)
    growths = []
    for step in newest.steps:
        after = _median(map(size, now.get(step.id, ())))
        if after is None:
            continue
        # A step that most good builds did not have is new.
        earlier = before.get(step.id, ())
        growth = StepGrowth(
            step_id=step.id,
            name=named_step(step, newest),
            before=_median(map(size, earlier)) if 2 * len(earlier) > good else None,
            now=after,
        )
        if growth.difference > least:
            growths.append(growth)
    return tuple(sorted(growths, key=lambda one: -one.difference)[:KEPT])


def _size_of(signal: Signal) -> Callable[[Step], float | None]:
    if signal is Signal.IMAGE_SIZE_BYTES:
        return lambda step: step.layer.size_bytes if step.layer else None
    if signal is Signal.CONTEXT_BYTES:
        return lambda step: step.transferred_bytes if step.kind is Kind.CONTEXT else None
    if signal is Signal.DURATION_SECONDS:
        return lambda step: step.duration_seconds
    # What is executed are missed steps: a hit is none of it.
    return lambda step: step.duration_seconds if step.outcome is Outcome.MISS else 0.0 if step.cacheable else None


def _median(sizes: Iterable[float | None]) -> float | None:
    known = [size for size in sizes if size is not None]
    return float(median(known)) if known else None


def _new_misses(
    newest: Build, explained: Build, explanation: Explanation, before: Mapping[str, list[Step]], good: int
) -> list[NewMiss]:
    """Root misses of a build whose steps were hits in most good builds, or are new; by the ids of the newest build."""
    is_newest = explained is newest
    ids = {step.id: step_id for step_id, step in align(explained, newest).partners.items()} if not is_newest else {}
    found = []
    for miss in explanation.misses:
        step_id = miss.step_id if is_newest else ids.get(miss.step_id, miss.step_id)
        earlier = before.get(step_id, ())
        hits = sum(step.outcome is Outcome.HIT for step in earlier)
        if 2 * hits > good or (good and not earlier):
            found.append(NewMiss(step_id, miss.finding.cause.value, miss_sentence(miss, explained)))
    return found


def _sentence(regression: Regression, newest: Build, grown: Sequence[StepGrowth], misses: Sequence[NewMiss]) -> str:
    """What weighs most: the step that grew most, and why it or what it follows from missed."""
    if regression.signal in IN_BYTES:
        return _grown_sentence(regression.signal, grown[0]) if grown else ""
    reason = misses[0].sentence if misses else ""
    if regression.signal in {Signal.HIT_RATIO, Signal.CACHED_STEPS}:
        return reason or _without_reason(newest)
    if not grown:
        return reason
    told = _grown_sentence(regression.signal, grown[0])
    return clean(f"{told} {reason}", 2 * MAX_SENTENCE) if reason else told


def _grown_sentence(signal: Signal, grown: StepGrowth) -> str:
    in_bytes = signal in IN_BYTES
    now = human_size(round(grown.now)) if in_bytes else said_duration(grown.now)
    verb = {Signal.IMAGE_SIZE_BYTES: "makes", Signal.CONTEXT_BYTES: "sends"}.get(signal, "takes")
    if grown.before is None:
        return ended(f"{grown.name} is new and {verb} {now}")
    was = human_size(round(grown.before)) if in_bytes else said_duration(grown.before)
    return ended(f"{grown.name} {verb} {now}, {was} before")


def _without_reason(newest: Build) -> str:
    missed = [step for step in newest.steps if step.outcome is Outcome.MISS]
    return ended(f"{named_step(missed[0], newest)} missed") if missed else ""
