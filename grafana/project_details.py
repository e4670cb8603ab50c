"""The closed rows of the project's dashboard: layers, transfers, builds, watched files."""

from __future__ import annotations

from grafana_foundation_sdk.models import dashboard as model

from grafana.frame import Detail
from grafana.panels import FULL_WIDTH, About, Column, Link, Query, bars, lines, ranking, rows
from grafana.promql import WINDOW, increase, latest, per_build, series
from grafana.selections import BUILDS_OF_ONE as BUILDS
from grafana.selections import ONE_PROJECT as PROJECT
from grafana.selections import TARGETS_OF_ONE as WHERE


def details() -> list[Detail]:
    """Make the rows."""
    return [
        Detail("Layers", [[_largest_layers(), _layers()], [_waste(), _efficiency(), _layer_count()]]),
        Detail("Everything but steps", [[_transfers(), _context_speed()]]),
        Detail("Builds", [[_builds(), _last_builds()]]),
        Detail("Watched files", [[_watched()]]),
    ]


def _largest_layers() -> model.Panel:
    return ranking(
        "Largest layers",
        About(
            "The largest layers of the last images, by place and instruction.",
            "a layer of RUN or COPY larger than the base.",
            "`buildprof image` lists its files; remove in the same RUN what it leaves behind.",
        ),
        Query(f"topk(15, {latest('layer_size_bytes', WHERE, 'target, layer')})", "{{target}} {{layer}}"),
        "decbytes",
    )


def _layers() -> model.Panel:
    return lines(
        "Layers over time",
        About(
            "The twenty largest layers of the last image, stacked.",
            "one band grows with every build.",
            "its number and instruction tell the line of the Dockerfile.",
        ),
        [Query(latest("layer_size_bytes", WHERE, "target, layer"), "{{target}} {{layer}}")],
        "decbytes",
        stacked=True,
    )


def _waste() -> model.Panel:
    return lines(
        "Wasted bytes",
        About(
            "Bytes in layers of the last image that none of its files shows: removed or overwritten later.",
            "it is there, and grows.",
            "`buildprof image` names the path, and the layer that caused it.",
        ),
        [Query(latest("image_wasted_bytes", WHERE, "target"), "{{target}}")],
        "decbytes",
        width=8,
    )


def _efficiency() -> model.Panel:
    return lines(
        "Efficiency",
        About(
            "The share of the bytes in layers that the image's files show.",
            "it falls.",
            "remove files in the RUN that made them, and copy with the mode they need (`COPY --chmod`).",
        ),
        [Query(latest("image_efficiency_ratio", WHERE, "target"), "{{target}}")],
        "percentunit",
        width=8,
        ceiling=1,
    )


def _layer_count() -> model.Panel:
    return lines(
        "Layers",
        About(
            "File system layers of the last image.",
            "it grows without the Dockerfile: the base got more.",
            "compare with the digest of the base by `buildprof compare`.",
        ),
        [Query(latest("image_layers", WHERE, "target"), "{{target}}")],
        "short",
        width=8,
    )


def _transfers() -> model.Panel:
    return bars(
        "Time in transfers per build",
        About(
            "Time in all that is no instruction: sending the context, pulling bases, cache import and export, writing the "
            "image. What is done side by side is added up.",
            "more than the steps take (see 'Time executed per build').",
            "context: `.dockerignore`. Base: keep it on the builder. Cache: see Cache and storage. Image: fewer changed "
            "layers.",
        ),
        [
            Query(per_build(f"{metric}_seconds_total", WHERE, WINDOW), name)
            for metric, name in (
                ("context_transfer", "context"),
                ("base_pull", "base images"),
                ("cache_import", "cache import"),
                ("cache_export", "cache export"),
                ("image_export", "image"),
            )
        ],
        "s",
    )


def _context_speed() -> model.Panel:
    moved = increase("context_transfer_bytes_total", WHERE, WINDOW)
    return lines(
        "Speed of the context",
        About(
            "Bytes of context per second of sending it.",
            "it falls: many small files, or a builder that is far away.",
            "ignore what is not needed, or build near the sources.",
        ),
        [Query(f"{moved} / ({increase('context_transfer_seconds_total', WHERE, WINDOW)} > 0)", "context")],
        "Bps",
        windowed=True,
    )


def _builds() -> model.Panel:
    failed = increase("build_failures_total", BUILDS, WINDOW)
    cancelled = increase("build_cancellations_total", BUILDS, WINDOW)
    return bars(
        "Builds by result",
        About(
            "Builds of this project by how they ended.",
            "red that does not go away.",
            "open the project on the agent's page; the last failed build has the end of its log.",
        ),
        [
            Query(f"{increase('builds_total', BUILDS, WINDOW)} - {failed} - {cancelled}", "completed"),
            Query(failed, "failed"),
            Query(cancelled, "cancelled"),
        ],
        "short",
        colours={"completed": "green", "failed": "red", "cancelled": "orange"},
    )


def _last_builds() -> model.Panel:
    return rows(
        "Last builds",
        About(
            "The last build of each target.",
            "not completed, or long ago for a target that should build every day.",
            "open it on the agent's page.",
        ),
        {"target": "Target"},
        [
            Column("Ended", f"{latest('last_build_timestamp_seconds', WHERE, 'target')} * 1000", "dateTimeFromNow"),
            Column(
                "Result", latest("last_build_success", WHERE, "target"), "none", words=("not completed", "completed")
            ),
            Column("Duration", latest("last_build_duration_seconds", WHERE, "target"), "s"),
            Column("Cacheable steps", latest("last_build_cacheable_steps", WHERE, "target"), "short", 0),
            Column("Hits", latest("last_build_cache_hits", WHERE, "target"), "short", 0),
        ],
        links=[
            Link(
                "Builds on the agent's page",
                "${agent:raw}/?project=${project:percentencode}&target=${__data.fields.target:percentencode}",
                new_tab=True,
            )
        ],
    )


def _watched() -> model.Panel:
    return lines(
        "Watched files",
        About(
            "Files and directories of the project that the agent watches, to tell which of them made a step miss.",
            "none although the agent is on the same machine, or far more than the project has.",
            "none: `buildprof doctor` says why. Many: ignore what is generated.",
        ),
        [
            Query(f"sum({series('watched_files', PROJECT)})", "files"),
            Query(f"sum({series('watched_directories', PROJECT)})", "directories"),
        ],
        "short",
        width=FULL_WIDTH,
    )
