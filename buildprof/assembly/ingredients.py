"""What an instruction of a Dockerfile takes, as written: files of contexts, addresses, variables."""

from __future__ import annotations

import csv
import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from e2b_dockerfile_utils import parse_heredoc

from buildprof.assembly.dockerfile import Instruction
from buildprof.assembly.operations import has_wildcards
from buildprof.assembly.variables import UNKNOWN, Filled, Scope, fill_in
from buildprof.model.recipe import MAIN_CONTEXT, ContextUse

STDIN = "-"
"""The name of a context that the client sent as an archive: its address is another one in every build."""

_SESSION = "http://buildkit-session/"
_CONTEXT = "context:"
_LOCAL = "local:"
_MOUNT = "--mount="
_ADDRESS = re.compile(r"(?:https?|git|ssh)://|[\w.-]+@[\w.-]+:", re.IGNORECASE)
_HEREDOC_VARIABLE = re.compile(r"(?<!\\)\$\{?([A-Za-z_]\w*)")
_EXPANDED_FLAGS = ("chown", "chmod", "checksum")


@dataclass(frozen=True, slots=True)
class Contexts:
    """Where files come from: `main` is the context's address, "" of a directory; `named` are those of `--build-context`.

    A named one is `local:NAME` for a directory, else the address of an image, a repository or an archive.
    """

    main: str = ""
    named: Mapping[str, str] = field(default_factory=dict)

    def find(self, name: str, platform: str = "") -> str:
        """The named context that stands for a stage or an image; "" if none does (dockerui, NamedContext)."""
        plain = name.removeprefix("docker.io/").removeprefix("library/").removesuffix(":latest")
        return self.named.get(f"{plain}::{platform}") or self.named.get(plain, "")


@dataclass(frozen=True, slots=True)
class Ingredients:
    """What one instruction takes. `variables` are the names that it is written with."""

    takes: tuple[ContextUse, ...] = ()
    remotes: tuple[str, ...] = ()
    variables: frozenset[str] = frozenset()


@dataclass(slots=True)
class _Found:
    """Ingredients while they are found, and what an instruction is read with."""

    contexts: Contexts
    scope: Scope
    escape_token: str
    platform: str
    takes: list[ContextUse] = field(default_factory=list)
    remotes: list[str] = field(default_factory=list)
    variables: set[str] = field(default_factory=set)

    def take(self, use: ContextUse) -> None:
        """From the main context that is a directory, or from the address that it is."""
        if use.context == MAIN_CONTEXT and self.contexts.main:
            self.remotes.append(address(self.contexts.main))
        else:
            self.takes.append(use)

    def filled(self, word: str) -> Filled:
        text = fill_in(word, self.escape_token, self.scope)
        self.variables |= text.names
        return text


def contexts_of(attributes: Mapping[str, str]) -> Contexts:
    """A build's contexts by the attributes of its record."""
    main = attributes.get("context", "")
    named = {key.removeprefix(_CONTEXT): value for key, value in attributes.items() if key.startswith(_CONTEXT)}
    return Contexts(main if _ADDRESS.match(main) else "", named)


def address(url: str) -> str:
    """The name of a remote: its address, or STDIN."""
    return STDIN if url.startswith(_SESSION) else url


def ingredients(
    instruction: Instruction, escape_token: str, scope: Scope, contexts: Contexts, platform: str = ""
) -> Ingredients:
    """What a COPY, ADD, RUN or WORKDIR takes, with the variables of `scope` filled in.

    Where a value is not known, all below the directory before it is taken.
    """
    found = _Found(contexts, scope, escape_token, platform)
    if instruction.keyword in ("COPY", "ADD"):
        _copied(instruction, found)
    elif instruction.keyword == "RUN":
        for flag in instruction.flags:
            if flag.startswith(_MOUNT):
                _mounted(flag.removeprefix(_MOUNT), found)
    else:
        for word in instruction.words:
            found.filled(word)
    return Ingredients(tuple(found.takes), tuple(dict.fromkeys(found.remotes)), frozenset(found.variables))


def _copied(instruction: Instruction, found: _Found) -> None:
    flags = list(_flags(instruction))
    for name, value in flags:
        if name in _EXPANDED_FLAGS:
            found.filled(value)
    for heredoc in instruction.heredocs:
        if heredoc.expands:
            found.variables.update(_HEREDOC_VARIABLE.findall(heredoc.content))
    found.filled(instruction.words[-1] if instruction.words else "")
    given = dict(flags)
    context = _context(given.get("from", ""), found)
    exclude = tuple(value for name, value in flags if name == "exclude")
    parents = given.get("parents", "false").lower() in ("", "true")
    for word in instruction.words[:-1]:
        if instruction.heredocs and _is_heredoc(word):
            continue
        source = found.filled(word)
        if instruction.keyword == "ADD" and _ADDRESS.match(source.text):
            found.remotes.append(source.text if UNKNOWN not in source.text else word)
        elif context:
            found.take(_use(context, source, exclude, parents=parents))


def _mounted(text: str, found: _Found) -> None:
    """A mount that shows files: `bind`, and `cache` with what it starts from (instructions, parseMount)."""
    try:
        fields = next(csv.reader([text]), [])
    except csv.Error:
        return
    options: dict[str, Filled] = {}
    for one in fields:
        key, _, value = one.partition("=")
        options[key.lower()] = found.filled(value)
    kind = options["type"].text.lower() if "type" in options else "bind"
    origin = options["from"].text if "from" in options else ""
    if kind == "bind" or (kind == "cache" and origin):
        source = options.get("source") or options.get("src") or Filled("")
        if context := _context(origin, found):
            found.take(ContextUse(context, _known_path(source)))


def _context(origin: str, found: _Found) -> str:
    """The context behind `from`; "" for a stage, an image or an address, which becomes a remote."""
    if not origin:
        return MAIN_CONTEXT
    named = found.contexts.find(origin.lower(), found.platform) or found.contexts.find(origin, found.platform)
    if not named:
        return ""
    if named.startswith(_LOCAL):
        return named.removeprefix(_LOCAL)
    if _ADDRESS.match(named):
        found.remotes.append(address(named))
    return ""


def _use(context: str, source: Filled, exclude: tuple[str, ...], *, parents: bool) -> ContextUse:
    """One source of a COPY. With `--parents` what is before `/./` is the directory, the rest a pattern below it."""
    if parents and UNKNOWN not in source.text and source.is_known:
        before, pivot, after = source.text.partition("/./")
        base, pattern = (before, after) if pivot else ("", source.text)
        return below(context, base, (_normal(pattern),), exclude)
    return below(context, _known_path(source), (), exclude)


def below(context: str, path: str, include: tuple[str, ...], exclude: tuple[str, ...]) -> ContextUse:
    """What a COPY takes that reads `path`, with patterns on what is below it."""
    path = _normal(path)
    return ContextUse(context, path, has_wildcards(path), include, exclude)


def _known_path(source: Filled) -> str:
    if UNKNOWN in source.text:
        return _normal(posixpath.dirname(source.text.partition(UNKNOWN)[0]))
    return _normal(source.text) if source.is_known else ""


def _normal(path: str) -> str:
    return posixpath.normpath("/" + path).strip("/")


def _flags(instruction: Instruction) -> Iterator[tuple[str, str]]:
    for flag in instruction.flags:
        name, _, value = flag.removeprefix("--").partition("=")
        yield name, value


def _is_heredoc(word: str) -> bool:
    try:
        return parse_heredoc(word) is not None
    except (ValueError, RecursionError):
        return False
