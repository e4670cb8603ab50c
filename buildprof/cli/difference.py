"""Two builds side by side, as a person reads them. Pure."""

from __future__ import annotations

from itertools import takewhile

from rich.cells import cell_len

from buildprof.analysis.build_words import build_label, status_phrase
from buildprof.analysis.compare import Comparison, StepPair, step_text
from buildprof.analysis.compare_words import NOTABLE_SECONDS, differences_said, is_notable, other_base_said
from buildprof.analysis.step_words import step_name, step_place
from buildprof.cli.lines import Line, Span, cut, table
from buildprof.cli.profile import SHORT_REF, STATUS_STYLES
from buildprof.cli.waterfall import OUTCOME_LABELS
from buildprof.model.build import Build
from buildprof.model.step import Step
from buildprof.model.text import clean, human_age, plural, short_duration, short_size

MAX_BASES = 4

_MARKS = {
    "added": ("+", "green"),
    "removed": ("-", "red"),
    "base": ("~", "bold yellow"),
    "edited": ("~", "bold yellow"),
    "outcome": ("!", "bold yellow"),
    "same": (" ", ""),
}
_EDITED = "   edited  "


def difference(
    comparison: Comparison, now_ns: int, width: int, *, show_all: bool = False, swapped: bool = False
) -> list[Line]:
    """Both heads, the sums, then the steps that differ (all of them with `show_all`).

    `swapped` says that the builds were given in the other order.
    """
    lines = [_head("before", comparison.before, now_ns, width), _head("after", comparison.after, now_ns, width)]
    if swapped:
        lines.append([("swapped   ", "dim"), (cut("the later build was given first", width - 10), "")])
    if sums := " · ".join(differences_said(comparison)):
        lines.append([("differs   ", "dim"), (cut(sums, width - 10), "")])
    lines += [
        [("base      ", "dim"), (cut(other_base_said(one), width - 10), "")] for one in comparison.bases[:MAX_BASES]
    ]
    lines.append([])
    for key, build in (("earlier", comparison.before), ("later", comparison.after)):
        if not build.steps:
            return [*lines, [(f"   no steps are known of the {key} build", "dim")]]
    shown = [pair for pair in comparison.pairs if show_all or is_notable(pair)]
    if not shown:
        rest = ", on another base" if comparison.bases else ""
        return [*lines, [(f"   every step is as it was{rest}", "dim")]]
    headers = ("", "stage", "step", "before", "time", "after", "time", "change", "size")
    flexible = headers.index("step")
    titles, *rows = table(
        headers, [_row(pair) for pair in shown], right=frozenset({4, 6, 7, 8}), flexible=flexible, width=width
    )
    lines.append(titles)
    for pair, row in zip(shown, rows, strict=True):
        lines += [row, *_edit(pair, width)]
    hidden = len(comparison.pairs) - len(shown)
    if hidden:
        lines.append([(f"   {hidden} {plural(hidden, 'step')} as before", "dim")])
    return lines


def _head(key: str, build: Build, now_ns: int, width: int) -> Line:
    rest = f"  {status_phrase(build, now_ns)}  {human_age((now_ns - build.started_ns) / 1e9)}"
    name = cut(f"{clean(build.ref, 100)[:SHORT_REF]}  {build_label(build)}", max(width - 10 - len(rest), 8))
    return [(f"{key:<10}", "dim"), (name, "bold"), (rest, STATUS_STYLES[build.status])]


def _row(pair: StepPair) -> list[Span]:
    step, seconds, size = pair.step, pair.difference_seconds, pair.difference_bytes
    if seconds is None or abs(seconds) < NOTABLE_SECONDS:
        change: Span = ("", "")
    else:
        change = (("+" if seconds > 0 else "") + short_duration(seconds), "red" if seconds > 0 else "green")
    return [
        _MARKS[pair.change],
        (cut(clean(step.stage, 40), 12), ""),
        (f"{step_place(step)} {step_name(step)}".strip(), ""),
        *_side(pair.before),
        *_side(pair.after),
        change,
        ("" if not size else f"{'+' if size > 0 else ''}{short_size(size)}", ""),
    ]


def _edit(pair: StepPair, width: int) -> list[Line]:
    """The old text over the new one. Where they are too long, what they begin with alike gives way."""
    if pair.change != "edited" or pair.before is None or pair.after is None:
        return []
    old, new = clean(step_text(pair.before)), clean(step_text(pair.after))
    room = width - len(_EDITED) - 2
    shared = sum(1 for _ in takewhile(lambda both: both[0] == both[1], zip(old, new, strict=False)))
    if max(cell_len(old), cell_len(new)) > room and shared > room // 2:
        at = shared - room // 4
        old, new = f"…{old[at:]}", f"…{new[at:]}"
    return [
        [(_EDITED, "bold yellow"), (f"- {cut(old, room)}", "red")],
        [(" " * len(_EDITED), ""), (f"+ {cut(new, room)}", "green")],
    ]


def _side(step: Step | None) -> tuple[Span, Span]:
    if step is None:
        return ("", ""), ("", "")
    seconds = step.duration_seconds
    return OUTCOME_LABELS[step.outcome], ("" if seconds is None else short_duration(seconds), "")
