"""A Dockerfile as the frontend counts it: stages by name, instructions with the i of their i/n."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count

from e2b_dockerfile_utils import DockerfileAst, DockerfileInstruction, DockerfileSyntaxError, parse_dockerfile_ast

from buildprof.assembly.variables import MAX_VALUE_CHARS, assigned_words, expanded

MAX_TEXT_CHARS = 256 * 1024
"""Longer than any that people write, and read in a second at worst."""
MAX_INSTRUCTIONS = 10_000
"""Of all stages, each trigger counted in every stage that it comes to."""

MAX_COMMAND_CHARS = 16_384

_NUMBERED = frozenset({"RUN", "COPY", "ADD", "WORKDIR"})
_SCRATCH = "scratch"
_LONE_STAGE_NAMES = frozenset({"", "stage-0"})
DEFAULT_SHELL = "/bin/sh -c"
"""BuildKit's, as long as neither SHELL nor the base image names another."""


@dataclass(frozen=True, slots=True)
class Heredoc:
    """A text in the Dockerfile. `expands` tells that COPY and ADD fill its variables in."""

    name: str
    content: str
    expands: bool = True


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction of a stage.

    `keyword` is in capitals. `command` is the rest as written, continuation lines joined, of a heredoc its head with
    what BuildKit shows of its text; `body` is the text of its heredocs. `lines` are the first and the last, from 1.
    `position`/`of` are the frontend's numbers, None for what makes no vertex. `onbuild` marks a trigger that came
    from the stage's base, at the lines where that wrote it. `shell` is what SHELL said last, its words joined by spaces.

    `index` counts the instructions of all stages from 0. `flags` are its options without quotes, `words` the parser's
    arguments, with theirs: of ENV three for each variable, the name, the value and the sign between. `source` is the
    whole instruction as written, continuation lines joined, without its `heredocs`.
    """

    keyword: str
    command: str
    lines: tuple[int, int]
    stage: str
    body: str = ""
    position: int | None = None
    of: int | None = None
    onbuild: bool = False
    shell: str = DEFAULT_SHELL
    index: int = 0
    flags: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    source: str = ""
    heredocs: tuple[Heredoc, ...] = ()

    @property
    def text(self) -> str:
        """Keyword and command."""
        return f"{self.keyword} {self.command}".rstrip()

    @property
    def written(self) -> str:
        """All of it as it stands in the Dockerfile, with its heredocs, the keyword in capitals."""
        lines = [f"{self.keyword} {self.source.strip()[len(self.keyword) :].strip()}".rstrip()]
        lines += [f"{heredoc.content}{heredoc.name}" for heredoc in self.heredocs]
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Stage:
    """One FROM and what follows. `name` is BuildKit's: "stage-N" without AS, "" in a Dockerfile with nothing else.

    `base` is what FROM names, with global arguments filled in; `alias` is the name of AS in lower case, or "".
    `parent` is the number of the earlier stage that it is built on, None if it is on something else.
    """

    name: str
    base: str
    instructions: tuple[Instruction, ...]
    alias: str = ""
    parent: int | None = None


@dataclass(frozen=True, slots=True)
class Dockerfile:
    """The stages of a Dockerfile, in order.

    `assignments` are the names and values that ARG and ENV give, without quotes, with variables filled in as far as
    the Dockerfile and the build's arguments tell. `arguments` are the words of each ARG before the first FROM.
    """

    stages: tuple[Stage, ...]
    assignments: tuple[tuple[str, str], ...] = ()
    arguments: tuple[tuple[str, ...], ...] = ()
    escape_token: str = "\\"  # noqa: S105  # a character


@dataclass(slots=True)
class _Draft:
    """A stage while it is read. `name` is its AS in lower case, or ""."""

    number: int
    name: str
    base: str
    source: DockerfileInstruction
    commands: list[DockerfileInstruction]
    parent: _Draft | None = None
    shell: str = DEFAULT_SHELL
    asked: list[DockerfileInstruction] | None = None

    def trigger_count(self) -> int:
        """How many triggers come to this stage from the stage that it is built on."""
        return sum(command.name == "ONBUILD" for command in self.parent.commands) if self.parent else 0

    def triggers(self) -> list[DockerfileInstruction]:
        """What the stage's ONBUILD instructions ask of a stage built on it."""
        if self.asked is None:
            onbuilds = [command for command in self.commands if command.name == "ONBUILD"]
            self.asked = [one for command in onbuilds for one in _trigger(command)]
        return self.asked


