"""Small builds for the store's tests."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from buildprof.model.build import Build, Engine, Source, Status
from buildprof.model.series import Contribution
from buildprof.model.step import Kind, Outcome, Step

SECOND = 1_000_000_000
T0 = 1_790_000_000 * SECOND


def make_build(ref: str = "ref1", **changes: Any) -> Build:
    """A finished build of shop/web that took ten seconds, with what is to be different."""
    build = Build(
        ref=ref,
        builder="default",
        engine=Engine("docker", "28.5.2"),
        source=Source.BUILDKIT,
        project="shop",
        target="web",
        status=Status.COMPLETED,
        started_ns=T0,
        completed_ns=T0 + 10 * SECOND,
        steps=(make_step("a"), make_step("b", inputs=("a",))),
    )
    return replace(build, **changes)


def make_step(step_id: str = "a", **changes: Any) -> Step:
    """An executed RUN of two seconds."""
    step = Step(
        id=step_id,
        name=f"RUN {step_id}",
        kind=Kind.RUN,
        outcome=Outcome.MISS,
        cacheable=True,
        identity=f"identity of {step_id}",
        duration_seconds=2.0,
    )
    return replace(step, **changes)


def counted(metric: str = "builds_total", value: float = 1.0, **labels: str) -> Contribution:
    """A contribution to a counter."""
    return Contribution(metric, tuple(sorted(labels.items())), value)
