"""Which signals of a target have regressed, by the readings of its last builds, and what is exported of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from buildprof.analysis.baselines import LEAST_HISTORY, standing
from buildprof.analysis.contributions import LabelBudget, label_value
from buildprof.model.build import DEFAULT_TARGET, UNKNOWN_PROJECT
from buildprof.model.regression import MEASURED, Baseline, Reading, Regression, Signal
from buildprof.model.series import Contribution, Effect
from buildprof.model.step import Outcome

CURRENT = 20
"""What is built still is among so many last builds of the target; of the rest nothing is told."""

USED_TO_HIT = 0.80
LOST_TWICE = 2
STEP_HISTORY = 20
"""Builds before, of which the share of hits of a step is taken."""

BuildKey = tuple[str, str]
"""(builder, ref)."""

Outcomes = Mapping[str, Mapping[BuildKey, Outcome]]
"""What became of steps, by their identity and by build."""


@dataclass(frozen=True, slots=True, order=True)
class Kind:
    """Builds of one kind are compared with each other."""

    dockerfile: str
    platform: str
    builder: str
    is_cold: bool


def kind_of(one: Reading) -> Kind:
    """The kind of a build."""
    return Kind(one.dockerfile, one.platform, one.builder, one.is_cold)


@dataclass(frozen=True, slots=True)
class Found:
    """A regression with the readings that it is told from: the good ones before, and those since; oldest first."""

    regression: Regression
    good: tuple[Reading, ...]
    since: tuple[Reading, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a target stands. `baselines` are what is exported: of a regression, else of what was built last, when warm."""

    found: tuple[Found, ...] = ()
    baselines: Mapping[Signal, Baseline] = field(default_factory=dict)


def judged(readings: Sequence[Reading], outcomes: Outcomes | None = None) -> Verdict:
    """Judge a target by its last readings, oldest first.

    `outcomes` are those of the steps that `steps_in_question` names, in all builds of the readings.
    """
    if not readings:
        return Verdict()
    own = kind_of(readings[-1])
    found: dict[tuple[Signal, str], Found] = {}
    usual: dict[Signal, Baseline] = {}
    exceeded: dict[Signal, Baseline] = {}
    for kind, builds in _kinds(readings):
        for signal in MEASURED:
            known = [one for one in builds if signal in one.figures]
            stands = standing(signal, [(one.started_ns, one.figures[signal]) for one in known])
            if stands.baseline is None:
                continue
            if replace(kind, is_cold=own.is_cold) == own:
                usual.setdefault(signal, stands.baseline)
            if stands.since is not None:
                since = tuple(known[stands.since :])
                regression = _regression(signal, kind, since, stands.baseline)
                good = tuple(known[place] for place in stands.good)
                exceeded.setdefault(signal, stands.baseline)
                found.setdefault((signal, regression.since_ref), Found(regression, good, since))
    lost = _lost_steps(readings, outcomes or {})
    return Verdict((*found.values(), *lost), {**usual, **exceeded})


def _kinds(readings: Sequence[Reading]) -> list[tuple[Kind, list[Reading]]]:
    """What is compared with each other and was built lately: what is nearest to the last build first, warm before cold.

    A builder that is too new to be compared with itself is compared with all: each of a fleet's runners may live for a
    few builds.
    """
    own = kind_of(readings[-1])
    kinds: dict[Kind, list[Reading]] = {}
    for one in readings:
        kinds.setdefault(kind_of(one), []).append(one)
    current = set(map(kind_of, readings[-CURRENT:]))
    chosen = {kind: kinds[kind] for kind in current if len(kinds[kind]) > LEAST_HISTORY}
    if own not in chosen:
        chosen[own] = [one for one in readings if replace(kind_of(one), builder=own.builder) == own]

    def rank(kind: Kind) -> tuple[bool, bool, bool, bool, Kind]:
        others = (kind.dockerfile != own.dockerfile, kind.platform != own.platform, kind.builder != own.builder)
        return (*others, kind.is_cold, kind)

    return [(kind, chosen[kind]) for kind in sorted(chosen, key=rank)]


