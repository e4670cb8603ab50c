"""`buildprof builds`: the builds, newest first."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from buildprof.cli.documented import DocumentedCommand
from buildprof.cli.failure import Answer
from buildprof.cli.options import UNKNOWN, Since, Where, json_option, where_options
from buildprof.model.text import clean, rfc3339, short_age, short_duration, short_size

if TYPE_CHECKING:
    from buildprof.cli.lines import Line, Span
    from buildprof.model.build import Build

MIN_REF, MAX_REF = 8, 25
STATUSES = ("running", "completed", "failed", "canceled")


@click.command(
    "builds",
    cls=DocumentedCommand,
    examples=(
        "buildprof builds",
        "buildprof builds --project shop --status failed --since 7d",
        "buildprof builds --json --limit 1",
    ),
)
@click.option("--project", metavar="P", help="Builds of this project, or project/target.")
@click.option("--target", metavar="T", help="Builds of this target.")
@click.option("--status", type=click.Choice(STATUSES), help="Builds that stand so.")
@click.option("--since", "since_ns", type=Since(), metavar="7d", help="Started since: 30m, 12h, 7d, 2w, or a time.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=20, show_default=True, help="At most so many.")
@where_options
@json_option
def command(  # noqa: PLR0913  # one for each option
    *,
    project: str | None,
    target: str | None,
    status: str | None,
    since_ns: int | None,
    limit: int,
    where: Where,
    as_json: bool,
) -> None:
    """List builds, newest first."""
    from buildprof.cli.stored import NO_BUILDS, opened_store

    with opened_store(where) as engine:
        from buildprof.model.build import Status
        from buildprof.store.queries import BuildFilter, list_builds

        if project and target is None and not list_builds(engine, BuildFilter(project, limit=1)):
            # The name that every command shows is project/target.
            head, _, tail = project.rpartition("/")
            if list_builds(engine, BuildFilter(head, tail, limit=1)):
                project, target = head, tail
        wanted = BuildFilter(project, target, Status(status) if status else None, since_ns, limit)
        builds = list_builds(engine, wanted)
        if not builds:
            asked = _asked(project, target, status, since_ns)
            raise Answer(f"no builds with {asked}; see `buildprof projects`" if asked else NO_BUILDS)
    from buildprof.cli.lines import output_width, write_json, write_lines

    if as_json:
        from buildprof.model.document import build_document

        write_json({"builds": [build_document(build, with_steps=False) for build in builds]})
    else:
        write_lines(builds_table(builds, time.time_ns(), output_width()))


def _asked(project: str | None, target: str | None, status: str | None, since_ns: int | None) -> str:
    """The filter, as one would type it."""
    since = None if since_ns is None else f"{rfc3339(since_ns)[:19]}Z"
    options = (("project", project), ("target", target), ("status", status), ("since", since))
    return " ".join(f"--{name} {clean(value, 60)}" for name, value in options if value is not None)


def builds_table(builds: Sequence[Build], now_ns: int, width: int) -> list[Line]:
    """One line for each build, refs as short as tells them apart."""
    from buildprof.cli.lines import table

    length = _unique_length([build.ref for build in builds])
    headers = ("ref", "build", "status", "started", "time", "hits", "saved", "size")
    rows = [_row(build, now_ns, length) for build in builds]
    return table(headers, rows, right=frozenset({4, 5, 6, 7}), flexible=1, width=width)


def _row(build: Build, now_ns: int, ref_length: int) -> list[Span]:
    from buildprof.analysis.build_words import build_label, shown_seconds
    from buildprof.cli.profile import STATUS_STYLES

    seconds, summary = shown_seconds(build, now_ns), build.summary
    size = build.image.size_bytes if build.image else None
    return [
        (clean(build.ref, 100)[:ref_length], ""),
        (build_label(build), "bold"),
        (build.status.value, STATUS_STYLES[build.status]),
        (short_age((now_ns - build.started_ns) / 1e9), ""),
        (UNKNOWN if seconds is None else short_duration(seconds), ""),
        (UNKNOWN if summary.hit_ratio is None else f"{summary.hit_ratio:.0%}", ""),
        (UNKNOWN if summary.saved_seconds is None else short_duration(summary.saved_seconds), ""),
        (UNKNOWN if size is None else short_size(size), ""),
    ]


def _unique_length(refs: Sequence[str]) -> int:
    """The shortest prefix, of eight at least, that tells these refs apart; 25 at most, the length of buildx's refs."""
    length, distinct = MIN_REF, len(set(refs))
    while length < MAX_REF and len({ref[:length] for ref in refs}) < distinct:
        length += 1
    return length
