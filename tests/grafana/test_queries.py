"""Every query of every dashboard, its variables filled in, asked of a Prometheus that scraped real builds."""

import math
import re

import pytest

from tests.grafana.boards import BOARDS, QUERIES, VARIABLES, panels

pytestmark = pytest.mark.engine

FILLED = {
    "__range": "120s",
    "__rate_interval": "10s",
    "__interval": "5s",
    "builder": ".+",
    "instance": ".+",
    "target": ".+",
    "project": "shop|toy",
}
ONE_PROJECT = FILLED | {"project": "shop"}

NO_DATA: dict[tuple[str, str], str] = {}
"""Queries that have no answer after these builds, and why."""

ZERO = {
    ("Builds / Overview", "Builds by result C"): "nobody cancelled",
    ("Builds / Project", "Builds by result C"): "nobody cancelled",
    ("Builds / Project", "Time in transfers per build B"): "no registry to pull from",
    ("Builds / Cache and storage", "Sources down A"): "all work",
    ("Builds / Cache and storage", "Events lost A"): "no queue was full",
    ("Builds / Cache and storage", "Restarts of sources A"): "nothing failed",
}
"""Queries whose answer is 0 after these builds, and why."""


def filled(expr, board):
    values = ONE_PROJECT if board == "Builds / Project" else FILLED
    return re.sub(r"\$(\w+)", lambda match: values[match[1]], expr)


def values(series):
    for one in series:
        for _, value in one["values"] if "values" in one else [one["value"]]:
            yield float(value)


@pytest.mark.parametrize("asked", QUERIES, ids=str)
def test_a_query_has_an_answer(asked, scraped):
    prometheus, _ = scraped
    series = prometheus.ask(filled(asked.expr, asked.board), instant=asked.instant)

    if (asked.board, asked.place) in NO_DATA:
        assert series == []
        return
    finite = [value for value in values(series) if math.isfinite(value)]
    assert finite
    assert any(finite) != ((asked.board, asked.place) in ZERO)
    for label in re.findall(r"\{\{(\w+)\}\}", asked.legend):
        assert all(label in one["metric"] for one in series)
    names = [re.sub(r"\{\{(\w+)\}\}", lambda match, one=one: one["metric"][match[1]], asked.legend) for one in series]
    assert asked.legend == "__auto" or len(set(names)) == len(names), names


@pytest.mark.parametrize(("board", "variable"), VARIABLES, ids=lambda one: one if isinstance(one, str) else one["name"])
def test_a_variable_has_values(board, variable, scraped):
    prometheus, _ = scraped
    match, label = re.fullmatch(r"label_values\((.+), (\w+)\)", filled(variable["query"], board)).groups()

    found = prometheus.get(f"label/{label}/values", match=match)

    expected = {"project": {"shop", "toy"}, "builder": {"default"}}.get(label)
    assert found
    assert expected is None or set(found) == expected


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
def test_the_columns_of_a_table_are_labels_and_values_of_its_queries(board, scraped):
    prometheus, _ = scraped
    for table in (panel for panel in panels(board) if panel["type"] == "table"):
        _merge, organize = table["transformations"]
        labels, answered = set(), []
        for target in table["targets"]:
            for one in prometheus.ask(filled(target["expr"], board["title"]), instant=True):
                labels |= one["metric"].keys()
                answered.append(target["refId"])
        named = {name for name in organize["options"]["renameByName"] if not name.startswith("Value")}
        assert labels == named or not answered, table["title"]
        headings = set(organize["options"]["renameByName"].values())
        overridden = {one["matcher"]["options"] for one in table["fieldConfig"]["overrides"]}
        assert overridden <= headings
        assert {one["displayName"] for one in table["options"]["sortBy"]} <= headings
        for field in re.findall(r"__data\.fields\.(\w+)", str(table)):
            assert field in named


def test_exemplars_are_builds(scraped):
    prometheus, ref = scraped
    (asked,) = [one for one in QUERIES if one.place == "Build duration A"]

    found = prometheus.get(
        "query_exemplars", query=filled(asked.expr, asked.board), start=str(prometheus.since), end="9999999999"
    )

    assert ref in {exemplar["labels"]["ref"] for series in found for exemplar in series["exemplars"]}
