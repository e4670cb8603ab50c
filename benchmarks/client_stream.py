"""A build as its own client told it with `--progress=rawjson`, read without any of buildprof's code.

What the stream says: every report on a vertex, as BuildKit's `client.SolveStatus` in JSON. What it does not say:

- when the build began and ended for the engine; the bounds to clip to are given from outside;
- the engine's clock: buildx shifts all times of a stream by one amount, so that the first is now;
- which of several builds that share a vertex started it: each stream shows it alike. `owners` tells which could have.

A client of several builds puts the build's name into every vertex' name, `[web 1/2] RUN …`, and keeps the digests.
"""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

SLACK_US = 1_000
"""Within this, two times are the same moment: shifts are found by comparing, and rounded."""

_CACHEABLE = re.compile(r"\[[^\]]*\d+/\d+\] (?:ONBUILD )?(?:LINK )?(?:RUN|COPY|ADD|WORKDIR)\b", re.IGNORECASE)
_CLIENTS_OWN = re.compile(r"\[internal\] load local bake definitions|(\[.*\] )?resolving provenance for metadata file")
"""Vertices that buildx makes itself, before and after the build."""


@dataclass(slots=True)
class Run:
    """One interval, in microseconds of the client's clock, as last reported."""

    started_us: int
    completed_us: int | None
    cached: bool
    error: str


@dataclass(slots=True)
class ClientStep:
    """All reports on one vertex of one build. `runs` are keyed by their start."""

    digest: str
    name: str
    inputs: tuple[str, ...] = ()
    cached: bool = False
    runs: dict[int, Run] = field(default_factory=dict)

    @property
    def cacheable(self) -> bool:
        return _CACHEABLE.match(self.name) is not None

    @property
    def worked(self) -> list[Run]:
        """The runs that were no look into the cache."""
        return [run for run in self.runs.values() if not run.cached]

    @property
    def error(self) -> str:
        """How the last of the work ended."""
        ended = [run for run in self.worked if run.completed_us is not None]
        return max(ended, key=lambda run: run.completed_us or 0).error if ended else ""

    @property
    def unfinished(self) -> bool:
        return any(run.completed_us is None for run in self.runs.values())

    def duration_seconds(self, began_us: int, ended_us: int) -> float | None:
        """The length of the union of its runs inside of the build's bounds; None if it never ran."""
        edges: list[tuple[int, int]] = []
        for run in self.runs.values():
            start, end = max(run.started_us, began_us), min(run.completed_us or ended_us, ended_us)
            if start <= end:
                edges += [(start, 1), (end, -1)]
        if not edges:
            return None
        total = depth = since = 0
        for at, step in sorted(edges, key=lambda edge: (edge[0], -edge[1])):
            if depth == 0:
                since = at
            depth += step
            if depth == 0:
                total += at - since
        return total / 1e6


Steps = dict[str, ClientStep]


def read_stream(text: str, targets: Collection[str] = ()) -> dict[str, Steps]:
    """The steps of each build by its name in the call, then by digest; "" is the name where there is one build."""
    builds: dict[str, Steps] = {target: {} for target in targets or ("",)}
    for document in _documents(text):
        for report in document.get("vertexes") or ():
            if _CLIENTS_OWN.fullmatch(report["name"]):
                continue
            build = _build_of(report["name"], targets)
            step = builds[build].setdefault(report["digest"], ClientStep(report["digest"], report["name"]))
            _take_in(step, report)
    return builds


def outcome(step: ClientStep, steps: Mapping[str, ClientStep]) -> str:
    """What became of a step by the definitions of the design, `shared` apart, which one build cannot tell."""
    if step.error or (step.unfinished and step.worked):
        return "canceled" if "context canceled" in step.error or not step.error else "failed"
    if not step.cacheable:
        return "none" if step.runs or step.cached else "skipped"
    if step.worked:
        return "miss"
    if not step.cached:
        return "skipped"
    # BuildKit infers `cached`, with a run of no length, when a dependent starts first; and a dependent also starts
    # when its cache key cannot be computed. Then it says nothing of a step whose own inputs never ended well.
    inferred = all(run.started_us == run.completed_us for run in step.runs.values())
    return "skipped" if inferred and any(_broken(one) for one in _ancestors(step, steps)) else "hit"


def shift_us(client_started_us: Mapping[str, int], engine_started_us: Mapping[str, int]) -> int:
    """By how much the client's clock is ahead: the median over the steps that both know."""
    differences = [at - engine_started_us[one] for one, at in client_started_us.items() if one in engine_started_us]
    return round(statistics.median(differences)) if differences else 0


def owners(digest: str, started_us: int, builds: Mapping[str, Steps], shifts_us: Mapping[str, int]) -> list[str]:
    """The builds that show this work, begun at this moment of the engine's clock, and whose inputs had ended by then.

    The one that started it is among them. If in no build they had ended, all that show it.
    """
    showing = [
        build
        for build, steps in builds.items()
        if digest in steps
        and any(abs(run.started_us - shifts_us[build] - started_us) <= SLACK_US for run in steps[digest].worked)
    ]
    able = [
        build
        for build in showing
        if all(
            run.completed_us is not None and run.completed_us - shifts_us[build] <= started_us + SLACK_US
            for one in builds[build][digest].inputs
            if one in builds[build]
            for run in builds[build][one].runs.values()
        )
    ]
    return able or showing


def _documents(text: str) -> Iterator[dict[str, Any]]:
    """Every JSON object that begins a line; the client's other words are passed over."""
    decoder = json.JSONDecoder()
    at = 0
    while (match := re.compile(r"^\{", re.MULTILINE).search(text, at)) is not None:
        try:
            document, at = decoder.raw_decode(text, match.start())
        except ValueError:  # still being written
            return
        yield document


def _build_of(name: str, targets: Collection[str]) -> str:
    return next((one for one in targets if name.startswith((f"[{one} ", f"[{one}] "))), "")


def _take_in(step: ClientStep, report: dict[str, Any]) -> None:
    step.inputs = tuple(report.get("inputs") or step.inputs)
    step.cached = step.cached or bool(report.get("cached"))
    started_us, completed_us = _microseconds(report.get("started")), _microseconds(report.get("completed"))
    if started_us is not None:
        step.runs[started_us] = Run(started_us, completed_us, bool(report.get("cached")), report.get("error") or "")


def _microseconds(text: str | None) -> int | None:
    """None for what is missing, and for the zero times of Go and of Unix."""
    if text is None:
        return None
    moment = datetime.fromisoformat(text).timestamp()
    return round(moment * 1e6) if moment > 0 else None


def _ancestors(step: ClientStep, steps: Mapping[str, ClientStep]) -> list[ClientStep]:
    found: dict[str, ClientStep] = {}
    waiting = list(step.inputs)
    while waiting:
        digest = waiting.pop()
        if digest in steps and digest not in found:
            found[digest] = steps[digest]
            waiting += steps[digest].inputs
    return list(found.values())


def _broken(step: ClientStep) -> bool:
    return bool(step.error) or step.unfinished or not (step.runs or step.cached)
