"""The steps of a build drawn against time: lanes of rows, where each bar stands, and the critical path as one line.

Places are in per cent of the width, so that a drawing fits any screen. Heights are parts of a row's, from its top.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from buildprof.analysis.misses import root_misses
from buildprof.analysis.reading_order import reading_order
from buildprof.model.build import Build
from buildprof.model.step import Kind, Outcome, Step

ASSUMED_PIXELS = 800
"""How wide a drawing is taken to be, to tell what takes less than a pixel of it."""

PATH_HEIGHT = 0.8
"""Where in a row the critical path runs: below the bar."""

MOST_CROSSED = 50_000
"""Rows that the critical path crosses at most, each as often as it does."""

MOST_TICKS = 6
MIN_FOLDED = 2

_LONG_TICKS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)
_HORIZONS = (1, 2, 5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 240, 300, 450, 600, 900, 1200, 1800, 2700, 3600)
_FOLDED_OUTCOMES = frozenset({Outcome.HIT, Outcome.MISS, Outcome.SHARED, Outcome.NONE})
_EXPORTS = frozenset({Kind.EXPORT, Kind.CACHE_EXPORT})


@dataclass(frozen=True, slots=True)
class Tick:
    """A round time on the axis."""

    x: float
    text: str


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of the critical path within a row, level or upright."""

    x1: float
    y1: float
    x2: float
    y2: float


@dataclass(frozen=True, slots=True)
class Row:
    """One step. `x` and `width` are None where it did not run, or nobody knows when.

    `seconds` is how long it took, or has taken so far. `state` is "running" or "waiting" for what a running build has
    not ended, else its outcome. `is_root` marks a miss with a cause of its own.
    """

    step: Step
    state: str
    seconds: float | None
    x: float | None
    width: float | None
    is_root: bool
    is_critical: bool
    path: tuple[Segment, ...]


@dataclass(frozen=True, slots=True)
class Run:
    """Rows one below the other: a single one, or several that each took less than a pixel and may be shown as one."""

    rows: tuple[Row, ...]

    @property
    def is_folded(self) -> bool:
        """Whether it may be shown as one row."""
        return len(self.rows) >= MIN_FOLDED

    @property
    def seconds(self) -> float:
        """What its steps took together."""
        return sum(row.seconds or 0.0 for row in self.rows)

    @property
    def x(self) -> float:
        """Where its first step began."""
        return min((row.x for row in self.rows if row.x is not None), default=0.0)

    @property
    def end(self) -> float:
        """Where its last step ended."""
        return max((row.x + (row.width or 0.0) for row in self.rows if row.x is not None), default=0.0)


@dataclass(frozen=True, slots=True)
class Lane:
    """The steps of one stage on one platform, or those before and after all stages; `path` crosses its heading."""

    name: str
    platform: str
    runs: tuple[Run, ...]
    path: tuple[Segment, ...]

    @property
    def steps(self) -> int:
        """How many steps it has."""
        return sum(len(run.rows) for run in self.runs)

    @property
    def seconds(self) -> float:
        """What its steps took together."""
        return sum(run.seconds for run in self.runs)


@dataclass(frozen=True, slots=True)
class Waterfall:
    """All of it. `seconds` is what the width stands for, None where the build's length is not known."""

    lanes: tuple[Lane, ...]
    ticks: tuple[Tick, ...]
    seconds: float | None

    @property
    def spaces(self) -> float:
        """How many times the distance of two ticks fits into the width; 0 without ticks. By the last, as places are rounded."""
        if len(self.ticks) < 2:
            return float(len(self.ticks))
        return 100 * (len(self.ticks) - 1) / self.ticks[-1].x

    @property
    def rows(self) -> list[Row]:
        """All rows, from the top down."""
        return [row for lane in self.lanes for run in lane.runs for row in run.rows]


