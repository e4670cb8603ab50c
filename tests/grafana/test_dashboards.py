import json
import re
from itertools import combinations

import pytest
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models import dashboard as model

from buildprof.exporters.prometheus.catalog import CATALOG
from buildprof.model.regression import MEASURED
from grafana.__main__ import DASHBOARDS
from grafana.frame import DIRECTORY, as_json
from tests.grafana.boards import BOARDS, QUERIES, SAMPLES, VARIABLES, panels, selectors

SHOWN_NOWHERE: dict[str, str] = {}
"""Metrics that no panel shows, each with the reason."""


def exprs(board):
    """What a dashboard asks Prometheus: queries, and those of its variables."""
    asked = [one.expr for one in QUERIES if one.board == board["title"]]
    return asked + [one["query"] for title, one in VARIABLES if title == board["title"]]


every_board = pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)


@pytest.mark.parametrize("name", DASHBOARDS)
def test_the_committed_file_is_what_its_source_makes(name):
    assert (DIRECTORY / name).read_text(encoding="utf-8") == as_json(DASHBOARDS[name]()), "run `make dashboards`"


def test_no_other_file_is_committed():
    assert {file.name for file in DIRECTORY.glob("*.json")} == set(DASHBOARDS)


@pytest.mark.parametrize("name", DASHBOARDS)
def test_the_models_of_the_sdk_read_it_and_write_the_same(name):
    register_default_plugins()
    text = (DIRECTORY / name).read_text(encoding="utf-8")
    assert as_json(model.Dashboard.from_json(json.loads(text))) == text


@every_board
def test_it_is_of_the_classic_schema(board):
    assert board["schemaVersion"] == 42
    assert {"panels", "templating", "annotations", "time", "title", "uid"} <= set(board)
    assert "apiVersion" not in board
    assert "id" not in board  # Grafana's own number


def test_names_and_addresses_are_not_used_twice():
    assert len({board["uid"] for board in BOARDS.values()}) == len(BOARDS)
    assert len({board["title"] for board in BOARDS.values()}) == len(BOARDS)
    for board in BOARDS.values():
        numbers = [one["id"] for panel in board["panels"] for one in (panel, *panel.get("panels", ()))]
        assert len(set(numbers)) == len(numbers)
        titles = [one["title"] for one in panels(board)]
        assert len(set(titles)) == len(titles)


@every_board
def test_no_panel_overlaps_another_or_leaves_the_grid(board):
    open_panels = board["panels"]
    closed = [panel["panels"] for panel in board["panels"] if panel.get("collapsed")]
    for together in (open_panels, *closed):
        for panel in together:
            at = panel["gridPos"]
            assert at["x"] >= 0
            assert at["y"] >= 0
            assert at["x"] + at["w"] <= 24
        for one, other in combinations((panel["gridPos"] for panel in together), 2):
            apart_x = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
            apart_y = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
            assert apart_x or apart_y, (one, other)


@every_board
def test_it_opens_with_a_strip_of_figures_then_graphs_then_closed_rows(board):
    kinds = [panel["type"] for panel in board["panels"]]
    strip = [panel for panel in board["panels"] if panel["type"] == "stat"]
    assert 4 <= len(strip) <= 6
    assert kinds[: len(strip)] == ["stat"] * len(strip)
    assert {panel["gridPos"]["y"] for panel in strip} == {0}
    first_row = kinds.index("row")
    assert set(kinds[first_row:]) == {"row"}
    assert all(panel["collapsed"] and panel["panels"] for panel in board["panels"][first_row:])


@every_board
def test_every_description_says_how_a_bad_value_looks_and_what_to_do(board):
    for panel in panels(board):
        what, bad, then = panel["description"].split("\n\n")
        assert len(what) > 15, panel["title"]
        assert re.fullmatch(r"\*\*Bad:\*\* .{6,}\.", bad), panel["title"]
        assert re.fullmatch(r"\*\*Then:\*\* .{12,}\.", then), panel["title"]


@every_board
def test_no_limit_is_a_constant(board):
    """Only counts and states that are verdicts already may turn red; what is too much is drawn from the baselines."""
    for panel in panels(board):
        steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
        assert steps[0] == {"value": None, "color": "text"}
        if len(steps) > 1:
            (target,) = panel["targets"]
            assert re.search(r"count\(.*(regression_active|source_up).* == [01]\) or vector\(0\)$", target["expr"])
            assert [step["value"] for step in steps] == [None, 1]


