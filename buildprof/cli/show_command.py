"""`buildprof show`: one build as a waterfall of its steps, followed live while it runs."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import click

from buildprof.cli.documented import DocumentedCommand
from buildprof.cli.options import Where, json_option, where_options

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from buildprof.cli.lines import Line
    from buildprof.model.build import Build

REDRAW_SECONDS = 0.5


@click.command(
    "show",
    cls=DocumentedCommand,
    examples=(
        "buildprof show last",
        "buildprof show k6g3ggdn --all",
        "buildprof show last --json",
        "buildprof show last --trace > build.trace.json",
    ),
)
@click.argument("ref")
@click.option("--all", "show_all", is_flag=True, help="Every internal step and every log line that is kept.")
@click.option("--follow/--no-follow", default=True, help="On a terminal, follow a build that runs.  [default: follow]")
@click.option("--trace", "as_trace", is_flag=True, help="The steps as a file for Perfetto or chrome://tracing.")
@where_options
@json_option
def command(  # noqa: PLR0913  # one for each option
    *, ref: str, show_all: bool, follow: bool, as_trace: bool, where: Where, as_json: bool
) -> None:
    """Show one build as a waterfall of its steps.

    REF is a build's ref, a unique prefix of it, or `last`. MISS is a miss
    with a cause of its own, miss one that follows from another.
    With --trace, open what it prints at https://ui.perfetto.dev.
    """
    if as_trace and as_json:
        raise click.UsageError("--trace and --json exclude each other")
    from buildprof.cli.stored import opened_store

    with opened_store(where) as engine:
        from buildprof.cli.lines import write_json, write_lines
        from buildprof.model.build import Status
        from buildprof.model.document import build_document
        from buildprof.store.queries import find_build

        build = find_build(engine, ref)
        if as_json:
            write_json(build_document(build))
            return
        if as_trace:
            from buildprof.analysis.trace_events import trace_document
            from buildprof.store.explanations import stored_explanation

            write_json(trace_document(build, stored_explanation(engine, build), time.time_ns()))
            return
        if follow and build.status is Status.RUNNING and sys.stdout.isatty():
            build = _follow(engine, build, fold=not show_all)
        # What is asked for whole is not cut for a narrow place either.
        write_lines(_lines(engine, build, fold=not show_all), clipped=not show_all)


def _follow(engine: Engine, build: Build, *, fold: bool) -> Build:
    """Redraw until the build ends, and give the build as it ended."""
    from rich.live import Live

    from buildprof.cli.lines import as_text, make_console
    from buildprof.model.build import Status
    from buildprof.store.queries import find_build

    console = make_console()
    with Live(console=console, auto_refresh=False, transient=True, vertical_overflow="crop") as live:
        while build.status is Status.RUNNING:
            from rich.console import Group

            height = max(console.size.height - 1, 8)
            lines = _lines(engine, build, fold=fold, max_lines=height)
            live.update(Group(*map(as_text, lines)), refresh=True)
            time.sleep(REDRAW_SECONDS)
            build = find_build(engine, build.ref, builder=build.builder)
    return build


def _lines(engine: Engine, build: Build, *, fold: bool, max_lines: int | None = None) -> list[Line]:
    from buildprof.cli.lines import output_width
    from buildprof.cli.profile import profile
    from buildprof.model.build import UNKNOWN_PROJECT
    from buildprof.store.explanations import stored_explanation
    from buildprof.store.queries import previous_build
    from buildprof.store.short_ref import short_ref

    # Builds that could not be placed are not compared: they may be of different projects.
    previous = previous_build(engine, build) if build.project != UNKNOWN_PROJECT else None
    return profile(
        build,
        previous,
        time.time_ns(),
        output_width(),
        ref=short_ref(engine, build.ref),
        previous_ref=short_ref(engine, previous.ref) if previous else "",
        fold=fold,
        max_lines=max_lines,
        explanation=stored_explanation(engine, build),
    )
