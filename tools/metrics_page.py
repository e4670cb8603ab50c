"""Writes docs/metrics.md from the catalog: `make docs`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from buildprof.analysis.contributions import INSTRUCTIONS, MAX_LABEL_CHARACTERS, MAX_LAYERS, OTHER_LABEL
from buildprof.exporters.prometheus.catalog import CATALOG, Metric
from buildprof.exporters.prometheus.selfmetrics import CACHE_STATES
from buildprof.model.explanation import Cause
from buildprof.model.regression import Signal

PAGE = Path(__file__).parents[1] / "docs/metrics.md"

EXAMPLES = (
    ("Builds an hour", "sum by (project) (rate(buildprof_builds_total[1d])) * 3600"),
    (
        "Share of builds that failed in a day",
        (
            "sum by (project) (increase(buildprof_build_failures_total[1d]))\n"
            "  / (sum by (project) (increase(buildprof_builds_total[1d])) > 0)"
        ),
    ),
    (
        "How long nine of ten builds take at most",
        "histogram_quantile(0.9, sum by (project, target, le) (increase(buildprof_build_duration_seconds_bucket[1d])))",
    ),
    (
        "Instructions that take the most time when they run",
        "topk(10, sum by (project, instruction) (increase(buildprof_step_duration_seconds_sum[1d])))",
    ),
    (
        "Hit ratio of the cache",
        (
            "sum by (project, target) (increase(buildprof_cache_hits_total[1d]))\n"
            "  / (sum by (project, target) (increase(buildprof_cacheable_steps_total[1d])) > 0)"
        ),
    ),
    ("Time lost, by what made the steps miss", "sum by (cause) (increase(buildprof_cache_lost_seconds_total[1d]))"),
    (
        "Seconds that the cache saved for each that was spent in steps",
        (
            "sum by (project) (increase(buildprof_cache_saved_seconds_total[1d]))\n"
            "  / (sum by (project) (increase(buildprof_executed_seconds_total[1d])) > 0)"
        ),
    ),
    (
        "What a registry cache costs",
        (
            "sum by (project) (increase(buildprof_cache_import_seconds_total[1d])\n"
            "  + increase(buildprof_cache_export_seconds_total[1d]))"
        ),
    ),
    ("Largest images", "topk(10, max by (project, target) (buildprof_image_size_bytes))"),
    ("Bytes that an image carries for nothing", "buildprof_image_wasted_bytes"),
    ("Layers of an image, largest first", 'sort_desc(buildprof_layer_size_bytes{project="shop"})'),
    ("What is worse than it used to be", "buildprof_regression_active == 1"),
    (
        "Last build against what is usual",
        'buildprof_last_build_duration_seconds\n  / ignoring (signal) buildprof_baseline_median{signal="duration_seconds"}',
    ),
    ("Size of the build cache", "sum by (builder) (buildprof_build_cache_size_bytes)"),
    ("Records that left the cache in an hour", "increase(buildprof_build_cache_evicted_records_total[1h])"),
    ("Sources that do not work", "buildprof_source_up == 0"),
)
"""Questions, and the PromQL that answers them."""

_HEAD = f"""\
# Metrics

What `/metrics` exports. Written by `make docs` from the catalog that the agent exports from; `buildprof catalog` prints
the same. Prometheus asks for OpenMetrics and gets it: the histograms of builds and steps then carry the `ref` of a
build as an exemplar, which Prometheus keeps with `--enable-feature=exemplar-storage`.

A metric fed by the **store** survives a restart of the agent: its counters go on from what was counted, and a build
that ended while the agent was down is counted once. One fed by the **agent** starts anew with it, its counters at 0.

A series begins with a project's first build, at that build's values, so `increase()` sees a counter from the second
build on.

## Labels
No label names a single build, a digest, a tag, a path or a command. `max_projects` and `max_targets` bound projects and
the targets of each; what comes after is counted as `{OTHER_LABEL}`, and has no gauges. A value has at most
{MAX_LABEL_CHARACTERS} characters. The step histogram has no label `target`, to keep its buckets few.

| label | values |
|---|---|
"""


def page() -> str:
    """Give the text of docs/metrics.md."""
    return "".join(_lines())


def _lines() -> Iterator[str]:
    yield _HEAD
    for label, values in (
        ("instruction", _names([*sorted(INSTRUCTIONS), "OTHER"])),
        ("cause", _names(Cause)),
        ("signal", _names(Signal)),
        ("state", f"{_names(CACHE_STATES)}: each record is in exactly one"),
        ("layer", f"`NN INSTRUCTION`, the layer's number from below; the {MAX_LAYERS} largest"),
        ("le", "upper bounds of a histogram's buckets"),
    ):
        yield f"| `{label}` | {values} |\n"
    yield "\n## All metrics\n| metric | kind | labels | unit | fed by | |\n|---|---|---|---|---|---|\n"
    for metric in CATALOG:
        yield _row(metric)
    yield "\n## Buckets\n"
    for metric in CATALOG:
        if metric.buckets:
            yield f"- `{metric.full_name}`: {', '.join(f'{bound:g}' for bound in metric.buckets)} {metric.unit}\n"
    yield "\n## Queries\n"
    for question, query in EXAMPLES:
        yield f"\n{question}:\n```promql\n{query}\n```\n"
    yield (
        "\nThe rules in [deploy/prometheus/rules](../deploy/prometheus/rules) record sums over six hours and over the week"
        " before;\nwhat the alerts on them mean is in [runbooks](runbooks).\n"
    )


def _names(values: Iterable[str]) -> str:
    return ", ".join(f"`{value}`" for value in values)


def _row(metric: Metric) -> str:
    cells = (
        f"`{metric.full_name}`",
        metric.kind,
        _names(metric.labels),
        metric.unit,
        metric.fed_by,
        metric.help.replace("|", r"\|"),
    )
    return f"| {' | '.join(cells)} |\n"


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page())
    sys.exit(0)
