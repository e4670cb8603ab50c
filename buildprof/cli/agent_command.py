"""`buildprof agent`: the daemon, in the foreground."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from buildprof.cli.documented import DocumentedCommand
from buildprof.cli.options import Where, where_options

if TYPE_CHECKING:
    from buildprof.config import Settings
    from buildprof.model.check import Check


@click.command(
    "agent",
    cls=DocumentedCommand,
    examples=(
        "buildprof agent",
        "buildprof agent --docker-host ssh://builder --data-dir /srv/buildprof",
    ),
)
@click.option("--docker-host", metavar="URL", help="The engine to observe: unix://, tcp:// or ssh://.")
@click.option("--listen", metavar="HOST:PORT", help="Where to serve HTTP.  [default: 127.0.0.1:19323]")
@click.option("--insecure-listen", is_flag=True, default=None, help="Serve others than this machine, unasked who.")
@click.option(
    "--watch",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Watch a directory from the start; repeatable. Those of builds are watched anyway.",
)
@click.option("--retention-days", type=int, metavar="N", help="Delete builds older than that.  [default: 90]")
@click.option("--log-level", type=click.Choice(("debug", "info", "warning", "error")), help="[default: info]")
@click.option("--log-format", type=click.Choice(("console", "json")), help="[default: console on a terminal]")
@where_options
def command(*, where: Where, **flags: object) -> None:
    """Watch a Docker Engine and profile every build on it.

    It runs in the foreground; SIGTERM ends it, SIGHUP makes it read its
    settings again. It needs to reach the engine's socket, and reads
    ~/.docker/buildx to tell which project a build is of.
    """
    settings = where.settings(for_engine=True, **flags)

    import buildprof.log  # noqa: F401  # before all others: it keeps structlog from loading rich
    from buildprof.agent import run_agent

    raise click.exceptions.Exit(run_agent(settings, lambda: where.settings(for_engine=True, **flags), _checks))


def _checks(settings: Settings) -> Sequence[Check]:
    """What `doctor` finds; it is loaded when somebody first looks at the page of health."""
    from buildprof.doctor import run_checks

    return run_checks(settings)