def parse(text: str, build_args: Mapping[str, str] | None = None, contexts: Container[str] = ()) -> Dockerfile | None:
    """Read a Dockerfile; None if it is none, or longer than MAX_TEXT_CHARS or MAX_INSTRUCTIONS.

    `build_args` matter only where FROM is written with a variable. `contexts` are the names of the build's named
    contexts: FROM of one is counted in n and gets no i [seen on Engine 28.5]. Names and numbers are given as BuildKit's
    dockerfile2llb does: a stage counts its FROM unless that is scratch or an earlier stage, then every RUN, COPY,
    ADD and WORKDIR, and the triggers of its base stage's ONBUILD.
    """
    if len(text) > MAX_TEXT_CHARS:
        return None
    try:
        ast = parse_dockerfile_ast(text)
        drafts = _drafts(ast, build_args or {})
        if not drafts:
            return None
        if sum(1 + len(draft.commands) + draft.trigger_count() for draft in drafts) > MAX_INSTRUCTIONS:
            return None
        numbers = count()
        is_alone = len(drafts) == 1 and not any(_adds_a_stage(command) for command in drafts[0].commands)
        return Dockerfile(
            tuple(
                _stage(draft, "" if is_alone else draft.name or f"stage-{draft.number}", numbers, contexts)
                for draft in drafts
            ),
            tuple(_assignments(ast.instructions, ast.escape_token, build_args or {})),
            tuple(tuple(one.args) for one in ast.instructions[: ast.instructions.index(drafts[0].source)]),
            ast.escape_token,
        )
    except (DockerfileSyntaxError, ValueError, IndexError, RecursionError):
        return None


def locate(
    dockerfile: Dockerfile, stage: str, position: int, of: int | None = None, keyword: str = ""
) -> Instruction | None:
    """The instruction behind a vertex named `[<stage> <position>/<of>] <keyword> …`.

    A base *image* can bring ONBUILD triggers of its own, which the Dockerfile does not show and which shift all after
    FROM; a larger `of` than the Dockerfile's own betrays them (not in BuildKit 0.13, which does not count them). None
    for what is shifted so, and where `keyword` does not agree. A Dockerfile of one stage has no other to mean, so any
    name that a frontend may give it will do.
    """
    is_alone = len(dockerfile.stages) == 1
    for candidate in dockerfile.stages:
        if candidate.name != stage and not (is_alone and stage in _LONE_STAGE_NAMES | {candidate.alias}):
            continue
        found = next((one for one in candidate.instructions if one.position == position), None)
        is_shifted = found is not None and position > 1 and (of or 0) > (found.of or 0)
        return None if is_shifted or (found and keyword and found.keyword != keyword.upper()) else found
    return None


def _drafts(ast: DockerfileAst, build_args: Mapping[str, str]) -> list[_Draft]:
    """Raises ValueError for what BuildKit would refuse: nothing before FROM but ARG, FROM of one or three words."""
    arguments: dict[str, str] = {}
    drafts: list[_Draft] = []
    by_name: dict[str, _Draft] = {}
    for instruction in ast.instructions:
        if instruction.name == "FROM":
            words = instruction.args
            if len(words) not in (1, 3) or (len(words) == 3 and words[1].lower() != "as"):
                raise ValueError("FROM takes one or three words")
            base = expanded(words[0], ast.escape_token, arguments)
            name = words[2].lower() if len(words) == 3 else ""
            draft = _Draft(len(drafts), name, base, instruction, [], by_name.get(base.lower()))
            drafts.append(draft)
            if name:
                by_name[name] = draft
        elif drafts:
            drafts[-1].commands.append(instruction)
        elif instruction.name == "ARG":
            for word in instruction.args:
                key, _, default = word.partition("=")
                value = expanded(default, ast.escape_token, arguments)
                arguments[key] = build_args.get(key, value)[:MAX_VALUE_CHARS]
        else:
            raise ValueError("no FROM")
    return drafts


