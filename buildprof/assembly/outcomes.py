"""What became of each step of a build: hit, miss, failed, canceled, skipped, shared or none.

What the engine says and does (moby/buildkit solver/jobs.go, solver/progress.go):

- a cache load is an interval that is `cached` from its start; work is one that is not;
- an input that has not ended when a dependent starts is *inferred* to be cached, with an interval of no length at the
  dependent's start. A dependent also "starts" when computing its cache key fails, at a time when its inputs may be
  waiting or at work; so an inferred hit is believed only if all that it needs ended well, and before it if the build
  failed;
- what is unfinished when the stream ends gets the error `context canceled`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from buildprof.assembly.facts import VertexFacts
from buildprof.model.step import CACHEABLE_KINDS, Kind, Outcome

_BROKEN = frozenset({Outcome.FAILED, Outcome.CANCELED, Outcome.SKIPPED})
_CLOCK_SLACK_NS = 1_000_000


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A build that ran at the same time on the same builder: the runs of its steps, for telling who started what.

    `runs` maps (vertex digest, start of a run) to whether that build could have started it: whether all the inputs
    that it shows had ended by then. Runs that did not end well are not among them.
    """

    ref: str
    created_ns: int
    runs: Mapping[tuple[str, int], bool]


def input_order(vertices: Mapping[str, VertexFacts]) -> list[str]:
    """Digests with inputs before dependents; in the order of report where a hostile stream has a circle."""
    graph = {digest: [one for one in vertex.inputs if one in vertices] for digest, vertex in vertices.items()}
    try:
        return list(TopologicalSorter(graph).static_order())
    except CycleError:
        return list(vertices)


def outcomes(
    vertices: Mapping[str, VertexFacts], kinds: Mapping[str, Kind], *, ended: bool = True
) -> dict[str, Outcome]:
    """The outcome of every vertex by its digest, as this build alone tells it; `ended` says whether the build has."""
    found: dict[str, Outcome] = {}
    is_broken = any(vertex.error() for vertex in vertices.values())
    for digest in input_order(vertices):
        vertex = vertices[digest]
        inputs = [one for one in vertex.inputs if one in found]
        # In a build that failed also one whose inputs were at work when it was said to be cached may never have run.
        is_doubtful = any(found[one] in _BROKEN for one in inputs) or (
            is_broken and any(_was_at_work_after(vertices[one], vertex) for one in inputs)
        )
        found[digest] = _outcome(
            vertex, cacheable=is_cacheable(vertex, kinds[digest]), is_doubtful=is_doubtful, ended=ended
        )
    return found


def _was_at_work_after(source: VertexFacts, vertex: VertexFacts) -> bool:
    """Whether an input went on with its work after the step was said to be cached."""
    starts = [run.started_ns for run in vertex.runs.values()]
    ends = [run.completed_ns for run in source.executed_runs() if run.completed_ns is not None]
    return bool(starts and ends) and max(ends) > max(starts) + _CLOCK_SLACK_NS


def is_cacheable(vertex: VertexFacts, kind: Kind) -> bool:
    """Whether a step can be served from the cache and would do work otherwise.

    ADD of a URL is two vertices of one name: the source, which has no inputs and asks the network in every build, and
    the copy of it (moby/buildkit frontend/dockerfile/dockerfile2llb, dispatchCopy).
    """
    return kind in CACHEABLE_KINDS and (kind is not Kind.ADD or bool(vertex.inputs))


def _outcome(vertex: VertexFacts, *, cacheable: bool, is_doubtful: bool, ended: bool) -> Outcome:
    executed = vertex.executed_runs()
    # The engine does not end, when the stream ends, what it once inferred to be cached.
    is_cut_off = ended and any(run.completed_ns is None for run in executed)
    if vertex.error() or is_cut_off:
        return Outcome.CANCELED if vertex.was_canceled() or not vertex.error() else Outcome.FAILED
    if not cacheable:
        return Outcome.NONE if vertex.runs or vertex.cached else Outcome.SKIPPED
    if executed and not _was_loaded(vertex):
        return Outcome.MISS
    if not vertex.cached:
        return Outcome.SKIPPED
    inferred = all(run.started_ns == run.completed_ns for run in vertex.runs.values())
    if inferred and is_doubtful:
        return Outcome.SKIPPED
    return Outcome.HIT


def _was_loaded(vertex: VertexFacts) -> bool:
    """Whether its result came from the cache. What is not cached after that is the pull of its layers, when needed.

    Seen with cache from a registry: a cache load of some length, then intervals in which layers came.
    """
    return any(
        run.cached and not run.error and run.completed_ns is not None and run.completed_ns > run.started_ns
        for run in vertex.runs.values()
    )


def as_neighbour(ref: str, created_ns: int, vertices: Mapping[str, VertexFacts]) -> Neighbour:
    """What other builds need to know of this one.

    A run without an end is at work, or its end has not been told here yet; in a build in which something was canceled
    or failed it was given up.
    """
    is_broken = any(run.error for vertex in vertices.values() for run in vertex.runs.values())
    runs: dict[tuple[str, int], bool] = {}
    for digest, vertex in vertices.items():
        for run in vertex.executed_runs():
            if run.error or (run.completed_ns is None and is_broken):
                continue
            runs[digest, run.started_ns] = run.started_ns >= created_ns and all(
                _ended_by(vertices[one], run.started_ns + _CLOCK_SLACK_NS) for one in vertex.inputs if one in vertices
            )
    return Neighbour(ref, created_ns, runs)


def _ended_by(vertex: VertexFacts, at_ns: int) -> bool:
    return all(run.completed_ns is not None and run.completed_ns <= at_ns for run in vertex.runs.values())


def started_elsewhere(digest: str, vertex: VertexFacts, this: Neighbour, others: Iterable[Neighbour]) -> bool:
    """Whether work that this build shows was started by another build that ran at the same time.

    Builds that run at once share equal vertices, and both streams show the same digest and times. It was started by
    the earliest of the builds that could have: those whose own inputs of it had ended by then. A build that was
    canceled while another went on with the step is not its owner: its time would be counted nowhere.
    """
    executed = vertex.executed_runs()
    if not executed:
        return False
    key = (digest, max(run.started_ns for run in executed))
    candidates = [one for one in (this, *others) if key in one.runs]
    if not candidates:
        return False
    able = [one for one in candidates if one.runs[key]] or candidates
    return min(able, key=lambda one: (one.created_ns, one.ref)).ref != this.ref
