"""`buildprof image`: what an image is made of, and what of it nobody sees."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from buildprof.cli.documented import DocumentedCommand
from buildprof.cli.failure import Answer
from buildprof.cli.options import Where, json_option, where_options

if TYPE_CHECKING:
    from buildprof.analysis.gates import Growth
    from buildprof.capture.image_report import Place
    from buildprof.model.build import Build
    from buildprof.model.image import ImageReport
    from buildprof.sources.layers.engine import Reading


_MAX_PROCESSES = 4


class _Size(click.ParamType[int]):
    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        from buildprof.analysis.gates import parse_size

        try:
            return value if isinstance(value, int) else parse_size(str(value))
        except ValueError as error:
            self.fail(f"use {error}", param, ctx)


class _Share(click.ParamType[float]):
    name = "share"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        from buildprof.analysis.gates import parse_share

        try:
            return value if isinstance(value, float) else parse_share(str(value))
        except ValueError as error:
            self.fail(f"use {error}", param, ctx)


class _Growth(click.ParamType["Growth"]):
    name = "growth"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Growth:
        from buildprof.analysis.gates import parse_growth

        try:
            return parse_growth(str(value))
        except ValueError as error:
            self.fail(f"use {error}", param, ctx)


@click.command(
    "image",
    cls=DocumentedCommand,
    examples=(
        "buildprof image shop-web",
        "buildprof image shop-web --max-size 200MB --min-efficiency 0.95",
        "docker save shop-web | buildprof image -",
        "buildprof image ./oci-layout --json",
    ),
)
@click.argument("image")
@click.option("--max-size", type=_Size(), metavar="SIZE", help="Exit with 1 if the image is larger.")
@click.option("--min-efficiency", type=_Share(), metavar="SHARE", help="Exit with 1 if it is lower.")
@click.option("--max-wasted", type=_Size(), metavar="SIZE", help="Exit with 1 if more is wasted.")
@click.option("--max-growth", type=_Growth(), metavar="SHARE", help="Exit with 1 if it grew more since the last build.")
@click.option("--docker-host", metavar="URL", help="The engine: unix://, tcp:// or ssh://.")
@click.option("--build", "build_ref", metavar="REF", hidden=True)
@click.option("--background", is_flag=True, hidden=True)
@where_options
@json_option
def command(  # noqa: PLR0913  # each is an option
    *,
    image: str,
    max_size: int | None,
    min_efficiency: float | None,
    max_wasted: int | None,
    max_growth: Growth | None,
    docker_host: str | None,
    build_ref: str | None,
    background: bool,
    where: Where,
    as_json: bool,
) -> None:
    """Say what an image is made of, and what of it nobody sees.

    IMAGE is an image of the engine, or the path of a `docker save` or OCI
    archive or of an OCI directory (with a `/` in front or a `.`), or - for
    such an archive on standard input. Wasted are bytes that a later layer
    removes or replaces. Layers are read once: a rebuild costs its new ones.
    """
    from buildprof.analysis.gates import Gates, broken_gates
    from buildprof.capture.background import work_in_background
    from buildprof.capture.image_report import is_path, make_report, read_image

    if background:
        work_in_background()
    place = _place(where, docker_host, needs_engine=not is_path(image))
    with _progress(quiet=background) as reading:
        found, size_bytes = read_image(place, image, reading)
    build, before_bytes = _made_by(place, (found.id, *found.digests), build_ref)
    report = make_report(place, image, found, size_bytes, build)
    _write(report, as_json=as_json)
    if max_growth is not None and before_bytes is None:
        click.echo("buildprof: no earlier image of it is known: --max-growth was not checked", err=True)
    grown_bytes = None if before_bytes is None or report.size_bytes is None else report.size_bytes - before_bytes
    analysis = report.analysis
    broken = broken_gates(
        Gates(max_size, min_efficiency, max_wasted, max_growth),
        size_bytes=analysis.stored_bytes,
        wasted_bytes=analysis.wasted_bytes,
        efficiency=analysis.efficiency,
        base_wasted_bytes=analysis.base_wasted_bytes,
        grown_bytes=grown_bytes,
        before_bytes=before_bytes,
    )
    if broken:
        raise Answer(f"{report.image}: {'; '.join(broken)}")


def _processes() -> int:
    import os

    return min(os.cpu_count() or 1, _MAX_PROCESSES)


def _place(where: Where, docker_host: str | None, *, needs_engine: bool) -> Place:
    """By the short way where there is one: to read all settings takes as long as a rebuilt image."""
    import os

    from buildprof.capture.image_report import Place
    from buildprof.docker_context import DEFAULT_SOCKET, ContextError, active_docker_host
    from buildprof.store_location import home

    if (plain := where.plain_place()) is not None:
        try:
            host = docker_host or (active_docker_host(os.environ, home()).url if needs_engine else DEFAULT_SOCKET)
        except ContextError:
            host = ""
        if host.startswith("unix:///"):
            return Place(host, None, *plain)
    settings = where.settings(for_engine=needs_engine, docker_host=docker_host)
    where_it_is = (settings.docker_host, settings.docker_cert_dir, settings.data_dir, settings.store_url)
    return Place(*where_it_is, settings.redact, settings.allow_build_args)


def _made_by(place: Place, image_ids: tuple[str, ...], ref: str | None) -> tuple[Build | None, int | None]:
    """The build of an image, and the size of the image before. What it takes to ask is not loaded where no store is."""
    from buildprof.store_location import sqlite_file

    file = sqlite_file(place.store_url)
    if file is not None and not file.exists():
        return None, None
    from buildprof.capture.image_build import build_of

    return build_of(place.store_url, image_ids, ref)


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Reading]:
    """How layers are read: with a bar where there is a terminal; held back, by one process, if it is to be quiet."""
    import sys

    from buildprof.capture.background import Throttle
    from buildprof.sources.layers.engine import Reading

    if quiet or not sys.stderr.isatty():
        yield Reading(Throttle()) if quiet else Reading(lambda _size_bytes: None, _processes())
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("reading layers"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("layers", total=None)
        yield Reading(
            lambda size_bytes: progress.advance(task, size_bytes),
            _processes(),
            lambda size_bytes: progress.update(task, total=size_bytes),
        )


def _write(report: ImageReport, *, as_json: bool) -> None:
    from buildprof.cli.image import image_lines
    from buildprof.cli.lines import output_width, write_json, write_lines
    from buildprof.model.image_document import image_document

    if as_json:
        write_json(image_document(report))
    else:
        write_lines(image_lines(report, output_width()))
