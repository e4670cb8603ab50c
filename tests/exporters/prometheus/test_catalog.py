from __future__ import annotations

import re

from buildprof.exporters.prometheus.catalog import CATALOG


def test_names_are_unique_and_follow_the_conventions():
    names = [metric.name for metric in CATALOG]
    assert len(set(names)) == len(names)
    for metric in CATALOG:
        assert re.fullmatch(r"[a-z][a-z0-9_]*", metric.name)
        assert metric.full_name == f"buildprof_{metric.name}"
        assert metric.name.endswith("_total") == (metric.kind == "counter")
        assert metric.name.endswith("_info") == (metric.kind == "info")
        assert not metric.unit or metric.name.removesuffix("_total").endswith(f"_{metric.unit}")


def test_help_is_one_sentence():
    for metric in CATALOG:
        assert re.fullmatch(r"[A-Z0-9][^\n\\\"]+\.", metric.help), metric.name


def test_no_label_can_name_a_single_build():
    allowed = {"builder", "project", "target", "instruction", "cause", "layer", "signal", "state", "source"}
    allowed |= {"version", "python"}
    assert {label for metric in CATALOG for label in metric.labels} <= allowed


def test_only_histograms_have_buckets():
    for metric in CATALOG:
        assert bool(metric.buckets) == (metric.kind == "histogram")
