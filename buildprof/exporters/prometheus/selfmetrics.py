"""What the agent tells of itself: how its sources, its store and the builder's cache stand."""

from __future__ import annotations

import platform
import threading
from bisect import bisect_left
from collections import Counter

from buildprof.analysis.contributions import label_value
from buildprof.exporters.prometheus.catalog import CATALOG, STORE_WRITE_BUCKETS
from buildprof.exporters.prometheus.exposition import Exposition
from buildprof.model.cache import CacheRecord, CacheUsage
from buildprof.model.series import Labels, Series

CACHE_STATES = ("in_use", "reclaimable", "shared")
"""Each record is in exactly one state, so that the states add up to the whole cache."""


class SelfMetrics:
    """The metrics that the catalog calls fed by the agent. Every method is cheap and safe to call from any thread."""

    def __init__(self, version: str) -> None:
        self._values: dict[tuple[str, Labels], float] = {}
        self._exposition = Exposition(metric for metric in CATALOG if metric.fed_by == "agent")
        self._lock = threading.Lock()
        self._set("build_info", 1, version=version, python=platform.python_version())

    def source_state(self, source: str, builder: str, *, up: bool) -> None:
        """Tell that a source began to work, or ceased to. The first call makes its counters exist."""
        self._set("source_up", up, source=source, builder=builder)
        for counter in ("source_restarts_total", "source_events_total", "source_events_dropped_total"):
            self._add(counter, 0, source=source)

    def source_event(self, source: str, builder: str, at_ns: int, count: int = 1) -> None:
        """Tell that a source emitted events, the last one at `at_ns` by the agent's clock."""
        self._add("source_events_total", count, source=source)
        self._set("source_last_event_timestamp_seconds", at_ns / 1e9, source=source, builder=builder)

    def source_dropped(self, source: str, count: int = 1) -> None:
        """Tell that events of a source were lost as a queue was full."""
        self._add("source_events_dropped_total", count, source=source)

    def source_restarted(self, source: str) -> None:
        """Tell that the supervisor restarted a source that failed."""
        self._add("source_restarts_total", 1, source=source)

    def builds_running(self, builder: str, count: int) -> None:
        """Tell how many builds run now on a builder."""
        self._set("builds_in_progress", count, builder=builder)

    def cache_read(self, usage: CacheUsage) -> None:
        """Take a reading of a builder's cache."""
        sizes: Counter[str] = Counter()
        records: Counter[str] = Counter()
        for record in usage.records:
            state = _state(record)
            sizes[state] += max(record.size_bytes, 0)
            records[state] += 1
        for state in CACHE_STATES:
            self._set("build_cache_size_bytes", sizes[state], builder=usage.builder, state=state)
            self._set("build_cache_records", records[state], builder=usage.builder, state=state)

    def store_written(self, duration_seconds: float) -> None:
        """Tell that a transaction of the store's writer ended."""
        seconds = max(duration_seconds, 0.0)
        index = bisect_left(STORE_WRITE_BUCKETS, seconds)
        bound = repr(STORE_WRITE_BUCKETS[index]) if index < len(STORE_WRITE_BUCKETS) else "+Inf"
        self._add("store_write_seconds_bucket", 1, le=bound)
        self._add("store_write_seconds_sum", seconds)

    def store_size(self, size_bytes: int) -> None:
        """Take a reading of the store's size."""
        self._set("store_size_bytes", size_bytes)

    def render(self, *, openmetrics: bool) -> str:
        """Write the families fed by the agent as text."""
        with self._lock:
            return self._exposition.render(openmetrics=openmetrics)

    def _set(self, metric: str, value: float, **labels: str) -> None:
        self._put(metric, value, labels, added=False)

    def _add(self, metric: str, value: float, **labels: str) -> None:
        self._put(metric, value, labels, added=True)

    def _put(self, metric: str, value: float, labels: dict[str, str], *, added: bool) -> None:
        key = tuple(sorted((name, label_value(text, "unknown")) for name, text in labels.items()))
        with self._lock:
            total = value + (self._values.get((metric, key), 0.0) if added else 0.0)
            self._values[metric, key] = total
            self._exposition.update([Series(metric, key, total)])


def _state(record: CacheRecord) -> str:
    """Name the state. A shared record is also in an image, so that pruning it frees nothing: it is not counted as reclaimable."""
    if record.in_use:
        return "in_use"
    return "shared" if record.shared else "reclaimable"