def _stage(draft: _Draft, name: str, indexes: Iterator[int], contexts: Container[str]) -> Stage:
    """Number the instructions of a stage."""
    triggers = draft.parent.triggers() if draft.parent else []
    has_own_base = draft.parent is None and draft.base != _SCRATCH
    total = has_own_base + sum(one.name in _NUMBERED for one in draft.commands) + len(triggers)
    numbers = iter(range(1, total + 1))
    draft.shell = draft.parent.shell if draft.parent else DEFAULT_SHELL
    is_numbered = has_own_base and draft.base.removesuffix(":latest") not in contexts
    instructions = [_instruction(draft.source, name, next(indexes), next(numbers) if is_numbered else None, total)]
    for command, onbuild in [*((one, True) for one in triggers), *((one, False) for one in draft.commands)]:
        if command.name == "SHELL" and command.args:
            draft.shell = " ".join(command.args)[:MAX_VALUE_CHARS]
        position = next(numbers) if _makes_vertex(command) else None
        instructions.append(
            _instruction(command, name, next(indexes), position, total, onbuild=onbuild, shell=draft.shell)
        )
    return Stage(name, draft.base, tuple(instructions), draft.name, draft.parent.number if draft.parent else None)


def _makes_vertex(command: DockerfileInstruction) -> bool:
    """WORKDIR / is counted in n and gets no i: there is no directory to make (dispatchWorkdir)."""
    if command.name == "WORKDIR" and command.args and command.args[0].startswith("/"):
        return posixpath.normpath(command.args[0]).strip("/") != ""
    return command.name in _NUMBERED


def _instruction(  # noqa: PLR0913  # each is a fact of its own
    source: DockerfileInstruction,
    stage: str,
    index: int,
    position: int | None,
    total: int,
    *,
    onbuild: bool = False,
    shell: str = DEFAULT_SHELL,
) -> Instruction:
    written = source.original.strip()
    command = written[len(source.name) :].strip()
    if (
        source.name == "RUN"
        and source.heredocs
        and len(words := source.args[0].split()) == 1
        and words[0].startswith("<<")
    ):
        command += f" ({_summary(source.heredocs[0].content)})"
    return Instruction(
        keyword=source.name,
        command=command[:MAX_COMMAND_CHARS],
        lines=(source.start_line, source.end_line),
        stage=stage,
        body="".join(heredoc.content for heredoc in source.heredocs),
        position=position,
        of=None if position is None else total,
        onbuild=onbuild,
        shell=shell,
        index=index,
        flags=tuple(source.flags),
        words=tuple(source.args),
        source=source.original,
        heredocs=tuple(Heredoc(one.name, one.content, one.expand) for one in source.heredocs),
    )


def _summary(body: str) -> str:
    """What BuildKit shows of a heredoc: its first line that is not blank (dockerfile2llb, summarizeHeredoc)."""
    first, *others = body.strip().replace("\r\n", "\n").split("\n")
    return first + ("..." if others else "")


def _trigger(onbuild: DockerfileInstruction) -> Iterator[DockerfileInstruction]:
    """The instruction inside ONBUILD, at ONBUILD's lines."""
    expression = onbuild.original.strip()[len("ONBUILD") :].strip()
    for instruction in parse_dockerfile_ast(expression).instructions[:1]:
        instruction.start_line, instruction.end_line = onbuild.start_line, onbuild.end_line
        yield instruction


def _adds_a_stage(command: DockerfileInstruction) -> bool:
    """Whether the frontend counts one stage more for it, in a Dockerfile of one stage: for the image of COPY --from.

    And for every RUN --mount, of whatever type: without `from` the source is taken to be a stage named "scratch"
    (dockerfile2llb, detectRunMount; the same in BuildKit 0.13 and 0.25).
    """
    flag = {"COPY": "--from=", "RUN": "--mount="}.get(command.name)
    return flag is not None and any(one.startswith(flag) for one in command.flags)


def _assignments(
    instructions: Iterable[DockerfileInstruction], escape_token: str, build_args: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    """What ARG and ENV assign, those of triggers too; a value of unreasonable length is left out."""
    known: dict[str, str] = {}
    for instruction in instructions:
        for one in _trigger(instruction) if instruction.name == "ONBUILD" else (instruction,):
            for name, word in assigned_words(one.name, one.args):
                if word is None:
                    continue
                try:
                    value = expanded(word, escape_token, known)
                except (DockerfileSyntaxError, ValueError):
                    continue
                known[name] = value
                yield name, value
            if one.name == "ARG":
                given = (word.partition("=")[0] for word in one.args)
                known |= {name: build_args[name][:MAX_VALUE_CHARS] for name in given if name in build_args}


def exec_form(command: str) -> tuple[str, ...]:
    """The words of an instruction in exec form, a JSON list of strings; () of one in shell form."""
    if not command.startswith("["):
        return ()
    try:
        words = json.loads(command)
    except (ValueError, RecursionError):
        return ()
    return tuple(words) if isinstance(words, list) and all(isinstance(word, str) for word in words) else ()