def waterfall(build: Build, now_ns: int, zoom: int = 0) -> Waterfall:
    """Lay out a build's steps; `now_ns` ends what still runs. Each `zoom` stands for twice the width of the one before."""
    lives = build.completed_ns is None
    seconds = horizon_seconds(max(now_ns - build.started_ns, 0) / 1e9) if lives else build.duration_seconds
    if seconds is not None and not 0 < seconds < math.inf:  # as only a damaged store has it
        seconds = None
    pixel = 1 / (ASSUMED_PIXELS << zoom)
    roots, chain = root_misses(build.steps), _chain(build, pixel * seconds) if seconds else []
    critical = {step.id for step in chain}
    platforms = {step.platform for step in build.steps if step.position is not None}
    lanes = [(place, tuple(steps)) for place, steps in groupby(reading_order(build.steps), key=_lane_of)]
    spans = {step.id: _span(step, build, now_ns, seconds) for step in build.steps}
    # A lane's heading is a row of the drawing as well: the path has to cross it.
    order: list[str] = []
    for at, (_, steps) in enumerate(lanes):
        order += [_heading(at), *(step.id for step in steps)]
    path = path_segments(order, [(step.id, spans[step.id]) for step in chain])
    made = []
    for at, ((stage, platform), steps) in enumerate(lanes):
        rows = []
        for step in steps:
            state, took = step_state(step, lives=lives), step.duration_seconds
            if state == "running" and step.started_ns is not None:
                took = max(now_ns - step.started_ns, 0) / 1e9
            x, width = spans[step.id] or (None, None)
            rows.append(
                Row(
                    step=step,
                    state=state,
                    seconds=took,
                    x=x,
                    width=width,
                    is_root=step.id in roots,
                    is_critical=step.id in critical,
                    path=path[step.id],
                )
            )
        shown = platform if len(platforms) > 1 else ""
        made.append(Lane(stage, shown, tuple(_runs(rows, 0.0 if lives else 100 * pixel)), path[_heading(at)]))
    return Waterfall(tuple(made), tuple(ticks(seconds, MOST_TICKS << zoom)) if seconds else (), seconds)


def horizon_seconds(elapsed_seconds: float) -> float:
    """How much time the drawing of a running build shows: round, and with room, so that bars grow and it seldom shrinks."""
    needed = max(elapsed_seconds * 1.02, 0.001)
    if needed > _HORIZONS[-1]:
        return 1800.0 * math.ceil(needed / 1800)
    return float(next(one for one in _HORIZONS if one >= needed))


def ticks(seconds: float, most: int = MOST_TICKS) -> list[Tick]:
    """Round times from 0 on, and about so many: of clocks above a second, below it 1, 2 and 5 with zeros."""
    step = _tick_step(seconds / most)
    count = math.floor(seconds / step + 1e-9)
    return [Tick(_rounded(100 * at * step / seconds), _tick_text(at * step, step)) for at in range(count + 1)]


def path_segments(
    order: Sequence[str], chain: Sequence[tuple[str, tuple[float, float] | None]]
) -> defaultdict[str, tuple[Segment, ...]]:
    """The pieces of a line through rows, by the row's id.

    `order` has the ids of all rows from the top down, `chain` those that the line goes through in its own order, each
    with place and width of its bar. The line runs below a bar to where the next one begins, and from there up or down.
    """
    places = {row_id: at for at, row_id in enumerate(order)}
    found: defaultdict[str, dict[Segment, None]] = defaultdict(dict)
    known = [(row_id, span) for row_id, span in chain if span is not None and row_id in places]
    if sum(abs(places[last] - places[first]) for (first, _), (last, _) in pairwise(known)) > MOST_CROSSED:
        return defaultdict(tuple)  # a line to and fro across so many rows shows nobody anything
    for at, (row_id, (x, width)) in enumerate(known):
        following = known[at + 1][1][0] if at + 1 < len(known) else x
        # The next one may have begun a little earlier than this one ended, by what the engine tells.
        found[row_id][Segment(min(x, following), PATH_HEIGHT, max(_rounded(x + width), following), PATH_HEIGHT)] = None
    for (upper, _), (lower, (x, _)) in pairwise(known):
        first, last = places[upper], places[lower]
        is_down = first < last
        found[upper][Segment(x, PATH_HEIGHT, x, 1.0 if is_down else 0.0)] = None
        found[lower][Segment(x, 0.0 if is_down else 1.0, x, PATH_HEIGHT)] = None
        for between in order[min(first, last) + 1 : max(first, last)]:
            found[between][Segment(x, 0.0, x, 1.0)] = None
    segments: defaultdict[str, tuple[Segment, ...]] = defaultdict(tuple)
    segments.update({row_id: tuple(pieces) for row_id, pieces in found.items()})
    return segments


