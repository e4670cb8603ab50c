"""What the steps of a classic build are made of, as the history of its images tells.

The history has instructions with their arguments filled in and COPY and ADD with the engine's hash of what they copy;
it does not name the sources of a COPY, nor whether they come from the context, a stage or an address.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from buildprof.assembly.classic_steps import Stage
from buildprof.assembly.history_text import HistoryText, command_text, parse_history_text
from buildprof.assembly.redact import Redactor
from buildprof.model.recipe import ContextUse, Recipe, Written
from buildprof.model.step import Kind, Step

UNKNOWN_LINES = (0, 0)
"""Of an instruction that is known from the history alone."""

MAX_TEXT_CHARS = 8192

_IMAGE_ID = "sha256:"


def history_texts(stages: Iterable[Stage]) -> dict[str, HistoryText]:
    """What the history and the containers say of each step, by the id that the step has.

    A RUN that only its container tells of (the one that failed, or the last of a stage that is not the result) has the
    build arguments from the container's environment.
    """
    found: dict[str, HistoryText] = {}
    environments: dict[str, tuple[str, ...]] = {}
    for stage in stages:
        for container in stage.containers:
            if (text := command_text(container.command)) is not None:
                found[container.id] = text
                environments[container.id] = container.environment
        for entry in stage.image.history:
            if entry.id and (text := parse_history_text(entry.created_by)) is not None:
                found[entry.id] = text
    declared = {one.command.partition("=")[0] for one in found.values() if one.instruction == "ARG"}
    for container_id, environment in environments.items():
        pairs = (one.partition("=")[::2] for one in environment)
        if (text := found[container_id]).kind is Kind.RUN:
            found[container_id] = replace(text, assigned=tuple(one for one in pairs if one[0] in declared))
    return found


def without_arguments(texts: Mapping[str, HistoryText], redactor: Redactor) -> Redactor:
    """One that also takes out the values of the build arguments, which the history has filled in everywhere."""
    values = {name: value for one in texts.values() if one.kind is Kind.RUN for name, value in one.assigned}
    return redactor.for_build(values)


def classic_recipes(steps: Sequence[Step], texts: Mapping[str, HistoryText], redactor: Redactor) -> dict[str, Recipe]:
    """The recipes of a build's cacheable steps, by their ids. `steps` are in order, each stage from its FROM on.

    The environment of a RUN is what ENV gave since the base image, and the build arguments in force: where neither the
    history nor the container tells them, those of the RUN before it.
    """
    hidden = without_arguments(texts, redactor)
    recipes: dict[str, Recipe] = {}
    left: dict[str, tuple[dict[str, str], dict[str, str]]] = {}
    given: dict[str, str] = {}
    arguments: dict[str, str] = {}
    before: list[Written] = []
    images: tuple[tuple[str, str], ...] = ()
    for step in steps:
        text = texts.get(step.id)
        if step.kind is Kind.FROM:
            given, arguments = left.get(step.inputs[0], ({}, {})) if step.inputs else ({}, {})
            before, images = [], _base(step)
        elif text is not None:
            written = Written(hidden.text(f"{text.instruction} {text.command}".strip())[:MAX_TEXT_CHARS], UNKNOWN_LINES)
            if text.kind is Kind.RUN:
                is_told = bool(text.assigned) or step.id.startswith(_IMAGE_ID)
                arguments = dict(text.assigned) if is_told else arguments
            given = given | dict(text.assigned) if text.instruction == "ENV" else given
            if not step.cacheable:
                before.append(written)
            else:
                recipes[step.id] = Recipe(
                    written=written,
                    before=tuple(before),
                    environment=_hashes(arguments | given, redactor) if text.kind is Kind.RUN else {},
                    takes=(ContextUse(),) if text.kind in (Kind.COPY, Kind.ADD) else (),
                    images=images,
                    content=text.content,
                )
                before, images = [], ()
        left[step.id] = given, arguments
    return recipes


def _hashes(values: Mapping[str, str], redactor: Redactor) -> dict[str, str]:
    return redactor.build_args(values)[1]


def _base(step: Step) -> tuple[tuple[str, str], ...]:
    """The base image's name and id; none for an earlier stage, which the step has as its input, and for scratch."""
    image_id = step.id.partition(":")[2]
    return ((step.command, image_id),) if image_id.startswith(_IMAGE_ID) and not step.inputs else ()
