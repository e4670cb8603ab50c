from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import Engine

from buildprof.model.build import UNKNOWN_PROJECT, Status
from buildprof.model.explanation import Cause, Confidence, Explanation, Finding, Loss, Miss
from buildprof.model.step import Outcome
from buildprof.store.lists import TREND, losses_of, outcome_counts, project_names, recent_durations
from buildprof.store.writer import Writer
from tests.store.samples import SECOND, T0, make_build


def save(writer: Writer, ref: str, at: int = 0, seconds: float = 10, lost: float = 0, **changes) -> None:
    started_ns = T0 + at * 100 * SECOND
    fields = {"started_ns": started_ns, "completed_ns": started_ns + int(seconds * SECOND), **changes}
    build = make_build(ref, **fields)
    misses = tuple(
        Miss("a", Finding(cause, Confidence.CERTAIN, {}), (), "", lost, (), lost)
        for cause in (Cause.EVICTED, Cause.NO_CACHE)
    )
    told = Explanation(ref, build.project, build.target, None, misses, 2 * lost)
    writer.save_build(build, scope="agent", explanation=told if lost else None)


def test_durations_are_of_the_last_completed_builds_oldest_first(engine: Engine, writer: Writer) -> None:
    for at in range(TREND + 3):
        save(writer, f"r{at}", at, seconds=at + 1)
    save(writer, "failed", 90, status=Status.FAILED)
    save(writer, "unknown", 91, seconds=0)
    save(writer, "other", 92, target="api", seconds=0.5)
    save(writer, "lost", 93, project=UNKNOWN_PROJECT)
    started = {"r14": 14, "failed": 90, "r3": 3, "other": 92}
    rows = [
        make_build(ref, started_ns=T0 + at * 100 * SECOND, target="api" if ref == "other" else "web")
        for ref, at in started.items()
    ]
    rows.append(make_build("lost", started_ns=T0 + 93 * 100 * SECOND, project=UNKNOWN_PROJECT))
    lately = [float(at + 1) for at in range(3, TREND + 3)]
    assert recent_durations(engine, rows) == {
        ("default", "r14"): lately,
        ("default", "failed"): lately,
        ("default", "r3"): [1.0, 2.0, 3.0, 4.0],
        ("default", "other"): [0.5],
    }


def test_what_each_build_lost_is_added_up(engine: Engine, writer: Writer) -> None:
    save(writer, "one", lost=2.5)
    save(writer, "one", builder="remote", lost=1.0)
    save(writer, "two", 1)
    builds = [make_build("one"), make_build("one", builder="remote"), make_build("two")]
    found = losses_of(engine, builds)
    assert {key: sum(one.seconds for one in losses) for key, losses in found.items()} == {
        ("default", "one"): pytest.approx(5.0),
        ("remote", "one"): pytest.approx(2.0),
    }
    assert losses_of(engine, []) == {}


def test_what_a_build_lost_most_to_is_named(engine: Engine, writer: Writer) -> None:
    changed = {"changed": ["src/a.py"]}
    misses = (
        Miss("a", Finding(Cause.SOURCE_CHANGED, Confidence.CERTAIN, changed), (), "", 2.0, (), 2.0),
        Miss("b", Finding(Cause.NO_CACHE, Confidence.CERTAIN, {}), (), "", 1.0, (), 1.0),
    )
    build = make_build("one")
    told = Explanation("one", build.project, build.target, None, misses, 3.0)
    writer.save_build(build, scope="agent", explanation=told)
    save(writer, "two", 1)
    found = losses_of(engine, [build, make_build("two")])
    assert found.keys() == {("default", "one")}
    assert found["default", "one"][0] == Loss(Cause.SOURCE_CHANGED, "src/a.py", 2.0, 1)


def test_what_became_of_cacheable_steps_is_counted(engine: Engine, writer: Writer) -> None:
    step = make_build().steps[0]
    told = [(Outcome.HIT, True), (Outcome.HIT, True), (Outcome.MISS, True), (Outcome.NONE, False)]
    steps = tuple(
        replace(step, id=str(at), outcome=outcome, cacheable=cacheable) for at, (outcome, cacheable) in enumerate(told)
    )
    save(writer, "one", steps=steps)
    save(writer, "two", 1, steps=())
    found = outcome_counts(engine, [make_build("one"), make_build("two")])
    assert found == {("default", "one"): {Outcome.HIT: 2, Outcome.MISS: 1}}


def test_names_of_projects_come_once_and_in_order(engine: Engine, writer: Writer) -> None:
    for number, project in enumerate(("shop", "blog", "shop", "api")):
        save(writer, f"r{number}", number, project=project)
    assert project_names(engine, 9) == ["api", "blog", "shop"]
    assert project_names(engine, 2) == ["api", "blog"]
