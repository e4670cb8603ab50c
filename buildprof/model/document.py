"""Builds as JSON documents: what `--json` prints and the HTTP API serves. Unknown is null, never 0.

Field names and their order are a promise to scripts. Times are RFC 3339 in UTC with nanoseconds, durations seconds,
sizes bytes.
"""

from __future__ import annotations

from typing import Any, Protocol

from buildprof.model.build import Build, BuildError, Image, Options, Summary, Vcs
from buildprof.model.check import Check
from buildprof.model.step import Layer, Outcome, Resources, Step
from buildprof.model.text import rfc3339

REDACTED = "[redacted]"

Document = dict[str, Any]


def build_document(build: Build, *, with_steps: bool = True) -> Document:
    """All that `show` tells of a build; without the steps it is the head that `builds` lists."""
    document: Document = {
        "ref": build.ref,
        "builder": build.builder,
        "engine": {"name": build.engine.name or None, "version": build.engine.version or None},
        "source": build.source.value,
        "project": build.project,
        "target": build.target,
        "group": build.group or None,
        "dockerfile": build.dockerfile or None,
        "context": build.context or None,
        "platforms": list(build.platforms),
        "status": build.status.value,
        "error": _error(build.error),
        "started_at": rfc3339(build.started_ns),
        "completed_at": _time(build.completed_ns),
        "duration_seconds": rounded_seconds(build.duration_seconds),
        "image": _image(build.image),
        "vcs": _vcs(build.vcs),
        "options": _options(build.options),
        "summary": _summary(build.summary),
    }
    if with_steps:
        # Not stored with the head: it takes the steps to tell of how many hits nobody knows what they saved.
        document["summary"]["saved_seconds_unknown_hits"] = saved_seconds_unknown_hits(build)
        document["steps"] = [step_document(step) for step in build.steps]
    return document


def saved_seconds_unknown_hits(build: Build) -> int | None:
    """Count the hits that `saved_seconds` leaves out: of steps that were never seen to run. None without steps."""
    if not build.steps:
        return None
    return sum(step.outcome is Outcome.HIT and step.saved_seconds is None for step in build.steps)


def step_document(step: Step) -> Document:
    """One step of a build."""
    return {
        "id": step.id,
        "name": step.name,
        "kind": step.kind.value,
        "stage": step.stage or None,
        "position": step.position,
        "of": step.of,
        "platform": step.platform or None,
        "instruction": step.instruction or None,
        "command": step.command or None,
        "lines": list(step.lines) if step.lines else None,
        "inputs": list(step.inputs),
        "cacheable": step.cacheable,
        "outcome": step.outcome.value,
        "started_at": _time(step.started_ns),
        "completed_at": _time(step.completed_ns),
        "duration_seconds": rounded_seconds(step.duration_seconds),
        "on_critical_path": step.on_critical_path,
        "slack_seconds": rounded_seconds(step.slack_seconds),
        "saved_seconds": rounded_seconds(step.saved_seconds),
        "transferred_bytes": step.transferred_bytes,
        "layer": _layer(step.layer),
        "stored_bytes": step.stored_bytes,
        "resources": _resources(step.resources),
        "error": step.error or None,
    }


def check_document(check: Check) -> Document:
    """One line of `doctor`."""
    return {
        "name": check.name,
        "status": check.status.value,
        "detail": check.detail,
        "remedy": check.remedy or None,
    }


def _error(error: BuildError | None) -> Document | None:
    if error is None:
        return None
    return {"message": error.message, "step_id": error.step_id, "log_tail": list(error.log_tail)}


def _image(image: Image | None) -> Document | None:
    if image is None:
        return None
    return {"id": image.id, "tags": list(image.tags), "size_bytes": image.size_bytes, "layers": image.layers}


def _vcs(vcs: Vcs | None) -> Document | None:
    return None if vcs is None else {"source": vcs.source or None, "revision": vcs.revision or None}


def _options(options: Options) -> Document:
    return {
        "no_cache": options.no_cache,
        "build_args": {name: REDACTED if value is None else value for name, value in options.build_args.items()},
        "cache_from": list(options.cache_from),
        "cache_to": list(options.cache_to),
    }


