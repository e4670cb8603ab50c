from __future__ import annotations

import uuid
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, func, select

from buildprof.model.build import Status
from buildprof.model.events import EngineEvent
from buildprof.model.series import Contribution, Effect, Series
from buildprof.model.step import Outcome
from buildprof.store import schema
from buildprof.store.errors import NotFound, StoreError
from buildprof.store.queries import (
    changed_series,
    cursor,
    engine_events,
    executed_durations,
    find_build,
    known_dockerfile,
)
from buildprof.store.writer import Writer
from tests.store.samples import SECOND, T0, counted, make_build, make_step

PLACE = (("project", "shop"), ("target", "web"))


def totals(engine: Engine, scope: str = "agent") -> dict[str, float]:
    return {series.metric: series.value for series in changed_series(engine, scope)[0]}


def test_a_finished_build_is_counted_once(engine: Engine, writer: Writer) -> None:
    build = make_build()
    assert writer.save_build(build, [counted()], scope="agent")
    assert not writer.save_build(build, [counted()], scope="agent")
    assert not writer.save_build(replace(build, generation=3), [counted()], scope="agent")
    assert totals(engine) == {"builds_total": 1}


def test_a_running_build_is_stored_and_not_counted(engine: Engine, writer: Writer) -> None:
    running = make_build(status=Status.RUNNING, completed_ns=None)
    assert not writer.save_build(running, [counted()], scope="agent")
    assert find_build(engine, "ref1") == running
    assert totals(engine) == {}
    assert writer.save_build(make_build(), [counted()], scope="agent")
    assert totals(engine) == {"builds_total": 1}


def test_a_finished_build_is_never_replaced_by_a_running_one(engine: Engine, writer: Writer) -> None:
    writer.save_build(make_build(), scope="agent")
    writer.save_build(make_build(status=Status.RUNNING, completed_ns=None, generation=9), scope="agent")
    assert find_build(engine, "ref1").status is Status.COMPLETED


def test_a_later_generation_replaces_the_build_and_all_its_steps(engine: Engine, writer: Writer) -> None:
    writer.save_build(make_build(generation=1), scope="agent")
    amended = make_build(generation=2, project="better", steps=(make_step("c"),))
    writer.save_build(amended, scope="agent")
    assert find_build(engine, "ref1") == amended
    writer.save_build(make_build(generation=1), scope="agent")
    assert find_build(engine, "ref1") == amended


def test_builds_of_two_builders_with_one_ref_are_two(engine: Engine, writer: Writer) -> None:
    writer.save_build(make_build(), [counted()], scope="agent")
    assert writer.save_build(make_build(builder="remote"), [counted()], scope="agent")
    assert totals(engine) == {"builds_total": 2}
    assert find_build(engine, "ref1", builder="remote").builder == "remote"


def test_a_batch_may_hold_one_build_several_times(engine: Engine, writer: Writer) -> None:
    running = make_build(status=Status.RUNNING, completed_ns=None)
    done = make_build(generation=2)
    batch = [(running, ()), (done, [counted()]), (make_build(generation=1), [counted()])]
    assert writer.save_builds(batch, scope="agent") == {("default", "ref1")}
    assert find_build(engine, "ref1") == done
    assert totals(engine) == {"builds_total": 1}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_order_of_generations_and_duplicates_gives_the_totals_of_each_build_once(
    engine: Engine, writer: Writer, data
) -> None:
    scope = f"scope {uuid.uuid4()}"
    refs = [f"{scope} {number}" for number in range(4)]
    state = st.tuples(st.sampled_from(range(4)), st.integers(0, 3), st.booleans())
    history = data.draw(st.lists(state, max_size=25))
    batches: list[list[tuple[int, int, bool]]] = [[]]
    for item in history:
        if data.draw(st.booleans()):
            batches.append([])
        batches[-1].append(item)
    for batch in batches:
        saved = []
        for number, generation, running in batch:
            status = Status.RUNNING if running else Status.COMPLETED
            completed_ns = None if running else T0 + number * SECOND
            step = make_step(identity=f"{scope} step", duration_seconds=number + 0.5)
            build = make_build(
                refs[number], status=status, generation=generation, completed_ns=completed_ns, steps=(step,)
            )
            amounts = [counted(value=2.0**number), Contribution("last", PLACE, number, Effect.SET, at_ns=number)]
            saved.append((build, amounts))
        writer.save_builds(saved, scope=scope)

    finished = sorted({number for number, _, running in history if not running}, reverse=True)
    expected = {"builds_total": sum(2.0**number for number in finished), "last": finished[0]} if finished else {}
    assert totals(engine, scope) == expected
    durations = tuple(number + 0.5 for number in finished)
    assert executed_durations(engine, [f"{scope} step"]).get(f"{scope} step", ()) == durations
    for number, ref in enumerate(refs):
        seen = [(not running, generation) for which, generation, running in history if which == number]
        if seen:
            build = find_build(engine, ref)
            assert (build.status is not Status.RUNNING, build.generation) == max(seen)
        else:
            with pytest.raises(NotFound):
                find_build(engine, ref)


