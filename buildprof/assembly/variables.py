"""Variables of a Dockerfile: what ARG and ENV assign, what each instruction sees, words with them filled in."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from e2b_dockerfile_utils import ShellLex

MAX_VALUE_CHARS = 1_024
MAX_WORD_CHARS = 4_096
MAX_VARIABLES = 1_000
"""Of one instruction: what a Dockerfile assigns beyond that is not known."""

UNKNOWN = "\0"
"""Stands in a filled-in word for what only the base image knows."""

Scope = Mapping[str, str | None]
"""Variables by name, None for one that is declared and has no value. What is not in it, a base image may still set."""

_PLAIN = re.compile(r"[^$'\"\\`\0]*")


@dataclass(frozen=True, slots=True)
class Filled:
    """A word with its variables filled in, and their names; UNKNOWN is in it for values that nobody here knows.

    `is_known` is false also where such a value decided about the word without being in it.
    """

    text: str
    names: frozenset[str] = frozenset()
    is_known: bool = True


class _Asked(Mapping[str, str]):
    """A scope as the lexer reads it, which keeps what it was asked for."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self.names: set[str] = set()

    def get(self, name: str, default: object = None) -> str | None:  # type: ignore[override]  # noqa: ARG002  # the lexer gives none
        self.names.add(name)
        return self._scope.get(name, UNKNOWN)

    def __getitem__(self, name: str) -> str:
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def fill_in(word: str, escape_token: str, scope: Scope) -> Filled:
    """Fill a word's variables in as the frontend does. Never fails: a long one, or one that cannot be read, is UNKNOWN."""
    if _PLAIN.fullmatch(word):
        return Filled(word)
    if len(word) > MAX_WORD_CHARS:
        return Filled(UNKNOWN, is_known=False)
    asked = _Asked(scope)
    lexer = ShellLex(escape_token, env=asked, skip_unset_env=False)
    try:
        text = lexer.process_word(word.replace(UNKNOWN, ""))
    except (ValueError, IndexError, RecursionError):  # DockerfileSyntaxError is a ValueError
        return Filled(UNKNOWN, frozenset(asked.names), is_known=False)
    return Filled(text, frozenset(asked.names), is_known=all(name in scope for name in asked.names))


def expanded(word: str, escape_token: str, values: Mapping[str, str]) -> str:
    """A word with the variables filled in that have a value. Raises ValueError for a long one.

    Arguments of arguments can grow without end.
    """
    text = ShellLex(escape_token, env=values).process_word(word) if len(word) <= MAX_VALUE_CHARS else word
    if len(text) > MAX_VALUE_CHARS:
        raise ValueError("a word of unreasonable length")
    return text


def assigned_words(keyword: str, words: Sequence[str]) -> Iterator[tuple[str, str | None]]:
    """Names and values as an ARG or ENV writes them; the value is None of an ARG that only declares."""
    if keyword == "ENV":  # the parser gives three words for each: name, value, and the sign between
        yield from zip(words[::3], words[1::3], strict=False)
    elif keyword == "ARG":
        for word in words:
            name, has_default, default = word.partition("=")
            yield name, default if has_default else None


def argument_scope(
    declared: Iterable[Sequence[str]], escape_token: str, build_args: Mapping[str, str], predefined: Scope
) -> Scope:
    """What the ARGs before the first FROM give to those stages that declare the same name (buildMetaArgs)."""
    scope: dict[str, str | None] = dict(predefined)
    for words in declared:
        for name, default in assigned_words("ARG", words):
            if name in build_args:
                scope[name] = build_args[name]
            elif default is not None:
                _assign(scope, name, fill_in(default, escape_token, scope))
    return scope


@dataclass(frozen=True, slots=True)
class StageScope:
    """What a stage's instructions see at one point: all variables, and those that go into the image."""

    seen: Scope
    image: Scope

    def below(self) -> StageScope:
        """What a stage sees at first that is built on this one: arguments too, but what is in the image goes first."""
        return StageScope({**self.seen, **self.image}, self.image)

    def after(
        self, keyword: str, words: Sequence[str], escape_token: str, build_args: Mapping[str, str], given: Scope
    ) -> StageScope:
        """What the next instruction sees. `given` is what stands before the first FROM (dispatchArg, dispatchEnv)."""
        if keyword not in ("ARG", "ENV"):
            return self
        seen, image = dict(self.seen), dict(self.image)
        for name, word in assigned_words(keyword, words):
            if keyword == "ENV":  # all values of one ENV see what was before it
                key = fill_in(name, escape_token, self.seen).text
                value = fill_in(word or "", escape_token, self.seen)
                _assign(seen, key, value)
                _assign(image, key, value)
            elif name in build_args:
                seen[name] = build_args[name]
            elif word is not None:
                _assign(seen, name, fill_in(word, escape_token, seen))
            elif given.get(name) is not None:
                seen[name] = given[name]
            else:
                seen.setdefault(name, None)
        return self if len(seen) > MAX_VARIABLES else StageScope(seen, image)


def platform_variables(platform: str) -> Scope:
    """The arguments that the frontend sets by itself, as far as a target platform tells (dockerfile2llb, defaultArgs)."""
    if not platform:
        return {}
    system, architecture, variant = (*platform.split("/", 2), "", "")[:3]
    return {
        "TARGETPLATFORM": platform,
        "TARGETOS": system,
        "TARGETARCH": architecture,
        "TARGETVARIANT": variant,
        "TARGETOSVERSION": "",
    }


def _assign(scope: dict[str, str | None], name: str, value: Filled) -> None:
    """A value that is not known is no value that is known to be missing."""
    if value.is_known and len(value.text) <= MAX_VALUE_CHARS:
        scope[name] = value.text
    else:
        scope.pop(name, None)
