"""Overview: how much build time there is, what the cache saves and loses of it, and what got worse."""

from __future__ import annotations

from grafana_foundation_sdk.models import dashboard as model

from grafana import frame
from grafana.frame import Detail
from grafana.panels import FULL_WIDTH, About, Column, Query, bars, figure, lines, ranking, rows
from grafana.promql import RANGE, WINDOW, hit_ratio, increase, latest, of_the_most, or_zero, percentile, ratio, series
from grafana.selections import BUILDER, BUILDS
from grafana.selections import TARGETS as WHERE

EACH = "project, target"
ROW_LABELS = {"project": "Project", "target": "Target"}
ROW_LINKS = frame.project_links(
    "${__data.fields.project:percentencode}", target="${__data.fields.target:percentencode}"
)
BAR_LINKS = frame.project_links("${__field.labels.project:percentencode}")

REGRESSED = f"{latest('regression_active', WHERE, 'project, target, signal')} == 1"


def dashboard() -> model.Dashboard:
    """Make the dashboard."""
    return frame.dashboard(
        frame.OVERVIEW,
        "Builds / Overview",
        "How much time builds take, what the cache saves and what misses cost, and which projects got worse.",
        since="7d",
        variables=[
            frame.data_source(),
            frame.choice("builder", "Builder", "builds_total"),
            # All means those in the list, so that choosing a builder narrows every panel to what it builds.
            frame.choice("project", "Project", "builds_total", BUILDER, all_value=None),
            frame.choice("target", "Target", "builds_total", f'{BUILDER},project=~"$project"'),
            frame.agent(),
        ],
        annotations=[frame.regressions(WHERE), frame.prunes(BUILDER)],
        agent_page="/",
        rows=[_strip(), [_where_time_went(), _hit_ratio()], [_regressed(), _builds()], [_projects()]],
        details=[
            Detail("Time lost to misses", [[_lost_by_project(), _lost_by_cause()]]),
            Detail("Slow builds", [[_slowest_projects(), _running()]]),
            Detail("Images", [[_images()]]),
            Detail("Last builds", [[_last_builds()]]),
        ],
    )


def _strip() -> list[model.Panel]:
    return [
        figure(
            "Builds",
            About(
                "Builds that ended in this time.",
                "far fewer or far more than usual for these days.",
                "few: see on the agent's health page whether it still sees the engine. Many: find what starts them below.",
            ),
            increase("builds_total", BUILDS, RANGE),
            "short",
            decimals=0,
        ),
        figure(
            "Build time",
            About(
                "The durations of all builds together: what people and machines waited.",
                "it grows faster than the number of builds.",
                "open the projects with the most build time in the table.",
            ),
            increase("build_duration_seconds_sum", WHERE, RANGE),
            "s",
        ),
        figure(
            "Saved by the cache",
            About(
                "What the steps that hit took when they last ran. Steps whose duration is not known count as 0.",
                "small beside the time that misses cost.",
                "see which projects miss, and for which cause.",
            ),
            increase("cache_saved_seconds_total", WHERE, RANGE),
            "s",
        ),
        figure(
            "Lost to misses",
            About(
                "Time in the steps that missed, and in those that missed with them. First builds count too.",
                "a large share of the build time.",
                "open 'Time lost to misses' below: it names projects and causes.",
            ),
            increase("cache_lost_seconds_total", WHERE, RANGE),
            "s",
        ),
        figure(
            "Cache hit ratio",
            About(
                "The share of cacheable steps that were served from the cache.",
                "lower than what these projects had before (see the graph): there is no value that is good for all.",
                "look for the day it fell, and for the projects with the lowest ratio in the table.",
            ),
            hit_ratio(WHERE, RANGE),
            "percentunit",
            decimals=1,
        ),
        figure(
            "Regressed now",
            About(
                "Signals that are worse than their own past in three of the last four builds.",
                "anything but 0.",
                "the table 'What regressed' names them; their project's dashboard shows since when.",
            ),
            or_zero(f"count({REGRESSED})"),
            "short",
            decimals=0,
            alarm=True,
        ),
    ]


