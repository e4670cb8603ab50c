from __future__ import annotations

import json
from dataclasses import replace

from buildprof.model.build import Build, Engine, Source, Status, Summary
from buildprof.model.document import build_document
from buildprof.model.step import Kind, Resources, Step
from tests.cli.sample_builds import ALL, canceled, failed, shop

HEAD = [
    *("ref", "builder", "engine", "source", "project", "target", "group", "dockerfile", "context", "platforms"),
    *("status", "error", "started_at", "completed_at", "duration_seconds", "image", "vcs", "options", "summary"),
]
SUMMARY = [
    *("steps", "cacheable_steps", "cache_hits", "cache_misses", "hit_ratio", "executed_seconds", "saved_seconds"),
    *("critical_path_seconds", "context_bytes", "context_seconds", "export_seconds"),
    *("cache_import_seconds", "cache_export_seconds", "base_pull_seconds"),
]
OF_STEPS = ["saved_seconds_unknown_hits"]
STEP = [
    *("id", "name", "kind", "stage", "position", "of", "platform", "instruction", "command", "lines", "inputs"),
    *("cacheable", "outcome", "started_at", "completed_at", "duration_seconds", "on_critical_path", "slack_seconds"),
    *("saved_seconds", "transferred_bytes", "layer", "stored_bytes", "resources", "error"),
]


def test_fields_stand_in_the_promised_order() -> None:
    document = build_document(shop())
    assert list(document) == [*HEAD, "steps"]
    assert list(document["engine"]) == ["name", "version"]
    assert list(document["image"]) == ["id", "tags", "size_bytes", "layers"]
    assert list(document["vcs"]) == ["source", "revision"]
    assert list(document["options"]) == ["no_cache", "build_args", "cache_from", "cache_to"]
    assert list(document["summary"]) == SUMMARY + OF_STEPS
    assert all(list(step) == STEP for step in document["steps"])
    layer = next(step["layer"] for step in document["steps"] if step["layer"])
    assert list(layer) == ["digest", "size_bytes", "compressed_bytes"]
    assert list(build_document(failed())["error"]) == ["message", "step_id", "log_tail"]


def test_a_head_is_all_but_the_steps_and_what_takes_them_to_tell() -> None:
    head = build_document(shop(), with_steps=False)
    assert list(head) == HEAD
    assert list(head["summary"]) == SUMMARY


def test_hits_of_which_nobody_knows_what_they_saved_are_counted() -> None:
    assert build_document(shop())["summary"]["saved_seconds_unknown_hits"] == 0
    steps = tuple(replace(one, saved_seconds=None) if one.kind is Kind.RUN else one for one in shop().steps)
    assert build_document(replace(shop(), steps=steps))["summary"]["saved_seconds_unknown_hits"] == 1


def test_resources_have_their_fields() -> None:
    build = shop()
    steps = (replace(build.steps[0], resources=Resources(cpu_seconds=0.5)), *build.steps[1:])
    assert build_document(replace(build, steps=steps))["steps"][0]["resources"] == {
        "cpu_seconds": 0.5,
        "memory_peak_bytes": None,
        "read_bytes": None,
        "written_bytes": None,
        "network_bytes": None,
    }


def test_times_are_utc_with_nanoseconds_and_durations_plain() -> None:
    document = build_document(shop())
    assert document["started_at"] == "2026-09-21T14:13:20.123456789Z"
    assert document["completed_at"] == "2026-09-21T14:14:01.923456789Z"
    assert document["duration_seconds"] == 41.8
    assert document["summary"]["hit_ratio"] == 0.5


def test_unknown_is_null_and_never_zero() -> None:
    nothing = Build("r", "b", Engine("", ""), Source.CLASSIC, "p", "t", Status.RUNNING, 0, summary=Summary())
    document = build_document(nothing)
    assert document["engine"] == {"name": None, "version": None}
    for key in ("group", "dockerfile", "context", "error", "completed_at", "duration_seconds", "image", "vcs"):
        assert document[key] is None
    assert {key: value for key, value in document["summary"].items() if value is not None} == {"steps": 0}
    step = build_document(replace(nothing, steps=(_bare_step(),)))["steps"][0]
    known = ("id", "name", "kind", "inputs", "cacheable", "outcome", "on_critical_path")
    assert all(value is None for key, value in step.items() if key not in known)


def test_values_of_build_arguments_are_shown_only_where_allowed() -> None:
    assert build_document(canceled())["options"]["build_args"] == {"TOKEN": "[redacted]", "V": "2"}


def test_every_sample_is_json() -> None:
    for make in ALL.values():
        document = build_document(make())
        assert json.loads(json.dumps(document)) == document


def _bare_step() -> Step:
    return next(
        replace(step, started_ns=None, completed_ns=None, duration_seconds=None, layer=None, stage="", position=None,
                of=None, instruction="", command="")
        for step in shop().steps
    )  # fmt: skip
