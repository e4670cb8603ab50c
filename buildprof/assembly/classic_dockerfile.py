"""Whether a Dockerfile can be that of a classic build, and what it adds: lines, and what each step takes.

The history has every instruction of the chain of stages that the result comes from, in order.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from enum import IntEnum

from buildprof.assembly.classic_steps import MAX_NAME_CHARS
from buildprof.assembly.classic_texts import HOLE, WILDCARDS, agrees, copy_arguments, unquoted
from buildprof.assembly.dockerfile import Dockerfile, Instruction
from buildprof.assembly.image_names import familiar
from buildprof.model.build import Build, Status
from buildprof.model.recipe import ContextUse, Recipe, Written
from buildprof.model.step import CACHEABLE_KINDS, Kind, Step

_REMOTE = re.compile(r"(?:https?|git|ssh)://|git@", re.IGNORECASE)

_Pair = tuple[Step, Instruction]


class Fit(IntEnum):
    """How well a Dockerfile agrees with a build. `LIKE` is all but the base image's name, of which there may be several."""

    NONE = 0
    LIKE = 1
    WHOLE = 2


def fit(build: Build, dockerfile: Dockerfile, target: str = "", redact: Callable[[str], str] = str) -> Fit:
    """Whether a classic build can be of this Dockerfile: the stage `target`, else its last one.

    What led to the image must agree to the last instruction; of a build that has none (it failed, or has no name) the
    beginning of some stage must. `redact` is what the build's texts went through. A long text, which a step's command
    cuts, is only known by the step's recipe. Equal Dockerfiles fit alike: of several that do, none is known to be it.
    """
    return _aligned(build, dockerfile, target, redact)[0]


def with_dockerfile(
    build: Build, dockerfile: Dockerfile, target: str = "", redact: Callable[[str], str] = str
) -> Build:
    """The build with what the Dockerfile adds: lines, and recipes with the texts as written and the sources of copies.

    Unchanged if the Dockerfile does not fit. A stage of which nothing but its beginning is known has lines where that
    is the beginning of one stage only.
    """
    found: dict[str, Step] = {}
    chains = _aligned(build, dockerfile, target, redact)[1]
    ends = {chain[-1][1].stage: chain[-1][0].id for chain in chains}
    for chain in chains:
        before: list[Written] = []
        for step, instruction in chain:
            written = Written(redact(instruction.text), instruction.lines)
            recipe = step.recipe
            if recipe is None:
                before.append(written)
            else:
                recipe = replace(_taking(recipe, instruction, redact), written=written, before=tuple(before))
                before = []
            known = _standing(replace(step, lines=instruction.lines, recipe=recipe), instruction, dockerfile, ends)
            found.setdefault(step.id, _named(known, instruction, redact))
    return replace(build, steps=tuple(found.get(step.id, step) for step in build.steps))


def _standing(step: Step, instruction: Instruction, dockerfile: Dockerfile, ends: Mapping[str, str]) -> Step:
    """A `COPY --from=` a stage on what that came to, which the history does not tell. `ends` are steps by their stage."""
    origin = next((one.partition("=")[2] for one in instruction.flags if one.startswith("--from=")), "")
    number = _target(dockerfile, origin) if origin else None
    end = ends.get(dockerfile.stages[number].name) if number is not None else None
    return step if end is None or end == step.id else replace(step, inputs=(*step.inputs, end))


def _named(step: Step, instruction: Instruction, redact: Callable[[str], str]) -> Step:
    """A COPY or an ADD by what it copies, which the history does not tell."""
    if step.kind not in (Kind.COPY, Kind.ADD):
        return step
    command = redact(instruction.command)[:MAX_NAME_CHARS]
    return replace(step, command=command, name=step.name.removesuffix(step.command) + command)


def _aligned(
    build: Build, dockerfile: Dockerfile, target: str, redact: Callable[[str], str]
) -> tuple[Fit, list[list[_Pair]]]:
    """How the Dockerfile fits, and the pairs of each chain that is known to be of a stage: the result's first."""
    if not build.steps:
        return Fit.NONE, []
    wanted = _target(dockerfile, target)
    is_whole = build.status is Status.COMPLETED and build.image is not None
    every = range(len(dockerfile.stages))
    stages = [wanted] if is_whole and wanted is not None else every
    last, *others = _ends(build)
    fits = [one for stage in stages if (one := _chained(build, last, dockerfile, stage, redact, is_whole=is_whole))]
    if not fits or wanted is None:
        return Fit.NONE, []
    best = [one for one in fits if one[0] is max(fit for fit, _ in fits)]
    found = [best[0][1]] if len(best) == 1 else []
    for end in others:
        chains = [one for stage in every if (one := _chained(build, end, dockerfile, stage, redact, is_whole=False))]
        found += [chains[0][1]] if len(chains) == 1 else []
    return best[0][0], found


