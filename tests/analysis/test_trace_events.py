"""A build in the Trace Event Format."""

from __future__ import annotations

import json
from collections import defaultdict
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildprof.analysis.trace_events import trace_document
from buildprof.model.build import Build
from buildprof.model.step import Outcome
from tests.analysis.test_waterfall import builds
from tests.cli import sample_explanations
from tests.cli.sample_builds import ALL, NOW, at, build, failed, linked, multi_platform, running, shop, step


def complete(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [one for one in document["traceEvents"] if one["ph"] == "X"]


def threads(document: dict[str, Any]) -> dict[int, str]:
    return {one["tid"]: one["args"]["name"] for one in document["traceEvents"] if one["name"] == "thread_name"}


def check(document: dict[str, Any]) -> None:
    """What the format asks of a document."""
    json.dumps(document, allow_nan=False)
    assert set(document) == {"traceEvents", "displayTimeUnit", "otherData"}
    assert document["displayTimeUnit"] in {"ms", "ns"}
    for one in document["traceEvents"]:
        assert one["ph"] in {"X", "M"}
        assert type(one["pid"]) is type(one["tid"]) is int
        assert isinstance(one["name"], str)
        assert isinstance(one["args"], dict)
        if one["ph"] == "M":
            assert one["name"] in {"process_name", "thread_name", "thread_sort_index"}
        else:
            assert isinstance(one["ts"], float)
            assert one["dur"] >= 0
            assert one["tid"] in threads(document)


def check_nothing_overlaps(document: dict[str, Any]) -> None:
    by_thread = defaultdict(list)
    for one in complete(document):
        by_thread[one["tid"]].append(one)
    for events in by_thread.values():
        for first, second in pairwise(events):
            assert first["ts"] + first["dur"] <= second["ts"] + 0.001  # a nanosecond: what a float loses


@given(builds())
def test_any_build_is_a_document_in_which_no_thread_does_two_things_at_once(of: Build) -> None:
    document = trace_document(of, None, at(30))
    check(document)
    check_nothing_overlaps(document)
    assert len(complete(document)) == sum(one.started_ns is not None for one in of.steps)


@pytest.mark.parametrize("name", sorted(ALL))
def test_every_sample_is_a_document(name: str) -> None:
    document = trace_document(ALL[name](), None, NOW)
    check(document)
    check_nothing_overlaps(document)


def test_times_are_microseconds_from_the_start_of_the_build() -> None:
    (event,) = complete(
        trace_document(build((step("RUN make", Outcome.MISS, 1.5, 4, place=("app", 1, 1)),)), None, NOW)
    )
    assert (event["ts"], event["dur"]) == (1_500_000.0, 2_500_000.0)


def test_threads_are_named_for_stages_and_numbered_where_steps_ran_at_once() -> None:
    together = [step(f"RUN {n}", Outcome.MISS, 0, 2 + n, place=("app", n + 1, 3)) for n in range(3)]
    document = trace_document(build(linked(*together)), None, NOW)
    assert list(threads(document).values()) == ["app", "app (2)", "app (3)"]
    assert list(threads(trace_document(shop(), None, NOW)).values())[-1] == "export"


def test_threads_of_several_platforms_name_them() -> None:
    names = " ".join(threads(trace_document(multi_platform(), None, NOW)).values())
    assert all(platform in names for platform in multi_platform().platforms)


def test_an_event_tells_its_outcome_size_and_whether_it_is_critical_and_leaves_out_what_is_not_known() -> None:
    events = {one["name"]: one for one in complete(trace_document(shop(), None, NOW))}
    made = events["RUN npm run build"]
    assert made["cat"] == "miss"
    assert made["args"]["outcome"] == "miss"
    assert made["args"]["seconds"] == pytest.approx(37.8)
    assert made["args"]["size_bytes"] == 3_100_000
    assert made["args"]["on_critical_path"] is True
    assert (made["args"]["stage"], made["args"]["place"]) == ("build", "2/2")
    assert events["RUN npm ci"]["args"]["saved_seconds"] == 130.0
    assert "slack_seconds" not in made["args"]
    assert None not in {
        value for one in events.values() for value in map(repr, one["args"].values()) if value == "None"
    }


def test_a_root_miss_tells_its_cause_and_what_followed_tells_what_it_follows_from() -> None:
    of, explanation = sample_explanations.readme()
    told = [one["args"] for one in complete(trace_document(of, explanation, NOW)) if "cause" in one["args"]]
    assert [one["cause"] for one in told] == ["source_changed"] * 3
    assert [("blamed_seconds" in one, "follows_from" in one) for one in told] == [(True, False), *[(False, True)] * 2]
    assert told[0]["root_miss"] is True
    assert {one["follows_from"] for one in told[1:]} == {explanation.misses[0].step_id}
    assert "README.md" in told[0]["why"]


def test_what_failed_tells_its_error_and_what_did_not_run_has_no_event() -> None:
    events = {one["name"]: one["args"] for one in complete(trace_document(failed(), None, NOW))}
    assert events["RUN make test"]["error"] == "exit code: 2"
    assert events["RUN make test"]["lines"] == [4, 4]
    assert "RUN make install" not in events


def test_what_runs_ends_now() -> None:
    of = running()
    ends = [one["ts"] + one["dur"] for one in complete(trace_document(of, None, NOW)) if one["cat"] == "running"]
    assert ends
    assert all(end == pytest.approx((NOW - of.started_ns) / 1000) for end in ends)


@given(st.text(max_size=50))
def test_names_have_no_control_characters_and_are_bounded(name: str) -> None:
    of = build(
        (step(f"RUN {name}", Outcome.MISS, 0, 1, place=(f"s{name}", 1, 1)),), project=f"p{name}" * 20, ref=f"r{name}"
    )
    document = trace_document(of, None, NOW)
    texts = [one["name"] for one in document["traceEvents"]] + list(threads(document).values())
    assert all(one.isprintable() and len(one) <= 620 for one in texts)
    assert all(value.isprintable() and len(value) <= 255 for value in document["otherData"].values())
