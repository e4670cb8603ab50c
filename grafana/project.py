"""Project: how long its builds take, how the cache serves them, what missed and why, how its images grow."""

from __future__ import annotations

from grafana_foundation_sdk.models import dashboard as model

from grafana import frame, project_details
from grafana.panels import FULL_WIDTH, STRIP_HEIGHT, About, Query, bars, figure, lines, ranking, verdicts
from grafana.promql import RANGE, WINDOW, ever, hit_ratio, increase, latest, or_zero, per_build, percentile, series
from grafana.selections import BUILDER
from grafana.selections import ONE_PROJECT as PROJECT
from grafana.selections import TARGETS_OF_ONE as WHERE

DRAWN = (
    "Dashed: what is usual, and the limit beyond which it is a regression, both from this project's own good builds."
)


def dashboard() -> model.Dashboard:
    """Make the dashboard."""
    return frame.dashboard(
        frame.PROJECT,
        "Builds / Project",
        "One project: how long its builds take, what the cache does for them, why steps miss, how its images grow.",
        since="7d",
        variables=[
            frame.data_source(),
            frame.choice("builder", "Builder", "builds_total"),
            frame.single_choice("project", "Project", "builds_total", BUILDER),
            frame.choice("target", "Target", "builds_total", f"{BUILDER},{PROJECT}"),
            frame.agent(),
        ],
        annotations=[frame.regressions(WHERE), frame.prunes(BUILDER)],
        agent_page="/projects/${project:percentencode}",
        rows=[
            _strip(),
            [_regressions()],
            [_durations(), _last_duration()],
            [_hit_ratio(), _executed()],
            [_misses(), _lost()],
            [_slowest_instructions(), _instruction_time(), _instruction_hits()],
            [_image_size(), _context()],
        ],
        details=project_details.details(),
    )


def _strip() -> list[model.Panel]:
    return [
        figure(
            "Regressed now",
            About(
                "Signals of this project that are worse than their own past in three of the last four builds.",
                "anything but 0.",
                "the lines below tell which, and since when.",
            ),
            or_zero(f"count({latest('regression_active', WHERE, 'target, signal')} == 1)"),
            "short",
            decimals=0,
            alarm=True,
        ),
        figure(
            "Median build",
            About(
                "Half of the builds in this time were not longer. As exact as the histogram's buckets are narrow.",
                "longer than people wait without doing something else, or than the weeks before.",
                "see below whether misses or slow instructions take the time.",
            ),
            percentile(0.5, "build_duration_seconds", WHERE, RANGE),
            "s",
        ),
        figure(
            "95th percentile",
            About(
                "Nineteen of twenty builds in this time were not longer.",
                "many times the median: some builds find no cache.",
                "compare with 'Time lost by cause'; `evicted` and `cold_builder` make single builds slow.",
            ),
            percentile(0.95, "build_duration_seconds", WHERE, RANGE),
            "s",
        ),
        figure(
            "Cache hit ratio",
            About(
                "The share of cacheable steps that were served from the cache.",
                "below the dashed limit in the graph.",
                "see 'Misses by cause', then `buildprof explain last`.",
            ),
            hit_ratio(WHERE, RANGE),
            "percentunit",
            decimals=1,
        ),
        figure(
            "Lost to misses",
            About(
                "Time in steps that missed, and in those that missed with them.",
                "a large share of all build time.",
                "take the cause that costs most first.",
            ),
            increase("cache_lost_seconds_total", WHERE, RANGE),
            "s",
        ),
        figure(
            "Largest image",
            About(
                "The size of the last image; of several targets, the largest.",
                "above the dashed limit in the graph.",
                "see which layer grew under 'Layers'; `buildprof image` names the files.",
            ),
            f"max({series('image_size_bytes', WHERE)})",
            "decbytes",
        ),
    ]


def _regressions() -> model.Panel:
    return verdicts(
        "Regressions",
        About(
            "Signals that regressed at some time, and when. `cached_steps`: steps that the cache used to serve with the same "
            "inputs, and has lost.",
            "red at the right end: it is so now.",
            "compare with the graphs at the time when red began; the agent's page says what changed with it.",
        ),
        Query(
            ever(
                latest("regression_active", WHERE, "target, signal"),
                series("regression_active", WHERE),
                "target, signal",
            ),
            "{{target}} {{signal}}",
        ),
        ("usual", "regressed"),
        bad=1,
        width=FULL_WIDTH,
        height=STRIP_HEIGHT,
        empty="nothing regressed in this time",
    )


def _durations() -> model.Panel:
    return lines(
        "Build duration",
        About(
            "Percentiles over all builds of each point's time. A dot on the graph is a build: click it for its page.",
            "the median rises, or the slowest builds draw away from it.",
            "rising median: slow instructions, or a step that always misses. Rising tail: evictions, cold builders.",
        ),
        [
            Query(percentile(0.5, "build_duration_seconds", WHERE, WINDOW), "median", exemplars=True),
            Query(percentile(0.95, "build_duration_seconds", WHERE, WINDOW), "95 of 100"),
        ],
        "s",
        windowed=True,
    )


