"""The waterfall of a build's page: the rows of `analysis/waterfall` with their words, and heights in pixels."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2s

from buildprof.analysis.compare import step_size_bytes
from buildprof.analysis.step_words import step_name, step_place
from buildprof.analysis.waterfall import Lane, Row, Run, Segment, Waterfall
from buildprof.model.step import Step
from buildprof.model.text import clean, human_size, plural, said_duration
from buildprof.web.pages.drawing import Part

ROW_PIXELS = 26
LEAST_WIDTH = 0.15
"""Of a bar, in per cent: about a pixel."""

MAX_LABEL = 80
MAX_ROWS = 2000
MAX_INPUTS = 20

WORDS = {"none": "", "running": "runs", "waiting": "waits"}
"""What states are called that are not called by their own name."""


@dataclass(frozen=True, slots=True)
class Line:
    """A piece of the critical path: per cent across, pixels down. Uprights reach over the edge, so that they join."""

    x1: float
    y1: float
    x2: float
    y2: float


@dataclass(frozen=True, slots=True)
class StepRow:
    """One step as a row. `line` is where the Dockerfile has it, `why` the anchor of what is said of its miss."""

    id: str
    place: str
    label: str
    line: int | None
    state: str
    word: str
    why: str
    seconds: float | None
    size_bytes: int | None
    is_root: bool
    is_critical: bool
    bar: Part | None
    text: str
    path: tuple[Line, ...]
    inputs: str


@dataclass(frozen=True, slots=True)
class RunRows:
    """Rows, and of those that may be shown as one row its id, bar and words; `id` is "" for all others."""

    id: str
    label: str
    bar: Part | None
    seconds: float
    rows: tuple[StepRow, ...]

    @property
    def path(self) -> tuple[Line, ...]:
        """The critical path passes all of these rows alike."""
        return self.rows[0].path


@dataclass(frozen=True, slots=True)
class LaneRows:
    """A lane with its heading."""

    name: str
    platform: str
    text: str
    path: tuple[Line, ...]
    runs: tuple[RunRows, ...]


def row_id(step_id: str) -> str:
    """The id that a step's row has on the page of its build: the same whenever the page is made."""
    return f"s-{_short(step_id)}"


def why_id(step_id: str) -> str:
    """The id of what is said of a root miss."""
    return f"why-{_short(step_id)}"


def _short(step_id: str) -> str:
    return blake2s(step_id.encode("utf-8", "replace"), digest_size=4).hexdigest()


def state_word(state: str, *, is_root: bool) -> str:
    """What a state is called; as on the command line, a miss with a cause of its own is written large."""
    word = WORDS.get(state, state)
    return word.upper() if is_root else word


def lanes(drawn: Waterfall, explained: Collection[str], causes: Mapping[str, str]) -> list[LaneRows]:
    """The first MAX_ROWS rows of a waterfall.

    `explained` has the ids of misses that are explained, `causes` the root of each that follows.
    """
    known = {row.step.id for row in drawn.rows}
    shown, left = [], MAX_ROWS
    for lane in drawn.lanes:
        runs = _first_rows(lane.runs, left)
        left -= sum(len(run.rows) for run in runs)
        if runs:
            shown.append(_lane(lane, runs, known, explained, causes))
    return shown


def _first_rows(runs: Sequence[Run], most: int) -> list[Run]:
    first = []
    for run in runs:
        if most <= 0:
            break
        first.append(Run(run.rows[:most]))
        most -= len(run.rows)
    return first


def _lane(
    lane: Lane, runs: Sequence[Run], known: set[str], explained: Collection[str], causes: Mapping[str, str]
) -> LaneRows:
    said = f"{lane.steps} {plural(lane.steps, 'step')}" + (f", {said_duration(lane.seconds)}" if lane.seconds else "")
    return LaneRows(
        name=clean(lane.name, 80),
        platform=clean(lane.platform, 60),
        text=said,
        path=_lines(lane.path),
        runs=tuple(_run(run, known, explained, causes) for run in runs),
    )


def _run(run: Run, known: set[str], explained: Collection[str], causes: Mapping[str, str]) -> RunRows:
    rows = tuple(_row(row, known, explained, causes) for row in run.rows)
    if not run.is_folded:
        return RunRows("", "", None, run.seconds, rows)
    states = {row.state for row in rows}
    words = [WORDS.get(state, state) for state in sorted(states)]
    label = f"{len(rows)} quick steps" + (f", all {words[0]}" if len(words) == 1 and words[0] else "")
    kind = states.pop() if len(states) == 1 else "none"
    return RunRows(f"f-{_short(run.rows[0].step.id)}", label, _bar(run.x, run.end - run.x, kind), run.seconds, rows)


def _row(row: Row, known: set[str], explained: Collection[str], causes: Mapping[str, str]) -> StepRow:
    step = row.step
    cause = step.id if step.id in explained else causes.get(step.id, "")
    inputs = [row_id(one) for one in dict.fromkeys(step.inputs) if one in known and one != step.id]
    return StepRow(
        id=row_id(step.id),
        place=step_place(step).strip(),
        label=step_name(step, MAX_LABEL),
        line=step.lines[0] if step.lines else None,
        state=row.state,
        word=state_word(row.state, is_root=row.is_root),
        why=why_id(cause) if cause else "",
        seconds=row.seconds,
        size_bytes=step_size_bytes(step),
        is_root=row.is_root,
        is_critical=row.is_critical,
        bar=None if row.x is None else _bar(row.x, row.width or 0.0, row.state),
        text=bar_text(row),
        path=_lines(row.path),
        inputs=" ".join(inputs[:MAX_INPUTS]),
    )


def bar_text(row: Row) -> str:
    """What a bar says on hover, and to who cannot see it."""
    step = row.step
    if row.seconds is None:
        return "did not run" if step.started_ns is None else "began, but nobody knows how long it took"
    verb = {"none": "took", "running": "runs for"}.get(row.state, row.state)
    parts = [f"{verb} {said_duration(row.seconds)}"]
    if step.on_critical_path and row.state != "running":
        parts.append("on the critical path")
    elif step.slack_seconds is not None and row.state != "running":
        parts.append(f"slack {said_duration(step.slack_seconds)}")
    if step.saved_seconds:
        parts.append(f"saved {said_duration(step.saved_seconds)}")
    return ", ".join([*parts, *_used(step)])


def _used(step: Step) -> list[str]:
    used, parts = step.resources, []
    if used is not None and used.cpu_seconds:
        parts.append(f"processor {said_duration(used.cpu_seconds)}")
    if used is not None and used.memory_peak_bytes:
        parts.append(f"memory {human_size(used.memory_peak_bytes)}")
    return parts


def _bar(x: float, width: float, kind: str) -> Part:
    shown = max(width, LEAST_WIDTH)
    return Part(round(min(x, 100 - shown), 2), round(shown, 2), kind)


def _lines(path: Sequence[Segment]) -> tuple[Line, ...]:
    def pixels(height: float) -> float:
        return -1.0 if height <= 0 else ROW_PIXELS + 1.0 if height >= 1 else round(height * ROW_PIXELS, 1)

    return tuple(Line(round(one.x1, 2), pixels(one.y1), round(one.x2, 2), pixels(one.y2)) for one in path)