def test_set_keeps_what_a_later_build_has_set(engine: Engine, writer: Writer) -> None:
    for at_ns, value in ((5, 50.0), (3, 30.0), (5, 51.0)):
        gauge = Contribution("image_size_bytes", PLACE, value, Effect.SET, at_ns)
        writer.apply_contributions([gauge], scope="agent")
    assert changed_series(engine, "agent")[0] == [Series("image_size_bytes", PLACE, 51.0, at_ns=5)]


def test_a_bucket_keeps_its_latest_exemplar(engine: Engine, writer: Writer) -> None:
    def bucket(at_ns: int, ref: str, exemplar_value: float | None) -> Contribution:
        return Contribution("d_bucket", PLACE, 1.0, at_ns=at_ns, ref=ref, exemplar_value=exemplar_value)

    writer.apply_contributions([bucket(2, "two", 0.2), bucket(1, "one", 0.1)], scope="agent")
    writer.apply_contributions([bucket(1, "older", 0.4)], scope="agent")
    writer.apply_contributions([bucket(9, "", None)], scope="agent")
    assert changed_series(engine, "agent")[0] == [Series("d_bucket", PLACE, 4.0, 9, "two", 0.2)]


def test_scopes_are_apart(engine: Engine, writer: Writer) -> None:
    writer.apply_contributions([counted()], scope="one")
    writer.apply_contributions([counted(), counted()], scope="two")
    assert (totals(engine, "one"), totals(engine, "two")) == ({"builds_total": 1}, {"builds_total": 2})


def test_a_reader_is_told_what_changed_since_it_asked(engine: Engine, writer: Writer) -> None:
    writer.apply_contributions([counted("a"), counted("b")], scope="agent")
    _, seen = changed_series(engine, "agent")
    assert changed_series(engine, "agent", seen) == ([], seen)
    writer.apply_contributions([counted("b")], scope="agent")
    changed, later = changed_series(engine, "agent", seen)
    assert [(series.metric, series.value) for series in changed] == [("b", 2.0)]
    assert later > seen


def test_durations_are_kept_of_the_last_five_executions(engine: Engine, writer: Writer) -> None:
    for number in (3, 1, 2, 6, 5, 4):
        steps = (
            make_step("a", duration_seconds=float(number)),
            make_step("b", outcome=Outcome.HIT),
            make_step("c", identity=""),
            make_step("d", identity="x" * 5000, duration_seconds=1.5),
        )
        writer.save_build(make_build(f"ref{number}", completed_ns=T0 + number * SECOND, steps=steps), scope="agent")
    asked = ["identity of a", "identity of b", "", "x" * 5000]
    assert executed_durations(engine, asked) == {
        "identity of a": (6.0, 5.0, 4.0, 3.0, 2.0),
        "x" * 5000: (1.5,) * 5,
    }


def test_retention_deletes_builds_and_lowers_no_counter(engine: Engine, writer: Writer) -> None:
    for number in range(250):
        build = make_build(f"ref{number}", started_ns=T0 + number * SECOND, completed_ns=T0 + number * SECOND)
        writer.save_build(build, [counted()], scope="agent")
    assert writer.delete_older_than(T0 + 240 * SECOND) == 240
    with engine.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(schema.builds)) == 10
        assert connection.scalar(select(func.count()).select_from(schema.steps)) == 20
    assert totals(engine) == {"builds_total": 250}
    assert not writer.save_build(make_build("ref3"), [counted()], scope="agent")
    assert totals(engine) == {"builds_total": 250}


