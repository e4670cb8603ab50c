"""Alertmanager's configuration, as it is and with a webhook filled in."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.deploy.test_rules import ALERTS

DIRECTORY = Path(__file__).parents[2] / "deploy/alertmanager"
CONFIGURATION = DIRECTORY / "alertmanager.yml"

needs_amtool = pytest.mark.skipif(
    shutil.which("amtool") is None, reason="amtool (package prometheus-alertmanager) is not installed"
)


def amtool(*arguments: str | Path) -> str:
    done = subprocess.run(["amtool", *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def start(tmp_path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `start` with an Alertmanager that only says how it was called."""
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "alertmanager").write_text('#!/bin/sh\necho "$@"\n')
    (tools / "alertmanager").chmod(0o755)
    return subprocess.run(
        [DIRECTORY / "start", CONFIGURATION, tmp_path, "--web.listen-address=:9093"],
        env={"PATH": f"{tools}:{os.environ['PATH']}", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@needs_amtool
def test_the_configuration_is_whole_with_nothing_configured():
    assert "SUCCESS" in amtool("check-config", CONFIGURATION)


@needs_amtool
@pytest.mark.parametrize("severity", ["critical", "warning", "info"])
def test_every_severity_is_routed_by_alert_and_project(severity):
    told = amtool("config", "routes", "test", f"--config.file={CONFIGURATION}", f"severity={severity}")
    assert told.strip() == "webhook"
    assert yaml.safe_load(CONFIGURATION.read_text())["route"]["group_by"] == ["alertname", "project"]


def test_what_holds_back_and_what_is_held_back_are_alerts():
    for rule in yaml.safe_load(CONFIGURATION.read_text())["inhibit_rules"]:
        for matcher in (*rule["source_matchers"], *rule["target_matchers"]):
            assert set(matcher.partition('"')[2].rstrip('"').split("|")) <= ALERTS.keys()


def test_without_a_webhook_it_starts_and_tells_nobody(tmp_path):
    done = start(tmp_path)
    filled = tmp_path / "alertmanager.yml"
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"--config.file={filled} --storage.path={tmp_path} --web.listen-address=:9093\n"
    assert filled.read_text() == CONFIGURATION.read_text()


@needs_amtool
@pytest.mark.parametrize("way", ["environment", "file"])
def test_a_webhook_is_filled_in_and_kept_from_others(tmp_path, way):
    url = "https://chat.example.com/hooks/a?b=c#d"
    (tmp_path / "url").write_text(f"{url}\n")
    given = {"ALERT_WEBHOOK": url} if way == "environment" else {"ALERT_WEBHOOK_FILE": str(tmp_path / "url")}
    assert start(tmp_path, **given).returncode == 0
    filled = tmp_path / "alertmanager.yml"
    assert yaml.safe_load(filled.read_text())["receivers"] == [{"name": "webhook", "webhook_configs": [{"url": url}]}]
    assert filled.stat().st_mode & 0o077 == 0
    amtool("check-config", filled)


@pytest.mark.parametrize("url", ["chat.example.com", "ftp://a", "http://a\nx: y", "http://a' b", "http://ä"])
def test_what_is_no_url_is_refused_in_one_line(tmp_path, url):
    done = start(tmp_path, ALERT_WEBHOOK=url)
    assert done.returncode == 2
    assert done.stderr.startswith("start: the webhook's URL ")
    assert done.stderr.count("\n") == 1
