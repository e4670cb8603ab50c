"""Which images that two builds were made from are others in the later one, under the same name. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from buildprof.model.step import Kind, Step


@dataclass(frozen=True, slots=True)
class BaseChange:
    """An image of one name in both builds; the digests are None where only that they differ is known."""

    image: str
    before: str | None = None
    after: str | None = None


def base_changes(pairs: Iterable[tuple[Step, Step]], *, one_builder: bool) -> tuple[BaseChange, ...]:
    """Compare the images of steps that are partners, by the digests that their recipes and names tell.

    Where these tell nothing, the base's last layer does, of builds of `one_builder`: another may name the same layer by
    another digest, as image stores do.
    """
    pairs = list(pairs)
    changes = _by_recipes(pairs)
    for before, after in pairs:
        name = _name(after)
        if after.kind is not Kind.FROM or before.kind is not Kind.FROM or name != _name(before):
            continue
        if not any(known in changes for known in _forms(name)) and _is_other(before, after, one_builder=one_builder):
            digests = [_digest(step) or None for step in (before, after)]
            changes[name] = BaseChange(name, *(digests if all(digests) else (None, None)))
    return tuple(change for _, change in sorted(changes.items()) if change is not None)


def is_on_other(step: Step, changes: Iterable[BaseChange]) -> bool:
    """Whether a step is the FROM of one of these images."""
    return step.kind is Kind.FROM and not {change.image for change in changes}.isdisjoint(_forms(_name(step)))


def _by_recipes(pairs: Iterable[tuple[Step, Step]]) -> dict[str, BaseChange | None]:
    """By the images' names; None of one that is known to be the same. Of one for several platforms nothing is told."""
    seen: defaultdict[str, tuple[set[str], set[str]]] = defaultdict(lambda: (set(), set()))
    for pair in pairs:
        for side, step in enumerate(pair):
            for name, digest in step.recipe.images if step.recipe else ():
                seen[name][side].add(digest)
    changes: dict[str, BaseChange | None] = {}
    for name, (before, after) in seen.items():
        if len(before) == len(after) == 1 and "" not in before | after:
            changes[name] = BaseChange(name, *before, *after) if before != after else None
    return changes


def _is_other(before: Step, after: Step, *, one_builder: bool) -> bool:
    if _digest(before) and _digest(after):
        return _digest(before) != _digest(after)
    if not one_builder or before.layer is None or after.layer is None:
        return False
    return "" not in (before.layer.digest, after.layer.digest) and before.layer.digest != after.layer.digest


def _name(step: Step) -> str:
    return step.command.partition("@sha256:")[0]


def _digest(step: Step) -> str:
    return "".join(step.command.partition("@")[2:])


def _forms(name: str) -> set[str]:
    """What docker shows a name as, with and without its tag."""
    short = name.removeprefix("docker.io/").removeprefix("library/")
    return {name, short, f"{short}:latest"}
