"""The Dockerfile of a build, line by line, with what became of each instruction in the margin."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass

from markupsafe import Markup

from buildprof.analysis.compare import step_size_bytes
from buildprof.analysis.waterfall import step_state
from buildprof.model.build import Build, Source, Status
from buildprof.model.step import Kind, Step
from buildprof.model.text import clean_lines
from buildprof.web.pages.waterfall import row_id, state_word, why_id

MAX_LINES = 3000
MAX_LINE = 500

_NOT_KNOWN = {
    Source.IMPORT: "An imported file does not hold the text of the Dockerfile.",
    Source.CLASSIC: "The classic builder does not hand on the Dockerfile, and it was not found on this machine.",
}


@dataclass(frozen=True, slots=True)
class Margin:
    """What became of an instruction: of several steps the one that took longest, which `note` says."""

    row: str
    state: str
    word: str
    why: str
    seconds: float | None
    size_bytes: int | None
    is_root: bool
    note: str


@dataclass(frozen=True, slots=True)
class DockerfileLine:
    """One line as written, `text` already escaped with its indentation; a margin where an instruction begins."""

    number: int
    text: Markup
    margin: Margin | None


@dataclass(frozen=True, slots=True)
class Dockerfile:
    """The lines, and how many more there are; of a text that is not known the reason instead."""

    lines: tuple[DockerfileLine, ...]
    rest: int = 0
    reason: str = ""


def dockerfile(build: Build, roots: Collection[str], explained: Collection[str]) -> Dockerfile:
    """The Dockerfile with its margin. `roots` and `explained` are ids of root misses and of misses that are explained."""
    if not build.dockerfile_text:
        return Dockerfile((), reason=_reason(build))
    steps: defaultdict[int, list[Step]] = defaultdict(list)
    for step in build.steps:
        if step.lines:
            steps[step.lines[0]].append(step)
    texts = clean_lines(build.dockerfile_text, MAX_LINE)
    lines = [
        DockerfileLine(number, Markup.escape(text), _margin(steps[number], build, roots, explained))
        for number, text in enumerate(texts[:MAX_LINES], 1)
    ]
    return Dockerfile(tuple(lines), rest=max(len(texts) - MAX_LINES, 0))


def _reason(build: Build) -> str:
    if build.source in _NOT_KNOWN:
        return _NOT_KNOWN[build.source]
    if build.status is Status.RUNNING:
        return "Not known yet: the engine hands on the Dockerfile when the build has ended."
    return (
        "The engine hands on the Dockerfile of builds that succeeded. Of others it is read where this machine has the"
        " file, and the agent may read it."
    )


def _margin(steps: list[Step], build: Build, roots: Collection[str], explained: Collection[str]) -> Margin | None:
    if not steps:
        return None
    shown = max(steps, key=lambda step: (step.duration_seconds or 0.0, step.kind is not Kind.MERGE))
    platforms = len({step.platform for step in steps})
    sizes = [size for size in map(step_size_bytes, steps) if size is not None]
    state = step_state(shown, lives=build.completed_ns is None)
    return Margin(
        row=row_id(shown.id),
        state=state,
        word=state_word(state, is_root=shown.id in roots),
        why=why_id(shown.id) if shown.id in explained else "",
        seconds=shown.duration_seconds,
        size_bytes=max(sizes, default=None) if platforms == 1 else step_size_bytes(shown),
        is_root=shown.id in roots,
        note=f"longest of {platforms} platforms" if platforms > 1 else "",
    )
