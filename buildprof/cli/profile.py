"""One build as a person reads it: what happened, how long, what it means, then the steps. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from shlex import quote

from rich.cells import cell_len

from buildprof.analysis.advice import advice
from buildprof.analysis.build_words import (
    asked,
    build_label,
    growth_bytes,
    hits_said,
    image_name_said,
    moved,
    revision_said,
    saved_said,
    size_change_said,
    status_phrase,
)
from buildprof.analysis.misses import root_misses
from buildprof.analysis.sentences import first_build_sentence, followed, is_first_build, miss_sentence
from buildprof.analysis.step_words import step_title
from buildprof.cli.lines import Line, cut, shorten, wrap
from buildprof.cli.waterfall import waterfall
from buildprof.model.build import Build, Image, Status, Summary
from buildprof.model.explanation import Explanation
from buildprof.model.step import Outcome, Step
from buildprof.model.text import (
    clean,
    clean_lines,
    human_age,
    human_size,
    plural,
    said_duration,
)

SHORT_REF = 12
"""How much of a ref is shown where the store was not asked how much of it is unique."""

LOG_LINES = 10
KEY = 10
"""Columns of the words that lines of the head begin with."""

WHY_LINES = 3
_WHY = 5

STATUS_STYLES = {
    Status.COMPLETED: "green",
    Status.FAILED: "bold red",
    Status.CANCELED: "magenta",
    Status.RUNNING: "bold cyan",
}


def profile(  # noqa: PLR0913  # the moment, the paper and the choices, all of them plain
    build: Build,
    previous: Build | None,
    now_ns: int,
    width: int,
    *,
    ref: str = "",
    previous_ref: str = "",
    fold: bool = True,
    max_lines: int | None = None,
    explanation: Explanation | None = None,
) -> list[Line]:
    """All that `show` prints. `previous` is the last build of the same target before this one, for the growth.

    `explanation` says why steps missed, where that is known: of the dearest miss it is shown.

    `ref` is as much of the build's ref as tells it apart, where that is known, `previous_ref` that of the build before
    it, to compare with. Without `fold` nothing is left out: every internal step, every log line kept. `max_lines` bounds the height.
    """
    head = [
        *what_happened(build, ref or build.ref[:SHORT_REF], now_ns, width),
        *_what_it_means(build, previous, width),
    ]
    if not build.steps:
        return [*head, [], [("   no steps are known of this build", "dim")]]
    refs = [quote(clean(one, 100)) for one in (previous_ref, ref) if one]
    compared = f"buildprof compare {' '.join(refs)}" if len(refs) == 2 else ""
    foot = _foot(build, compared, _why(explanation, build, ref or build.ref, width), width, fold=fold)
    room = None if max_lines is None else max(max_lines - len(head) - len(foot) - 2, 3)
    return [*head, [], *waterfall(build, now_ns, width, fold=fold, max_rows=room), *foot]


def what_happened(build: Build, shown_ref: str, now_ns: int, width: int) -> list[Line]:
    """The first line about a build, or two where it is long: which it is, how it stands, how long it took, its ref."""
    phrase = status_phrase(build, now_ns)
    when = "" if build.completed_ns is None else human_age((now_ns - build.completed_ns) / 1e9)
    ref = f"ref {clean(shown_ref, 100)}   builder {shorten(build.builder, 24)}"
    tail = f"  {phrase}" + (f"  {when}" if when else "")
    label = shorten(build_label(build), width - cell_len(tail))
    first: Line = [(label, "bold"), (f"  {phrase}", STATUS_STYLES[build.status])]
    if when:
        first.append((f"  {when}", ""))
    if cell_len(label) + cell_len(tail) + 3 + cell_len(ref) <= width:
        return [[*first, (f"   {ref}", "dim")]]
    return [first, [(cut(ref, width), "dim")]]


def _what_it_means(build: Build, previous: Build | None, width: int) -> list[Line]:
    said = [
        ("cache", _cache(build)),
        ("image", _image(build.image, previous.image if previous else None)),
        ("moved", _moved(build.summary)),
        ("asked", " · ".join(asked(build.options))),
        ("source", revision_said(build.vcs)),
    ]
    lines: list[Line] = [keyed(key, text, width) for key, text in said if text]
    if build.error is not None:
        lines += _error(build, width)
    return lines


def keyed(key: str, text: str, width: int) -> Line:
    """A line of the head: a word that says what it is about, and clean text."""
    return [(f"{key:<{KEY}}", "dim"), (cut(text, width - KEY), "")]


def _cache(build: Build) -> str:
    summary, parts = build.summary, []
    if hits := hits_said(summary):
        parts.append(hits)
        saved, unknown = saved_said(build)
        if saved:
            parts.append(f"saved {saved}" + (f" ({unknown})" if unknown else ""))
        elif unknown:
            parts.append(f"savings {unknown}")
        if summary.cache_misses and summary.executed_seconds is not None:
            parts.append(f"misses cost {said_duration(summary.executed_seconds)}")
    return " · ".join(parts)


def _image(image: Image | None, before: Image | None) -> str:
    if image is None:
        return ""
    text = image_name_said(image)
    if image.size_bytes is not None:
        text += f"  {human_size(image.size_bytes)}"
    if image.layers is not None:
        text += f" in {image.layers} {plural(image.layers, 'layer')}"
    if (grown := growth_bytes(image, before)) is not None:
        text += f" ({size_change_said(grown)} since the last build)"
    return text


def _moved(summary: Summary) -> str:
    """What the network and the disk took, where it took a tenth of a second or more."""
    return " · ".join(
        f"{f'{human_size(size)} of {what}' if size else what} {said_duration(seconds)}"
        for what, seconds, size in moved(summary)
        if seconds and seconds >= 0.05
    )


def _error(build: Build, width: int) -> list[Line]:
    if build.error is None:
        return []
    message = clean(build.error.message, 600) or "no reason given"
    room = width - KEY
    lines: list[Line] = []
    for chunk in wrap(message, room, most=3):
        key = "error" if not lines else ""
        lines.append([(f"{key:<{KEY}}", "dim"), (chunk, "red")])
    step = _find(build.steps, build.error.step_id)
    if step is not None:
        at = f"in {step_title(step)}" + (f", line {step.lines[0]} of the Dockerfile" if step.lines else "")
        lines.append(keyed("", at, width))
    return lines


def _why(explanation: Explanation | None, build: Build, ref: str, width: int) -> list[Line]:
    """Why the dearest root miss missed, what followed and what to do, in three lines; and where to read of the others.

    Where there is no room for all, what followed is left out, then what to do, rather than a sentence cut off.
    """
    if explanation is None or not explanation.misses:
        return []
    first, rest = explanation.misses[0], len(explanation.misses) - 1
    if is_first_build(explanation):
        texts, rest = [first_build_sentence(explanation, build)], 0
    else:
        said, after, remedy = miss_sentence(first, build), followed(first), advice(first, build)
        texts = [" ".join(filter(None, parts)) for parts in ((said, after, remedy), (said, remedy), (said,))]
    fitting = (text for text in texts if len(wrap(text, width - _WHY, most=WHY_LINES + 1)) <= WHY_LINES)
    chunks = wrap(next(fitting, texts[-1]), width - _WHY, most=WHY_LINES)
    lines: list[Line] = [[(f"{'' if at else 'why':<{_WHY}}", "dim"), (chunk, "")] for at, chunk in enumerate(chunks)]
    if rest:
        explain = f"buildprof explain {quote(clean(ref, 100))}"
        lines.append([(cut(f"{'':{_WHY}}… and {rest} more: {explain}", width), "dim")])
    return lines


def _foot(build: Build, compared: str, why: list[Line], width: int, *, fold: bool) -> list[Line]:
    lines: list[Line] = []
    path, total = build.summary.critical_path_seconds, build.duration_seconds
    if total is not None and any(step.on_critical_path for step in build.steps):
        text = " * on the critical path"
        if path is not None:
            text += f": {said_duration(path)} of {said_duration(total)}"
        lines.append([(text, "dim")])
    roots = root_misses(build.steps)
    if roots and any(step.outcome is Outcome.MISS and step.id not in roots for step in build.steps):
        lines.append([("   MISS has a cause of its own, miss follows from one", "dim")])
    if roots and compared:
        lines.append([(cut(f"   {compared} shows what changed", width), "dim")])
    if why:
        lines += [[], *why]
    if build.error is not None and build.error.log_tail:
        lines += [[], *_log(build, width, fold=fold)]
    return lines


def _log(build: Build, width: int, *, fold: bool) -> list[Line]:
    error = build.error
    if error is None:
        return []
    shown = [line for entry in error.log_tail[-200:] for line in clean_lines(entry, 1000)]
    shown = shown[-LOG_LINES:] if fold else shown
    step = _find(build.steps, error.step_id)
    title = f"the last {len(shown)} {plural(len(shown), 'line')} of {step_title(step) if step else 'the log'}"
    return [[(shorten(title, width), "bold")], *(_log_line(line, width) for line in shown)]


def _log_line(line: str, width: int) -> Line:
    return [("  │ ", "dim"), (cut(line, width - 4), "")]


def _find(steps: Iterable[Step], step_id: str | None) -> Step | None:
    return next((step for step in steps if step.id == step_id), None) if step_id else None
