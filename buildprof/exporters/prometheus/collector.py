"""What a scrape reads: the series that the store keeps, and the agent's own."""

from __future__ import annotations

import threading
from collections.abc import Callable

from buildprof.exporters.prometheus.catalog import CATALOG
from buildprof.exporters.prometheus.exposition import Exposition
from buildprof.exporters.prometheus.selfmetrics import SelfMetrics
from buildprof.model.series import Series

OPENMETRICS_CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"
TEXT_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Changes = Callable[[int], tuple[list[Series], int]]
"""The series that changed after a sequence number, and the highest such number: `store.queries.changed_series`."""


class StoredSeries:
    """The store's series in memory. Only what changed since the last scrape is read. Safe to use from any thread."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes
        self._seq = 0
        self._exposition = Exposition(metric for metric in CATALOG if metric.fed_by == "store")
        self._lock = threading.Lock()

    def refresh(self) -> None:
        """Read what changed. Blocks; raises what the store raises, and then keeps what it had."""
        with self._lock:
            changed, seq = self._changes(self._seq)
            self._exposition.update(changed)
            self._seq = max(seq, self._seq)

    def render(self, *, openmetrics: bool) -> str:
        """Write the families fed by the store as text."""
        with self._lock:
            return self._exposition.render(openmetrics=openmetrics)


def scrape(stored: StoredSeries, own: SelfMetrics, *, openmetrics: bool) -> bytes:
    """Make the body of `/metrics`. Blocks on the store; raises what the store raises."""
    stored.refresh()
    text = stored.render(openmetrics=openmetrics) + own.render(openmetrics=openmetrics)
    return (text + ("# EOF\n" if openmetrics else "")).encode()


def wants_openmetrics(accept: str) -> bool:
    """Tell whether an `Accept` header asks for OpenMetrics, in a version that 1.0 satisfies (or in none)."""
    for offer in accept.split(","):
        media_type, *parameters = (part.strip().lower() for part in offer.split(";"))
        given = dict(parameter.split("=", 1) for parameter in parameters if "=" in parameter)
        if media_type == "application/openmetrics-text" and given.get("version", "1.0.0") == "1.0.0":
            return given.get("q", "1").rstrip("0.") != ""
    return False