def _last_duration() -> model.Panel:
    return lines(
        "Last build against the usual",
        About(
            f"How long the last build of each target took. {DRAWN}",
            "above the limit in three of four builds; a red mark shows when that began.",
            "`buildprof compare` with a build from before the mark shows which steps grew.",
        ),
        [
            Query(latest("last_build_duration_seconds", WHERE, "target"), "{{target}}"),
            *_baseline("duration_seconds"),
        ],
        "s",
    )


def _hit_ratio() -> model.Panel:
    return lines(
        "Hit ratio by target",
        About(
            f"The share of cacheable steps that were served from the cache. {DRAWN}",
            "below the limit: here less is worse.",
            "see at the same time in 'Misses by cause' what came up.",
        ),
        [Query(hit_ratio(WHERE, WINDOW, "target"), "{{target}}"), *_baseline("hit_ratio")],
        "percentunit",
        ceiling=1,
        windowed=True,
    )


def _executed() -> model.Panel:
    return lines(
        "Time executed per build",
        About(
            f"Time in steps that ran, added up over those that ran side by side, per build. {DRAWN}",
            "above the limit while the hit ratio is as before: the steps themselves got slower.",
            "see 'Slowest instructions', and the steps' times by `buildprof compare`.",
        ),
        [
            Query(per_build("executed_seconds_total", WHERE, WINDOW, "target"), "{{target}}"),
            *_baseline("executed_seconds"),
        ],
        "s",
        windowed=True,
    )


def _misses() -> model.Panel:
    return bars(
        "Misses by cause",
        About(
            "Steps that missed for a cause of their own. Those that only followed are not counted.",
            "`evicted`, `cold_builder`, `no_cache` or `unknown`: nothing that somebody changed.",
            "`buildprof explain` names the file, the argument or the image of each miss.",
        ),
        [Query(increase("cache_misses_total", WHERE, WINDOW, "cause"), "{{cause}}")],
        "short",
    )


def _lost() -> model.Panel:
    return bars(
        "Time lost by cause",
        About(
            "What each cause cost, with the steps that missed because of it.",
            "one cause that takes most of it, again and again.",
            "`source_changed`: ignore files that no step reads, copy the lock file before the sources. `base_changed`: pin "
            "the base. `build_arg_changed`: set the argument as late as it can be. `evicted`: give the cache room.",
        ),
        [Query(increase("cache_lost_seconds_total", WHERE, WINDOW, "cause"), "{{cause}}")],
        "s",
    )


def _slowest_instructions() -> model.Panel:
    return ranking(
        "Slowest instructions",
        About(
            "Nine of ten steps of an instruction that ran were not longer. All targets together.",
            "RUN in minutes; COPY in more than seconds.",
            "RUN: a cache mount (`RUN --mount=type=cache`) keeps what is downloaded. COPY: copy less.",
        ),
        Query(f"{percentile(0.9, 'step_duration_seconds', PROJECT, RANGE, 'instruction')} >= 0", "{{instruction}}"),
        "s",
        width=8,
    )


def _instruction_time() -> model.Panel:
    return bars(
        "Time by instruction",
        About(
            "Time in steps that ran, by instruction. All targets together.",
            "an instruction takes more than it did while builds are as many.",
            "`buildprof compare` shows which step of it.",
        ),
        [Query(increase("step_duration_seconds_sum", PROJECT, WINDOW, "instruction"), "{{instruction}}")],
        "s",
        width=8,
    )


def _instruction_hits() -> model.Panel:
    return ranking(
        "Hit ratio by instruction",
        About(
            "The share of each instruction's steps that were served from the cache.",
            "RUN lower than COPY: steps miss for another cause than files.",
            "`buildprof explain` tells which.",
        ),
        Query(hit_ratio(WHERE, RANGE, "instruction"), "{{instruction}}"),
        "percentunit",
        width=8,
        ceiling=1,
    )


def _image_size() -> model.Panel:
    return lines(
        "Image size",
        About(
            f"The size of the last image of each target. {DRAWN}",
            "above the limit, or growing a little with every build.",
            "see 'Layers' below; `buildprof compare` shows the files that grew.",
        ),
        [Query(latest("image_size_bytes", WHERE, "target"), "{{target}}"), *_baseline("image_size_bytes")],
        "decbytes",
    )


def _context() -> model.Panel:
    return lines(
        "Context sent per build",
        About(
            f"Bytes of the build context that were sent to the builder, per build. {DRAWN}",
            "above the limit: something large came into the directory, and is sent each time it changes.",
            "put it into `.dockerignore`.",
        ),
        [
            Query(per_build("context_transfer_bytes_total", WHERE, WINDOW, "target"), "{{target}}"),
            *_baseline("context_bytes"),
        ],
        "decbytes",
        windowed=True,
    )


def _baseline(signal: str) -> list[Query]:
    """What the agent holds for usual, and its limit: drawn beside the values, since each project has its own."""
    where = f'{WHERE},signal="{signal}"'
    return [
        Query(latest("baseline_median", where, "target"), "usual {{target}}"),
        Query(latest("baseline_threshold", where, "target"), "limit {{target}}"),
    ]
