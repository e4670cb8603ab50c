"""`buildprof compare`: two builds, step by step."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from buildprof.cli.documented import DocumentedCommand
from buildprof.cli.options import Where, json_option, where_options

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from buildprof.analysis.compare import Comparison
    from buildprof.analysis.growth import ImageGrowth


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
    is. Steps that are as they were are left out. Where both images were
    analysed, the layers and files that made them differ in size are shown.
    """
    from buildprof.cli.stored import opened_store

    with opened_store(where) as engine:
        from buildprof.analysis.compare import compare_builds
        from buildprof.store.queries import find_build

        first, second = (find_build(engine, ref, with_recipes=True) for ref in (before, after))
        swapped = first.started_ns > second.started_ns
        comparison = compare_builds(second, first) if swapped else compare_builds(first, second)
        growth = _growth(engine, where, comparison)
    _write(comparison, growth, show_all=show_all, swapped=swapped, as_json=as_json)


def _growth(engine: Engine, where: Where, comparison: Comparison) -> ImageGrowth | None:
    before, after = comparison.before, comparison.after
    if before.image is None or after.image is None or before.image.id == after.image.id:
        return None
    from buildprof.capture.image_growth import image_growth

    return image_growth(engine, where.settings, before, after)


def _write(comparison: Comparison, growth: ImageGrowth | None, *, show_all: bool, swapped: bool, as_json: bool) -> None:
    from buildprof.analysis.compare import compare_document
    from buildprof.analysis.growth_document import growth_document
    from buildprof.cli.difference import difference
    from buildprof.cli.growth import growth_lines
    from buildprof.cli.lines import output_width, write_json, write_lines

    if as_json:
        image = None if growth is None else growth_document(growth)
        write_json({**compare_document(comparison), "image_growth": image})
        return
    width = output_width()
    lines = difference(comparison, time.time_ns(), width, show_all=show_all, swapped=swapped)
    write_lines(lines + (growth_lines(growth, width) if growth is not None else []))
