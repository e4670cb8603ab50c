"""The steps of a build as rows of text: outcome, time, size, and a bar where each stood in time. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rich.cells import cell_len

from buildprof.analysis.compare import step_size_bytes
from buildprof.analysis.misses import root_misses
from buildprof.analysis.reading_order import reading_order
from buildprof.analysis.step_words import least_marked_seconds, step_name, step_place
from buildprof.cli.lines import Line, Span, cut, pad, wrap
from buildprof.model.build import Build
from buildprof.model.step import Kind, Outcome, Step
from buildprof.model.text import MAX_TEXT, clean, human_duration, plural, said_duration, short_duration, short_size

FOLD_BELOW_SECONDS = 0.05

_FOLDED_KINDS = frozenset({Kind.METADATA, Kind.AUTH, Kind.DOCKERFILE, Kind.CONTEXT, Kind.OTHER})

OUTCOME_LABELS: dict[Outcome, Span] = {
    Outcome.HIT: ("hit", "green"),
    Outcome.MISS: ("miss", "yellow"),
    Outcome.FAILED: ("FAIL", "bold red"),
    Outcome.CANCELED: ("canc", "magenta"),
    Outcome.SKIPPED: ("skip", "dim"),
    Outcome.SHARED: ("shared", "cyan"),
    Outcome.NONE: ("–", "dim"),  # noqa: RUF001  # a dash, as one writes for "none"
}
_ROOT_MISS: Span = ("MISS", "bold yellow")
_RUNNING: Span = ("…", "bold")
_WAITING: Span = ("wait", "dim")

_EIGHTHS = " ▏▎▍▌▋▊▉"
_MIN_NAME, _MIN_BAR, _MAX_STAGE = 28, 16, 12
_MARK = " * "


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the waterfall, not laid out yet."""

    name: str
    label: Span = ("", "")
    time: str = ""
    size: str = ""
    stage: str = ""
    place: str = ""
    critical: bool = False
    started_ns: int | None = None
    completed_ns: int | None = None
    seconds: float | None = None
    heading: bool = False


