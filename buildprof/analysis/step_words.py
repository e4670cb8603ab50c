"""What a person calls a step, and which steps of the critical path are worth a mark."""

from __future__ import annotations

from buildprof.model.build import Build
from buildprof.model.step import Kind, Step
from buildprof.model.text import clean

MAX_NAME = 400
MARKED_PART, MARKED_SECONDS = 0.01, 0.05
"""A step of the critical path is marked if it took so much of the build, and so long: the others decide nothing."""


def step_name(step: Step, limit: int = MAX_NAME) -> str:
    """What a person calls a step: its instruction without the digest of a base image, or an internal step's name."""
    if step.position is None:
        return clean(step.name or step.kind.value, limit)
    command = clean(step.command, limit)
    if step.kind is Kind.FROM:
        command = command.partition("@sha256:")[0].removeprefix("docker.io/library/").removeprefix("docker.io/")
    link = "LINK " if step.kind is Kind.MERGE else ""
    return f"{link}{clean(step.instruction, 40)} {command}".strip()


def step_place(step: Step) -> str:
    """Position in the stage, "2/4", padded as the frontend does; "" outside of stages."""
    if step.position is None:
        return ""
    of = "" if step.of is None else str(step.of)
    return f"{step.position:>{len(of)}}/{of}" if of else str(step.position)


def step_title(step: Step) -> str:
    """A step with its stage and its place there: "build 2/2 RUN npm run build"."""
    return " ".join(part for part in (clean(step.stage, 40), step_place(step).strip(), step_name(step)) if part)


def least_marked_seconds(build: Build) -> float:
    """How long a step of the critical path took at least if it is marked, seconds; the longest one always is."""
    longest = max((step.duration_seconds or 0.0 for step in build.steps if step.on_critical_path), default=0.0)
    return min(max(MARKED_PART * (build.duration_seconds or 0.0), MARKED_SECONDS), longest)
