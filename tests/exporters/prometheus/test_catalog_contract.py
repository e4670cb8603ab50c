"""What dashboards, alerts and users' scripts rely on: names, kinds and labels. A change here breaks them."""

from __future__ import annotations

from buildprof.exporters.prometheus.catalog import CATALOG

PROMISED = """
builds_total build_failures_total build_cancellations_total | counter | builder project target
build_duration_seconds | histogram | project target
step_duration_seconds | histogram | project instruction
cacheable_steps_total cache_hits_total | counter | project target instruction
cache_misses_total cache_lost_seconds_total | counter | project target cause
executed_seconds_total cache_saved_seconds_total | counter | project target
context_transfer_bytes_total context_transfer_seconds_total | counter | project target
cache_import_seconds_total cache_export_seconds_total | counter | project target
image_export_seconds_total base_pull_seconds_total | counter | project target
last_build_timestamp_seconds last_build_success last_build_duration_seconds | gauge | project target
last_build_cacheable_steps last_build_cache_hits | gauge | project target
image_size_bytes image_layers image_wasted_bytes image_efficiency_ratio | gauge | project target
layer_size_bytes | gauge | project target layer
builds_in_progress | gauge | builder
build_cache_size_bytes build_cache_records | gauge | builder state
build_cache_evicted_records_total build_cache_evicted_bytes_total | counter | builder
regression_active baseline_median baseline_threshold | gauge | project target signal
source_up source_last_event_timestamp_seconds | gauge | source builder
source_restarts_total source_events_total source_events_dropped_total | counter | source
watched_directories watched_files | gauge | project
store_size_bytes | gauge |
store_write_seconds | histogram |
build_info | info | version python
"""


def test_every_promised_metric_is_there_with_its_kind_and_labels():
    promised = {}
    for line in PROMISED.strip().splitlines():
        names, kind, labels = line.split("|")
        promised.update((name, (kind.strip(), set(labels.split()))) for name in names.split())
    assert {metric.name: (metric.kind, set(metric.labels)) for metric in CATALOG} == promised


def test_histograms_of_durations_reach_from_a_tenth_of_a_second_to_an_hour():
    bounds = {metric.name: metric.buckets for metric in CATALOG}
    for name in ("build_duration_seconds", "step_duration_seconds"):
        assert (bounds[name][0], bounds[name][-1]) == (0.1, 3600.0)


def test_what_builds_feed_survives_a_restart():
    of_the_agent = {metric.name for metric in CATALOG if metric.fed_by == "agent"}
    assert of_the_agent == {
        "build_cache_records", "build_cache_size_bytes", "build_info", "builds_in_progress", "source_events_dropped_total",
        "source_events_total", "source_last_event_timestamp_seconds", "source_restarts_total", "source_up",
        "store_size_bytes", "store_write_seconds", "watched_directories", "watched_files",
    }  # fmt: skip
