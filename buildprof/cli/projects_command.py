"""`buildprof projects`: what is known about each project."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from buildprof.cli.documented import DocumentedCommand
from buildprof.cli.failure import Answer
from buildprof.cli.options import UNKNOWN, Since, Where, json_option, where_options
from buildprof.model.build import DEFAULT_TARGET
from buildprof.model.text import clean, human_age, human_duration, human_size

if TYPE_CHECKING:
    from buildprof.cli.lines import Line, Span
    from buildprof.model.document import TargetFigures
    from buildprof.model.explanation import Loss
    from buildprof.model.regression import Regression

LEGEND = "usual = median of the last 20 completed builds; trend = last against usual"
USUAL = 0.05
"""A duration this near to the median, as a part of it, is as usual."""

MAX_LOSSES = 1000
LOSSES_SHOWN = 10


@click.command(
    "projects",
    cls=DocumentedCommand,
    examples=(
        "buildprof projects",
        "buildprof projects --project shop --since 30d",
        "buildprof projects --json",
    ),
)
@click.option("--project", metavar="P", help="Only this project.")
@click.option("--since", type=Since(), default="7d", show_default=True, help="From when on lost time is told by cause.")
@where_options
@json_option
def command(*, project: str | None, since: int, where: Where, as_json: bool) -> None:
    """List projects: hit ratio, time lost to misses, size, trend, and what got worse.

    Figures are of the last 20 builds of each target; those that lost most
    time stand first. The trend compares the last build's time with the median.
    Below stands what is worse than it used to be, since which build and why;
    then what time was lost to: by cause, and by file.
    """
    from buildprof.cli.stored import NO_BUILDS, opened_store

    with opened_store(where) as engine:
        from buildprof.store.baselines import active_regressions
        from buildprof.store.explanations import losses
        from buildprof.store.project_facts import list_projects

        known = [one for one in list_projects(engine) if project is None or one.project == project]
        projects = sorted(known, key=lambda one: -(one.executed_seconds or 0.0))
        lost = losses(engine, since, project=project, limit=MAX_LOSSES)
        regressed = active_regressions(engine, project)
    if not projects:
        raise Answer(
            f"no builds with --project {clean(project, 100)}; see `buildprof projects`" if project else NO_BUILDS
        )
    from buildprof.cli.lines import output_width, write_json, write_lines

    if as_json:
        from buildprof.model.regression_document import project_with_regressions

        told = [project_with_regressions(one, regressed.get((one.project, one.target), ())) for one in projects]
        write_json({"projects": told, "losses": [loss_document(name, loss) for name, loss in lost]})
    else:
        width, since_when = output_width(), human_age((time.time_ns() - since) / 1e9)
        worse = [(one, worse) for one in projects for worse in regressed.get((one.project, one.target), ())]
        write_lines([*projects_table(projects, width), *_worse(worse, width), *lost_tables(lost, since_when, width)])


def loss_document(project: str, loss: Loss) -> dict[str, object]:
    """One thing that time was lost to; `subject` is the file, image, argument or URL, null where a cause has none."""
    return {
        "project": project,
        "cause": loss.cause.value,
        "subject": loss.subject or None,
        "seconds": round(loss.seconds, 9),
        "misses": loss.misses,
    }


def projects_table(projects: Sequence[TargetFigures], width: int) -> list[Line]:
    """One line for each target of each project, then what the headings mean."""
    from buildprof.cli.lines import cut, table

    headers = ("project", "builds", "failed", "hits", "lost", "usual", "trend", "size", "grown")
    rows = table(headers, [_row(one) for one in projects], right=frozenset(range(1, 9)), flexible=0, width=width)
    return [*rows, [(cut(LEGEND, width), "dim")]]


def lost_tables(losses: Sequence[tuple[str, Loss]], since_when: str, width: int) -> list[Line]:
    """What time was lost to, the dearest first: by cause, then by file. Nothing if none was lost."""
    from buildprof.analysis.advice import ignorable
    from buildprof.analysis.sentences import CAUSE_NAMES, loss_name
    from buildprof.model.explanation import Cause

    seconds, misses = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for project, loss in losses:
        seconds[project, CAUSE_NAMES[loss.cause]] += loss.seconds  # type: ignore[assignment]  # counts time, in seconds
        misses[project, CAUSE_NAMES[loss.cause]] += loss.misses
    causes = [(project, cause, "", lost, misses[project, cause]) for (project, cause), lost in seconds.most_common()]
    files = [
        (
            project,
            loss_name(loss),
            "usually no step needs it" if ignorable(loss.subject) else "",
            loss.seconds,
            loss.misses,
        )
        for project, loss in losses
        if loss.cause is Cause.SOURCE_CHANGED and loss.subject
    ]
    return [
        *_lost_table(f"lost since {since_when}, by cause", "cause", causes, width),
        *_lost_table(f"lost since {since_when}, by file", "file", files, width),
    ]


def _lost_table(title: str, heading: str, rows: Sequence[tuple[str, str, str, float, int]], width: int) -> list[Line]:
    from buildprof.cli.lines import cut, table

    if not rows:
        return []
    shown: list[list[Span]] = [
        [(clean(project, 100), "bold"), (human_duration(lost), ""), (str(misses), ""), (name, ""), (note, "dim")]
        for project, name, note, lost, misses in rows[:LOSSES_SHOWN]
    ]
    headers = ("project", "lost", "misses", heading, "")
    return [[], [(cut(title, width), "bold")], *table(headers, shown, right=frozenset({1, 2}), flexible=3, width=width)]


def _worse(regressed: Sequence[tuple[TargetFigures, Regression]], width: int) -> list[Line]:
    from buildprof.cli.regressions import regression_lines

    return regression_lines([(_label(figures), regression) for figures, regression in regressed], width)


def _label(figures: TargetFigures) -> str:
    project = clean(figures.project, 200)
    return project if figures.target == DEFAULT_TARGET else f"{project}/{clean(figures.target, 200)}"


def _row(figures: TargetFigures) -> list[Span]:
    label = _label(figures)
    usual, size, before = figures.median_duration_seconds, figures.image_size_bytes, figures.previous_image_size_bytes
    grown = None if size is None or before is None else size - before
    return [
        (label, "bold"),
        (str(figures.builds), ""),
        (str(figures.failures), "red" if figures.failures else ""),
        (UNKNOWN if figures.hit_ratio is None else f"{figures.hit_ratio:.0%}", ""),
        (UNKNOWN if figures.executed_seconds is None else human_duration(figures.executed_seconds), ""),
        (UNKNOWN if usual is None else human_duration(usual), ""),
        _trend(figures.trend),
        (UNKNOWN if size is None else human_size(size), ""),
        (UNKNOWN if grown is None else f"{'+' if grown > 0 else ''}{human_size(grown)}", ""),
    ]


def _trend(trend: float | None) -> Span:
    if trend is None:
        return UNKNOWN, ""
    if abs(trend - 1) <= USUAL:
        return "=", ""
    if trend >= 10:
        return f"{trend:.0f}x", "red"
    return f"{trend - 1:+.0%}", "red" if trend > 1 else "green"
