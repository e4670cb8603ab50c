"""Which container of the open builds made an image.

Builds of the same Dockerfile at once have containers that are alike: made from the same image, with the same command,
at the same time. The engine does not say which of them made which image, so the nearest in time is taken. Where a
later image shows that guess to be wrong, since what is left cannot have made it, containers change places until all
images have one: an augmenting path of a bipartite matching (Kuhn's algorithm).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import pairwise

from buildprof.assembly.classic_facts import ImageRecord
from buildprof.assembly.classic_runs import Run, Thread
from buildprof.assembly.classic_steps import Container
from buildprof.model.events import HistoryEntry

_MAX_TRIED = 256


def find_maker(
    runs: Sequence[Run], image: ImageRecord, ended: Sequence[Run] = (), made_elsewhere: Collection[str] = ()
) -> tuple[Run, Thread] | None:
    """The thread, and its build, whose last container made an image of this history: the newest that was made so.

    The container is tied to what it made by its `product`. `ended` are builds that ended while others of `runs` were
    open: their containers may change places with those of the open ones. `made_elsewhere` are ids of images that
    containers of other builds made.
    """
    children = {parent.id: child for child, parent in pairwise(image.history) if parent.id and child.id}
    tied = {one.product.id: one for run in (*runs, *ended) for one in run.containers if one.product is not None}
    linked = [
        (-entry.created_ns, last.distance(entry.created_ns), (run, thread), entry)
        for run in runs
        for thread in run.threads
        if (entry := children.get((last := thread.containers[-1]).image)) is not None
        and entry.id not in made_elsewhere
        and tied.get(entry.id, last) is last
        and (last.product is None or last.product.id == entry.id)
        and last.made(entry)
    ]
    if linked:
        *_, found, entry = min(linked, key=lambda one: one[:2])
        found[1].containers[-1].product = entry
        return found
    wanted = {parent: one for parent, one in children.items() if one.id not in tied and one.id not in made_elsewhere}
    return _by_changing_places(runs, ended, wanted) if wanted else None


def _by_changing_places(
    runs: Sequence[Run], ended: Sequence[Run], wanted: Mapping[str, HistoryEntry]
) -> tuple[Run, Thread] | None:
    """The thread whose last container made one of the wanted images, by their parents, newest first, after a change."""
    lasts = {thread.containers[-1].id for run in runs for thread in run.threads}
    places: dict[str, tuple[Run, Thread]] = {}
    alike: dict[str, list[Container]] = {}
    for run in (*runs, *ended):
        for thread in run.threads:
            for one in thread.containers:
                places[one.id] = run, thread
                if one.image in wanted and (one.product is not None or one.id in lasts):
                    alike.setdefault(one.image, []).append(one)
    for parent, entry in wanted.items():
        if (path := _path(entry, alike.get(parent, [])[:_MAX_TRIED], set())) is not None:
            run, thread = places[path[-1].id]
            _change_places(path, [places[one.id][1] for one in path])
            path[0].product = entry
            return run, thread
    return None


def _path(entry: HistoryEntry, alike: Iterable[Container], tried: set[str]) -> list[Container] | None:
    """Containers of which the first made the entry, each further one what the one before was taken to have made.

    The last is one that was taken to have made nothing yet.
    """
    able = [one for one in alike if one.id not in tried and one.made(entry)]
    able.sort(key=lambda one: (one.product is not None, one.distance(entry.created_ns)))
    for container in able:
        if container.id in tried:
            continue
        tried.add(container.id)
        if container.product is None:
            return [container]
        if (rest := _path(container.product, alike, tried)) is not None:
            return [container, *rest]
    return None


def _change_places(path: Sequence[Container], threads: Sequence[Thread]) -> None:
    """Each container gives its place, and what it is taken to have made, to the next one; the first gets the last's."""
    indexes = [thread.containers.index(one) for thread, one in zip(threads, path, strict=True)]
    products = [one.product for one in path]
    for number, (thread, index) in enumerate(zip(threads, indexes, strict=True)):
        successor = path[(number + 1) % len(path)]
        thread.containers[index] = successor
        successor.product = products[number]