def test_limits_are_drawn_for_every_signal_that_has_one():
    drawn = {
        (selector["name"], signal)
        for asked in QUERIES
        for selector in selectors(asked.expr)
        for signal in re.findall(r'signal="(\w+)"', selector["where"])
    }
    kinds = ("baseline_median", "baseline_threshold")
    assert drawn == {(f"buildprof_{kind}", signal.value) for kind in kinds for signal in MEASURED}


@every_board
def test_it_is_readable_in_light_and_dark(board):
    """Colours by name, which each theme has its own shade of; no background of our own."""
    text = json.dumps(board)
    assert not re.search(r"#[0-9a-fA-F]{3,8}\b|rgba?\(", text)
    assert "background" not in text
    assert "style" not in board


@every_board
def test_every_graph_has_a_legend_and_a_tooltip(board):
    for panel in panels(board):
        if panel["type"] == "timeseries":
            options = panel["options"]
            assert options["legend"]["showLegend"]
            assert options["legend"]["placement"] == "bottom"
            assert options["tooltip"] == {"mode": "multi", "sort": "desc"}
            assert ("min" in panel["fieldConfig"]["defaults"]) != ("negative-Y" in json.dumps(panel["fieldConfig"]))
        if panel["fieldConfig"]["defaults"]["unit"] == "percentunit" and panel["type"] in {"timeseries", "bargauge"}:
            assert panel["fieldConfig"]["defaults"]["max"] == 1


@every_board
def test_regressions_and_prunes_are_marked(board):
    marks = {one["name"]: one["target"]["expr"] for one in board["annotations"]["list"]}
    assert "buildprof_regression_active" in marks["Regressions"]
    assert "buildprof_build_cache_evicted_records_total" in marks["Prunes and evictions"]


@every_board
def test_links_lead_to_the_other_dashboards_and_to_the_agent(board):
    addresses = [link["url"] for link in board["links"]]
    others = {other["uid"] for other in BOARDS.values()} - {board["uid"]}
    assert others == {match[1] for url in addresses if (match := re.match(r"/d/([\w-]+)\?", url))}
    assert addresses[-1].startswith("${agent:raw}/")
    known = {other["uid"] for other in BOARDS.values()}
    assert set(re.findall(r"/d/([\w-]+)", json.dumps(board))) <= known


@every_board
def test_links_take_no_other_variables_than_there_are(board):
    names = {one["name"] for one in board["templating"]["list"]}
    for used in re.findall(r"\$\{(\w+)[:}]", json.dumps(board)):
        assert used in names | {"__url_time_range"}, used


@every_board
def test_queries_take_no_other_variables_than_there_are(board):
    names = {one["name"] for one in board["templating"]["list"]}
    for expr in exprs(board):
        assert set(re.findall(r"\$(\w+)", expr)) <= names | {"__range", "__rate_interval", "__interval"}, expr


@every_board
def test_one_project_is_compared_as_text_and_many_as_a_pattern(board):
    """Grafana escapes the values of a variable as a pattern only where several can be chosen."""
    several = {one["name"]: one["multi"] for one in board["templating"]["list"]}
    for operator, name in re.findall(r'(=~|=)"\$(\w+)"', " ".join(exprs(board))):
        assert (operator == "=~") == several[name], name


def test_every_metric_of_the_catalog_is_shown_or_there_is_a_reason():
    shown = {
        SAMPLES[one["name"]].full_name for asked in QUERIES for one in selectors(asked.expr) if one["name"] in SAMPLES
    }
    assert shown | SHOWN_NOWHERE.keys() == {metric.full_name for metric in CATALOG}
    assert not shown & SHOWN_NOWHERE.keys()


def test_every_query_asks_for_metrics_and_labels_that_there_are():
    scraped = {"instance", "job", "le"}
    for expr in (one for board in BOARDS.values() for one in exprs(board)):
        for selector in selectors(expr):
            metric = SAMPLES[selector["name"]]
            assert set(re.findall(r"(\w+)=~?\"", selector["where"] or "")) <= {*metric.labels, *scraped}, selector[0]
