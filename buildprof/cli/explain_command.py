"""`buildprof explain`: why each step of a build missed the cache."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from buildprof.cli.documented import DocumentedCommand
from buildprof.cli.failure import Answer
from buildprof.cli.options import Where, json_option, where_options

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from buildprof.model.build import Build
    from buildprof.model.explanation import Explanation

WEEK_NS = 7 * 86_400 * 10**9


@click.command(
    "explain",
    cls=DocumentedCommand,
    examples=(
        "buildprof explain last",
        "buildprof explain k6g3ggdn --json",
    ),
)
@click.argument("ref")
@where_options
@json_option
def command(*, ref: str, where: Where, as_json: bool) -> None:
    """Say why the steps of a build missed the cache.

    REF is a build's ref, a unique prefix of it, or `last`. Of every step that
    missed for a cause of its own: the cause, what followed from it, what it
    cost, what to do, and how it is known. The dearest stands first.
    """
    from buildprof.cli.stored import opened_store

    with opened_store(where) as engine:
        from buildprof.store.explanations import stored_explanation
        from buildprof.store.queries import find_build

        build = find_build(engine, ref)
        explanation = stored_explanation(engine, build)
        if explanation is None:
            raise Answer(_unexplained(build))
        if as_json:
            from buildprof.analysis.sentences import told
            from buildprof.cli.lines import write_json

            write_json(told(explanation, build))
        else:
            _write(engine, explanation, build)


def _unexplained(build: Build) -> str:
    from buildprof.model.build import Status
    from buildprof.model.text import clean

    ref = clean(build.ref, 60)
    if build.status is Status.RUNNING:
        return f"the build {ref} still runs; it is explained when it has ended"
    return f"the build {ref} is known, but not explained; only builds that the agent follows to their end are"


def _write(engine: Engine, explanation: Explanation, build: Build) -> None:
    from buildprof.cli.explanation import LOSSES, explanation_lines
    from buildprof.cli.lines import output_width, write_lines
    from buildprof.model.build import UNKNOWN_PROJECT
    from buildprof.store.explanations import losses
    from buildprof.store.short_ref import short_ref

    now_ns, compared = time.time_ns(), explanation.compared_to
    # Builds that could not be placed are no project: what they lost does not belong together.
    is_placed = build.project != UNKNOWN_PROJECT
    lost = losses(engine, now_ns - WEEK_NS, project=build.project, limit=LOSSES) if is_placed else []
    write_lines(
        explanation_lines(
            explanation,
            build,
            [loss for _, loss in lost],
            now_ns,
            output_width(),
            ref=short_ref(engine, build.ref),
            compared_ref=short_ref(engine, compared) if compared else "",
        )
    )
