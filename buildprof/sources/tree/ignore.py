"""What a context leaves out: .dockerignore by BuildKit's rules.

Which file applies and how its lines are read: frontend/dockerui and moby/patternmatcher/ignorefile. How a walk goes
on below an ignored directory: tonistiigi/fsutil, `filterFS.Walk`. Checked against engines in tests/sources/tree.
"""

from __future__ import annotations

import os
import re
import stat
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress

from e2b_dockerfile_utils import PatternMatcher

MAX_IGNORE_BYTES = 1024 * 1024
MAX_PATTERNS = 2000
MAX_WILDCARDS = 4
"""Stars in one pattern. Each is a loop in the one before it, so that a hostile pattern could take hours over a name."""

_WILDCARDS = frozenset("*?[]\\^")
_SPECIAL = frozenset("[]\\^")

Verdict = tuple[bool, tuple[bool, ...]]
"""Whether a path matches, and which patterns match it or a directory above it; () for none."""

NOTHING: Verdict = (False, ())


class Patterns:
    """A list of patterns, the last match wins, asked from the top of a tree downwards.

    What was found for a directory is handed in for what lies below it, so each path costs one look at each pattern.
    """

    def __init__(self, lines: Sequence[str]) -> None:
        """Lines that BuildKit would refuse, or with very many wildcards, are left out."""
        good = [line for line in lines[:MAX_PATTERNS] if _is_good(line)]
        self._matcher = _compile(good)
        # The pinned package's list: its own `matches` asks every directory above a path again, for each path.
        compiled = self._matcher._patterns  # noqa: SLF001
        self._patterns: list[tuple[bool, Callable[[str], bool]]] = [
            (one.exclusion, _linear(pattern.removeprefix("!")) or one.match)
            for one, pattern in zip(compiled, self._matcher.patterns, strict=True)
        ]
        cleaned = [pattern for pattern in self._matcher.patterns if not pattern.startswith("!")]
        self._exact = {pattern for pattern in cleaned if _WILDCARDS.isdisjoint(pattern)}
        self._others = [
            match
            for pattern, (exclusion, match) in zip(self._matcher.patterns, self._patterns, strict=True)
            if not exclusion and pattern not in self._exact
        ]

    def __bool__(self) -> bool:
        return bool(self._patterns)

    def match(self, path: str, parent: Verdict) -> Verdict:
        """What the patterns say of a path, by what they said of its directory (`NOTHING` at the top)."""
        above = parent[1]
        if not above and path not in self._exact:
            for match in self._others:
                if match(path):
                    break
            else:
                return NOTHING
        matched = False
        found: list[bool] = []
        for index, (exclusion, match) in enumerate(self._patterns):
            is_match = bool(above) and above[index]
            if not is_match and exclusion == matched:
                is_match = match(path)
            found.append(is_match)
            if is_match:
                matched = not exclusion
        return matched, tuple(found) if True in found else ()

    def may_return_below(self, directory: str) -> bool:
        """Whether something below a directory that matches may not match, because of a `!` pattern."""
        return self._matcher.may_match_under(directory)


def read_patterns(text: bytes) -> Patterns:
    """The patterns of an ignore file."""
    lines = text.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    return Patterns([os.fsdecode(line) for line in lines])


def ignore_file(directory: bytes, dockerfile: str | None) -> bytes:
    """The path of the ignore file that a build of this directory by this Dockerfile reads; it need not exist.

    The Dockerfile's own wins if it is there. No Dockerfile (it comes by standard input) is one without an own.
    """
    if dockerfile:
        own = os.path.join(directory, os.fsencode(dockerfile)) + b".dockerignore"  # noqa: PTH118  # bytes
        if os.path.isfile(own):  # noqa: PTH113
            return os.path.normpath(own)
    return os.path.join(directory, b".dockerignore")  # noqa: PTH118


def read_ignore_file(path: bytes) -> bytes:
    """The content of an ignore file; b"" if there is none, or it is no regular file, too large or not readable."""
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:  # noqa: PTH123  # a descriptor
            if (
                stat.S_ISREG(os.fstat(descriptor).st_mode)
                and len(text := file.read(MAX_IGNORE_BYTES + 1)) <= MAX_IGNORE_BYTES
            ):
                return text
    return b""


def _linear(pattern: str) -> Callable[[str], bool] | None:
    """A match for a pattern with several stars in a name, without going back: else each is a loop in the one before.

    What is between two stars is taken where it is first found (an atomic group), which will do where only stars and
    question marks are no letters. None for other patterns.
    """
    names = pattern.split("/")
    if "**" in pattern or not _SPECIAL.isdisjoint(pattern) or max(name.count("*") for name in names) < 2:
        return None
    wanted = []
    for name in names:
        first, *rest = (re.escape(piece).replace(r"\?", "[^/]") for piece in name.split("*"))
        *middle, last = rest or [""]
        found = "".join(f"(?>[^/]*?{piece})" for piece in middle if piece)
        wanted.append(f"{first}{found}[^/]*{last}" if rest else first)
    compiled = re.compile("/".join(wanted), re.DOTALL)
    return lambda path: compiled.fullmatch(path) is not None


def _is_good(line: str) -> bool:
    if line.count("*") - line.count("**") > MAX_WILDCARDS:
        return False
    try:
        _compile([line])
    except (ValueError, IndexError):
        return False
    return True


def _compile(lines: Sequence[str]) -> PatternMatcher:
    with warnings.catch_warnings():  # of `[[` and the like, which may mean something else to Python one day
        warnings.simplefilter("ignore", FutureWarning)
        return PatternMatcher(list(lines))
