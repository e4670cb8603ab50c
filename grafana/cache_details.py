"""The closed rows of the dashboard of cache and storage: evictions, sources, the agent itself."""

from __future__ import annotations

from grafana_foundation_sdk.models import dashboard as model

from grafana import frame
from grafana.frame import Detail
from grafana.panels import About, Column, Query, bars, lines, rows, verdicts
from grafana.promql import RANGE, WINDOW, increase, percentile, series
from grafana.selections import AGENT, LOST_BY_THE_CACHE
from grafana.selections import BUILDER_OF_AGENT as BUILDER
from grafana.selections import PROJECT_OF_AGENT as PROJECT


def details() -> list[Detail]:
    """Make the rows."""
    return [
        Detail("Evictions in detail", [[_evicted_records(), _evictions_by_project()]]),
        Detail("Sources", [[_sources(), _silence()], [_events(), _dropped(), _restarts()]]),
        Detail("The agent", [[_store_size(), _store_writes()], [_agents(), _watched(), _running()]]),
    ]


def _evicted_records() -> model.Panel:
    return bars(
        "Evicted records",
        About(
            "Records that left each builder's cache.",
            "many records of few bytes: age, not room, is what drives them out.",
            "raise `keepDuration` in the engine's garbage collection policy.",
        ),
        [
            Query(
                increase("build_cache_evicted_records_total", BUILDER, WINDOW, "instance, builder"),
                "{{builder}} {{instance}}",
            )
        ],
        "short",
    )


def _evictions_by_project() -> model.Panel:
    return rows(
        "Lost to evictions and cold builders, by project",
        About(
            "Which projects paid for what left the cache.",
            "a project that is built often.",
            "give it a builder of its own, or a remote cache.",
        ),
        {"project": "Project", "cause": "Cause"},
        [
            Column(
                "Lost", f"{increase('cache_lost_seconds_total', LOST_BY_THE_CACHE, RANGE, 'project, cause')} > 0", "s"
            ),
            Column(
                "Misses",
                f"{increase('cache_misses_total', LOST_BY_THE_CACHE, RANGE, 'project, cause')} > 0",
                "short",
                0,
            ),
        ],
        links=frame.project_links("${__data.fields.project:percentencode}"),
        empty="nothing was lost to evictions",
    )


def _sources() -> model.Panel:
    return verdicts(
        "Sources",
        About(
            "Whether the agent gets facts from each source.",
            "red: builds of that time may be missing.",
            "`buildprof doctor` on that machine says what is missing and how to mend it.",
        ),
        Query(
            f"min by (instance, source, builder) ({series('source_up', BUILDER)})",
            "{{source}} {{builder}} {{instance}}",
        ),
        ("down", "up"),
    )


def _silence() -> model.Panel:
    newest = f"max by (instance, source, builder) ({series('source_last_event_timestamp_seconds', BUILDER)})"
    return lines(
        "Since the last event",
        About(
            "How long each source has been silent.",
            "longer than the time since the last build that you know of.",
            "build something and look again; if it stays silent, see the agent's log.",
        ),
        [Query(f"time() - {newest}", "{{source}} {{builder}} {{instance}}")],
        "s",
    )


def _events() -> model.Panel:
    return lines(
        "Events",
        About(
            "Events that each source emitted, per second.",
            "none while builds run.",
            "see whether the source is up; `buildprof doctor` tells.",
        ),
        [Query(f"sum by (source) (rate({series('source_events_total', AGENT)}[{WINDOW}]))", "{{source}}")],
        "cps",
        width=8,
    )


def _dropped() -> model.Panel:
    return bars(
        "Events lost",
        About(
            "Events that a full queue had no room for.",
            "anything but nothing: what is shown of the builds at that time may not be whole.",
            "the machine is too busy for the agent: give it more of a processor.",
        ),
        [Query(increase("source_events_dropped_total", AGENT, WINDOW, "source"), "{{source}}")],
        "short",
        width=8,
    )


def _restarts() -> model.Panel:
    return bars(
        "Restarts of sources",
        About(
            "Sources that failed and were started again.",
            "again and again.",
            "the agent's log has the error; when the engine restarts, a few are as it must be.",
        ),
        [Query(increase("source_restarts_total", AGENT, WINDOW, "source"), "{{source}}")],
        "short",
        width=8,
    )


def _store_size() -> model.Panel:
    return lines(
        "Store",
        About(
            "The agent's history of builds on disk.",
            "it grows without end, or nears what the disk has left.",
            "lower `retention_days`; metrics are not lost by that.",
        ),
        [Query(f"max by (instance) ({series('store_size_bytes', AGENT)})", "{{instance}}")],
        "decbytes",
    )


def _store_writes() -> model.Panel:
    return lines(
        "Writes to the store",
        About(
            "How long the store takes to write.",
            "tenths of a second: the disk is slow or shared with builds.",
            "put the data directory on another disk, or use PostgreSQL.",
        ),
        [
            Query(percentile(0.5, "store_write_seconds", AGENT, WINDOW, "instance"), "median {{instance}}"),
            Query(percentile(0.99, "store_write_seconds", AGENT, WINDOW, "instance"), "99 of 100 {{instance}}"),
        ],
        "s",
        windowed=True,
    )


def _agents() -> model.Panel:
    return rows(
        "Agents",
        About(
            "The agents that are scraped now.",
            "one is missing, or of another version than the rest.",
            "see the state of its target in Prometheus, and the agent's log.",
        ),
        {"instance": "Agent", "version": "Version", "python": "Python"},
        [Column("Running", f"count by (instance, version, python) ({series('build_info', AGENT)})", "short", 0)],
        width=8,
        empty="no agent is scraped",
    )


def _watched() -> model.Panel:
    return rows(
        "Watched directories",
        About(
            "What the agent watches of each project, to tell which file made a step miss.",
            "far more files than the project has, or a project that is missing.",
            "ignore what is generated; `buildprof doctor` says why a project cannot be watched.",
        ),
        {"project": "Project"},
        [
            Column("Files", f"sum by (project) ({series('watched_files', PROJECT)})", "short", 0),
            Column("Directories", f"sum by (project) ({series('watched_directories', PROJECT)})", "short", 0),
        ],
        width=8,
        empty="nothing is watched",
    )


def _running() -> model.Panel:
    return lines(
        "Builds that run now",
        About(
            "Builds in progress on each builder.",
            "a build that never ends.",
            "look for it on the agent's page; a client may wait for input, or an engine may hang.",
        ),
        [Query(f"sum by (instance, builder) ({series('builds_in_progress', BUILDER)})", "{{builder}} {{instance}}")],
        "short",
        width=8,
        stacked=True,
    )
