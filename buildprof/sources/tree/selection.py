"""Which paths of a context a step takes, by BuildKit's rules (cache/contenthash: `includedPaths`, `checksum`).

- A directory that is named counts with its own mode, the context's root does not.
- A source's wildcards are matched component by component (Go's path.Match); what they match is taken as if named.
- Patterns to include and exclude are matched below the source (below what its wildcards matched), not below the context.
- Links on the way to a source are followed within the context; so is a source that is a link itself. Links below are not.
- With patterns, a directory counts if they let it through or something below it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from buildprof.model.recipe import ContextUse
from buildprof.sources.tree.entry import Entry, Listing, State
from buildprof.sources.tree.ignore import NOTHING, Patterns, Verdict

MAX_LINKS = 255
_WILDCARDS = re.compile(r"(?<!\\)(?:\\\\)*[*?\[]")


class Tree(Protocol):
    """A tree at a moment."""

    def listing(self, directory: bytes) -> Listing | None:
        """The entries of a directory by its path relative to the root; None if there is none."""


@dataclass(frozen=True, slots=True)
class Root:
    """One thing that a source names: the path by which the builder knows it, and where it is in the tree."""

    use: ContextUse
    name: bytes
    path: bytes
    entry: Entry | None
    """None for the root of the context."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A path that is taken: `name` as the builder knows it, `path` in the tree."""

    name: bytes
    path: bytes
    entry: Entry


def roots(tree: Tree, use: ContextUse) -> list[Root]:  # one walk down
    """The things that a use names, as they are in a tree; none if there is nothing of that name."""
    wanted = [part for part in os.fsencode(os.path.normpath("/" + use.path)).split(b"/") if part]
    if not (use.wildcard and _WILDCARDS.search(use.path)):
        name = b"/".join(wanted)
        target = _resolve(tree, wanted)
        return [Root(use, name, *target)] if target else []
    first = next(index for index, part in enumerate(wanted) if _WILDCARDS.search(os.fsdecode(part)))
    start = _resolve(tree, wanted[:first])
    if start is None or (start[1] is not None and not start[1].is_directory):
        return []
    found: list[tuple[bytes, bytes, Entry]] = []
    places = [(b"/".join(wanted[:first]), start[0])]
    for depth, part in enumerate(wanted[first:], first + 1):
        pattern = _component(os.fsdecode(part))
        if pattern is None:
            return []
        below: list[tuple[bytes, bytes]] = []
        for name, path in places:
            for entry in _entries(tree, path):
                if pattern.fullmatch(os.fsdecode(entry.name)):
                    here = _join(name, entry.name), _join(path, entry.name)
                    if depth == len(wanted):
                        found.append((*here, entry))
                    elif entry.is_directory:
                        below.append(here)
        places = below
    return [root for name, path, entry in found if (root := _matched(tree, use, name, path, entry))]


def _matched(tree: Tree, use: ContextUse, name: bytes, path: bytes, entry: Entry) -> Root | None:
    """What wildcards found: where it leads to if it is a link."""
    if not entry.is_link:
        return Root(use, name, path, entry)
    target = _resolve(tree, path.split(b"/"))
    return Root(use, name, *target) if target else None


def select(tree: Tree, uses: Sequence[ContextUse]) -> dict[bytes, Taken]:
    """All that the uses take, by the names that the builder knows."""
    return {taken.name: taken for use in uses for root in roots(tree, use) for taken in below(tree, root)}


