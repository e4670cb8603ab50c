"""What people can do wrong or meet, as a line and an exit code."""

from __future__ import annotations

from dataclasses import dataclass

import click

from buildprof.model.text import clean

EXIT_NO = 1
EXIT_USAGE = 2
EXIT_UNREACHABLE = 3

_EXIT_CODES = {
    "buildprof.config.ConfigError": EXIT_USAGE,
    "buildprof.store.errors.NotFound": EXIT_NO,
    "buildprof.store.errors.Ambiguous": EXIT_USAGE,
    "buildprof.store.errors.StoreError": EXIT_UNREACHABLE,
    "buildprof.sources.endpoint.EndpointError": EXIT_UNREACHABLE,
    "buildprof.data_dir.AlreadyRunningError": EXIT_UNREACHABLE,
    "buildprof.sources.import_file.ImportFormatError": EXIT_USAGE,
    "buildprof.sources.layers.errors.LayerError": EXIT_USAGE,
    "buildprof.sources.layers.image_api.NoImageError": EXIT_NO,
    "buildprof.capture.imported.NoBuildError": EXIT_NO,
    "buildprof.web.server.ListenError": EXIT_USAGE,
}
"""By name, so that nothing is imported only to be told apart from."""


@dataclass(frozen=True, slots=True)
class Failure:
    """One line for people, and how the process ends."""

    message: str
    exit_code: int


class Answer(click.ClickException):
    """The answer is no: nothing found, or a check failed. Exit code 1."""

    exit_code = EXIT_NO


def describe_failure(error: Exception) -> Failure | None:
    """The line and exit code for an error that is nobody's bug; None for a bug."""
    if isinstance(error, click.UsageError):
        command = error.ctx.command_path if error.ctx else "buildprof"
        said = clean(error.format_message(), 500).rstrip(".")
        return Failure(f"{said}. See `{command} --help`.", EXIT_USAGE)
    if isinstance(error, click.ClickException):
        return Failure(clean(error.format_message(), 500), error.exit_code)
    for kind in type(error).__mro__:
        exit_code = _EXIT_CODES.get(f"{kind.__module__}.{kind.__qualname__}")
        if exit_code is not None:
            return Failure(_first_line(error), exit_code)
    return None


def _first_line(error: Exception) -> str:
    return clean(next(iter(str(error).strip().splitlines()), type(error).__name__), 500)
