"""`buildprof import`: a progress stream or an archive becomes builds."""

from __future__ import annotations

import time
from pathlib import Path

import click

from buildprof.cli.documented import DocumentedCommand
from buildprof.cli.options import Where, json_option, where_options


@click.command(
    "import",
    cls=DocumentedCommand,
    examples=(
        "docker buildx build --progress=rawjson . 2>&1 | buildprof import -",
        "buildprof import build.dockerbuild",
    ),
)
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--project", metavar="P", help="The project that was built.")
@click.option("--target", metavar="T", help="The target that was built.")
@where_options
@json_option
def command(*, file: Path, project: str | None, target: str | None, where: Where, as_json: bool) -> None:
    """Make builds of a progress log or an archive.

    FILE is what --progress=rawjson wrote or a .dockerbuild archive of buildx;
    - is standard input. Its builds are stored, and shown as `show` does.
    """
    from buildprof.capture.imported import BUILDER, import_file

    settings = where.settings()
    try:
        builds = import_file(settings, None if str(file) == "-" else file, project, target)
    except OSError as error:
        raise click.UsageError(f"{file}: cannot be read: {error.strerror}") from error

    from buildprof.analysis.build_words import build_label
    from buildprof.cli.lines import output_width, write_json, write_lines
    from buildprof.cli.profile import profile
    from buildprof.model.document import build_document

    known = dict.fromkeys(build_label(build) for build in builds if build.builder != BUILDER)
    if known:
        ignored = "; --project and --target are ignored" if project or target else ""
        click.echo(f"already stored as {' and '.join(known)} by the agent{ignored}", err=True)
    if as_json:
        write_json({"builds": [build_document(build) for build in builds]})
        return
    for number, build in enumerate(builds):
        write_lines([*([[]] if number else []), *profile(build, None, time.time_ns(), output_width())])