def _chain(build: Build, pixel_seconds: float) -> list[Step]:
    """The critical path's steps that can be seen, as they began; the line stays whole, since it waits for the next one.

    None of a running build: nobody knows yet.
    """
    if build.completed_ns is None:
        return []
    on_path = [step for step in build.steps if step.on_critical_path]
    seen = [step for step in on_path if (step.duration_seconds or 0.0) >= pixel_seconds]
    return sorted(seen or on_path, key=lambda step: (step.started_ns or 0, step.completed_ns or 0))


def _heading(lane: int) -> str:
    return f"\0{lane}"  # no step's id


def _lane_of(step: Step) -> tuple[str, str]:
    if step.position is not None:
        return step.stage or "stage", step.platform
    return ("export" if step.kind in _EXPORTS else "preparation"), ""


def _span(step: Step, build: Build, now_ns: int, seconds: float | None) -> tuple[float, float] | None:
    """A bar as long as its step's duration: one that several stages use runs in short pieces, minutes apart."""
    if step.started_ns is None or not seconds:
        return None
    took = drawn_seconds(step, build, now_ns)
    start = min(max((step.started_ns - build.started_ns) / 1e9 / seconds, 0.0), 1.0)
    end = min(max(start + took / seconds, start), 1.0)
    x = _rounded(100 * start)
    return x, max(_rounded(_rounded(100 * end) - x), 0.0)


def drawn_seconds(step: Step, build: Build, now_ns: int) -> float:
    """How long a step that began is drawn: one without an end until the end of the build, or until now."""
    if step.duration_seconds is not None and step.completed_ns is not None:
        return step.duration_seconds
    end_ns = now_ns if build.completed_ns is None else build.completed_ns
    return max(end_ns - (step.started_ns or end_ns), 0) / 1e9


def step_state(step: Step, *, lives: bool) -> str:
    """How a step stands: "waiting" or "running" in a build that lives, else its outcome."""
    if lives and step.started_ns is None:
        return "waiting"
    if lives and step.completed_ns is None:
        return "running"
    return step.outcome.value


def _runs(rows: Iterable[Row], pixel: float) -> list[Run]:
    """Rows side by side that took less than a pixel, which is so many per cent, are one run, all others one each.

    What decides the length, what missed for a cause of its own and what failed is always seen. While a build runs,
    nothing folds: a row must not go while somebody looks at it.
    """
    runs: list[Run] = []
    for is_quick, group in groupby(rows, key=lambda row: _is_quick(row, pixel)):
        together = tuple(group)
        runs += [Run(together)] if is_quick else [Run((row,)) for row in together]
    return runs


def _is_quick(row: Row, pixel: float) -> bool:
    return (
        row.width is not None
        and row.width < pixel
        and row.step.outcome in _FOLDED_OUTCOMES
        and not row.is_critical
        and not row.is_root
        and not row.step.error
    )


def _tick_step(least: float) -> float:
    if least > _LONG_TICKS[-1]:
        return 3600.0 * math.ceil(least / 3600)
    if least > 0.5:
        return float(next(one for one in _LONG_TICKS if one >= least))
    power: float = 10.0 ** math.floor(math.log10(least))
    return next((factor * power for factor in (1, 2, 5) if factor * power >= least), 10 * power)


def _tick_text(seconds: float, step: float) -> str:
    if 0 < seconds < 1 and step < 0.1:
        return f"{1000 * seconds:g} ms" if step >= 0.001 else f"{1e6 * seconds:g} µs"
    minutes, rest = divmod(round(seconds, 6), 60)
    hours, minutes = divmod(minutes, 60)
    parts = [f"{figure:g} {unit}" for figure, unit in ((hours, "h"), (minutes, "m"), (rest, "s")) if figure]
    return " ".join(parts) or "0 s"


def _rounded(per_cent: float) -> float:
    return round(per_cent, 3)
