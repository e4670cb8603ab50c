"""A scenario as data: a tree, what is done to it and built of it, and what is to be said of the last build.

In every text `base:latest` and `tools:latest` are images of the scenario's own, and `http://server/` is a server of its
own, so that no scenario meets the cache of another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.corpus.acts import Act, Tree

SHARED = "28"
"""An engine and an agent that run several scenarios at once; nobody prunes, restarts or asks for options there."""
ALONE = "28-alone"
"""An engine and an agent with one scenario at a time."""
CONTAINERD = "28-containerd"
ENGINE_26 = "26"
ENGINE_20 = "20"


@dataclass(frozen=True, slots=True)
class Miss:
    """What is to be said of one root miss.

    `at` and `collateral` name steps by the first line of their instruction in the Dockerfile of the last build, the
    merge that `COPY --link` makes with "merge " before it. `evidence` is what must be in the evidence: texts as parts,
    paths and names as they are. `also` are causes which alone would have made the step miss. `or_cause` is another
    cause that is as right. `confidence` is the only honest one, "" where both are.
    """

    at: str
    cause: str
    evidence: Mapping[str, Any] = field(default_factory=dict)
    collateral: Sequence[str] = ()
    also: Sequence[str] = ()
    or_cause: str = ""
    confidence: str = ""


@dataclass(frozen=True, slots=True)
class Scenario:
    """`misses` are the root misses of the last build; all steps that are neither named here nor collateral are hits.

    `unbuilt` are those that failed, were cancelled or never ran. `target` is the one judged if the last act built
    several. `agent` is the environment of the agent, `second` whether it knows a second engine; both need `ALONE`.
    """

    name: str
    tree: Tree
    acts: Sequence[Act]
    misses: Sequence[Miss] = ()
    on: Sequence[str] = (SHARED,)
    unbuilt: Sequence[str] = ()
    target: str = ""
    agent: Mapping[str, str] = field(default_factory=dict)
    second: bool = False


def first_build(at: str, reason: str = "", **more: Any) -> Miss:
    return Miss(at, "first_build", {"reason": reason} if reason else {}, **more)


def instruction_changed(at: str, before: str | None, after: str | None, **more: Any) -> Miss:
    return Miss(at, "instruction_changed", {"before": before, "after": after}, **more)


def source_changed(
    at: str, changed: Sequence[str] = (), added: Sequence[str] = (), removed: Sequence[str] = (), **more: Any
) -> Miss:
    return Miss(at, "source_changed", {"changed": changed, "added": added, "removed": removed}, **more)


def source_changed_somehow(at: str, **more: Any) -> Miss:
    """Where nobody can know the files: what is asked for is the cause, and that it is not called certain with files."""
    return Miss(at, "source_changed", {}, **more)


def base_changed(at: str, image: str, **more: Any) -> Miss:
    return Miss(at, "base_changed", {"image": image}, **more)


def build_arg_changed(at: str, *names: str, **more: Any) -> Miss:
    return Miss(at, "build_arg_changed", {"names": names}, **more)


def remote_changed(at: str, url: str, **more: Any) -> Miss:
    return Miss(at, "remote_changed", {"url": url}, **more)


def no_cache(at: str, option: str = "--no-cache", **more: Any) -> Miss:
    return Miss(at, "no_cache", {"option": option}, **more)


def evicted(at: str, **more: Any) -> Miss:
    return Miss(at, "evicted", {"lost_at": Interval()}, **more)


def cold_builder(at: str, **more: Any) -> Miss:
    return Miss(at, "cold_builder", {"ref": FirstRef()}, **more)


@dataclass(frozen=True, slots=True)
class Interval:
    """Any interval of which at least one end is known."""


@dataclass(frozen=True, slots=True)
class FirstRef:
    """The ref of the scenario's first build."""
