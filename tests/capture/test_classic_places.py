"""Which directory a classic build is of: real processes, real directories, builds of recordings."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from buildprof.assembly.redact import make_redactor
from buildprof.capture.classic_places import ClassicPlaces
from buildprof.capture.contexts import Contexts
from buildprof.capture.desk import Desk
from buildprof.ingest import Ingest
from buildprof.model.build import Build, Image
from buildprof.sources.build_clients import build_clients
from buildprof.store import connect
from buildprof.web.live import LiveEvents
from tests.assembly.test_classic_recipes import replay
from tests.recordings.record_classic import COPIES, TWO_STAGES

ENGINE = "unix:///run/engine.sock"


@pytest.fixture
def contexts(tmp_path: Path) -> Iterator[Contexts]:
    made = Contexts(tmp_path / "trees.db", (), watch_builds=True)
    yield made
    made.close()


@pytest.fixture
def desk(tmp_path: Path, contexts: Contexts) -> Iterator[Desk]:
    store = connect.open_store(f"sqlite:///{tmp_path}/store.db")
    ingest = Ingest(store, scope="here", max_projects=10, max_targets=10, changes=contexts.changes)
    made = Desk(ingest, LiveEvents(max_clients=1, max_waiting=1), (), make_redactor(b"key", (), ()), contexts)
    yield made
    made.close()
    ingest.close()
    store.dispose()


@pytest.fixture
def build() -> Build:
    ((one, _),) = replay("forky")["cold"]
    return replace(one, image=Image("sha256:1", ("shop:1",), 1, 1))


def project(directory: Path, text: str = TWO_STAGES) -> Path:
    directory.mkdir(parents=True)
    (directory / "Dockerfile").write_text(text)
    (directory / "a.txt").write_text("a")
    return directory


@contextmanager
def client(directory: Path, *arguments: str, host: str = "", where: str = ".") -> Iterator[None]:
    """A process that has the command of a docker client; it sleeps."""
    script = directory / "docker"
    script.symlink_to("/bin/sh")
    (directory / "build").write_text("read never\n")
    environment = {"DOCKER_HOST": host} if host else {}
    running = subprocess.Popen(
        [script, "build", *arguments, where], cwd=directory, stdin=subprocess.PIPE, env=environment
    )
    deadline = time.monotonic() + 30
    while not any(one.place.context_path == str(directory) for one in build_clients()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    try:
        yield
    finally:
        running.kill()
        running.communicate()
        for one in ("docker", "build"):
            (directory / one).unlink()


async def seen(places: ClassicPlaces, build: Build, at_ns: int | None = None) -> None:
    """A first event of the build."""
    await places.look(at_ns or time.time_ns())
    await places.began([build.ref], [])


async def test_a_build_is_placed_where_its_client_runs(desk: Desk, build: Build, tmp_path: Path):
    places, shop = ClassicPlaces(desk, ENGINE), project(tmp_path / "shop")
    project(tmp_path / "other", COPIES)
    with client(shop, "-t", "shop:1", "--network=host"), client(tmp_path / "other"):
        await seen(places, build)
    placed = await places.placed(build)
    assert (placed.project, placed.target, placed.directory) == ("shop", "default", str(shop))
    assert (placed.context, placed.dockerfile) == (str(shop), f"{shop}/Dockerfile")
    assert placed.snapshot is not None
    assert placed.dockerfile_text == TWO_STAGES.replace("SECRET=x", "SECRET=[redacted]")
    assert [step.lines for step in placed.steps if step.instruction == "ADD"] == [(12, 12)]
    assert {step.identity for step in placed.steps}.isdisjoint(one.identity for one in build.steps if one.identity)


async def test_a_file_that_changes_between_two_builds_is_named(
    desk: Desk, contexts: Contexts, build: Build, tmp_path: Path
):
    places, shop = ClassicPlaces(desk, ENGINE), project(tmp_path / "shop")
    found = []
    for number in range(2):
        one = replace(build, ref=f"{build.ref}{number}")
        (shop / "a.txt").write_text(str(number))
        with client(shop, "-tshop:1"):
            await seen(places, one)
        found.append(await places.placed(one))
    added = next(step.recipe for step in found[1].steps if step.instruction == "ADD")
    assert added is not None
    changes = contexts.changes(found[0], found[1], added.takes)
    assert changes is not None
    assert changes.changed == ("a.txt",)


async def test_of_two_clients_with_one_dockerfile_the_image_s_name_decides(desk: Desk, build: Build, tmp_path: Path):
    places = ClassicPlaces(desk, ENGINE)
    one, two = project(tmp_path / "one"), project(tmp_path / "two")
    with client(one, "-t", "else:1"), client(two, "-t", "docker.io/library/shop:1"):
        await seen(places, build)
    assert (await places.placed(build)).project == "two"


async def test_where_two_directories_would_do_a_build_is_not_placed(desk: Desk, build: Build, tmp_path: Path):
    places = ClassicPlaces(desk, ENGINE)
    one, two = project(tmp_path / "one"), project(tmp_path / "two")
    with client(one, "-t", "shop:1"), client(two, "-t", "shop:1"):
        await seen(places, build)
    assert await places.placed(build) == build


async def test_a_client_of_another_engine_is_not_asked(desk: Desk, build: Build, tmp_path: Path):
    places = ClassicPlaces(desk, ENGINE)
    one, two = project(tmp_path / "one"), project(tmp_path / "two")
    with client(one, "-t", "shop:1", host="unix:///run/other.sock"), client(two, "-t", "shop:1", host=ENGINE):
        await seen(places, build)
    assert (await places.placed(build)).project == "two"


async def test_a_build_whose_client_is_not_seen_is_not_placed_though_a_known_dockerfile_fits(
    desk: Desk, build: Build, tmp_path: Path
):
    places, shop = ClassicPlaces(desk, ENGINE), project(tmp_path / "shop")
    with client(shop, "-t", "shop:1"):
        await seen(places, build)
    assert (await places.placed(build)).directory == str(shop)
    hidden = replace(build, ref="hidden", image=Image("sha256:2", ("shop:1",), 1, 1))
    await seen(places, hidden)
    assert await places.placed(hidden) == hidden


async def test_a_build_that_comes_to_the_image_of_a_placed_one_is_placed_as_that(
    desk: Desk, build: Build, tmp_path: Path
):
    places, shop = ClassicPlaces(desk, ENGINE), project(tmp_path / "shop")
    with client(shop, "-t", "shop:1"):
        await seen(places, build)
    first = await places.placed(build)
    (shop / "a.txt").write_text("edited since")
    cached = replace(build, ref="cached")
    await places.look(time.time_ns())
    await places.tagged(time.time_ns())
    again = await places.placed(cached)
    assert (again.directory, again.snapshot) == (first.directory, first.snapshot)


async def test_a_client_that_was_started_later_had_no_part_in_a_build(desk: Desk, build: Build, tmp_path: Path):
    places, shop = ClassicPlaces(desk, ENGINE), project(tmp_path / "shop")
    with client(shop, "-t", "shop:1"):
        await seen(places, build, time.time_ns() - 3_600_000_000_000)
    assert await places.placed(build) == build


async def test_a_tag_that_is_a_build_s_only_event_places_it(desk: Desk, build: Build, tmp_path: Path):
    places, shop = ClassicPlaces(desk, ENGINE), project(tmp_path / "shop")
    with client(shop, "-t", "shop:1"):
        at_ns = time.time_ns()
        await places.look(at_ns)
        await places.tagged(at_ns)
    assert (await places.placed(replace(build, completed_ns=at_ns))).directory == str(shop)
    later = replace(build, ref="later", completed_ns=at_ns + 1, image=Image("sha256:3", ("shop:1",), 1, 1))
    assert await places.placed(later) == later


async def test_a_link_is_the_directory_that_it_leads_to(desk: Desk, build: Build, tmp_path: Path):
    places, shop = ClassicPlaces(desk, ENGINE), project(tmp_path / "shop")
    (tmp_path / "link").symlink_to(shop)
    with client(shop, "-t", "shop:1", where=str(tmp_path / "link")):
        await seen(places, build)
    assert (await places.placed(build)).context == str(shop)


async def test_compose_s_names_go_before_those_of_the_directory(desk: Desk, build: Build, tmp_path: Path):
    places, shop = ClassicPlaces(desk, ENGINE), project(tmp_path / "shop")
    one = replace(build, project="market", target="web")
    with client(shop, "-t", "shop:1"):
        await seen(places, one)
    placed = await places.placed(one)
    assert (placed.project, placed.target, placed.context) == ("market", "web", str(shop))
