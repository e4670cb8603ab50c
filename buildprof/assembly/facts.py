"""All that one build's streams have said so far, joined by vertex, in bounded space."""

from __future__ import annotations

from dataclasses import dataclass, field

from buildprof.model.events import StatusUpdate, Vertex, VertexLog, VertexStatus
from buildprof.model.step import Interval

MAX_VERTICES = 5_000
MAX_INPUTS_PER_VERTEX = 5_000
MAX_RUNS_PER_VERTEX = 100
MAX_TRANSFERS_PER_VERTEX = 2_000
MAX_LOG_LINES = 200
MAX_LOG_BYTES = 64 * 1024
"""What is kept of a step's log, and up to as much again until it is cut."""

_CONTEXT_CANCELED = "context canceled"


@dataclass(slots=True)
class Run:
    """One interval of a vertex as reported: `completed_ns` is None until it ends, `cached` if it was a cache load."""

    started_ns: int
    completed_ns: int | None = None
    cached: bool = False
    error: str = ""


@dataclass(slots=True)
class Transfer:
    """The furthest progress of one thing that a vertex moved."""

    name: str
    current: int
    total: int


@dataclass(slots=True)
class VertexFacts:
    """One vertex, joined over all reports on it. `runs` are keyed by their start."""

    digest: str
    name: str
    inputs: tuple[str, ...]
    group_id: str = ""
    cached: bool = False
    runs: dict[int, Run] = field(default_factory=dict)
    transfers: dict[str, Transfer] = field(default_factory=dict)
    log_tail: bytearray = field(default_factory=bytearray)

    def observe(self, vertex: Vertex) -> bool:
        """Take in a report; False if it told of a run too many, which is left out."""
        self.name = vertex.name or self.name
        self.inputs = vertex.inputs[:MAX_INPUTS_PER_VERTEX] or self.inputs
        self.group_id = vertex.group_id or self.group_id
        self.cached |= vertex.cached
        if vertex.started_ns is None:
            return True
        if vertex.started_ns not in self.runs and len(self.runs) >= MAX_RUNS_PER_VERTEX:
            return False
        run = self.runs.setdefault(vertex.started_ns, Run(vertex.started_ns, cached=vertex.cached))
        if vertex.completed_ns is not None:
            run.completed_ns = max(vertex.completed_ns, vertex.started_ns)
            run.error = vertex.error
        run.cached &= vertex.cached  # what was ever said to be work is work
        return True

    def executed_runs(self) -> list[Run]:
        """The intervals in which work was done, as against the cache being read."""
        return [run for run in self.runs.values() if not run.cached]

    def error(self) -> str:
        """The error of the run that ended last; "" if it ended well."""
        # An inferred cache hit, which never has an error, can be told while the real run goes on.
        ended = [run for run in self.runs.values() if run.completed_ns is not None and (run.error or not run.cached)]
        return max(ended, key=lambda run: (run.completed_ns or 0, run.started_ns)).error if ended else ""

    def was_canceled(self) -> bool:
        """Whether its error is that somebody stopped it, not that it failed: Go appends the reason to the error."""
        return self.error().endswith(_CONTEXT_CANCELED)

    def log_lines(self) -> tuple[str, ...]:
        """The last lines that it wrote, MAX_LOG_LINES at most; none once it has ended well."""
        return tuple(self.log_tail.decode("utf-8", "replace").splitlines()[-MAX_LOG_LINES:])


@dataclass(slots=True)
class BuildFacts:
    """Every vertex of a build in the order of their first report. `dropped` counts reports past the bounds."""

    vertices: dict[str, VertexFacts] = field(default_factory=dict)
    dropped: int = 0

    def observe(self, update: StatusUpdate) -> None:
        """Fold one message of the stream in. Messages of one stream come in order."""
        for vertex in update.vertices:
            known = self.vertices.get(vertex.digest)
            if known is None:
                if len(self.vertices) >= MAX_VERTICES:
                    self.dropped += 1
                    continue
                known = self.vertices[vertex.digest] = VertexFacts(vertex.digest, vertex.name, ())
            self.dropped += not known.observe(vertex)
        for status in update.statuses:
            self._observe_status(status)
        for log in update.logs:
            self._observe_log(log)
        for vertex in update.vertices:
            has_ended_well = vertex.completed_ns is not None and not vertex.error and not vertex.cached
            if has_ended_well and vertex.digest in self.vertices:
                self.vertices[vertex.digest].log_tail.clear()  # only that of a failure is ever shown

    def _observe_status(self, status: VertexStatus) -> None:
        vertex = self.vertices.get(status.vertex)
        if vertex is None:
            self.dropped += 1
            return
        transfer = vertex.transfers.get(status.id)
        if transfer is None:
            if len(vertex.transfers) >= MAX_TRANSFERS_PER_VERTEX:
                self.dropped += 1
                return
            vertex.transfers[status.id] = Transfer(status.name, max(status.current, 0), max(status.total, 0))
            return
        transfer.name = status.name or transfer.name
        transfer.current = max(transfer.current, status.current)
        transfer.total = max(transfer.total, status.total)

    def _observe_log(self, log: VertexLog) -> None:
        vertex = self.vertices.get(log.vertex)
        if vertex is None:
            self.dropped += 1
            return
        vertex.log_tail += log.data
        if len(vertex.log_tail) > 2 * MAX_LOG_BYTES:
            # Cut between lines: half a secret would not be known for one.
            cut = vertex.log_tail.find(b"\n", -MAX_LOG_BYTES)
            del vertex.log_tail[: cut + 1 if cut >= 0 else None]


def join_intervals(intervals: list[Interval], clip: Interval | None = None) -> list[Interval]:
    """The union of intervals, sorted, without overlap, clipped to the build where its bounds are known."""
    joined: list[Interval] = []
    for interval in sorted(intervals, key=lambda one: (one.started_ns, one.completed_ns)):
        started_ns, completed_ns = interval.started_ns, interval.completed_ns
        if clip is not None:
            started_ns, completed_ns = max(started_ns, clip.started_ns), min(completed_ns, clip.completed_ns)
        if completed_ns < started_ns:
            continue
        if joined and started_ns <= joined[-1].completed_ns:
            joined[-1] = Interval(joined[-1].started_ns, max(joined[-1].completed_ns, completed_ns))
        else:
            joined.append(Interval(started_ns, completed_ns))
    return joined


def total_seconds(intervals: list[Interval]) -> float:
    """The summed length of joined intervals."""
    return sum(interval.completed_ns - interval.started_ns for interval in intervals) / 1e9
