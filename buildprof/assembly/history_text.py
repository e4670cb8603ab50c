"""The text of a classic image's history, turned back into an instruction of a Dockerfile.

The classic builder writes what it ran: `/bin/sh -c apt-get update` for a RUN, with `|2 A=x B=y` before it where build
arguments were in force, and `/bin/sh -c #(nop) COPY file:<hash> in /app ` for all else (moby/moby
builder/dockerfile/dispatchers.go and internals.go; seen on Engine 20.10, 26.1 and 28.5). BuildKit writes the
instruction itself, `RUN /bin/sh -c … # buildkit`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from buildprof.model.step import Kind
from buildprof.model.text import clean

REDACTED = "[redacted]"

_NOP = re.compile(r"^.{0,200}?#\(nop\)\s{1,4}([A-Za-z]{1,20})(?:\s+(.*))?$", re.DOTALL)
_ARGUMENTS = re.compile(r"^\|(\d{1,4}) (.*)$", re.DOTALL)
_ARGUMENT_NAME = re.compile(r"(?:^|(?<=\s))([A-Za-z_][A-Za-z0-9_]{0,200})=")
# A shell and its options, up to `-c`: the default one, and what a SHELL instruction usually names.
_SHELL = re.compile(
    r"(?:^|(?<=\s))(?:/[\w./-]{1,100}/)?(?:ba|da|z|k|a|c)?sh(?: -\w[\w-]{0,20}| pipefail){0,8}? -\w{0,8}c "
)
_COPIED = re.compile(r"^(file|dir|multi):[0-9a-f]{8,64} in (.*)$", re.DOTALL)
_DIGEST = re.compile(r"^(?:file|dir|multi):([0-9a-f]{8,64}) in ")
_ARG_DEFAULT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=.*", re.DOTALL)

_KINDS = {"RUN": Kind.RUN, "COPY": Kind.COPY, "ADD": Kind.ADD, "WORKDIR": Kind.WORKDIR}


@dataclass(frozen=True, slots=True)
class HistoryText:
    """An instruction as the history has it.

    `command` is the rest of the text, without values of build arguments, and for COPY and ADD without the hash of
    the content, which is `content`: `file in /app`. `arguments` are the names of the build arguments in force.
    """

    instruction: str
    command: str
    kind: Kind
    content: str = ""
    arguments: tuple[str, ...] = ()


def parse_history_text(created_by: str) -> HistoryText | None:
    """What an entry of the classic builder says; None for text of another kind (BuildKit's, an import's)."""
    text = created_by.strip()
    if not text or text.endswith("# buildkit"):
        return None
    if match := _NOP.match(text):
        return _recorded(match[1].upper(), match[2] or "")
    arguments: tuple[str, ...] = ()
    if match := _ARGUMENTS.match(text):
        arguments, text = _without_arguments(int(match[1]), match[2])
    elif shell := _SHELL.match(text):
        text = text[shell.end() :]
    return HistoryText("RUN", clean(text), Kind.RUN, arguments=arguments)


def command_text(command: tuple[str, ...]) -> HistoryText | None:
    """The same of a build container's command, which the engine joins by spaces to make the history's text.

    A container has no build arguments in its command.
    """
    return parse_history_text(" ".join(command))


def _recorded(instruction: str, rest: str) -> HistoryText:
    kind = _KINDS.get(instruction, Kind.METADATA)
    rest = rest.strip()
    content = ""
    if kind in (Kind.COPY, Kind.ADD) and (match := _COPIED.match(rest)):
        digest = _DIGEST.match(rest)
        content = digest[1] if digest else ""
        rest = f"{match[1]} in {match[2]}"
    elif instruction == "ARG" and (match := _ARG_DEFAULT.fullmatch(rest)):
        rest = f"{match[1]}={REDACTED}"
    return HistoryText(instruction, clean(rest), kind, content)


def _without_arguments(count: int, text: str) -> tuple[tuple[str, ...], str]:
    """Names of the build arguments, and the command that follows their values.

    Values are not quoted, so where they end is not certain. The last shell in the text is taken for the start of the
    command: then a value never shows, at the price of the beginning of a command that itself calls a shell. With no
    shell (RUN in the exec form, a SHELL of another kind) the command cannot be told from the last value.
    """
    shells = list(_SHELL.finditer(text))
    head = text[: shells[-1].start()] if shells else text
    names = tuple(match[1] for match in _ARGUMENT_NAME.finditer(head))[:count]
    return names, text[shells[-1].end() :] if shells else REDACTED
