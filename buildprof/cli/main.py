"""The `buildprof` command: finds the subcommand, and turns what goes wrong into one line and an exit code."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from typing import NoReturn

import click

from buildprof import __version__
from buildprof.cli.documented import write_examples
from buildprof.cli.failure import EXIT_UNREACHABLE, EXIT_USAGE, describe_failure
from buildprof.cli.version_command import version_line
from buildprof.model.text import clean

COMMANDS = (
    "agent", "builds", "show", "explain", "projects", "compare", "image", "import", "doctor", "catalog", "version",
)  # fmt: skip
EXAMPLES = ("buildprof agent", "buildprof show last", "buildprof builds --project shop --since 7d")
EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141
EXIT_BUG = 70


class ReaderGoneError(Exception):
    """Whoever read our output has seen enough. click would end a BrokenPipeError with 1, which means "no" here."""


class LazyGroup(click.Group):
    """A group whose commands live in `buildprof.cli.<name>_command`, as `command`, loaded when needed."""

    def invoke(self, ctx: click.Context) -> object:
        """Run the command, and whatever it has printed through to the reader."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError as error:
            raise ReaderGoneError from error
        return result

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write examples, then what click would."""
        write_examples(formatter, EXAMPLES)
        super().format_epilog(ctx, formatter)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        """Name the commands in the order in which one meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  # click's
        """Import a command."""
        if cmd_name not in COMMANDS:
            return None
        command = importlib.import_module(f"buildprof.cli.{cmd_name}_command").command
        return command if isinstance(command, click.Command) else None


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
    epilog="Exit codes: 0 done; 1 the answer is no; 2 wrong usage or configuration; 3 the engine or the store cannot be reached.",
)
@click.version_option(__version__, message=version_line(), help="Print the version and exit.")
def cli() -> None:
    """Say why Docker builds are slow.

    `buildprof agent` watches an engine; the other commands ask its store and
    need no running agent. A build's REF is its ref, a unique prefix of it, or
    `last`.
    """


def main() -> NoReturn:
    """Run the command line and exit."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a character shows a question mark; that is no reason to stop.
        if stream is not None:  # somebody may have closed it
            stream.reconfigure(errors="replace")  # type: ignore[union-attr]  # TextIOWrapper, unless a test replaced it
    try:
        # Not alone, click gives back the code of its own Exit, and else what the command returned: None.
        code = cli.main(prog_name="buildprof", standalone_mode=False)
    except (ReaderGoneError, BrokenPipeError):
        # What is left in the buffer goes nowhere, else Python would complain when it flushes stdout at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(EXIT_BROKEN_PIPE)
    except (KeyboardInterrupt, click.Abort):
        sys.exit(EXIT_INTERRUPTED)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        sys.exit(EXIT_USAGE)
    except OSError as error:
        click.echo(f"buildprof: {clean(error, 300)}", err=True)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # Python would try once more to write what could not be written
        sys.exit(EXIT_UNREACHABLE)
    except Exception as error:  # noqa: BLE001  # the last resort tells what is a bug from what a person can mend
        failure = describe_failure(error)
        if failure is None:
            traceback.print_exc()
            click.echo("buildprof: this is a bug; please report it with the lines above", err=True)
            sys.exit(EXIT_BUG)
        click.echo(f"buildprof: {failure.message}", err=True)
        sys.exit(failure.exit_code)
    sys.exit(code if isinstance(code, int) else 0)
