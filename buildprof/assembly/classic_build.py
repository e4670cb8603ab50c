"""The Build that a classic build, or an image by BuildKit, comes to."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from buildprof.assembly.classic_facts import ImageRecord
from buildprof.assembly.classic_steps import (
    Container,
    Stage,
    numbered,
    stage_entries,
    stage_steps,
    with_identities,
)
from buildprof.assembly.history_text import command_text, parse_history_text
from buildprof.model.build import (
    DEFAULT_TARGET,
    UNKNOWN_PROJECT,
    Build,
    BuildError,
    Engine,
    Image,
    Options,
    Source,
    Status,
)
from buildprof.model.step import Outcome, Step
from buildprof.model.text import clean

COMPOSE_LABELS = ("com.docker.compose.project", "com.docker.compose.service")
MAX_NAME_CHARS = 100

_ENDINGS = {Status.FAILED: Outcome.FAILED, Status.CANCELED: Outcome.CANCELED}


@dataclass(frozen=True, slots=True)
class Ending:
    """How a classic build ended.

    `run_id` identifies it: its first container, or its image and time. `at_ns` is the last event. `image` and `tag`
    are the result, if one is known; `last` is the last container, the one at fault in a failed build.
    """

    builder: str
    engine: Engine
    run_id: str
    status: Status
    at_ns: int
    labels: dict[str, str]
    image: ImageRecord | None = None
    tag: str = ""
    last: Container | None = None


def classic_build(ending: Ending, stages: Sequence[Stage], redact: Callable[[str], str]) -> Build:
    """A build of the classic builder. It starts with its first step that ran; of one without any only the end is known."""
    steps = _steps(stages, _ENDINGS.get(ending.status, Outcome.MISS), redact)
    image = ending.image
    project, target = _place({**ending.labels, **(image.labels if image else {})}, redact)
    error = _error(ending, steps[-1])
    if error is not None:
        steps[-1] = replace(steps[-1], error=error.message)
    times = [at for one in steps for at in (one.started_ns, one.completed_ns) if at is not None]
    platform = stages[-1].image.platform
    return Build(
        ref=build_ref(ending.builder, ending.run_id),
        builder=ending.builder,
        engine=ending.engine,
        source=Source.CLASSIC,
        project=project,
        target=target,
        status=ending.status,
        started_ns=min([*times, ending.at_ns]),
        completed_ns=ending.at_ns,
        platforms=(platform,) if platform else (),
        error=error,
        image=_image(image, ending.tag, redact) if image else None,
        options=Options(build_args=_arguments(stages)),
        steps=with_identities(steps, project, target),
    )


def buildkit_image(ending: Ending, image: ImageRecord, redact: Callable[[str], str]) -> Build:
    """What is known of a BuildKit build on an engine without history: that it ended with this image, now.

    Builds without a tag leave no event, nor do those that fail.
    """
    project, target = _place(image.labels, redact)
    return Build(
        ref=build_ref("image", ending.builder, ending.run_id),
        builder=ending.builder,
        engine=ending.engine,
        source=Source.BUILDKIT,
        project=project,
        target=target,
        status=ending.status,
        started_ns=ending.at_ns,
        completed_ns=ending.at_ns,
        platforms=(image.platform,) if image.platform else (),
        image=_image(image, ending.tag, redact),
    )


def _steps(stages: Sequence[Stage], ending: Outcome, redact: Callable[[str], str]) -> list[Step]:
    steps: list[Step] = []
    for number, stage in enumerate(stages):
        outcome = ending if stage is stages[-1] else Outcome.MISS
        found = stage_steps(stage, number, {one.id for one in steps}, outcome, redact)
        steps += numbered(found, f"stage-{number}" if len(stages) > 1 else "")
    return steps


def _place(labels: dict[str, str], redact: Callable[[str], str]) -> tuple[str, str]:
    project, target = (clean(redact(labels.get(name, "")), MAX_NAME_CHARS) for name in COMPOSE_LABELS)
    return project or UNKNOWN_PROJECT, target or DEFAULT_TARGET


def _image(image: ImageRecord, tag: str, redact: Callable[[str], str]) -> Image:
    return Image(image.id, (redact(tag),), image.size_bytes, image.layers)


def _error(ending: Ending, step: Step) -> BuildError | None:
    if ending.status is Status.CANCELED:
        return BuildError("canceled", step.id)
    if ending.status is not Status.FAILED or ending.last is None:
        return None
    return BuildError(f"{step.instruction} {step.command} returned the exit code {ending.last.exit_code}", step.id)


def _arguments(stages: Iterable[Stage]) -> dict[str, str | None]:
    """Names of the build arguments that a RUN saw. Their values are not kept: where they end cannot be told."""
    found: dict[str, str | None] = {}
    for stage in stages:
        for entry in stage_entries(stage.image, is_result=stage.is_result)[1]:
            text = parse_history_text(entry.created_by)
            found |= dict.fromkeys(text.arguments if text else ())
        for container in stage.containers:
            text = command_text(container.command)
            found |= dict.fromkeys(text.arguments if text else ())
    return found


def build_ref(*parts: str) -> str:
    """A ref as long as BuildKit's, of the builder and what began the run: the same whenever its events are read."""
    return hashlib.sha256("\0".join(parts).encode("utf-8", "replace")).hexdigest()[:25]
