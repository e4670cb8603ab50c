from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import Engine

from buildprof.model.build import Status
from buildprof.store.errors import Ambiguous, NotFound
from buildprof.store.queries import (
    BuildFilter,
    find_build,
    label_values,
    list_builds,
    overlapping_builds,
    previous_build,
    store_size_bytes,
    stored_generations,
)
from buildprof.store.writer import Writer
from tests.store.samples import SECOND, T0, counted, make_build


def refs(engine: Engine, **wanted) -> list[str]:
    return [build.ref for build in list_builds(engine, BuildFilter(**wanted))]


@pytest.fixture
def five(writer: Writer) -> None:
    """Builds r0 … r4, a second apart: three of shop/web, one of shop/api that failed, one of blog."""
    changes = [{}, {"target": "api", "status": Status.FAILED}, {}, {"project": "blog"}, {}]
    for number, change in enumerate(changes):
        started_ns = T0 + number * SECOND
        writer.save_build(
            make_build(f"r{number}", started_ns=started_ns, completed_ns=started_ns + SECOND // 2, **change),
            scope="agent",
        )


@pytest.mark.usefixtures("five")
def test_builds_are_listed_newest_first_and_filtered(engine: Engine) -> None:
    assert refs(engine) == ["r4", "r3", "r2", "r1", "r0"]
    assert refs(engine, project="shop") == ["r4", "r2", "r1", "r0"]
    assert refs(engine, project="shop", target="web") == ["r4", "r2", "r0"]
    assert refs(engine, target="api") == ["r1"]
    assert refs(engine, status=Status.FAILED) == ["r1"]
    assert refs(engine, since_ns=T0 + 3 * SECOND) == ["r4", "r3"]
    assert refs(engine, limit=2) == ["r4", "r3"]
    assert refs(engine, limit=None) == ["r4", "r3", "r2", "r1", "r0"]
    assert refs(engine, project="nobody") == []


@pytest.mark.usefixtures("five")
def test_a_listed_build_is_a_head(engine: Engine) -> None:
    assert all(build.steps == () for build in list_builds(engine))


def test_a_filter_that_no_database_could_hold_finds_what_it_says(engine: Engine, writer: Writer) -> None:
    writer.save_build(make_build(), scope="agent")
    assert refs(engine, since_ns=-(10**30), limit=10**30) == ["ref1"]
    assert refs(engine, since_ns=10**30) == refs(engine, before=(-(10**30), "")) == refs(engine, limit=-1) == []
    assert refs(engine, project="\ud800\0") == refs(engine, target="x" * 10**6) == []


def test_pages_are_seamless_where_builds_start_at_the_same_time(engine: Engine, writer: Writer) -> None:
    for number in range(7):
        writer.save_build(make_build(f"r{number}"), scope="agent")
    seen: list[str] = []
    before = None
    while page := list_builds(engine, BuildFilter(limit=2, before=before)):
        seen += [build.ref for build in page]
        before = (page[-1].started_ns, page[-1].ref)
    assert seen == ["r6", "r5", "r4", "r3", "r2", "r1", "r0"]


@pytest.mark.usefixtures("five")
def test_a_build_is_found_by_ref_prefix_or_last(engine: Engine, writer: Writer) -> None:
    writer.save_build(make_build("abcdef", started_ns=T0 - SECOND), scope="agent")
    assert find_build(engine, "r2").ref == "r2"
    assert find_build(engine, "abc").ref == "abcdef"
    assert find_build(engine, "last").ref == "r4"
    assert find_build(engine, "last", builder="default").ref == "r4"


def test_an_exact_ref_wins_over_those_it_begins(engine: Engine, writer: Writer) -> None:
    for ref in ("abc", "abcd", "abce"):
        writer.save_build(make_build(ref), scope="agent")
    assert find_build(engine, "abc").ref == "abc"
    with pytest.raises(Ambiguous, match="'ab' begins the refs of several builds, such as 'abc' and 'abcd'"):
        find_build(engine, "ab")


def test_a_ref_of_two_builders_is_ambiguous(engine: Engine, writer: Writer) -> None:
    for builder in ("one", "two"):
        writer.save_build(make_build("abc", builder=builder), scope="agent")
    with pytest.raises(Ambiguous, match="several builders, such as 'one' and 'two'"):
        find_build(engine, "abc")
    assert find_build(engine, "abc", builder="two").builder == "two"


@pytest.mark.usefixtures("five")
@pytest.mark.parametrize("ref", ["%", "_", "r%", "r_", "", "R2", "r2'--", "\0", "\ud800", "x" * 100_000, "é\n"])
def test_nothing_in_a_ref_is_a_wildcard(engine: Engine, ref: str) -> None:
    with pytest.raises(NotFound) as raised:
        find_build(engine, ref)
    assert len(str(raised.value)) < 120
    assert "\n" not in str(raised.value)


def test_there_is_no_last_build_in_an_empty_store(engine: Engine) -> None:
    with pytest.raises(NotFound, match="no build is stored yet"):
        find_build(engine, "last")


def test_the_previous_build_is_the_last_completed_one_of_the_same_line(engine: Engine, writer: Writer) -> None:
    asked = make_build("asked", started_ns=T0 + 9 * SECOND)
    for second, ref, change in (
        (1, "earlier", {}),
        (2, "previous", {}),
        (3, "failed", {"status": Status.FAILED}),
        (4, "other target", {"target": "api"}),
        (5, "other builder", {"builder": "remote"}),
        (10, "later", {}),
    ):
        writer.save_build(make_build(ref, started_ns=T0 + second * SECOND, **change), scope="agent")
    writer.save_build(asked, scope="agent")
    found = previous_build(engine, asked)
    assert found is not None
    assert found.ref == "previous"
    assert previous_build(engine, replace(asked, dockerfile="other.Dockerfile")) is None
    earliest = previous_build(engine, make_build("x", started_ns=T0))
    assert earliest is None


def test_overlapping_builds_are_those_that_ran_at_some_time_between(engine: Engine, writer: Writer) -> None:
    def ran(ref: str, start: int, end: int | None, **change) -> None:
        completed_ns = None if end is None else T0 + end * SECOND
        writer.save_build(
            make_build(ref, started_ns=T0 + start * SECOND, completed_ns=completed_ns, **change), scope="agent"
        )

    ran("before", 0, 3)
    ran("into", 1, 6)
    ran("inside", 6, 7)
    ran("around", 2, 20)
    ran("running", 4, None, status=Status.RUNNING)
    ran("after", 12, 13)
    ran("elsewhere", 6, 7, builder="remote")
    found = overlapping_builds(engine, "default", T0 + 5 * SECOND, T0 + 10 * SECOND)
    assert [build.ref for build in found] == ["into", "around", "running", "inside"]
    assert all(len(build.steps) == 2 for build in found)


@pytest.mark.usefixtures("five")
def test_generations_are_told_by_ref(engine: Engine) -> None:
    assert stored_generations(engine, "default", since_ns=T0 + 4 * SECOND) == {"r4": (Status.COMPLETED, 0)}
    assert stored_generations(engine, "default")["r1"] == (Status.FAILED, 0)
    assert stored_generations(engine, "remote") == {}


def test_label_values_are_those_of_the_series(engine: Engine, writer: Writer) -> None:
    contributions = [
        counted(project="shop", target="web"),
        counted(project="shop", target="api"),
        counted("step_duration_seconds_sum", project="blog", instruction="RUN"),
        counted("source_restarts_total", source="docker_events"),
    ]
    writer.apply_contributions(contributions, scope="agent")
    assert label_values(engine, "agent") == {"shop": {"web", "api"}, "blog": set()}
    assert label_values(engine, "another") == {}


def test_the_store_has_a_size(engine: Engine) -> None:
    assert store_size_bytes(engine) > 10_000
