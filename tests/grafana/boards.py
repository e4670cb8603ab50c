"""The committed dashboards as the tests read them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from buildprof.exporters.prometheus.catalog import CATALOG
from grafana.__main__ import DASHBOARDS
from grafana.frame import DIRECTORY

Json = dict[str, Any]

BOARDS: dict[str, Json] = {name: json.loads((DIRECTORY / name).read_text(encoding="utf-8")) for name in DASHBOARDS}

SAMPLES = {
    metric.full_name + suffix: metric
    for metric in CATALOG
    for suffix in (("_bucket", "_count", "_sum") if metric.kind == "histogram" else ("",))
}
"""Every name that a query can ask for, and its metric."""

SELECTOR = re.compile(r"(?P<name>buildprof_\w+)(?:\{(?P<where>[^}]*)\})?(?P<window>\[[^\]]*\])?")


@dataclass(frozen=True, slots=True)
class Asked:
    """A query, and where it stands. `legend` is the pattern of its series' names."""

    board: str
    place: str
    expr: str
    instant: bool = False
    legend: str = ""

    def __str__(self) -> str:
        return f"{self.board}: {self.place}"


def panels(board: Json) -> list[Json]:
    """All panels, those in closed rows too, without the rows."""
    return [
        one for panel in board["panels"] for one in (panel.get("panels", ()) if panel["type"] == "row" else [panel])
    ]


def _queries() -> Iterator[Asked]:
    for board in BOARDS.values():
        title = board["title"]
        for panel in panels(board):
            for target in panel["targets"]:
                place = f"{panel['title']} {target['refId']}"
                yield Asked(title, place, target["expr"], target["instant"], target["legendFormat"])
        for annotation in board["annotations"]["list"]:
            target = annotation["target"]
            yield Asked(title, annotation["name"], target["expr"], legend=annotation["titleFormat"])


def _variables() -> Iterator[tuple[str, Json]]:
    for board in BOARDS.values():
        yield from ((board["title"], one) for one in board["templating"]["list"] if one["type"] == "query")


QUERIES = tuple(_queries())
"""Every query of every panel and annotation."""

VARIABLES = tuple(_variables())
"""Every variable that asks Prometheus for its values, with its dashboard's title."""


def selectors(expr: str) -> list[re.Match[str]]:
    """Where a query names our metrics."""
    return list(SELECTOR.finditer(expr))
