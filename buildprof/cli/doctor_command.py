"""`buildprof doctor`: what can be observed here and what not, why, and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from buildprof.cli.documented import DocumentedCommand
from buildprof.cli.failure import EXIT_NO
from buildprof.cli.options import Where, json_option, where_options
from buildprof.model.check import Check, CheckStatus
from buildprof.model.text import clean

if TYPE_CHECKING:
    from buildprof.cli.lines import Line

_STYLES = {CheckStatus.OK: "green", CheckStatus.DEGRADED: "yellow", CheckStatus.MISSING: "bold red"}


@click.command(
    "doctor",
    cls=DocumentedCommand,
    examples=(
        "buildprof doctor",
        "buildprof doctor --docker-host ssh://builder",
    ),
)
@click.option("--docker-host", metavar="URL", help="The engine: unix://, tcp:// or ssh://.")
@where_options
@json_option
def command(*, docker_host: str | None, where: Where, as_json: bool) -> None:
    """Say what can be observed here, what not, why, and what to do.

    The exit code is 1 if nothing can be observed.
    """
    from buildprof.doctor import run_checks

    checks = run_checks(where.settings(for_engine=True, docker_host=docker_host))

    from buildprof.cli.lines import output_width, write_json, write_lines
    from buildprof.model.document import check_document

    if as_json:
        write_json({"checks": [check_document(check) for check in checks]})
    else:
        write_lines(checkup(checks, output_width()), clipped=False)  # paths and commands are to be copied
    if not any(check.observes and check.status is not CheckStatus.MISSING for check in checks):
        raise click.exceptions.Exit(EXIT_NO)


def checkup(checks: Sequence[Check], width: int) -> list[Line]:
    """Status, name and detail of each check, and what to do below it. A word that is too long runs over the width."""
    from buildprof.cli.lines import flow, pad

    names = max((len(clean(check.name, 24)) for check in checks), default=0)
    indent = " " * (10 + names + 2)
    lines: list[Line] = []
    for check in checks:
        detail, *more = flow(clean(check.detail), width - len(indent)) or [""]
        lines.append(
            [
                (f"{check.status.value:<10}", _STYLES[check.status]),
                (f"{pad(clean(check.name, 24), names)}  ", "bold"),
                (detail, ""),
            ]
        )
        lines += [[(indent + text, "")] for text in more]
        lines += [[(indent + text, "dim")] for text in flow(_remedy(check), width - len(indent))]
    return lines


def _remedy(check: Check) -> str:
    return f"→ {clean(check.remedy)}" if check.remedy else ""
