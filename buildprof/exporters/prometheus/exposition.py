"""Series in memory, and the text that Prometheus reads.

Formats: Prometheus text 0.0.4 and OpenMetrics 1.0. The text of a series is kept and made anew only when the series
changes, so that a scrape joins strings: the client library formats every sample at every scrape, which costs many
times more at thousands of series.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Protocol

from buildprof.exporters.prometheus.catalog import Metric
from buildprof.model.series import Labels, Series

_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})
_EXEMPLAR_REF = re.compile(r"[A-Za-z0-9._:/+=-]{1,125}")
"""Refs that go into exemplars: no quotes, which readers are bad at, and with the label's name no more than the 128
characters that OpenMetrics 1.0 ("Exemplars") allows."""


class _Family(Protocol):
    """The series of one metric."""

    def put(self, series: Series) -> None: ...
    def lines(self, *, openmetrics: bool) -> Iterator[str]: ...


class Exposition:
    """The current series of some metrics of the catalog. Not safe to share between threads: callers lock."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._families: list[tuple[Metric, _Family]] = []
        self._by_name: dict[str, _Family] = {}
        for metric in metrics:
            family = _family(metric)
            self._families.append((metric, family))
            suffixes = ("_bucket", "_sum") if metric.kind == "histogram" else ("",)
            self._by_name.update((metric.name + suffix, family) for suffix in suffixes)

    def update(self, changed: Iterable[Series]) -> None:
        """Replace the given series. Those of metrics that are not in the catalog are left out."""
        for series in changed:
            family = self._by_name.get(series.metric)
            if family is not None:
                family.put(series)

    def render(self, *, openmetrics: bool) -> str:
        """Write all families that have series, each with its header; OpenMetrics without the final `# EOF`."""
        parts: list[str] = []
        for metric, family in self._families:
            lines = list(family.lines(openmetrics=openmetrics))
            if lines:
                parts.append(_header(metric, openmetrics=openmetrics))
                parts.extend(lines)
        return "".join(parts)


def _family(metric: Metric) -> _Family:
    if metric.kind == "histogram":
        return _Histograms(metric)
    return _LatestSets(metric) if metric.latest_of else _Values(metric)


def _header(metric: Metric, *, openmetrics: bool) -> str:
    """Name the family: OpenMetrics names a family without the suffix of its samples, the older format with it."""
    name, kind = metric.full_name, str(metric.kind)
    if openmetrics:
        name = name.removesuffix("_total").removesuffix("_info")
    elif kind == "info":
        kind = "gauge"
    unit = f"# UNIT {name} {metric.unit}\n" if openmetrics and metric.unit else ""
    return f"# HELP {name} {metric.help}\n# TYPE {name} {kind}\n{unit}"


class _Values:
    """Counters, gauges and infos: one line for each series."""

    def __init__(self, metric: Metric) -> None:
        self._name = metric.full_name
        self._lines: dict[Labels, str] = {}

    def put(self, series: Series) -> None:
        self._lines[series.labels] = _line(self._name, _label_text(series.labels), series.value)

    def lines(self, *, openmetrics: bool) -> Iterator[str]:
        del openmetrics  # a line is the same in both formats
        return iter(self._lines.values())


class _LatestSets:
    """Gauges of which only those that the newest build set are true, such as the layers of the last image."""

    def __init__(self, metric: Metric) -> None:
        self._name = metric.full_name
        self._latest_of = frozenset(metric.latest_of)
        self._sets: dict[Labels, tuple[int, dict[Labels, str]]] = {}

    def put(self, series: Series) -> None:
        owner = tuple(label for label in series.labels if label[0] in self._latest_of)
        at_ns, lines = self._sets.get(owner, (series.at_ns, {}))
        if series.at_ns < at_ns:
            lines.pop(series.labels, None)
            return
        if series.at_ns > at_ns:
            lines = {}
        lines[series.labels] = _line(self._name, _label_text(series.labels), series.value)
        self._sets[owner] = (series.at_ns, lines)

    def lines(self, *, openmetrics: bool) -> Iterator[str]:
        del openmetrics
        return (line for _, lines in self._sets.values() for line in lines.values())


class _Histograms:
    """Histograms: stored buckets hold their own counts, exposed ones are cumulated. Texts are kept for both formats."""

    def __init__(self, metric: Metric) -> None:
        self._name = metric.full_name
        self._bounds = [*map(repr, metric.buckets), "+Inf"]
        self._buckets: dict[Labels, dict[str, Series]] = {}
        self._sums: dict[Labels, float] = {}
        self._texts: dict[Labels, tuple[str, str]] = {}
        self._stale: set[Labels] = set()

    def put(self, series: Series) -> None:
        owner = tuple(label for label in series.labels if label[0] != "le")
        if owner == series.labels:
            self._sums[owner] = series.value
        else:
            self._buckets.setdefault(owner, {})[dict(series.labels)["le"]] = series
        self._stale.add(owner)

    def lines(self, *, openmetrics: bool) -> Iterator[str]:
        for owner in self._stale:
            self._texts[owner] = self._text(owner, openmetrics=False), self._text(owner, openmetrics=True)
        self._stale.clear()
        return (texts[openmetrics] for texts in self._texts.values())

    def _text(self, owner: Labels, *, openmetrics: bool) -> str:
        stored = self._buckets.get(owner, {})
        # A bound that an earlier version used stays, where counts are stored under it.
        bounds = self._bounds if stored.keys() <= set(self._bounds) else sorted({*self._bounds, *stored}, key=float)
        labels, count, parts = _label_text(owner), 0.0, []
        separator = "," if labels else ""
        for bound in bounds:
            bucket = stored.get(bound)
            count += bucket.value if bucket else 0.0
            exemplar = _exemplar(bucket) if bucket and openmetrics else ""
            parts.append(f'{self._name}_bucket{{{labels}{separator}le="{bound}"}} {count!r}{exemplar}\n')
        parts.append(_line(f"{self._name}_count", labels, count))
        parts.append(_line(f"{self._name}_sum", labels, self._sums.get(owner, 0.0)))
        return "".join(parts)


def _exemplar(bucket: Series) -> str:
    if bucket.exemplar_value is None or not _EXEMPLAR_REF.fullmatch(bucket.ref):
        return ""
    at = f" {bucket.at_ns / 1e9:.3f}" if bucket.at_ns > 0 else ""
    return f' # {{ref="{bucket.ref}"}} {float(bucket.exemplar_value)!r}{at}'


def _label_text(labels: Labels) -> str:
    return ",".join([f'{name}="{value.translate(_ESCAPES)}"' for name, value in labels])


def _line(name: str, labels: str, value: float) -> str:
    return f"{name}{{{labels}}} {float(value)!r}\n" if labels else f"{name} {float(value)!r}\n"
