"""Cache and storage: how large the builders' caches are, what leaves them, what remote caches cost, the agent's health."""

from __future__ import annotations

from grafana_foundation_sdk.models import dashboard as model

from grafana import cache_details, frame
from grafana.panels import About, Column, Query, bars, figure, lines, rows
from grafana.promql import RANGE, WINDOW, increase, or_zero, ratio, series
from grafana.selections import AGENT, LOST_BY_THE_CACHE
from grafana.selections import BUILDER_OF_AGENT as BUILDER
from grafana.selections import PROJECT_OF_AGENT as PROJECT

RECLAIMABLE = f'{BUILDER},state="reclaimable"'


def dashboard() -> model.Dashboard:
    """Make the dashboard."""
    return frame.dashboard(
        frame.CACHE,
        "Builds / Cache and storage",
        "The builders' caches: size, evictions and what they cost, remote caches, and whether the agent sees it all.",
        since="2d",
        variables=[
            frame.data_source(),
            frame.choice("instance", "Agent", "build_info"),
            frame.choice("builder", "Builder", "builds_total", AGENT),
            frame.choice("project", "Project", "builds_total", BUILDER, all_value=None),
            frame.agent(),
        ],
        annotations=[frame.regressions(PROJECT), frame.prunes(BUILDER)],
        agent_page="/health",
        rows=[
            _strip(),
            [_size(), _records()],
            [_evicted(), _cost_of_evictions()],
            [_remote_cache(), _remote_cache_by_project()],
        ],
        details=cache_details.details(),
    )


def _strip() -> list[model.Panel]:
    cost = [increase(f"cache_{way}_seconds_total", PROJECT, RANGE) for way in ("import", "export")]
    return [
        figure(
            "Build cache",
            About(
                "What all build caches take on disk.",
                "near what the disk has left, or at the limit that the engine's garbage collection keeps.",
                "give it room or a higher limit (`builder.gc` in daemon.json) before evictions cost time.",
            ),
            f"sum({series('build_cache_size_bytes', BUILDER)})",
            "decbytes",
        ),
        figure(
            "Reclaimable",
            About(
                "The share of the cache that a prune would free: neither in use now nor part of an image.",
                "small while the cache is at its limit: every new record drives out one that is needed.",
                "raise the limit, or build less on this builder.",
            ),
            ratio(
                f"sum({series('build_cache_size_bytes', RECLAIMABLE)})",
                f"sum({series('build_cache_size_bytes', BUILDER)})",
            ),
            "percentunit",
            decimals=0,
        ),
        figure(
            "Evicted",
            About(
                "Bytes that left the caches in this time, by prune or by garbage collection.",
                "several times the cache's size: it is thrashing.",
                "see on which builder, and whether a job prunes more often than it must.",
            ),
            increase("build_cache_evicted_bytes_total", BUILDER, RANGE),
            "decbytes",
        ),
        figure(
            "Lost to it",
            About(
                "Time lost in steps whose cache record was gone, or was on another builder only.",
                "minutes in a day.",
                "evicted: more room. Cold builders: a shared cache (`--cache-to`, `--cache-from`).",
            ),
            increase("cache_lost_seconds_total", LOST_BY_THE_CACHE, RANGE),
            "s",
        ),
        figure(
            "Remote cache",
            About(
                "Time that builds spent in importing and exporting cache.",
                "more than the cache saves: see the table.",
                "export from the main branch only, or with `mode=min`.",
            ),
            " + ".join(cost),
            "s",
        ),
        figure(
            "Sources down",
            About(
                "Places where the agent cannot get its facts from.",
                "anything but 0: builds may be missing here.",
                "the rows under 'Sources' name them; `buildprof doctor` says what to do.",
            ),
            or_zero(f"count({series('source_up', BUILDER)} == 0)"),
            "short",
            decimals=0,
            alarm=True,
        ),
    ]


def _size() -> model.Panel:
    return lines(
        "Cache by state",
        About(
            "What the caches take on disk. `shared` is also part of an image, so that pruning the cache does not free it.",
            "it climbs to a limit and falls again and again, or it is a flat line at the limit.",
            "compare with 'Evicted by builder': raise the limit if what goes is built again.",
        ),
        [Query(f"sum by (state) ({series('build_cache_size_bytes', BUILDER)})", "{{state}}")],
        "decbytes",
        stacked=True,
    )


def _records() -> model.Panel:
    return lines(
        "Records by state",
        About(
            "Records in the caches.",
            "tens of thousands: reading and pruning them takes the engine long.",
            "`docker builder prune --filter until=168h` in a timer keeps them few.",
        ),
        [Query(f"sum by (state) ({series('build_cache_records', BUILDER)})", "{{state}}")],
        "short",
        stacked=True,
    )


def _evicted() -> model.Panel:
    return bars(
        "Evicted by builder",
        About(
            "Bytes that left each builder's cache.",
            "large bars at every build rather than one at night.",
            "at every build: garbage collection is at its limit. At a fixed time: a job prunes.",
        ),
        [
            Query(
                increase("build_cache_evicted_bytes_total", BUILDER, WINDOW, "instance, builder"),
                "{{builder}} {{instance}}",
            )
        ],
        "decbytes",
    )


def _cost_of_evictions() -> model.Panel:
    return bars(
        "What evictions cost",
        About(
            "Time lost in steps whose cache record was gone (`evicted`) or was on another builder only (`cold_builder`).",
            "bars that follow those of 'Evicted by builder'.",
            "keep what is built again: raise the limit, or prune by age and not all.",
        ),
        [Query(increase("cache_lost_seconds_total", LOST_BY_THE_CACHE, WINDOW, "cause"), "{{cause}}")],
        "s",
        colours={"evicted": "red", "cold_builder": "blue"},
    )


def _remote_cache() -> model.Panel:
    return bars(
        "Import and export against what the cache saves",
        About(
            "Time that hits saved, above the axis, and time spent on remote caches, below it. Hits in the builder's own cache are among them.",
            "import and export together reach further than saved.",
            "this remote cache does not pay: export less often, or less (`mode=min`), or keep it nearer.",
        ),
        [
            Query(increase("cache_import_seconds_total", PROJECT, WINDOW), "import"),
            Query(increase("cache_export_seconds_total", PROJECT, WINDOW), "export"),
            Query(increase("cache_saved_seconds_total", PROJECT, WINDOW), "saved"),
        ],
        "s",
        colours={"import": "orange", "export": "red", "saved": "green"},
        below=["import", "export"],
    )


def _remote_cache_by_project() -> model.Panel:
    spent = (
        f"({increase('cache_import_seconds_total', PROJECT, RANGE, 'project')}"
        f" + {increase('cache_export_seconds_total', PROJECT, RANGE, 'project')})"
    )
    used = f"{spent} > 0"
    return rows(
        "Remote cache by project",
        About(
            "Projects that import or export cache, and what they get for it.",
            "a negative balance.",
            "take `--cache-to` out of builds that nobody builds upon.",
        ),
        {"project": "Project"},
        [
            Column(
                "Balance",
                f"({increase('cache_saved_seconds_total', PROJECT, RANGE, 'project')} - {spent}) and ({used})",
                "s",
            ),
            *(
                Column(name, f"{increase(metric, PROJECT, RANGE, 'project')} and ({used})", "s")
                for name, metric in (
                    ("Import", "cache_import_seconds_total"),
                    ("Export", "cache_export_seconds_total"),
                    ("Saved", "cache_saved_seconds_total"),
                )
            ),
        ],
        links=frame.project_links("${__data.fields.project:percentencode}"),
        empty="no project uses a remote cache",
        descending=False,
    )