def _summary(summary: Summary) -> Document:
    return {
        "steps": summary.steps,
        "cacheable_steps": summary.cacheable_steps,
        "cache_hits": summary.cache_hits,
        "cache_misses": summary.cache_misses,
        "hit_ratio": _ratio(summary.hit_ratio),
        "executed_seconds": rounded_seconds(summary.executed_seconds),
        "saved_seconds": rounded_seconds(summary.saved_seconds),
        "critical_path_seconds": rounded_seconds(summary.critical_path_seconds),
        "context_bytes": summary.context_bytes,
        "context_seconds": rounded_seconds(summary.context_seconds),
        "export_seconds": rounded_seconds(summary.export_seconds),
        "cache_import_seconds": rounded_seconds(summary.cache_import_seconds),
        "cache_export_seconds": rounded_seconds(summary.cache_export_seconds),
        "base_pull_seconds": rounded_seconds(summary.base_pull_seconds),
    }


def _layer(layer: Layer | None) -> Document | None:
    if layer is None:
        return None
    return {"digest": layer.digest, "size_bytes": layer.size_bytes, "compressed_bytes": layer.compressed_bytes}


def _resources(resources: Resources | None) -> Document | None:
    if resources is None:
        return None
    return {
        "cpu_seconds": rounded_seconds(resources.cpu_seconds),
        "memory_peak_bytes": resources.memory_peak_bytes,
        "read_bytes": resources.read_bytes,
        "written_bytes": resources.written_bytes,
        "network_bytes": resources.network_bytes,
    }


def _time(time_ns: int | None) -> str | None:
    return None if time_ns is None else rfc3339(time_ns)


def rounded_seconds(seconds: float | None) -> float | None:
    """Nine digits are what the engine gives; more are the noise of binary fractions."""
    return None if seconds is None else round(seconds, 9)


class TargetFigures(Protocol):
    """What the store knows of one target of one project, over its recent builds. None is unknown."""

    @property
    def project(self) -> str: ...  # noqa: D102  # the class tells
    @property
    def target(self) -> str: ...  # noqa: D102  # the class tells
    @property
    def builds(self) -> int: ...  # noqa: D102  # the class tells
    @property
    def failures(self) -> int: ...  # noqa: D102  # the class tells
    @property
    def last_started_ns(self) -> int: ...  # noqa: D102  # the class tells
    @property
    def hit_ratio(self) -> float | None: ...  # noqa: D102  # the class tells
    @property
    def executed_seconds(self) -> float | None: ...  # noqa: D102  # the class tells
    @property
    def saved_seconds(self) -> float | None: ...  # noqa: D102  # the class tells
    @property
    def median_duration_seconds(self) -> float | None: ...  # noqa: D102  # the class tells
    @property
    def last_duration_seconds(self) -> float | None: ...  # noqa: D102  # the class tells
    @property
    def trend(self) -> float | None: ...  # noqa: D102  # the class tells
    @property
    def image_size_bytes(self) -> int | None: ...  # noqa: D102  # the class tells
    @property
    def previous_image_size_bytes(self) -> int | None: ...  # noqa: D102  # the class tells


def project_document(figures: TargetFigures) -> Document:
    """One line of `projects`. `trend` is the last duration over the median of the recent ones."""
    return {
        "project": figures.project,
        "target": figures.target,
        "builds": figures.builds,
        "failures": figures.failures,
        "last_started_at": rfc3339(figures.last_started_ns),
        "hit_ratio": _ratio(figures.hit_ratio),
        "executed_seconds": rounded_seconds(figures.executed_seconds),
        "saved_seconds": rounded_seconds(figures.saved_seconds),
        "median_duration_seconds": rounded_seconds(figures.median_duration_seconds),
        "last_duration_seconds": rounded_seconds(figures.last_duration_seconds),
        "trend": _ratio(figures.trend),
        "image_size_bytes": figures.image_size_bytes,
        "previous_image_size_bytes": figures.previous_image_size_bytes,
    }


def _ratio(ratio: float | None) -> float | None:
    return None if ratio is None else round(ratio, 6)
