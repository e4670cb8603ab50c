"""Whether a text of a classic image's history can be an instruction of a Dockerfile.

The history has instructions with quotes removed and variables filled in (moby/moby builder/dockerfile/dispatchers.go;
texts seen on Engine 20.10 and 28.5). A variable may stand for anything here: the values of a build are not kept. All
else must agree; what cannot be compared does not.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Callable, Sequence

from buildprof.assembly.dockerfile import Instruction, exec_form
from buildprof.model.document import REDACTED

HOLE = "\0"
"""Stands for what is not known of a text."""

WILDCARDS = re.compile(r"[*?\[\\]")

_VARIABLE = re.compile(r"\$(?:[A-Za-z_]\w*|\{[^{}]*\})")
_PIECE = re.compile(r"'([^']*)'|\\(.)|(\")|(\$(?:[A-Za-z_]\w*|\{[^{}]*\}))|([^'\"\\$]+|.)", re.DOTALL)
_WORD = re.compile(r"(?:'[^']*'|\"(?:[^\"\\]|\\.)*\"|\\.|[^\s'\"\\])+|['\"\\]", re.DOTALL)


def agrees(command: str, instruction: Instruction, directory: str, redact: Callable[[str], str]) -> bool:
    """Whether a history's text can be that instruction, run in that directory."""
    written = instruction.command
    if HOLE in written or instruction.body:  # the classic builder knows no heredocs
        return False
    match instruction.keyword:
        case "COPY" | "ADD":
            return _copies(command, instruction, redact)
        case "ARG":
            return [one.partition("=")[:2] for one in command.split()][:1] == [
                one.partition("=")[:2] for one in _WORD.findall(written)
            ][:1]
        case "EXPOSE":
            ports = [unquoted(word) for word in _WORD.findall(written)]
            return HOLE in "".join(ports) or sorted(command.split()) == sorted(ports)
        case "HEALTHCHECK":
            return True  # its text is a dump of a structure, another one in each version
    shown = redact(_as_shown(instruction))
    return _fits(command, _directory(shown, directory) if instruction.keyword == "WORKDIR" else shown)


def copy_arguments(instruction: Instruction) -> tuple[list[str], list[str]]:
    """Flags of a COPY or an ADD, and its sources with the destination as the last."""
    rest = instruction.command
    flags: list[str] = []
    while rest.startswith("--"):
        flag, _, rest = rest.partition(" ")
        flags.append(flag)
        rest = rest.lstrip()
    return flags, list(exec_form(rest)) or rest.split()


def unquoted(text: str) -> str:
    """The text without quotes and escapes, with holes for variables, as the engine's shell lexer leaves it."""
    pieces: list[str] = []
    is_double = False
    for match in _PIECE.finditer(text):
        single, escaped, double, variable, plain = match.groups()
        if double is not None:
            is_double = not is_double
        elif variable is not None:
            pieces.append(HOLE)
        elif single is not None:
            # Inside of double quotes a single one means itself, and variables in it are filled in.
            pieces.append("'" + _VARIABLE.sub(HOLE, single) + "'" if is_double else single)
        elif escaped is not None:
            pieces.append(escaped if not is_double or escaped in '"$\\' else "\\" + escaped)
        else:
            pieces.append(plain)
    return "".join(pieces)


def _as_shown(instruction: Instruction) -> str:
    """An instruction as the history shows it."""
    written = instruction.command
    words = exec_form(written)
    match instruction.keyword:
        case "RUN":
            return " ".join(words) if words else written
        case "CMD" | "ENTRYPOINT":
            quoted = (json.dumps(word, ensure_ascii=False) for word in words or (*instruction.shell.split(), written))
            return f"[{' '.join(quoted)}]"
        case "SHELL" | "VOLUME":
            return f"[{' '.join(unquoted(word) for word in words or _WORD.findall(written))}]"
        case "ENV" | "LABEL":
            return _pairs(written)
        case "ONBUILD" | "MAINTAINER":
            return written
    return unquoted(written)


def _copies(command: str, instruction: Instruction, redact: Callable[[str], str]) -> bool:
    flags, words = copy_arguments(instruction)
    owner, _, rest = command.rpartition(" in ")[0].rpartition(" ")
    if len(words) < 2 or rest not in ("file", "dir", "multi"):
        return False
    is_one = len(words) == 2 and not WILDCARDS.search(words[0]) and HOLE not in unquoted(words[0])
    is_owned = any(flag.startswith("--chown=") for flag in flags)
    if (is_one and rest == "multi") or is_owned is not owner.startswith("--chown="):
        return False
    return _fits(command.rpartition(" in ")[2], redact(unquoted(words[-1])))


def _directory(path: str, current: str) -> str:
    """Where WORKDIR leads, which the history tells in full."""
    if path.startswith(HOLE):
        return HOLE
    whole = path if path.startswith("/") else f"{current}/{path}"
    return whole if HOLE in whole and ".." not in whole else posixpath.normpath(whole)


def _pairs(written: str) -> str:
    """`NAME=value` of ENV and LABEL as the history shows them; the old form has no sign between the two."""
    words = _WORD.findall(written)
    if words and "=" not in words[0]:
        name, _, value = written.partition(" ")
        return f"{name}={unquoted(value.strip())}"
    return " ".join(unquoted(word) for word in words)


def _fits(shown: str, written: str) -> bool:
    """Whether a text is the written one, where a hole in either stands for anything; spaces count as one."""
    shown, written = (re.sub(r"\s+", " ", text).strip() for text in (shown, written))
    if shown == written:
        return True
    if HOLE in written:
        return _glob(written.split(HOLE), shown)
    return REDACTED in shown and shown != REDACTED and _glob(shown.split(REDACTED), written)


def _glob(pieces: Sequence[str], text: str) -> bool:
    """Whether the text is the pieces with anything between them. Linear: the first place of each piece will do."""
    first, *middle, last = pieces
    if len(text) < len(first) + len(last) or not text.startswith(first) or not text.endswith(last):
        return False
    at, end = len(first), len(text) - len(last)
    for piece in middle:
        found = text.find(piece, at, end)
        if found < 0:
            return False
        at = found + len(piece)
    return True
