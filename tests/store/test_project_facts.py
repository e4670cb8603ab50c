from __future__ import annotations

import pytest
from sqlalchemy import Engine

from buildprof.model.build import UNKNOWN_PROJECT, Image, Status, Summary
from buildprof.store.project_facts import facts_of_targets, list_projects, targets_by_time
from buildprof.store.writer import Writer
from tests.store.samples import SECOND, T0, make_build


def test_facts_are_of_the_last_twenty_builds_of_each_target(engine: Engine, writer: Writer) -> None:
    for number in range(30):
        started_ns = T0 + number * 100 * SECOND
        seconds = 90 if number < 10 else 20 if number == 29 else 10
        summary = Summary(cache_hits=3, cache_misses=1 if number >= 10 else 50, executed_seconds=2.0, saved_seconds=1.5)
        writer.save_build(
            make_build(
                f"r{number}",
                started_ns=started_ns,
                completed_ns=started_ns + seconds * SECOND,
                image=Image("i", size_bytes=1000 + number),
                summary=summary,
            ),
            scope="agent",
        )
    writer.save_build(make_build("other", target="api", status=Status.FAILED), scope="agent")
    api, web = list_projects(engine)
    assert (web.project, web.target, web.builds, web.failures) == ("shop", "web", 30, 0)
    assert web.last_started_ns == T0 + 2900 * SECOND
    assert web.hit_ratio == pytest.approx(0.75)
    assert (web.executed_seconds, web.saved_seconds) == (40.0, 30.0)
    assert (web.median_duration_seconds, web.last_duration_seconds, web.trend) == (10.0, 20.0, 2.0)
    assert (web.image_size_bytes, web.previous_image_size_bytes) == (1029, 1028)
    assert (api.target, api.builds, api.failures, api.hit_ratio, api.trend) == ("api", 1, 1, None, None)
    assert (api.median_duration_seconds, api.image_size_bytes, api.saved_seconds) == (None, None, None)


def test_a_running_build_counts_and_tells_nothing_more(engine: Engine, writer: Writer) -> None:
    writer.save_build(make_build("done"), scope="agent")
    writer.save_build(
        make_build("now", started_ns=T0 + SECOND, completed_ns=None, status=Status.RUNNING), scope="agent"
    )
    (facts,) = list_projects(engine)
    assert (facts.builds, facts.last_started_ns, facts.last_duration_seconds) == (2, T0 + SECOND, 10.0)


def test_what_no_build_tells_is_unknown_and_no_zero(engine: Engine, writer: Writer) -> None:
    for number in range(3):
        ended_ns = T0 + number * SECOND
        writer.save_build(make_build(f"r{number}", started_ns=ended_ns, completed_ns=ended_ns, steps=()), scope="agent")
    (facts,) = list_projects(engine)
    assert (facts.builds, facts.hit_ratio, facts.executed_seconds, facts.saved_seconds) == (3, None, None, None)
    assert (facts.median_duration_seconds, facts.last_duration_seconds, facts.trend) == (None, None, None)


def test_a_build_of_unknown_duration_is_no_fast_one(engine: Engine, writer: Writer) -> None:
    writer.save_build(make_build("timed"), scope="agent")
    writer.save_build(make_build("hits", started_ns=T0 + SECOND, completed_ns=T0 + SECOND), scope="agent")
    (facts,) = list_projects(engine)
    assert (facts.median_duration_seconds, facts.trend) == (10.0, 1.0)


def test_builds_that_could_not_be_placed_are_not_compared(engine: Engine, writer: Writer) -> None:
    for number in range(2):
        writer.save_build(
            make_build(
                f"r{number}",
                project=UNKNOWN_PROJECT,
                started_ns=T0 + number * SECOND,
                image=Image("i", size_bytes=1000 * (number + 1)),
            ),
            scope="agent",
        )
    (facts,) = list_projects(engine)
    assert (facts.builds, facts.image_size_bytes) == (2, 2000)
    assert (facts.median_duration_seconds, facts.trend, facts.previous_image_size_bytes) == (None, None, None)


def test_the_target_whose_last_builds_executed_longest_comes_first(engine: Engine, writer: Writer) -> None:
    for number in range(25):  # the first five, which took very long, are not recent
        summary = Summary(executed_seconds=1.0 if number >= 5 else 1000.0)
        writer.save_build(make_build(f"a{number}", started_ns=T0 + number * SECOND, summary=summary), scope="agent")
    for ref, target, seconds in (("b", "api", 50.0), ("c", "none", None), ("d", "also", None)):
        writer.save_build(make_build(ref, target=target, summary=Summary(executed_seconds=seconds)), scope="agent")
    running = Summary(executed_seconds=500.0)
    writer.save_build(
        make_build("now", project="blog", completed_ns=None, status=Status.RUNNING, summary=running), scope="agent"
    )
    expected = [("shop", "api"), ("shop", "web"), ("blog", "web"), ("shop", "also"), ("shop", "none")]
    assert targets_by_time(engine) == expected
    assert targets_by_time(engine, "blog") == [("blog", "web")]
    order = sorted(list_projects(engine), key=lambda one: (-(one.executed_seconds or 0.0), one.project, one.target))
    assert [(one.project, one.target) for one in order] == expected


def test_facts_of_some_targets_are_those_of_the_list(engine: Engine, writer: Writer) -> None:
    for ref, target in (("a", "web"), ("b", "api"), ("c", "other")):
        writer.save_build(make_build(ref, target=target), scope="agent")
    wanted = [("shop", "web"), ("shop", "api"), ("shop", "none")]
    assert facts_of_targets(engine, wanted) == [one for one in list_projects(engine) if one.target != "other"]


def test_an_empty_store_has_no_projects(engine: Engine) -> None:
    assert list_projects(engine) == []
    assert targets_by_time(engine) == []
    assert facts_of_targets(engine, []) == []
