"""`buildprof version`."""

from __future__ import annotations

import platform

import click

from buildprof import __version__
from buildprof.cli.documented import DocumentedCommand
from buildprof.cli.options import json_option


def version_line() -> str:
    """Our version, and that of the interpreter."""
    return f"buildprof {__version__} on Python {platform.python_version()}"


@click.command(
    "version",
    cls=DocumentedCommand,
    examples=("buildprof version",),
)
@json_option
def command(*, as_json: bool) -> None:
    """Print the version."""
    if as_json:
        click.echo(f'{{"version": "{__version__}", "python": "{platform.python_version()}"}}')
    else:
        click.echo(version_line())
