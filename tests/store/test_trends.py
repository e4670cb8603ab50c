from __future__ import annotations

import pytest
from sqlalchemy import Engine

from buildprof.model.build import Image, Status, Summary
from buildprof.model.explanation import Cause, Confidence, Explanation, Finding, Miss
from buildprof.model.step import Kind, Layer, Outcome
from buildprof.store.trends import (
    BuildPoint,
    lost_by_build,
    lost_by_target,
    step_runs,
    steps_of_builds,
    target_builds,
)
from buildprof.store.writer import Writer
from tests.store.samples import SECOND, T0, make_build, make_step


def save(writer: Writer, ref: str, at: int = 0, lost: tuple[tuple[Cause, float], ...] = (), **changes) -> None:
    """Save a build of ten seconds that began so many minutes after T0, and lost seconds to causes."""
    started_ns = T0 + at * 60 * SECOND
    fields = {"started_ns": started_ns, "completed_ns": started_ns + 10 * SECOND, **changes}
    build = make_build(ref, **fields)
    misses = tuple(
        Miss("a", Finding(cause, Confidence.CERTAIN, {}), (), "", seconds, (), seconds) for cause, seconds in lost
    )
    told = Explanation(ref, build.project, build.target, None, misses, sum(seconds for _, seconds in lost))
    writer.save_build(build, scope="agent", explanation=told if lost else None)


def points(engine: Engine, **options) -> list[BuildPoint]:
    return target_builds(engine, "shop", "web", **options)


def test_the_last_builds_of_a_target_come_oldest_first(engine: Engine, writer: Writer) -> None:
    for at in (2, 0, 3, 1):
        save(writer, f"r{at}", at)
    save(writer, "other", 4, target="api")
    save(writer, "another", 4, project="blog")
    assert [one.ref for one in points(engine)] == ["r0", "r1", "r2", "r3"]
    assert [one.ref for one in points(engine, limit=2)] == ["r2", "r3"]
    assert [one.ref for one in points(engine, since_ns=T0 + 61 * SECOND)] == ["r2", "r3"]
    assert target_builds(engine, "shop", "nothing") == []


def test_a_point_has_the_figures_of_its_build(engine: Engine, writer: Writer) -> None:
    summary = Summary(steps=2, cacheable_steps=4, cache_hits=3, cache_misses=1, executed_seconds=2.5, saved_seconds=9.0)
    save(writer, "one", summary=summary, image=Image("i", ("shop:1",), 1234, 3))
    (one,) = points(engine)
    assert (one.builder, one.status, one.started_ns, one.duration_seconds) == ("default", Status.COMPLETED, T0, 10.0)
    assert (one.hits, one.misses, one.hit_ratio) == (3, 1, 0.75)
    assert (one.executed_seconds, one.saved_seconds, one.image_size_bytes, one.steps) == (2.5, 9.0, 1234, 2)


def test_what_a_build_does_not_tell_is_unknown_and_no_zero(engine: Engine, writer: Writer) -> None:
    save(writer, "one", completed_ns=T0, status=Status.FAILED)
    (one,) = points(engine)
    assert (one.duration_seconds, one.hits, one.hit_ratio, one.image_size_bytes) == (None, None, None, None)


def test_a_build_without_a_lookup_has_no_ratio(engine: Engine, writer: Writer) -> None:
    save(writer, "one", summary=Summary(cache_hits=0, cache_misses=0))
    assert points(engine)[0].hit_ratio is None


def test_a_running_build_has_no_point(engine: Engine, writer: Writer) -> None:
    save(writer, "now", status=Status.RUNNING, completed_ns=None)
    assert points(engine) == []


def test_what_each_build_lost_is_added_up_by_cause(engine: Engine, writer: Writer) -> None:
    save(writer, "one", 0, ((Cause.EVICTED, 1.0), (Cause.EVICTED, 2.0), (Cause.NO_CACHE, 4.0)))
    save(writer, "two", 1)
    save(writer, "three", 2, ((Cause.EVICTED, 8.0),))
    one, _, three = points(engine)
    assert lost_by_build(engine, points(engine)) == {
        one.key: {Cause.EVICTED: 3.0, Cause.NO_CACHE: 4.0},
        three.key: {Cause.EVICTED: 8.0},
    }
    assert lost_by_build(engine, []) == {}


def test_what_each_target_lost_is_of_builds_since_a_time(engine: Engine, writer: Writer) -> None:
    save(writer, "old", 0, ((Cause.EVICTED, 100.0),))
    save(writer, "new", 5, ((Cause.EVICTED, 2.0), (Cause.NO_CACHE, 1.0)))
    save(writer, "api", 6, ((Cause.NO_CACHE, 7.0),), target="api")
    save(writer, "blog", 6, project="blog")
    targets = [("shop", "web"), ("shop", "api"), ("blog", "web"), ("blog", "none")]
    assert lost_by_target(engine, targets, T0 + 60 * SECOND) == {("shop", "web"): 3.0, ("shop", "api"): 7.0}
    assert lost_by_target(engine, targets[:1], T0) == {("shop", "web"): 103.0}
    assert lost_by_target(engine, [], T0) == {}


def test_runs_are_those_of_steps_that_a_build_executed_oldest_build_first(engine: Engine, writer: Writer) -> None:
    steps = (
        make_step("a", instruction="RUN", command="make", stage="app"),
        make_step("b", outcome=Outcome.HIT),
        make_step("c", cacheable=False),
        make_step("d", duration_seconds=None),
        make_step("e", identity=""),
        make_step("f", duration_seconds=3.0),
    )
    save(writer, "late", 1, steps=steps)
    save(writer, "early", 0, steps=steps[:1])
    found = step_runs(engine, points(engine), most_steps=100)
    assert [(one.name, one.stage, one.seconds, one.ref) for one in found if one.ref == "late"] == [
        ("RUN make", "app", 2.0, "late"),
        ("RUN f", "", 3.0, "late"),
    ]
    assert [one.ref for one in found] == ["early", "late", "late"]


@pytest.mark.parametrize(("most", "refs"), [(100, ["r0", "r1", "r2"]), (4, ["r1", "r2"]), (3, ["r2"]), (0, ["r2"])])
def test_steps_are_read_from_the_newest_build_back_until_there_are_enough(
    engine: Engine, writer: Writer, most: int, refs: list[str]
) -> None:
    for at in range(3):
        save(writer, f"r{at}", at, summary=Summary(steps=2))
    builds = points(engine)
    assert [one.ref for one, _ in steps_of_builds(engine, builds, most_steps=most)] == refs
    assert sorted({one.ref for one in step_runs(engine, builds, most_steps=most)}) == refs


def test_steps_of_a_build_have_what_tells_its_layers(engine: Engine, writer: Writer) -> None:
    made = (
        make_step("a", kind=Kind.FROM, layer=Layer("sha256:1", 5)),
        make_step("b", inputs=("a",), instruction="RUN", command="make", stage="app", layer=Layer("sha256:2", None)),
    )
    save(writer, "one", steps=made)
    save(writer, "failed", 1, steps=made, status=Status.FAILED)
    ((one, (first, second)),) = steps_of_builds(engine, points(engine), most_steps=100)
    assert one.ref == "one"
    assert (first.kind, first.layer, first.inputs) == (Kind.FROM, Layer("sha256:1", 5), ())
    assert (second.inputs, second.identity, second.stage) == (("a",), "identity of b", "app")
    assert (second.instruction, second.command, second.layer) == ("RUN", "make", Layer("sha256:2", None))
