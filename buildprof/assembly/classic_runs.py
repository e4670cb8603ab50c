"""Builds of the classic builder that have not ended: their containers, in threads of images made from images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from buildprof.assembly.classic_facts import ImageRecord
from buildprof.assembly.classic_steps import Container
from buildprof.model.events import HistoryEntry


@dataclass(slots=True, eq=False)
class Thread:
    """Containers of one stage, each made from what the one before made; `image` is what the last was made from.

    `origin` is the earlier thread that it goes on from, after others came between: as `FROM` an earlier stage does,
    or a build that was taken for one with another.
    """

    image: ImageRecord
    containers: list[Container]
    origin: Thread | None = None

    @property
    def root(self) -> Thread:
        """The thread that it all began with."""
        return self if self.origin is None else self.origin.root


@dataclass(slots=True)
class Run:
    """A build that has not ended."""

    threads: list[Thread]
    labels: dict[str, str]
    fresh: set[str] = field(default_factory=set)
    last_ns: int = 0

    @property
    def containers(self) -> list[Container]:
        """All containers, thread by thread."""
        return [one for thread in self.threads for one in thread.containers]

    @property
    def container_ids(self) -> tuple[str, ...]:
        """The same by their ids."""
        return tuple(one.id for one in self.containers)

    @property
    def last(self) -> Container:
        """The last container of the last thread."""
        return self.threads[-1].containers[-1]

    def is_busy(self, at_ns: int) -> bool:
        """Whether something may run in it still."""
        earlier = self.containers[:-1]
        return self.last.is_busy(at_ns, is_kept=any(one.destroyed_ns is None for one in earlier))

    def others_are_busy(self, thread: Thread, at_ns: int) -> bool:
        """Whether something runs beside a thread: stages run one after another, so that it is not of this build."""
        is_kept = any(one.destroyed_ns is None and one.died_ns is not None for one in self.containers)
        ends = [one.containers[-1] for one in self.threads if one.root is not thread.root]
        return any(container.is_busy(at_ns, is_kept=is_kept) for container in ends)

    @property
    def started_ns(self) -> int:
        """When its first container was made."""
        return self.threads[0].containers[0].created_ns


def joined(line: Sequence[Thread]) -> Thread:
    """One thread of several that go on from one another."""
    return Thread(line[-1].image, [container for one in line for container in one.containers])


def made_in(last: Container, history: Sequence[HistoryEntry]) -> int | None:
    """When a container made an image of this history; None if it made none."""
    for child, parent in pairwise(history):  # newest first, so a parent follows its child
        if parent.id and parent.id == last.image:
            return child.created_ns if last.made(child) else None
    return None
