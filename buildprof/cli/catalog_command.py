"""`buildprof catalog`: every metric."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from buildprof.cli.documented import DocumentedCommand
from buildprof.cli.options import json_option

if TYPE_CHECKING:
    from buildprof.cli.lines import Line


@click.command(
    "catalog",
    cls=DocumentedCommand,
    examples=(
        "buildprof catalog",
        "buildprof catalog --json",
    ),
)
@json_option
def command(*, as_json: bool) -> None:
    """List every metric with its kind, labels, unit and help."""
    from buildprof.cli.lines import output_width, write_json, write_lines
    from buildprof.exporters.prometheus.catalog import CATALOG

    if as_json:
        metrics = [
            {
                "name": metric.full_name,
                "kind": metric.kind,
                "help": metric.help,
                "labels": list(metric.labels),
                "unit": metric.unit or None,
            }
            for metric in CATALOG
        ]
        write_json({"metrics": metrics})
        return
    lines: list[Line] = []
    for metric in CATALOG:
        labels = f"{{{', '.join(metric.labels)}}}" if metric.labels else ""
        unit = f", {metric.unit}" if metric.unit else ""
        lines += _entry(f"{metric.full_name}{labels}", f"{metric.kind}{unit}", metric.help, output_width())
    write_lines(lines)


def _entry(name: str, kind: str, help_: str, width: int) -> list[Line]:
    from buildprof.cli.lines import wrap

    return [
        *([(text, "bold")] for text in wrap(name, width, most=3)),
        *([(f"    {text}", "")] for text in wrap(f"{kind}: {help_}", width - 4, most=6)),
    ]
