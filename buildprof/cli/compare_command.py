"""`buildprof compare`: two builds, step by step."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from buildprof.cli.documented import DocumentedCommand
from buildprof.cli.options import Where, json_option, where_options

if TYPE_CHECKING:
    from buildprof.analysis.compare import Comparison


@click.command(
    "compare",
    cls=DocumentedCommand,
    examples=(
        "buildprof compare k6g3ggdn last",
        "buildprof compare k6g3ggdn last --all",
    ),
)
@click.argument("before", metavar="REF")
@click.argument("after", metavar="REF")
@click.option("--all", "show_all", is_flag=True, help="Every step, also those that are as they were.")
@where_options
@json_option
def command(*, before: str, after: str, show_all: bool, where: Where, as_json: bool) -> None:
    """Compare two builds, step by step.

    The earlier build is `before`, in whichever order they are given. Steps
    are the same if their instruction is, else if their place in the stage
    is. Steps that are as they were are left out.
    """
    from buildprof.cli.stored import opened_store

    with opened_store(where) as engine:
        from buildprof.analysis.compare import compare_builds
        from buildprof.store.queries import find_build

        first, second = find_build(engine, before), find_build(engine, after)
    swapped = first.started_ns > second.started_ns
    comparison = compare_builds(second, first) if swapped else compare_builds(first, second)
    _write(comparison, show_all=show_all, swapped=swapped, as_json=as_json)


def _write(comparison: Comparison, *, show_all: bool, swapped: bool, as_json: bool) -> None:
    from buildprof.analysis.compare import compare_document
    from buildprof.cli.difference import difference
    from buildprof.cli.lines import output_width, write_json, write_lines

    if as_json:
        write_json(compare_document(comparison))
    else:
        write_lines(difference(comparison, time.time_ns(), output_width(), show_all=show_all, swapped=swapped))
