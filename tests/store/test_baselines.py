from __future__ import annotations

from dataclasses import replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from buildprof.model.explanation import Explanation
from buildprof.model.regression import MEASURED, Changes, Reading, Regression, Signal
from buildprof.model.step import Outcome
from buildprof.store.baselines import (
    active_regressions,
    explained_builds,
    last_readings,
    step_outcomes,
)
from buildprof.store.writer import Writer
from tests import strategies
from tests.store.samples import SECOND, T0, make_build, make_step

SLOWER = Regression(Signal.DURATION_SECONDS, "default", "Dockerfile", "", False, "a", T0, "b", 3, 20.0, 10.0, 11.0)


def read(ref: str = "ref1", **changes) -> Reading:
    one = Reading(ref, "default", "Dockerfile", "linux/amd64", T0, T0 + SECOND, False, {Signal.HIT_RATIO: 0.5})
    return replace(one, **changes)


def save(writer: Writer, ref: str, at: int = 0, **changes) -> None:
    started_ns = T0 + at * SECOND
    build = make_build(ref, started_ns=started_ns, completed_ns=started_ns + SECOND, **changes)
    one = read(ref, started_ns=started_ns, completed_ns=started_ns + SECOND, builder=build.builder)
    writer.save_build(build, scope="agent", reading=one)


def test_readings_come_back_in_the_order_of_their_builds_starts(engine: Engine, writer: Writer) -> None:
    for at in (3, 1, 2):
        save(writer, f"ref{at}", at)
    assert [one.ref for one in last_readings(engine, "shop", "web")] == ["ref1", "ref2", "ref3"]
    assert [one.ref for one in last_readings(engine, "shop", "web", limit=2)] == ["ref2", "ref3"]


def test_readings_are_those_of_one_target(engine: Engine, writer: Writer) -> None:
    save(writer, "mine")
    save(writer, "other", target="worker")
    save(writer, "another", project="blog")
    assert [one.ref for one in last_readings(engine, "shop", "web")] == ["mine"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
@given(
    st.dictionaries(st.sampled_from(MEASURED), strategies.seconds() | st.integers(0, 2**50).map(float)),
    st.fixed_dictionaries(
        {
            "steps_lost": st.lists(strategies.texts(), max_size=3).map(tuple),
            "is_cold": st.booleans(),
            "platform": strategies.texts(),
            "dockerfile": strategies.texts(),
        }
    ),
)
def test_a_reading_is_read_as_it_was_stored(engine: Engine, writer: Writer, figures, changes) -> None:
    one = read(figures=figures, **changes)
    writer.save_build(make_build(), scope="agent", reading=one)
    assert last_readings(engine, "shop", "web") == [one]


def test_a_build_that_is_stored_again_has_one_reading(engine: Engine, writer: Writer) -> None:
    writer.save_build(make_build(), scope="agent", reading=read())
    writer.save_build(make_build(generation=2), scope="agent", reading=read(is_cold=True))
    (one,) = last_readings(engine, "shop", "web")
    assert one.is_cold


def test_readings_go_with_their_builds(engine: Engine, writer: Writer) -> None:
    save(writer, "old", at=0)
    save(writer, "new", at=100)
    writer.delete_older_than(T0 + 50 * SECOND)
    assert [one.ref for one in last_readings(engine, "shop", "web")] == ["new"]


def test_regressions_of_a_target_go_with_its_last_build(engine: Engine, writer: Writer) -> None:
    save(writer, "old", at=0)
    save(writer, "new", at=100, target="worker")
    for target in ("web", "worker"):
        writer.save_regressions("shop", target, [SLOWER], [], scope="agent")
    writer.delete_older_than(T0 + 50 * SECOND)
    assert list(active_regressions(engine)) == [("shop", "worker")]


def test_an_index_serves_the_last_readings(engine: Engine) -> None:
    if engine.dialect.name != "sqlite":
        return  # an empty table is read through by PostgreSQL
    with engine.connect() as connection:
        plan = connection.execute(
            text(
                "EXPLAIN QUERY PLAN SELECT * FROM readings WHERE project = 'a' AND target = 'b'"
                " ORDER BY started_ns DESC, build_key DESC LIMIT 120"
            )
        ).all()
    assert [row[3] for row in plan] == ["SEARCH readings USING INDEX readings_by_project (project=? AND target=?)"]


def test_outcomes_are_those_of_the_steps_and_builds_asked_for(engine: Engine, writer: Writer) -> None:
    steps = (make_step("a", outcome=Outcome.HIT), make_step("b"))
    save(writer, "one", steps=steps)
    save(writer, "two")
    save(writer, "three")
    builds = [("default", "one"), ("default", "two"), ("default", "unknown")]
    assert step_outcomes(engine, builds, ["identity of a"]) == {
        "identity of a": {("default", "one"): Outcome.HIT, ("default", "two"): Outcome.MISS}
    }
    assert step_outcomes(engine, builds, []) == {} == step_outcomes(engine, [], ["identity of a"])


def test_builds_come_with_their_steps_and_with_their_explanations(engine: Engine, writer: Writer) -> None:
    told = Explanation("two", "shop", "web")
    save(writer, "one", at=1)
    writer.save_build(make_build("two"), scope="agent", explanation=told)
    builds, explanations = explained_builds(engine, [("default", "one"), ("default", "two"), ("other", "one")])
    assert [(one.ref, len(one.steps)) for one in builds] == [("two", 2), ("one", 2)]
    assert explanations == {"two": told}
    assert explained_builds(engine, []) == ([], {})


def test_regressions_replace_those_of_before_and_go_when_there_are_none(engine: Engine, writer: Writer) -> None:
    worse = replace(SLOWER, signal=Signal.HIT_RATIO, changes=Changes(sentence="RUN a missed."))
    writer.save_regressions("shop", "web", [SLOWER], [], scope="agent")
    writer.save_regressions("blog", "web", [worse], [], scope="agent")
    writer.save_regressions("shop", "web", [SLOWER, worse], [], scope="agent")
    assert active_regressions(engine) == {("shop", "web"): [SLOWER, worse], ("blog", "web"): [worse]}
    assert active_regressions(engine, "blog") == {("blog", "web"): [worse]}
    writer.save_regressions("shop", "web", [], [], scope="agent")
    assert active_regressions(engine) == {("blog", "web"): [worse]}
