"""Builds of the last days, since pages tell by default of those; with what they lost, and what got worse."""

from __future__ import annotations

import time
from typing import Any

from buildprof.model.build import Build
from buildprof.model.explanation import Cause, Confidence, Explanation, Finding, Miss
from buildprof.model.regression import Changes, Regression, Signal
from tests.web.conftest import SCOPE, STEP, Site, a_build

MINUTE_NS = 60_000_000_000


def save(
    site: Site,
    ref: str,
    minutes_ago: float = 0,
    *,
    seconds: float = 2.0,
    lost: float | None = None,
    cause: Cause = Cause.SOURCE_CHANGED,
    files: tuple[str, ...] = (),
    **changes: Any,
) -> Build:
    """Save a build that began so many minutes ago, and took and lost so many seconds."""
    started_ns = time.time_ns() - int(minutes_ago * MINUTE_NS)
    fields = {"started_ns": started_ns, "completed_ns": started_ns + int(seconds * 1e9), **changes}
    build = a_build(ref, **fields)
    evidence = {"changed": list(files)} if cause is Cause.SOURCE_CHANGED else {}
    miss = Miss(STEP.id, Finding(cause, Confidence.CERTAIN, evidence), (), "", lost or 0.0, (), lost or 0.0)
    told = Explanation(ref, build.project, build.target, None, (miss,), lost or 0.0)
    site.writer.save_build(build, scope=SCOPE, explanation=None if lost is None else told)
    return build


def worsened(site: Site, build: Build, sentence: str = "RUN make takes 18 s longer.", **changes: Any) -> None:
    """Save that the build time of a build's target is worse since that build."""
    fields = {"dockerfile": "Dockerfile", "platform": "linux/amd64", **changes}
    one = Regression(
        signal=Signal.DURATION_SECONDS,
        builder=build.builder,
        is_cold=False,
        since_ref=build.ref,
        since_ns=build.started_ns,
        last_ref=build.ref,
        builds=1,
        value=30.0,
        median=10.0,
        threshold=13.0,
        changes=Changes(sentence=sentence),
        **fields,
    )
    site.writer.save_regressions(build.project, build.target, [one], (), scope=SCOPE)