def _regression(signal: Signal, kind: Kind, since: Sequence[Reading], baseline: Baseline | None = None) -> Regression:
    return Regression(
        signal=signal,
        builder=kind.builder,
        dockerfile=kind.dockerfile,
        platform=kind.platform,
        is_cold=kind.is_cold,
        since_ref=since[0].ref,
        since_ns=since[0].started_ns,
        last_ref=since[-1].ref,
        builds=len(since),
        value=since[-1].figures.get(signal),
        median=baseline.median if baseline else None,
        threshold=baseline.threshold if baseline else None,
    )


def steps_in_question(readings: Sequence[Reading]) -> set[str]:
    """Identities of steps that the cache may have lost twice: those that some build lost, of the last few."""
    return {identity for one in readings[-CURRENT:] for identity in one.steps_lost}


def _lost_steps(readings: Sequence[Reading], outcomes: Outcomes) -> list[Found]:
    """Regressions of steps that used to hit when their inputs were the same, and now were lost twice: one for a kind.

    Cold builds count here: that steps are lost may be what makes them cold.
    """
    found: dict[Kind, Found] = {}
    kinds: dict[Kind, list[Reading]] = {}
    for one in readings:
        kinds.setdefault(replace(kind_of(one), is_cold=False), []).append(one)
    in_question = steps_in_question(readings)
    for kind, builds in kinds.items():
        for identity in sorted(in_question & {one for build in builds for one in build.steps_lost}):
            lost, before = _last_lost(builds, identity, outcomes.get(identity, {}))
            if lost and (kind not in found or lost[0].started_ns < found[kind].since[0].started_ns):
                regression = _regression(Signal.CACHED_STEPS, replace(kind, is_cold=lost[-1].is_cold), lost)
                found[kind] = Found(regression, tuple(before), tuple(lost))
    return list(found.values())


def _last_lost(
    readings: Sequence[Reading], identity: str, outcomes: Mapping[BuildKey, Outcome]
) -> tuple[list[Reading], list[Reading]]:
    """The last builds that lost a step, and those before in which it was the same and hit or not; empty if it is no news.

    A build in which the step's inputs were others, or which did not have it, says nothing.
    """
    hits = {one.ref for one in readings if outcomes.get((one.builder, one.ref)) is Outcome.HIT}
    telling = [one for one in readings if one.ref in hits or identity in one.steps_lost]
    at = len(telling)
    while at and telling[at - 1].ref not in hits:
        at -= 1
    lost, before = telling[at:], telling[max(at - STEP_HISTORY, 0) : at]
    share = sum(one.ref in hits for one in before) / max(len(before), 1)
    if len(lost) < LOST_TWICE or len(lost) > STEP_HISTORY or len(before) < LEAST_HISTORY or share < USED_TO_HIT:
        return [], []
    return lost, before


def regression_contributions(
    project: str, target: str, verdict: Verdict, at_ns: int, budget: LabelBudget
) -> list[Contribution]:
    """What is exported of a target after the build that ended at `at_ns`: a set of its own, which replaces the last one.

    Nothing for a target that is counted under `other`, where several would mix.
    """
    own = (label_value(project, UNKNOWN_PROJECT), label_value(target, DEFAULT_TARGET))
    if budget.place(project, target) != own:
        return []
    active = {one.regression.signal for one in verdict.found}
    made = []
    for signal in Signal:
        where = (("project", own[0]), ("signal", signal.value), ("target", own[1]))
        made.append(Contribution("regression_active", where, float(signal in active), Effect.SET, at_ns))
        if (baseline := verdict.baselines.get(signal)) is not None:
            made.append(Contribution("baseline_median", where, baseline.median, Effect.SET, at_ns))
            made.append(Contribution("baseline_threshold", where, baseline.threshold, Effect.SET, at_ns))
    return made
