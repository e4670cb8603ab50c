"""What the agent tells of itself: how its sources, its store and the builder's cache stand. By prometheus_client."""

from __future__ import annotations

import platform
from collections import Counter
from typing import TypeVar

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client import Counter as CounterMetric
from prometheus_client import Gauge as GaugeMetric
from prometheus_client import Histogram as HistogramMetric
from prometheus_client import Info as InfoMetric
from prometheus_client.metrics import MetricWrapperBase, disable_created_metrics
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from buildprof.analysis.contributions import label_value
from buildprof.exporters.prometheus.catalog import CATALOG, PREFIX, Metric
from buildprof.model.cache import CacheRecord, CacheUsage

CACHE_STATES = ("in_use", "reclaimable", "shared")
"""Each record is in exactly one state, so that the states add up to the whole cache."""

M = TypeVar("M", bound=MetricWrapperBase)

disable_created_metrics()  # type: ignore[no-untyped-call]  # series of their own for times that nobody asked for


class SelfMetrics:
    """The metrics that the catalog calls fed by the agent. Every method is cheap and safe to call from any thread."""

    def __init__(self, version: str) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._metrics = {metric.name: _make(metric, self._registry) for metric in CATALOG if metric.fed_by == "agent"}
        self._get("build_info", InfoMetric).info({"version": version, "python": platform.python_version()})

    def source_state(self, source: str, builder: str, *, up: bool) -> None:
        """A source began to work, or ceased to. The first call makes its counters exist."""
        self._get("source_up", GaugeMetric).labels(source, _label(builder)).set(up)
        for counter in ("source_restarts_total", "source_events_total", "source_events_dropped_total"):
            self._get(counter, CounterMetric).labels(source)

    def source_event(self, source: str, builder: str, at_ns: int, count: int = 1) -> None:
        """A source emitted events, the last one at `at_ns` by the agent's clock."""
        self._get("source_events_total", CounterMetric).labels(source).inc(count)
        self._get("source_last_event_timestamp_seconds", GaugeMetric).labels(source, _label(builder)).set(at_ns / 1e9)

    def source_dropped(self, source: str, count: int = 1) -> None:
        """Events of a source were lost as a queue was full."""
        self._get("source_events_dropped_total", CounterMetric).labels(source).inc(count)

    def source_restarted(self, source: str) -> None:
        """The supervisor restarted a source that failed."""
        self._get("source_restarts_total", CounterMetric).labels(source).inc()

    def builds_running(self, builder: str, count: int) -> None:
        """How many builds run now on a builder."""
        self._get("builds_in_progress", GaugeMetric).labels(_label(builder)).set(count)

    def cache_read(self, usage: CacheUsage) -> None:
        """A reading of a builder's cache."""
        sizes: Counter[str] = Counter()
        records: Counter[str] = Counter()
        for record in usage.records:
            state = _state(record)
            sizes[state] += max(record.size_bytes, 0)
            records[state] += 1
        for state in CACHE_STATES:
            labels = (_label(usage.builder), state)
            self._get("build_cache_size_bytes", GaugeMetric).labels(*labels).set(sizes[state])
            self._get("build_cache_records", GaugeMetric).labels(*labels).set(records[state])

    def watched(self, trees: dict[str, tuple[int, int]]) -> None:
        """How many directories and files are watched, by project; projects that are watched no more have no series."""
        for index, name in enumerate(("watched_directories", "watched_files")):
            gauge = self._get(name, GaugeMetric)
            gauge.clear()
            for project, counts in trees.items():
                gauge.labels(_label(project)).set(counts[index])

    def store_written(self, duration_seconds: float) -> None:
        """A transaction of the store's writer ended."""
        self._get("store_write_seconds", HistogramMetric).observe(max(duration_seconds, 0.0))

    def store_size(self, size_bytes: int) -> None:
        """A reading of the store's size."""
        self._get("store_size_bytes", GaugeMetric).set(size_bytes)

    def render(self, *, openmetrics: bool) -> str:
        """The families fed by the agent as text, OpenMetrics without the final `# EOF`."""
        generate = generate_openmetrics if openmetrics else generate_latest
        text: bytes = generate(self._registry)
        return text.decode().removesuffix("# EOF\n")

    def _get(self, name: str, kind: type[M]) -> M:
        metric = self._metrics[name]
        if not isinstance(metric, kind):
            raise TypeError(f"{name} is not a {kind.__name__} in the catalog")
        return metric


def _make(metric: Metric, registry: CollectorRegistry) -> MetricWrapperBase:
    """A metric of the catalog as one of prometheus_client's, which adds `_total`, `_info` and the unit itself."""
    name = PREFIX + metric.name
    match metric.kind:
        case "counter":
            return CounterMetric(name, metric.help, metric.labels, registry=registry, unit=metric.unit)
        case "gauge":
            return GaugeMetric(name, metric.help, metric.labels, registry=registry, unit=metric.unit)
        case "histogram":
            return HistogramMetric(
                name, metric.help, metric.labels, registry=registry, unit=metric.unit, buckets=metric.buckets
            )
        case "info":
            return InfoMetric(name.removesuffix("_info"), metric.help, registry=registry)


def _label(text: str) -> str:
    return label_value(text, "unknown")


def _state(record: CacheRecord) -> str:
    """A shared record is also in an image, so that pruning it frees nothing: it is not counted as reclaimable."""
    if record.in_use:
        return "in_use"
    return "shared" if record.shared else "reclaimable"
