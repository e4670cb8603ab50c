"""All projects and their targets at `/projects`: those that took most time first."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Engine

from buildprof.analysis.baselines import RULES
from buildprof.analysis.project_words import is_usual, target_label, trend_text
from buildprof.analysis.regression_words import worse_builds, worse_figures
from buildprof.model.regression import Regression, Signal
from buildprof.store.baselines import active_regressions
from buildprof.store.lists import project_names
from buildprof.store.project_facts import ProjectFacts, facts_of_targets, targets_by_time
from buildprof.store.trends import lost_by_target
from buildprof.web.api import parse_filter
from buildprof.web.pages.paths import address
from buildprof.web.pages.render import render
from buildprof.web.problems import Problem

PAGE_TARGETS = 50
MAX_PROJECTS = 500
MAX_WORSE = 50
SINCE = {"1d": "the last day", "7d": "the last 7 days", "30d": "the last 30 days"}
DEFAULT_SINCE = "7d"
"""As of `buildprof projects`."""

_NAMES = ("project", "since", "from")


@dataclass(frozen=True, slots=True)
class Trend:
    """The last duration against the usual one, in words, and whether it is worse."""

    text: str
    is_worse: bool


@dataclass(frozen=True, slots=True)
class Worse:
    """A regression of a target, in words."""

    label: str
    project: str
    target: str
    figures: str
    builds: str
    since_ref: str
    since_ns: int
    sentence: str


@dataclass(frozen=True, slots=True)
class Row:
    """One target of one project. `lost_seconds` are those since the time that the page tells of."""

    label: str
    facts: ProjectFacts
    lost_seconds: float | None
    trend: Trend | None
    grown_bytes: int | None
    regressions: int


def page(store: Engine, query: Mapping[str, str], version: str) -> bytes:
    """Make the page. `query` are the parameters of the address. Blocks; raises Problem 400 and StoreError."""
    given = {name: query[name] for name in _NAMES if query.get(name)}
    first = _first(given.pop("from", "0"))
    since = given.get("since", DEFAULT_SINCE)
    wanted = parse_filter({**given, "since": since}, [*given])
    now_ns = time.time_ns()
    targets = targets_by_time(store, wanted.project)
    shown = targets[first : first + PAGE_TARGETS]
    facts = {(one.project, one.target): one for one in facts_of_targets(store, shown)}
    lost = lost_by_target(store, shown, wanted.since_ns or 0)
    regressed = active_regressions(store, wanted.project)
    after = first + PAGE_TARGETS
    values = {
        "title": "Projects",
        "here": "Projects",
        "version": version,
        "live": "all" if first == 0 else "",
        "now_ns": now_ns,
        "rows": [_row(facts[one], lost, regressed) for one in shown if one in facts],
        "targets": len(targets),
        "worse": [worse for one in targets for worse in worse_of(*one, regressed)][:MAX_WORSE],
        "given": {"project": given.get("project", ""), "since": since},
        "is_filtered": "project" in given,
        "projects": project_names(store, MAX_PROJECTS) if wanted.project else _names_of(targets),
        "since": SINCE,
        "next": address("/projects", **given, **{"from": after}) if after < len(targets) else "",
        "first": address("/projects", **given) if first else "",
    }
    return render("projects.html", values)


def worse_of(project: str, target: str, regressed: Mapping[tuple[str, str], list[Regression]]) -> list[Worse]:
    """The active regressions of a target, in words."""
    return [
        Worse(
            target_label(project, target),
            project,
            target,
            worse_figures(one),
            worse_builds(one),
            one.since_ref,
            one.since_ns,
            one.changes.sentence,
        )
        for one in regressed.get((project, target), ())
    ]


def trend_of(facts: ProjectFacts) -> Trend | None:
    """The trend of a target; None if there is nothing to compare with."""
    if facts.trend is None:
        return None
    # Less than what a regression takes at least is by chance.
    grew = (facts.last_duration_seconds or 0.0) - (facts.median_duration_seconds or 0.0)
    return Trend(trend_text(facts.trend), not is_usual(facts.trend) and grew >= RULES[Signal.DURATION_SECONDS].floor)


def grown_bytes(facts: ProjectFacts) -> int | None:
    """What the last image is larger than the one before."""
    size, before = facts.image_size_bytes, facts.previous_image_size_bytes
    return None if size is None or before is None else size - before


def _row(
    facts: ProjectFacts,
    lost: Mapping[tuple[str, str], float],
    regressed: Mapping[tuple[str, str], list[Regression]],
) -> Row:
    key = facts.project, facts.target
    return Row(
        label=target_label(*key),
        facts=facts,
        lost_seconds=lost.get(key),
        trend=trend_of(facts),
        grown_bytes=grown_bytes(facts),
        regressions=len(regressed.get(key, ())),
    )


def _names_of(targets: Sequence[tuple[str, str]]) -> list[str]:
    return sorted({project for project, _ in targets})[:MAX_PROJECTS]


def _first(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 6):
        raise Problem(400, "from: a number")
    return int(text)
