"""`buildprof projects`: what is known about each project."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from buildprof.cli.documented import DocumentedCommand
from buildprof.cli.failure import Answer
from buildprof.cli.options import UNKNOWN, Where, json_option, where_options
from buildprof.model.build import DEFAULT_TARGET
from buildprof.model.text import clean, human_duration, human_size

if TYPE_CHECKING:
    from buildprof.cli.lines import Line, Span
    from buildprof.model.document import TargetFigures

LEGEND = "usual = median of the last 20 completed builds; trend = last against usual"
USUAL = 0.05
"""A duration this near to the median, as a part of it, is as usual."""


@click.command(
    "projects",
    cls=DocumentedCommand,
    examples=(
        "buildprof projects",
        "buildprof projects --json",
    ),
)
@where_options
@json_option
def command(*, where: Where, as_json: bool) -> None:
    """List projects: hit ratio, time lost to misses, size, trend.

    Figures are of the last 20 builds of each target; those that lost most
    time stand first. The trend compares the last build's time with the median.
    """
    from buildprof.cli.stored import NO_BUILDS, opened_store

    with opened_store(where) as engine:
        from buildprof.store.project_facts import list_projects

        projects = sorted(list_projects(engine), key=lambda one: -(one.executed_seconds or 0.0))
    if not projects:
        raise Answer(NO_BUILDS)
    from buildprof.cli.lines import output_width, write_json, write_lines

    if as_json:
        from buildprof.model.document import project_document

        write_json({"projects": [project_document(figures) for figures in projects]})
    else:
        write_lines(projects_table(projects, output_width()))


def projects_table(projects: Sequence[TargetFigures], width: int) -> list[Line]:
    """One line for each target of each project, then what the headings mean."""
    from buildprof.cli.lines import cut, table

    headers = ("project", "builds", "failed", "hits", "lost", "usual", "trend", "size", "grown")
    rows = table(headers, [_row(one) for one in projects], right=frozenset(range(1, 9)), flexible=0, width=width)
    return [*rows, [(cut(LEGEND, width), "dim")]]


def _row(figures: TargetFigures) -> list[Span]:
    project = clean(figures.project, 200)
    label = project if figures.target == DEFAULT_TARGET else f"{project}/{clean(figures.target, 200)}"
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