def _target(dockerfile: Dockerfile, target: str) -> int | None:
    """The number of the stage that is asked for, the last without a target; None if there is no such stage."""
    if not target:
        return len(dockerfile.stages) - 1
    named = [number for number, one in enumerate(dockerfile.stages) if one.alias == target.lower()]
    if not named and target.isdecimal() and len(target) < 6 and int(target) < len(dockerfile.stages):
        return int(target)
    return named[-1] if named else None


def _ends(build: Build) -> list[Step]:
    """The steps that nothing is built on: the result's last, which is the build's last, first."""
    used = {step.inputs[0] for step in build.steps if step.inputs}
    last = build.steps[-1]
    return [last, *(step for step in build.steps if step.id not in used and step is not last)]


def _chained(  # noqa: PLR0913  # each is a fact of its own
    build: Build, end: Step, dockerfile: Dockerfile, stage: int, redact: Callable[[str], str], *, is_whole: bool
) -> tuple[Fit, list[_Pair]] | None:
    """The steps up to an end with the instructions up to a stage's end, or, unless that is to be whole, its beginning."""
    base, steps = _chain_of_steps(build, end)
    name, instructions = _chain_of_instructions(dockerfile, stage)
    if is_whole and len(steps) == len(instructions) + 1 and steps[-1].instruction == "LABEL":
        steps = steps[:-1]  # `--label` adds one at the end
    is_long_enough = len(steps) == len(instructions) if is_whole else len(steps) <= len(instructions)
    if not steps or not is_long_enough:
        return None
    pairs = list(zip(steps, instructions, strict=False))
    if not any(step.kind in CACHEABLE_KINDS and _is_literal(one) for step, one in pairs):
        return None  # variables alone fit everything
    directory = HOLE
    for step, instruction in pairs:
        recipe = step.recipe
        shown = recipe.written.text if recipe and recipe.written else f"{step.instruction} {step.command}".rstrip()
        is_cut = not (recipe and recipe.written) and len(step.command) >= MAX_NAME_CHARS
        if is_cut or step.instruction != instruction.keyword:
            return None
        command = shown[len(step.instruction) :].strip()
        if not agrees(command, instruction, directory, redact):
            return None
        if step.kind is Kind.WORKDIR:
            directory = command
    return Fit.WHOLE if familiar(base) == familiar(redact(name)) else Fit.LIKE, pairs


def _is_literal(instruction: Instruction) -> bool:
    return instruction.keyword == "RUN" or "$" not in instruction.command


def _chain_of_steps(build: Build, end: Step) -> tuple[str, list[Step]]:
    """The name of the base, and the steps that an end comes from, through the stages that it is built on."""
    by_id = {step.id: step for step in build.steps}
    chain: list[Step] = []
    base = ""
    step: Step | None = end
    while step is not None:
        if step.kind is Kind.FROM:
            base = step.command
        else:
            chain.append(step)
        step = by_id.get(step.inputs[0]) if step.inputs else None
    return base, chain[::-1]


def _chain_of_instructions(dockerfile: Dockerfile, number: int) -> tuple[str, list[Instruction]]:
    """The same of a stage: the name of what it all begins with, and the instructions without FROM."""
    stage = dockerfile.stages[number]
    chain = list(stage.instructions[1:])
    while stage.parent is not None:
        stage = dockerfile.stages[stage.parent]
        chain[:0] = stage.instructions[1:]
    return stage.base, chain


def _taking(recipe: Recipe, instruction: Instruction, redact: Callable[[str], str]) -> Recipe:
    """The recipe with the sources of a COPY or an ADD."""
    if instruction.keyword not in ("COPY", "ADD"):
        return recipe
    flags, words = copy_arguments(instruction)
    if any(flag.startswith("--from=") for flag in flags):
        return replace(recipe, takes=())
    sources = words[:-1]
    remotes = tuple((redact(one), "") for one in sources if instruction.keyword == "ADD" and _REMOTE.match(one))
    local = [one for one in sources if not (instruction.keyword == "ADD" and _REMOTE.match(one))]
    return replace(recipe, takes=tuple(_use(one) for one in local), remotes=remotes)


def _use(source: str) -> ContextUse:
    """A source in the context; all of it where a variable names the source."""
    path = unquoted(source)
    if HOLE in path:
        return ContextUse()
    path = posixpath.normpath("/" + path).strip("/")
    return ContextUse(path=path, wildcard=WILDCARDS.search(path) is not None)
