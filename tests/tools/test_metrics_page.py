"""docs/metrics.md is what the catalog says, and its queries can be asked."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

import pytest

from buildprof.exporters.prometheus.catalog import CATALOG
from tools.metrics_page import EXAMPLES, PAGE, page


def test_the_page_is_as_the_catalog_is_now():
    assert PAGE.read_text() == page(), "docs/metrics.md is not up to date: make docs"


def test_every_metric_has_one_row():
    rows = re.findall(r"^\| `(buildprof_\w+)` \|", page(), re.MULTILINE)
    assert rows == [metric.full_name for metric in CATALOG]


@pytest.mark.parametrize(("question", "query"), EXAMPLES)
def test_a_query_names_only_metrics_and_labels_that_there_are(question, query):
    suffixes = {"histogram": ("_bucket", "_sum", "_count")}
    known = {
        metric.full_name + suffix: {*metric.labels, "le"}
        for metric in CATALOG
        for suffix in suffixes.get(metric.kind, ("",))
    }
    names = set(re.findall(r"buildprof_\w+", query))
    assert names
    assert names <= known.keys()
    grouped = {label.strip() for labels in re.findall(r"by \(([^)]*)\)", query) for label in labels.split(",")}
    assert all(grouped <= known[name] for name in names)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool (package prometheus) is not installed")
def test_promtool_can_read_the_queries(tmp_path):
    rules = [{"record": f"query{number}", "expr": query} for number, (_, query) in enumerate(EXAMPLES)]
    file = tmp_path / "rules.yaml"
    file.write_text(json.dumps({"groups": [{"name": "examples", "rules": rules}]}))  # JSON is YAML
    done = subprocess.run(["promtool", "check", "rules", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