def test_retention_deletes_events_dockerfiles_and_histories_that_were_last_seen_before(
    engine: Engine, writer: Writer
) -> None:
    writer.save_build(make_build(dockerfile_digest="old", directory="/d"), scope="agent")
    writer.save_engine_events("default", [EngineEvent("image", "tag", str(n), T0 + n) for n in range(1500)])
    assert writer.delete_older_than(T0 + 1400) == 1
    assert [event.at_ns for event in engine_events(engine)] == list(range(T0 + 1400, T0 + 1500))
    assert known_dockerfile(engine, "old") is None
    assert executed_durations(engine, ["identity of a"]) == {"identity of a": (2.0,)}  # it ended after that time
    writer.delete_older_than(T0 + 60 * SECOND)
    assert executed_durations(engine, ["identity of a"]) == {}


def test_an_engine_event_is_stored_once(engine: Engine, writer: Writer) -> None:
    event = EngineEvent("image", "tag", "sha256:1", T0, {"name": "shop:latest"})
    writer.save_engine_events("default", [event, event])
    writer.save_engine_events("default", [event])
    writer.save_engine_events("default", [])
    assert engine_events(engine) == [event]
    assert engine_events(engine, since_ns=T0 + 1) == []
    assert engine_events(engine, builder="remote") == []


def test_a_cursor_is_remembered(engine: Engine, writer: Writer) -> None:
    assert cursor(engine, "docker events") is None
    writer.set_cursor("docker events", "1")
    writer.set_cursor("docker events", "2")
    assert cursor(engine, "docker events") == "2"


def test_a_directory_keeps_its_name_and_another_gets_a_longer_one(writer: Writer) -> None:
    assert writer.claim_project_name("/work/shop/web", "web") == "web"
    assert writer.claim_project_name("/work/blog/web", "web") == "blog/web"
    assert writer.claim_project_name("/home/blog/web", "web") == "home/blog/web"
    assert writer.claim_project_name("/work/shop/web", "anything") == "web"
    assert writer.claim_project_name("/work/blog/web", "web") == "blog/web"


def test_a_dockerfile_is_known_by_the_last_place_it_was_built_at(engine: Engine, writer: Writer) -> None:
    assert known_dockerfile(engine, "d") is None
    writer.save_build(make_build("lost", project="unknown", dockerfile_digest="d"), scope="agent")
    assert known_dockerfile(engine, "d") is None
    writer.save_build(make_build("found", dockerfile_digest="d", directory="/work/shop"), scope="agent")
    assert known_dockerfile(engine, "d") == ("shop", "/work/shop")
    writer.remember_dockerfile("d", "FROM a", "older", "/work/older", at_ns=T0 - 1)
    writer.remember_dockerfile("d", "", "unknown", "", at_ns=T0 + 1)
    assert known_dockerfile(engine, "d") == ("shop", "/work/shop")
    assert find_build(engine, "found").dockerfile_text == "FROM a"


def test_a_transaction_that_fails_leaves_the_store_as_it_was(engine: Engine, writer: Writer) -> None:
    broken = make_build("broken", started_ns=2**70)
    with pytest.raises(StoreError):
        writer.save_builds([(make_build("good"), [counted()]), (broken, [counted()])], scope="agent")
    assert totals(engine) == {}
    with pytest.raises(NotFound):
        find_build(engine, "good")
    assert writer.save_build(make_build("good"), [counted()], scope="agent")


def test_a_builder_keeps_its_name_and_one_that_never_built_gives_it_back(writer: Writer) -> None:
    assert writer.claim_builder_name("me", "unix:///a", "default") == "default"
    assert writer.claim_builder_name("me", "unix:///a", "default") == "default"
    assert writer.claim_builder_name("me", "unix:///b", "default") == "default"
    writer.save_build(make_build(builder="default"), scope="me")
    assert writer.claim_builder_name("me", "unix:///c", "default") == "default-2"
    assert writer.claim_builder_name("you", "unix:///b", "default") == "default-3"
    assert writer.claim_builder_name("me", "unix:///b", "default") == "default"
