"""Every metric that buildprof exports: the one table that the exposition, `buildprof catalog`, docs and tests read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from buildprof.analysis.contributions import BUILD_DURATION_BUCKETS, STEP_DURATION_BUCKETS

PREFIX = "buildprof_"
STORE_WRITE_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)

Kind = Literal["counter", "gauge", "histogram", "info"]
FedBy = Literal["store", "agent"]

_BUILD = ("builder", "project", "target")
_TARGET = ("project", "target")
_STEP = ("project", "target", "instruction")
_CAUSE = ("project", "target", "cause")
_SIGNAL = ("project", "target", "signal")


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. `name` has no prefix and ends in the unit, or in `_total` for a counter, or in `_info`.

    `unit` is "seconds", "bytes" or "" (a plain number). `buckets` are a histogram's upper bounds, in its unit.
    A metric fed by the "store" survives a restart of the agent; one fed by the "agent" starts anew.
    `latest_of` names labels whose values make a set of series: only those that were set last, together, are exported.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    unit: str = ""
    buckets: tuple[float, ...] = ()
    fed_by: FedBy = "store"
    latest_of: tuple[str, ...] = ()

    @property
    def full_name(self) -> str:
        """The name with the prefix, as one writes it in PromQL."""
        return PREFIX + self.name


def _counter(name: str, help_: str, labels: tuple[str, ...], unit: str = "", fed_by: FedBy = "store") -> Metric:
    return Metric(name, "counter", help_, labels, unit, fed_by=fed_by)


def _gauge(name: str, help_: str, labels: tuple[str, ...], unit: str = "", fed_by: FedBy = "store") -> Metric:
    return Metric(name, "gauge", help_, labels, unit, fed_by=fed_by)


def _gauge_of_last(name: str, help_: str, labels: tuple[str, ...]) -> Metric:
    return Metric(name, "gauge", help_, labels, latest_of=_TARGET)


CATALOG: tuple[Metric, ...] = (
    _counter("builds_total", "Builds that ended, in whatever way.", _BUILD),
    _counter("build_failures_total", "Builds that failed.", _BUILD),
    _counter("build_cancellations_total", "Builds that were cancelled.", _BUILD),
    Metric(
        "build_duration_seconds",
        "histogram",
        "Time from a build's start to its end.",
        _TARGET,
        "seconds",
        BUILD_DURATION_BUCKETS,
    ),
    Metric(
        "step_duration_seconds",
        "histogram",
        "Time that steps took which ran, as they were not in the cache.",
        ("project", "instruction"),
        "seconds",
        STEP_DURATION_BUCKETS,
    ),
    _counter("cacheable_steps_total", "Steps that can be served from the cache.", _STEP),
    _counter("cache_hits_total", "Steps that were served from the cache.", _STEP),
    _counter("cache_misses_total", "Steps that missed the cache for a cause of their own.", _CAUSE),
    _counter(
        "cache_lost_seconds_total",
        "Time lost to a cause: in the steps that it made miss, and in those that missed with them.",
        _CAUSE,
        "seconds",
    ),
    _counter("executed_seconds_total", "Time spent in steps that were not in the cache.", _TARGET, "seconds"),
    _counter("cache_saved_seconds_total", "Time that steps in the cache took when they last ran.", _TARGET, "seconds"),
    _counter("context_transfer_bytes_total", "Bytes of build contexts sent to the builder.", _TARGET, "bytes"),
    _counter("context_transfer_seconds_total", "Time spent in sending build contexts.", _TARGET, "seconds"),
    _counter("cache_import_seconds_total", "Time spent in importing cache.", _TARGET, "seconds"),
    _counter("cache_export_seconds_total", "Time spent in exporting cache.", _TARGET, "seconds"),
    _counter("image_export_seconds_total", "Time spent in exporting images.", _TARGET, "seconds"),
    _counter("base_pull_seconds_total", "Time spent in pulling base images.", _TARGET, "seconds"),
    _gauge("last_build_timestamp_seconds", "When the last build ended, since the epoch.", _TARGET, "seconds"),
    _gauge("last_build_success", "1 if the last build completed, else 0.", _TARGET),
    _gauge("last_build_duration_seconds", "Time that the last build took.", _TARGET, "seconds"),
    _gauge("last_build_cacheable_steps", "Cacheable steps of the last build.", _TARGET),
    _gauge("last_build_cache_hits", "Steps of the last build that were served from the cache.", _TARGET),
    _gauge("image_size_bytes", "Size of the last image.", _TARGET, "bytes"),
    _gauge("image_layers", "File system layers of the last image.", _TARGET),
    _gauge("image_wasted_bytes", "Bytes in layers of the last image that none of its files shows.", _TARGET, "bytes"),
    _gauge("image_efficiency_ratio", "Share of the bytes in layers of the last image that its files show.", _TARGET),
    Metric(
        "layer_size_bytes",
        "gauge",
        "Size of the 20 largest layers of the last image.",
        (*_TARGET, "layer"),
        "bytes",
        latest_of=_TARGET,
    ),
    _gauge("regression_active", "1 while a signal is worse than it used to be, else 0.", _SIGNAL),
    _gauge_of_last("baseline_median", "What is usual for a signal, in its unit.", _SIGNAL),
    _gauge_of_last("baseline_threshold", "What a signal may be and still be usual, in its unit.", _SIGNAL),
    _counter("build_cache_evicted_records_total", "Records that left the build cache.", ("builder",)),
    _counter("build_cache_evicted_bytes_total", "Bytes that left the build cache.", ("builder",), "bytes"),
    _gauge("builds_in_progress", "Builds that run now.", ("builder",), fed_by="agent"),
    _gauge("build_cache_size_bytes", "Size of the build cache.", ("builder", "state"), "bytes", "agent"),
    _gauge("build_cache_records", "Records in the build cache.", ("builder", "state"), fed_by="agent"),
    _gauge("source_up", "1 while a source of facts works, else 0.", ("source", "builder"), fed_by="agent"),
    _gauge(
        "source_last_event_timestamp_seconds",
        "When the last event of a source came, since the epoch.",
        ("source", "builder"),
        "seconds",
        "agent",
    ),
    _counter("source_restarts_total", "Restarts of a source after a failure.", ("source",), fed_by="agent"),
    _counter("source_events_total", "Events that a source emitted.", ("source",), fed_by="agent"),
    _counter("source_events_dropped_total", "Events lost as a queue was full.", ("source",), fed_by="agent"),
    _gauge("watched_directories", "Directories that are watched for changes.", ("project",), fed_by="agent"),
    _gauge("watched_files", "Files in watched directories.", ("project",), fed_by="agent"),
    _gauge("store_size_bytes", "Size of the store.", (), "bytes", "agent"),
    Metric(
        "store_write_seconds",
        "histogram",
        "Time that writes to the store took.",
        (),
        "seconds",
        STORE_WRITE_BUCKETS,
        "agent",
    ),
    Metric("build_info", "info", "The version of buildprof and of Python.", ("version", "python"), fed_by="agent"),
)