def waterfall(build: Build, now_ns: int, width: int, *, fold: bool = True, max_rows: int | None = None) -> list[Line]:
    """The steps in `width` columns under one line of headings.

    `now_ns` ends what still runs. With `fold`, quick internal steps become one row and long names are cut; without it
    they go on below. With `max_rows`, the rows that are over longest give way.
    """
    rows = _rows(build, now_ns, fold=fold)
    if max_rows is not None and len(rows) > max_rows:
        rows = _newest(rows, max(max_rows - 1, 1))
    stage_width = min(max((cell_len(clean(row.stage, 40)) for row in rows), default=0), _MAX_STAGE)
    names = [_name_of(row, stage_width) for row in rows]
    cache = max(5, *(cell_len(row.label[0]) for row in rows), 0)
    time = max(5, *(len(row.time) for row in rows), 0)
    size = max(5, *(len(row.size) for row in rows), 0)
    # What is left for names and bars, after the mark and the space around the columns.
    left = width - len(_MARK) - 2 - cache - 1 - time - 1 - size - 2
    name = min(max(max(map(cell_len, names), default=0), _MIN_NAME), left - max(_MIN_BAR, left * 3 // 10))
    bar = left - name
    end_ns = now_ns if build.completed_ns is None else build.completed_ns
    total_ns = max(end_ns - build.started_ns, 1)
    has_scale = build.completed_ns is None or build.duration_seconds is not None

    headings = (
        f"   {pad('step', name)}  {pad('cache', cache)} {pad('time', time, 'right')} {pad('size', size, 'right')}  "
    )
    lines: list[Line] = [[((headings + _scale(total_ns, bar)) if has_scale else headings.rstrip(), "dim")]]
    for row, full in zip(rows, names, strict=True):
        shown, more = full, []
        if not fold and max_rows is None and cell_len(full) > name:
            indent = max(cell_len(full) - cell_len(row.name), 2)
            first, *rest = wrap(row.name, name - indent, most=len(row.name)) or [""]
            shown, more = full[: len(full) - len(row.name)] + first, [" " * indent + text for text in rest]
        if row.heading:
            lines.append([(f"   {cut(row.name, width - 3)}", "dim")])
            continue
        line: Line = [
            (_MARK if row.critical else "   ", "bold"),
            (pad(shown, name), "" if row.critical else "dim" if row.label[1] == "dim" else ""),
            ("  ", ""),
            (pad(row.label[0], cache), row.label[1]),
            (f" {pad(row.time, time, 'right')} {pad(row.size, size, 'right')}  ", ""),
        ]
        if row.started_ns is not None and has_scale:
            start = (row.started_ns - build.started_ns) / total_ns
            # For its duration: a step that several stages use runs in short pieces, minutes apart.
            took_ns = end_ns - row.started_ns if row.seconds is None else row.seconds * 1e9
            line.append(
                (draw_bar(start, start + took_ns / total_ns, bar), "" if row.label[1] == "dim" else row.label[1])
            )
        lines.append(line)
        lines += [[(f"   {text}", line[1][1])] for text in more]
    return lines


def draw_bar(start: float, end: float, width: int) -> str:
    """A bar from `start` to `end`, fractions of the whole, in at most `width` columns; never quite invisible.

    It ends on an eighth of a column and starts on a half: there are no blocks for right eighths.
    """
    start, end = min(max(start, 0.0), 1.0), min(max(end, 0.0), 1.0)
    first = min(round(start * width * 8), width * 8 - 1)
    last = max(round(end * width * 8), first + 1)
    column, offset = divmod(first, 8)
    if last <= (column + 1) * 8:
        # All in one column: the left blocks reach from its edge, so a bar in the right half takes the right ones.
        length = last - first
        block = ("▐" if length >= 3 else "▕") if offset >= 4 else _EIGHTHS[length] if length < 8 else "█"
        return " " * column + block
    head = "▐" if offset >= 4 else "█"
    full, rest = divmod(last - (column + 1) * 8, 8)
    return " " * column + head + "█" * full + _EIGHTHS[rest].strip()


def _rows(build: Build, now_ns: int, *, fold: bool) -> list[Row]:
    roots, least_seconds = root_misses(build.steps), least_marked_seconds(build)
    ordered = reading_order(build.steps)
    folded = [step for step in ordered if fold and _is_quick(step)]
    platforms = {step.platform for step in ordered if step.position is not None}
    rows: list[Row] = []
    if len(folded) > 1:
        seconds = sum(step.duration_seconds or 0.0 for step in folded)
        text = f"{len(folded)} internal {plural(len(folded), 'step')}, {human_duration(seconds)}"
        rows.append(Row(text, OUTCOME_LABELS[Outcome.NONE]))
        ordered = [step for step in ordered if not _is_quick(step)]
    place: tuple[str, str] | None = None
    for step in ordered:
        here = (step.platform, step.stage) if step.position is not None else None
        if here and len(platforms) > 1 and (place is None or here[0] != place[0]):
            rows.append(Row(clean(step.platform, 60) or "any platform", heading=True))
        row = _row(step, build, now_ns, is_root=step.id in roots, shows_stage=here != place)
        if (step.duration_seconds or 0.0) < least_seconds:
            row = replace(row, critical=False)
        rows.append(row if fold else replace(row, name=step_name(step, MAX_TEXT)))
        place = here
    return rows


def _row(step: Step, build: Build, now_ns: int, *, is_root: bool, shows_stage: bool) -> Row:
    lives = build.completed_ns is None
    seconds = step.duration_seconds
    label = _ROOT_MISS if is_root else OUTCOME_LABELS[step.outcome]
    if lives and step.started_ns is None:
        label = _WAITING
    elif lives and step.completed_ns is None and step.started_ns is not None:
        label, seconds = _RUNNING, max(now_ns - step.started_ns, 0) / 1e9
    size = step_size_bytes(step)
    return Row(
        name=step_name(step),
        label=label,
        time="" if seconds is None else short_duration(seconds),
        size="" if size is None else short_size(size),
        stage=clean(step.stage, 40) if shows_stage else "",
        place=step_place(step),
        # Of a build that runs, nobody knows yet which chain will decide.
        critical=step.on_critical_path and not lives,
        started_ns=step.started_ns,
        completed_ns=step.completed_ns,
        seconds=seconds,
    )


def _name_of(row: Row, stage_width: int) -> str:
    """Steps of a stage have columns for it and for their place in it; others start at the edge."""
    if not row.place:
        return row.name
    stage = f"{pad(row.stage, stage_width)}  " if stage_width else ""
    return f"{stage}{row.place} {row.name}"


def _is_quick(step: Step) -> bool:
    return (
        step.position is None
        and step.kind in _FOLDED_KINDS
        and step.outcome in {Outcome.NONE, Outcome.HIT}
        and step.completed_ns is not None
        and (step.duration_seconds or 0.0) < FOLD_BELOW_SECONDS
        and not step.on_critical_path
        and not step.error
    )


def _newest(rows: Sequence[Row], count: int) -> list[Row]:
    """The rows that run or ended last, in their order, after a line that counts the rest."""
    by_end = sorted(range(len(rows)), key=lambda at: _end_of(rows[at]), reverse=True)
    kept = sorted(by_end[:count])
    hidden = len(rows) - len(kept)
    return [Row(f"… {hidden} earlier {plural(hidden, 'row')}", heading=True)] + [rows[at] for at in kept]


def _end_of(row: Row) -> int:
    if row.started_ns is None:
        return 0
    return 2**63 if row.completed_ns is None else row.completed_ns


def _scale(total_ns: int, width: int) -> str:
    end = said_duration(total_ns / 1e9)
    rule = width - len("0 s ") - len(f" {end}")
    return f"0 s {'─' * rule} {end}" if rule > 0 else pad(end, width, "right")
