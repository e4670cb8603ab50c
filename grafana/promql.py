"""The few shapes that our queries have.

Builds are rare, so most windows hold none: sums are increases over a window, ratios and percentiles are drawn only
where there was something to divide by. `increase` sees a counter change, so the first build of a new project shows
from its second on.
"""

from __future__ import annotations

RANGE = "$__range"
"""The whole time that is looked at: for figures and tables."""

WINDOW = "$__rate_interval"
"""One step of a graph, and a scrape more, so that no increase falls between two steps."""


def series(metric: str, where: str) -> str:
    """The selector of one of our metrics. `where` are label matchers."""
    return f"buildprof_{metric}{{{where}}}"


def increase(metric: str, where: str, window: str, by: str = "") -> str:
    """By how much counters grew in a window, summed; `by` are the labels that are kept, with commas."""
    return f"sum{_by(by)}(increase({series(metric, where)}[{window}]))"


def of_the_most(query: str, count: int, metric: str, where: str, by: str) -> str:
    """Keep the series of what has most of a counter in the whole time: the same at every step of a graph."""
    return f"{query} and on ({by}) topk({count}, sum by ({by}) (increase({series(metric, where)}[{RANGE}] @ end())))"


def latest(metric: str, where: str, by: str) -> str:
    """A gauge as it stands. Where several agents know a project, the largest."""
    return f"max by ({by}) ({series(metric, where)})"


def ratio(part: str, whole: str) -> str:
    """A quotient that does not exist where there is nothing to divide by."""
    return f"{part} / ({whole} > 0)"


def hit_ratio(where: str, window: str, by: str = "") -> str:
    """The share of cacheable steps that were served from the cache."""
    return ratio(increase("cache_hits_total", where, window, by), increase("cacheable_steps_total", where, window, by))


def per_build(metric: str, where: str, window: str, by: str = "") -> str:
    """How much of a counter a build takes on average."""
    return ratio(increase(metric, where, window, by), increase("build_duration_seconds_count", where, window, by))


def percentile(share: float, histogram: str, where: str, window: str, by: str = "") -> str:
    """The value that this share of a histogram's observations does not exceed."""
    labels = f"le, {by}" if by else "le"
    return (
        f"histogram_quantile({share}, sum by ({labels}) (increase({series(f'{histogram}_bucket', where)}[{window}])))"
    )


def ever(query: str, gauge: str, by: str) -> str:
    """Keep the series of a graph for which a gauge was 1 at any time that is looked at."""
    return f"{query} and on ({by}) max by ({by}) (max_over_time({gauge}[{RANGE}] @ end())) == 1"


def or_zero(query: str) -> str:
    """A count that is 0, not absent, where nothing is counted."""
    return f"{query} or vector(0)"


def _by(labels: str) -> str:
    return f" by ({labels}) " if labels else ""
