"""The rules of grafana/dashboard-linter, by their names there. What is left out: grafana/dashboards/.lint."""

import re

import pytest
import yaml

from grafana.frame import DIRECTORY
from tests.grafana.boards import BOARDS, QUERIES, SAMPLES, VARIABLES, panels, selectors

LINT = yaml.safe_load((DIRECTORY / ".lint").read_text(encoding="utf-8"))
UNITS = {"short", "none", "percentunit", "decbytes", "Bps", "cps", "s", "dateTimeFromNow"}
"""Those of Grafana's that we use, by their ids in its list of value formats."""

CHECKED_ELSEWHERE = {
    "target-promql-rule": "test_queries asks Prometheus itself",
    "target-logql-rule": "no Loki",
    "target-logql-auto-rule": "no Loki",
}
RULES = {
    "template-datasource-rule", "template-job-rule", "template-instance-rule", "template-label-promql-rule",
    "template-on-time-change-reload-rule", "panel-datasource-rule", "panel-title-description-rule", "panel-units-rule",
    "panel-no-targets-rule", "target-logql-rule", "target-logql-auto-rule", "target-promql-rule",
    "target-rate-interval-rule", "target-job-rule", "target-instance-rule", "target-counter-agg-rule",
    "uneditable-dashboard",
}  # fmt: skip

every_board = pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)


def is_excluded(rule, board):
    excluded = LINT["exclusions"].get(rule)
    return bool(excluded) and board["title"] in {one["dashboard"] for one in excluded.get("entries", ())} | (
        set() if excluded.get("entries") else {board["title"]}
    )


def test_every_exclusion_names_a_rule_a_dashboard_and_a_reason():
    titles = {board["title"] for board in BOARDS.values()}
    for kind in ("exclusions", "warnings"):
        for rule, excluded in LINT[kind].items():
            assert rule in RULES
            assert len(excluded["reason"]) > 8
            assert {one["dashboard"] for one in excluded.get("entries", ())} <= titles


def test_every_rule_is_checked_here_or_there_is_a_reason():
    here = {name.removeprefix("test_").replace("_", "-") for name in globals() if name.startswith("test_")}
    always_excluded = {rule for rule, excluded in LINT["exclusions"].items() if not excluded.get("entries")}
    assert here & RULES | CHECKED_ELSEWHERE.keys() | always_excluded == RULES


@every_board
def test_template_datasource_rule(board):
    (source,) = [one for one in board["templating"]["list"] if one["type"] == "datasource"]
    assert (source["name"], source["label"], source["query"]) == ("datasource", "Data source", "prometheus")


@every_board
def test_template_instance_rule(board):
    found = {one["name"]: one for one in board["templating"]["list"]}.get("instance")
    assert (found is None) == is_excluded("template-instance-rule", board)
    if found:
        assert (found["type"], found["multi"], found["allValue"]) == ("query", True, ".+")


@every_board
def test_target_instance_rule(board):
    if is_excluded("target-instance-rule", board):
        return
    for asked in QUERIES:
        if asked.board == board["title"]:
            for selector in selectors(asked.expr):
                assert 'instance=~"$instance"' in (selector["where"] or ""), str(asked)


def test_template_label_promql_rule():
    for _, variable in VARIABLES:
        assert re.fullmatch(r"label_values\(buildprof_\w+(\{[^}]+\})?, [a-z]+\)", variable["query"])
        assert variable["definition"] == variable["query"]


def test_template_on_time_change_reload_rule():
    assert {variable["refresh"] for _, variable in VARIABLES} == {2}


@every_board
def test_panel_datasource_rule(board):
    source = {"type": "prometheus", "uid": "${datasource}"}
    for panel in panels(board):
        assert panel["datasource"] == source
        assert all(target["datasource"] == source for target in panel["targets"])
    assert all(one["datasource"] == source for one in board["annotations"]["list"])
    assert all(one["datasource"] == source for title, one in VARIABLES if title == board["title"])


@every_board
def test_panel_title_description_rule(board):
    assert all(panel["title"] and panel["description"] for panel in panels(board))
    assert board["description"]
    assert all(one["label"] and one["name"] for one in board["templating"]["list"])


@every_board
def test_panel_units_rule(board):
    for panel in panels(board):
        overrides = [one for each in panel["fieldConfig"]["overrides"] for one in each["properties"]]
        units = {one["value"] for one in overrides if one["id"] == "unit"}
        assert units | {panel["fieldConfig"]["defaults"]["unit"]} <= UNITS


@every_board
def test_panel_no_targets_rule(board):
    for panel in panels(board):
        refs = [target["refId"] for target in panel["targets"]]
        assert refs
        assert len(set(refs)) == len(refs)


def test_target_rate_interval_rule():
    for asked in QUERIES:
        windows = {selector["window"] for selector in selectors(asked.expr) if selector["window"]}
        assert windows <= {"[$__rate_interval]", "[$__range]"}, str(asked)
        assert "rate(buildprof" not in asked.expr or windows == {"[$__rate_interval]"}, str(asked)
        # A window of the whole time belongs to a figure; in a graph it may only choose what is drawn.
        assert "[$__range]" not in asked.expr.partition(" and on (")[0] or asked.instant, str(asked)
        assert "[$__rate_interval]" not in asked.expr or not asked.instant, str(asked)


def test_target_counter_agg_rule():
    for asked in QUERIES:
        for selector in selectors(asked.expr):
            before = asked.expr[: selector.start()]
            is_counted = SAMPLES[selector["name"]].kind in {"counter", "histogram"}
            assert bool(re.search(r"(increase|rate)\($", before)) == is_counted, f"{asked}: {selector[0]}"


@every_board
def test_uneditable_dashboard(board):
    assert board["editable"] is False
