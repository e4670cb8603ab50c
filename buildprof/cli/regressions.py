"""What got worse, as `projects` shows it. Lines only; nothing is read or written here."""

from __future__ import annotations

from collections.abc import Sequence

from buildprof.analysis.regression_words import worse_builds, worse_figures
from buildprof.cli.lines import Line, cut, flow
from buildprof.model.regression import Regression
from buildprof.model.text import clean

REF_CHARACTERS = 12
_INDENT = "   "


def regression_lines(regressed: Sequence[tuple[str, Regression]], width: int) -> list[Line]:
    """Two lines or more for each regression, by the name of its target. Nothing if there is none."""
    if not regressed:
        return []
    lines: list[Line] = [[], [(cut("worse than usual", width), "bold")]]
    for target, one in regressed:
        lines.append([(cut(clean(target, 100), width // 3), "bold"), (f"  {worse_figures(one)}", "red")])
        lines += [
            [(f"{_INDENT}{text}", "")] for text in flow(f"{_since(one)} {clean(one.changes.sentence, 1000)}", width - 3)
        ]
    return lines


def _since(one: Regression) -> str:
    ref = clean(one.since_ref, REF_CHARACTERS + 1).rstrip("…")[:REF_CHARACTERS]
    return f"Since build {ref}, {worse_builds(one)}."
