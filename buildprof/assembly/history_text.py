"""The text of a classic image's history, turned back into an instruction of a Dockerfile.

The classic builder writes what it ran: `/bin/sh -c apt-get update` for a RUN, with `|2 A=x B=y` before it where build
arguments were in force, and `/bin/sh -c #(nop) COPY file:<hash> in /app ` for all else (moby/moby
builder/dockerfile/dispatchers.go and internals.go; seen on Engine 20.10, 26.1 and 28.5). BuildKit writes the
instruction itself, `RUN /bin/sh -c … # buildkit`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from buildprof.model.document import REDACTED
from buildprof.model.step import Kind
from buildprof.model.text import clean

WITHOUT_LAYER = frozenset(
    "ARG CMD ENTRYPOINT ENV EXPOSE HEALTHCHECK LABEL MAINTAINER ONBUILD SHELL STOPSIGNAL USER VOLUME".split()  # noqa: SIM905  # easier to read
)
"""Instructions about metadata: they make no layer."""

_NOP = re.compile(r"^.{0,200}?#\(nop\)\s{1,4}([A-Za-z]{1,20})(?:\s+(.*))?$", re.DOTALL)
_ARGUMENTS = re.compile(r"^\|(\d{1,4}) (.*)$", re.DOTALL)
_ARGUMENT_NAME = re.compile(r"(?:^|(?<=\s))([A-Za-z_][A-Za-z0-9_]{0,200})=")
# A shell and its options, up to `-c`: the default one, and what a SHELL instruction usually names.
_SHELL = re.compile(
    r"(?:^|(?<=\s))(?:/[\w./-]{1,100}/)?(?:ba|da|z|k|a|c)?sh(?: -\w[\w-]{0,20}| pipefail){0,8}? -\w{0,8}c "
)
# Engine 20.10 puts no space after the owner.
_COPIED = re.compile(r"^(--chown=\S{1,200}? ?)?(file|dir|multi):([0-9a-f]{8,64}) in (.*)$", re.DOTALL)
_ARG_DEFAULT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=.*", re.DOTALL)

_KINDS = {"RUN": Kind.RUN, "COPY": Kind.COPY, "ADD": Kind.ADD, "WORKDIR": Kind.WORKDIR}


@dataclass(frozen=True, slots=True)
class HistoryText:
    """An instruction as the history has it.

    `command` is the rest of the text, without values of build arguments, and for COPY and ADD without the hash of
    the content, which is `content`: `file in /app`. `arguments` are the names of the build arguments in force, and
    `assigned` the names and values that a RUN got of them, or that an ENV gives. Values are not quoted: one that holds
    ` NAME=` is taken for two.
    """

    instruction: str
    command: str
    kind: Kind
    content: str = ""
    arguments: tuple[str, ...] = ()
    assigned: tuple[tuple[str, str], ...] = field(default=(), repr=False)


def parse_history_text(created_by: str) -> HistoryText | None:
    """What an entry of the classic builder says; None for text of another kind (BuildKit's, an import's)."""
    text = created_by.strip()
    if not text or text.endswith("# buildkit"):
        return None
    if match := _NOP.match(text):
        return _recorded(match[1].upper(), match[2] or "")
    assigned: tuple[tuple[str, str], ...] = ()
    if match := _ARGUMENTS.match(text):
        assigned, text = _without_arguments(int(match[1]), match[2])
    elif shell := _SHELL.match(text):
        text = text[shell.end() :]
    names = tuple(name for name, _ in assigned)
    return HistoryText("RUN", clean(text), Kind.RUN, arguments=names, assigned=assigned)


def command_text(command: tuple[str, ...]) -> HistoryText | None:
    """The same of a build container's command, which the engine joins by spaces to make the history's text.

    A container has no build arguments in its command.
    """
    return parse_history_text(" ".join(command))


def layer_command(created_by: str) -> str:
    """The instruction of an entry of any builder, without the shell that ran it; other texts as they are."""
    text = created_by.strip()
    keyword = text.partition(" ")[0]
    if keyword in WITHOUT_LAYER or keyword == "WORKDIR":  # BuildKit's, without its mark
        return clean(text)
    if not text.endswith("# buildkit"):
        found = parse_history_text(text)
        return f"{found.instruction} {found.command}".strip() if found else clean(text)
    text = text.removesuffix("# buildkit").rstrip()
    run = parse_history_text(text.removeprefix("RUN ")) if text.startswith("RUN ") else None
    return f"RUN {run.command}" if run else clean(text)


def _recorded(instruction: str, rest: str) -> HistoryText:
    kind = _KINDS.get(instruction, Kind.METADATA)
    rest = rest.strip()
    content = ""
    assigned: tuple[tuple[str, str], ...] = ()
    if kind in (Kind.COPY, Kind.ADD) and (match := _COPIED.match(rest)):
        content = match[3]
        owner = f"{match[1].rstrip()} " if match[1] else ""
        rest = f"{owner}{match[2]} in {match[4]}"
    elif instruction == "ARG" and (match := _ARG_DEFAULT.fullmatch(rest)):
        rest = f"{match[1]}={REDACTED}"
    elif instruction == "ENV":
        assigned = _assigned(rest)
    return HistoryText(instruction, clean(rest), kind, content, assigned=assigned)


def _without_arguments(count: int, text: str) -> tuple[tuple[tuple[str, str], ...], str]:
    """Build arguments with their values, and the command that follows them.

    Values are not quoted, so where they end is not certain. The last shell in the text is taken for the start of the
    command: then a value never shows, at the price of the beginning of a command that itself calls a shell. With no
    shell (RUN in the exec form, a SHELL of another kind) the command cannot be told from the last value.
    """
    shells = list(_SHELL.finditer(text))
    head = text[: shells[-1].start()] if shells else text
    return _assigned(head, count), text[shells[-1].end() :] if shells else REDACTED


def _assigned(text: str, count: int | None = None) -> tuple[tuple[str, str], ...]:
    """Names and values of `A=x B=y z`; of `count` names the last has all that follows."""
    names = list(_ARGUMENT_NAME.finditer(text))[:count]
    ends = [match.start() for match in names[1:]] + [len(text)]
    return tuple((match[1], text[match.end() : end].rstrip()) for match, end in zip(names, ends, strict=True))