def _where_time_went() -> model.Panel:
    return bars(
        "Time saved and lost",
        About(
            "What the cache saved, above the axis, and what misses cost, below it.",
            "the lost bars grow, or the saved ones shrink while as much is built.",
            "compare with the marks of regressions and prunes; then open the project that lost most.",
        ),
        [
            Query(increase("cache_saved_seconds_total", WHERE, WINDOW), "saved"),
            Query(increase("cache_lost_seconds_total", WHERE, WINDOW), "lost"),
        ],
        "s",
        colours={"saved": "green", "lost": "red"},
        below=["lost"],
    )


def _hit_ratio() -> model.Panel:
    return lines(
        "Cache hit ratio by project",
        About(
            "The share of cacheable steps that were served from the cache, of the ten projects that build most steps.",
            "a line that falls and stays down.",
            "open that project: its misses are shown there by cause.",
        ),
        [
            Query(
                of_the_most(hit_ratio(WHERE, WINDOW, "project"), 10, "cacheable_steps_total", WHERE, "project"),
                "{{project}}",
            )
        ],
        "percentunit",
        ceiling=1,
        windowed=True,
    )


def _regressed() -> model.Panel:
    by = "project, target, signal"
    usual = latest("baseline_median", WHERE, by)
    last = " or ".join(
        f'label_replace({value}, "signal", "{signal}", "", "")'
        for signal, value in (
            ("duration_seconds", latest("last_build_duration_seconds", WHERE, EACH)),
            ("image_size_bytes", latest("image_size_bytes", WHERE, EACH)),
            (
                "hit_ratio",
                ratio(latest("last_build_cache_hits", WHERE, EACH), latest("last_build_cacheable_steps", WHERE, EACH)),
            ),
        )
    )
    return rows(
        "What regressed",
        About(
            "Signals that are worse than their own past, with the limit that they passed and what the last build had, "
            "both as a share of what is usual. For the hit ratio less is worse, for all others more.",
            "any row.",
            "open the project: the mark on its graphs tells since when. The agent's page says which steps grew.",
        ),
        {**ROW_LABELS, "signal": "Signal"},
        [
            Column(
                "Limit", f"({latest('baseline_threshold', WHERE, by)} / ({usual} > 0)) and ({REGRESSED})", "percentunit"
            ),
            Column("Last build", f"(({last}) / ({usual} > 0)) and ({REGRESSED})", "percentunit"),
        ],
        keep=REGRESSED,  # that steps are lost which the cache used to serve has no figure
        links=ROW_LINKS,
        empty="nothing regressed",
    )


def _builds() -> model.Panel:
    failed = increase("build_failures_total", BUILDS, WINDOW)
    cancelled = increase("build_cancellations_total", BUILDS, WINDOW)
    return bars(
        "Builds by result",
        About(
            "Builds by how they ended.",
            "red that does not go away, or much that is cancelled: people do not wait for slow builds.",
            "see in 'Last builds' whose last build failed; its page on the agent has the end of the log.",
        ),
        [
            Query(f"{increase('builds_total', BUILDS, WINDOW)} - {failed} - {cancelled}", "completed"),
            Query(failed, "failed"),
            Query(cancelled, "cancelled"),
        ],
        "short",
        colours={"completed": "green", "failed": "red", "cancelled": "orange"},
    )


def _projects() -> model.Panel:
    return rows(
        "Projects",
        About(
            "What each project and target built in this time, those that lost most first.",
            "much lost beside what was saved, a ratio far below that of similar projects, failures.",
            "click a project for its own dashboard, or for its page on the agent.",
        ),
        ROW_LABELS,
        [
            Column("Lost to misses", increase("cache_lost_seconds_total", WHERE, RANGE, EACH), "s"),
            Column("Saved by the cache", increase("cache_saved_seconds_total", WHERE, RANGE, EACH), "s"),
            Column("Hit ratio", hit_ratio(WHERE, RANGE, EACH), "percentunit", 1),
            Column("Build time", increase("build_duration_seconds_sum", WHERE, RANGE, EACH), "s"),
            Column("Time executed", increase("executed_seconds_total", WHERE, RANGE, EACH), "s"),
            Column("Builds", increase("builds_total", BUILDS, RANGE, EACH), "short", 0),
            Column("Failed", increase("build_failures_total", BUILDS, RANGE, EACH), "short", 0),
        ],
        width=FULL_WIDTH,
        height=10,
        links=ROW_LINKS,
    )


