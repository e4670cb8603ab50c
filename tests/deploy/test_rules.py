"""The rules for Prometheus: promtool's own tests of them, their runbooks, and what they name."""

from __future__ import annotations

import re
import shutil
import subprocess
from itertools import chain
from pathlib import Path

import pytest
import yaml

from buildprof.exporters.prometheus.catalog import CATALOG

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy/prometheus"
RUNBOOKS = ROOT / "docs/runbooks"
RUNBOOK_URL = "https://github.com/buildprof/buildprof/blob/main/docs/runbooks/{}.md"
"""Where an alert's runbook is; a fork that keeps its own replaces this, here and in the rules."""

TESTS = sorted((Path(__file__).parent / "rules").glob("*.test.yaml"))
SCENARIOS = ("noisy_project", "new_project", "quiet_night", "agent_restart")
FROM_PROMETHEUS = {"ALERTS", "up"}

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool (package prometheus) is not installed"
)


def rules(kind: str) -> dict[str, dict]:
    files = [yaml.safe_load(path.read_text()) for path in (PROMETHEUS / "rules").glob("*.yaml")]
    found = [rule for file in files for group in file["groups"] for rule in group["rules"] if kind in rule]
    assert len({rule[kind] for rule in found}) == len(found)
    return {rule[kind]: rule for rule in found}


ALERTS, RECORDS = rules("alert"), rules("record")


def promtool(*arguments: str | Path) -> str:
    done = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def metric_names(text: str) -> set[str]:
    """The metrics that an expression or a template names, histograms without their suffixes."""
    found = set(re.findall(r"\b(?:[a-z_]+:)?buildprof_\w+(?::\w+)?|\bup\b|\bALERTS\b", text))
    histograms = {metric.full_name for metric in CATALOG if metric.kind == "histogram"}
    return {next((one for one in histograms if name.startswith(f"{one}_")), name) for name in found}


@needs_promtool
@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.name.removesuffix(".test.yaml"))
def test_alerts_fire_and_stay_silent_as_told(path):
    promtool("test", "rules", path)


@needs_promtool
def test_promtool_has_nothing_to_object_to():
    told = promtool("check", "rules", "--lint=all", "--lint-fatal", *(PROMETHEUS / "rules").glob("*.yaml"))
    told += promtool("check", "config", PROMETHEUS / "prometheus.yml")
    assert not re.search("warn|error|fail|duplicate", told, re.IGNORECASE)


@needs_promtool
def test_the_configuration_of_a_fleet_is_whole_once_its_secrets_are_there(tmp_path):
    shutil.copytree(PROMETHEUS, tmp_path / "prometheus")
    secrets = tmp_path / "prometheus/fleet/secrets"
    secrets.mkdir()
    for name in ("token", "ca.pem"):
        (secrets / name).write_text("")
    told = promtool("check", "config", tmp_path / "prometheus/fleet/prometheus.yml")
    assert "2 rule files found" in told


def test_both_configurations_scrape_the_job_that_the_alerts_look_for():
    for path in (PROMETHEUS / "prometheus.yml", PROMETHEUS / "fleet/prometheus.yml"):
        assert "buildprof" in [job["job_name"] for job in yaml.safe_load(path.read_text())["scrape_configs"]]
    assert {job for one in ALERTS.values() for job in re.findall(r'job="(\w+)"', one["expr"])} == {"buildprof"}


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_says_how_bad_it_is_what_it_is_and_what_to_do(name):
    alert = ALERTS[name]
    assert alert["labels"]["severity"] in {"critical", "warning", "info"}
    annotations = alert["annotations"]
    assert {"summary", "description", "runbook_url"} <= annotations.keys() <= {
        "summary", "description", "runbook_url", "page",
    }  # fmt: skip
    assert annotations["runbook_url"] == RUNBOOK_URL.format(name)
    runbook = (RUNBOOKS / f"{name}.md").read_text()
    assert runbook.startswith(f"# {name}\n")
    headings = re.findall(r"^## (.+)$", runbook, re.MULTILINE)
    assert headings == ["Look", "Do", "Silence"]
    about_builds = "project" in alert["expr"]
    assert not about_builds or "$labels.project" in annotations["description"]


def test_every_runbook_has_an_alert_and_leads_to_others_that_exist():
    assert {path.stem for path in RUNBOOKS.glob("*.md")} == ALERTS.keys()
    for path in RUNBOOKS.glob("*.md"):
        for link in re.findall(r"\]\(([^)]+)\)", path.read_text()):
            assert (RUNBOOKS / link).exists(), f"{path.name}: {link}"


def test_rules_name_only_metrics_that_there_are():
    known = {metric.full_name for metric in CATALOG} | RECORDS.keys() | FROM_PROMETHEUS
    texts = [rule["expr"] for rule in chain(ALERTS.values(), RECORDS.values())]
    texts += [text for alert in ALERTS.values() for text in alert["annotations"].values() if "query" in text]
    assert {name for text in texts for name in metric_names(text)} - known == set()


@pytest.mark.parametrize("name", ALERTS)
def test_runbooks_name_only_metrics_that_there_are(name):
    known = {metric.full_name for metric in CATALOG} | RECORDS.keys() | FROM_PROMETHEUS
    queries = re.findall(r"```promql\n(.*?)```", (RUNBOOKS / f"{name}.md").read_text(), re.DOTALL)
    assert queries
    assert metric_names("".join(queries)) - known == set()


@needs_promtool
def test_queries_of_runbooks_can_be_asked(tmp_path):
    queries = [
        line
        for path in RUNBOOKS.glob("*.md")
        for block in re.findall(r"```promql\n(.*?)```", path.read_text(), re.DOTALL)
        for line in block.splitlines()
    ]
    group = {"name": "asked", "rules": [{"record": f"q{n}", "expr": query} for n, query in enumerate(queries)]}
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": [group]}))
    promtool("check", "rules", tmp_path / "rules.yaml")


def test_names_of_recorded_series_tell_their_labels():
    for name, rule in RECORDS.items():
        level, metric, operations = name.split(":")
        assert operations
        assert metric.startswith("buildprof_")
        by = re.search(r"by \(([^)]+)\)", rule["expr"])
        assert by is None or level == by[1].replace(", ", "_")
        assert by or f"{level}:buildprof_" in rule["expr"]


def test_every_alert_is_tested_to_fire_and_to_stay_silent():
    fires, silent = set(), set()
    for path in TESTS:
        for test in yaml.safe_load(path.read_text())["tests"]:
            for one in test.get("alert_rule_test", ()):
                (fires if one.get("exp_alerts") else silent).add(one["alertname"])
    assert fires == ALERTS.keys() == silent


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_no_alert_fires_at_any_time_of_a_scenario(scenario):
    """promtool runs them; here is seen to it that they ask for all alerts, over their whole length."""
    tests = yaml.safe_load((Path(__file__).parent / f"rules/{scenario}.test.yaml").read_text())["tests"]
    asked = [
        (one["expr"], one["eval_time"])
        for test in tests
        for one in test["promql_expr_test"]
        if one["expr"].startswith('count_over_time(ALERTS{alertstate="firing"}[') and not one["exp_samples"]
    ]
    assert asked
    assert all(expression.endswith(f"[{at}])") for expression, at in asked)