def below(tree: Tree, root: Root) -> Iterator[Taken]:  # noqa: C901  # one walk down
    """What is taken of one root: itself, and all below it that the patterns let through."""
    include, exclude = _patterns(root.use.include), _patterns(root.use.exclude)
    taken, verdicts = _judge(include, exclude, "", (NOTHING, NOTHING))
    if root.entry is not None and not root.entry.is_directory:
        if taken and root.entry.state is not State.PASSED:
            yield Taken(root.name, root.path, root.entry)
        return
    waiting: list[tuple[int, Taken]] = []  # directories above that are not taken yet, with their depths
    if root.entry is not None:
        own = Taken(root.name, root.path, root.entry)
        if taken and root.entry.state is not State.PASSED:
            yield own
        else:
            waiting.append((0, own))
    stack = [(_entries(tree, root.path), root.name, root.path, "", verdicts)]
    while stack:
        entries, name, path, relative, above = stack[-1]
        entry = next(entries, None)
        if entry is None:
            stack.pop()
            while waiting and waiting[-1][0] >= len(stack):
                waiting.pop()
            continue
        mine = f"{relative}/{os.fsdecode(entry.name)}" if relative else os.fsdecode(entry.name)
        is_taken, found = _judge(include, exclude, mine, above)
        is_taken = is_taken and entry.state is not State.PASSED
        item = Taken(_join(name, entry.name), _join(path, entry.name), entry)
        if is_taken:
            yield from (one for _, one in waiting)
            waiting.clear()
            yield item
        if entry.is_directory:
            if not is_taken:
                waiting.append((len(stack), item))
            stack.append((_entries(tree, item.path), item.name, item.path, mine, found))


def _judge(
    include: Patterns | None, exclude: Patterns | None, path: str, above: tuple[Verdict, Verdict]
) -> tuple[bool, tuple[Verdict, Verdict]]:
    """Whether the patterns let a path through; an excluded one's verdict on its directory is handed on as the engine does."""
    included: Verdict = NOTHING
    if include is not None:
        included = include.match(path, above[0])
        if not included[0]:
            return False, (included, NOTHING)
    excluded = exclude.match(path, above[1]) if exclude is not None else NOTHING
    return not excluded[0], (included, excluded)


@lru_cache(maxsize=256)
def _patterns(lines: tuple[str, ...]) -> Patterns | None:
    """Unlike in an ignore file a slash in front is no decoration here (nothing matches), a # no comment."""
    if not lines:
        return None
    return Patterns(["\\" + line if line.startswith("#") else line for line in lines if line.lstrip("!")[:1] != "/"])


def _resolve(tree: Tree, parts: Sequence[bytes]) -> tuple[bytes, Entry | None] | None:
    """Follow a path within the context, its last part too; None if there is nothing."""
    left = list(reversed(parts))
    here: list[tuple[bytes, Entry]] = []
    links = 0
    while left:
        part = left.pop()
        if part in {b"", b"."}:
            continue
        if part == b"..":
            del here[-1:]
            continue
        listing = tree.listing(b"/".join(name for name, _ in here))
        entry = listing.find(part) if listing is not None else None
        if entry is None:
            return None
        if not entry.is_link:
            here.append((part, entry))
            continue
        links += 1
        if links > MAX_LINKS:
            return None
        if entry.target.startswith(b"/"):
            here.clear()
        left += reversed(entry.target.split(b"/"))
    return b"/".join(name for name, _ in here), here[-1][1] if here else None


def _entries(tree: Tree, directory: bytes) -> Iterator[Entry]:
    listing = tree.listing(directory)
    return iter(listing if listing is not None else ())


def _join(directory: bytes, name: bytes) -> bytes:
    return directory + b"/" + name if directory else name


@lru_cache(maxsize=1024)
def _component(pattern: str) -> re.Pattern[str] | None:
    """A part of a path with wildcards, as Go's path.Match takes it; None if it is none."""
    parts, text, index = [], "", 0
    while index < len(pattern):
        char = pattern[index]
        index += 1
        if char == "*":
            parts.append(text)
            text = ""
        elif char == "?":
            text += "[^/]"
        elif char == "\\":
            if index == len(pattern):
                return None
            text += re.escape(pattern[index])
            index += 1
        elif char == "[":
            end = index + (pattern[index : index + 1] == "^")
            end = pattern.find("]", end + 1)
            if end < 0:
                return None
            inner = pattern[index:end]
            sign, inner = ("^", inner[1:]) if inner.startswith("^") else ("", inner)
            text += f"[{sign}{_escape_class(inner)}]"
            index = end + 1
        else:
            text += re.escape(char)
    if parts:  # what follows a star is looked for once: the first place that fits is as good as any later one
        first, *middle = parts
        text = first + "".join(f"(?>[^/]*?{one})" for one in middle if one) + f"[^/]*{text}"
    try:
        return re.compile(text, re.DOTALL)
    except re.error:
        return None


def _escape_class(inner: str) -> str:
    return re.sub(r"([\[&|~^])", r"\\\1", inner)