def _lost_by_project() -> model.Panel:
    return ranking(
        "Time lost, by project",
        About(
            "The ten projects that lost most to misses.",
            "one project far above the others.",
            "start there: its dashboard shows the causes, and `buildprof explain` the file or argument.",
        ),
        Query(f"topk(10, {increase('cache_lost_seconds_total', WHERE, RANGE, 'project')})", "{{project}}"),
        "s",
        links=BAR_LINKS,
    )


def _lost_by_cause() -> model.Panel:
    return bars(
        "Time lost, by cause",
        About(
            "What made steps miss, by what it cost.",
            "`evicted`, `cold_builder` or `no_cache` take much: no change of the sources explains them.",
            "`evicted`: see Cache and storage. `cold_builder`: share a cache between builders. `source_changed`: copy "
            "less, later in the Dockerfile.",
        ),
        [Query(increase("cache_lost_seconds_total", WHERE, WINDOW, "cause"), "{{cause}}")],
        "s",
    )


def _slowest_projects() -> model.Panel:
    return ranking(
        "Slowest projects",
        About(
            "The ten projects with the longest builds: nine of ten builds are not longer than this. Read off a histogram, "
            "so it is as exact as its buckets are narrow.",
            "builds that people wait for take minutes.",
            "open the project and see whether misses or slow instructions take the time.",
        ),
        Query(f"topk(10, {percentile(0.9, 'build_duration_seconds', WHERE, RANGE, 'project')} >= 0)", "{{project}}"),
        "s",
        links=BAR_LINKS,
    )


def _running() -> model.Panel:
    return lines(
        "Builds that run now",
        About(
            "Builds in progress on each builder.",
            "a builder that always has several: builds wait for each other's processors and disk.",
            "spread them over more builders, or limit how many start at once.",
        ),
        [Query(f"sum by (builder) ({series('builds_in_progress', BUILDER)})", "{{builder}}")],
        "short",
        stacked=True,
    )


def _images() -> model.Panel:
    return rows(
        "Images",
        About(
            "The last image of each project and target. Wasted are bytes in layers that none of its files shows.",
            "wasted megabytes, or an efficiency below that of its neighbours.",
            "`buildprof image` names the paths and the layers that waste.",
        ),
        ROW_LABELS,
        [
            Column("Size", latest("image_size_bytes", WHERE, EACH), "decbytes"),
            Column("Wasted", latest("image_wasted_bytes", WHERE, EACH), "decbytes"),
            Column("Efficiency", latest("image_efficiency_ratio", WHERE, EACH), "percentunit", 1),
            Column("Layers", latest("image_layers", WHERE, EACH), "short", 0),
        ],
        width=FULL_WIDTH,
        links=ROW_LINKS,
    )


def _last_builds() -> model.Panel:
    return rows(
        "Last builds",
        About(
            "The last build of each project and target.",
            "failed, or long ago for a project that should build every day.",
            "open the project on the agent's page; a failed build has its error there.",
        ),
        ROW_LABELS,
        [
            Column("Ended", f"{latest('last_build_timestamp_seconds', WHERE, EACH)} * 1000", "dateTimeFromNow"),
            Column("Result", latest("last_build_success", WHERE, EACH), "none", words=("not completed", "completed")),
            Column("Duration", latest("last_build_duration_seconds", WHERE, EACH), "s"),
            Column("Cacheable steps", latest("last_build_cacheable_steps", WHERE, EACH), "short", 0),
            Column("Hits", latest("last_build_cache_hits", WHERE, EACH), "short", 0),
        ],
        width=FULL_WIDTH,
        links=ROW_LINKS,
    )
