"""Snapshots of the directories of builds, on a real file system."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from buildprof.assembly.build import text_digest
from buildprof.assembly.redact import make_redactor
from buildprof.capture.contexts import JUST_ENDED_NS, Contexts
from buildprof.capture.desk import Desk
from buildprof.ingest import Ingest
from buildprof.model.events import BuildRecord, LocalState, RecordState
from buildprof.model.recipe import ContextUse
from buildprof.store import connect
from buildprof.store.queries import known_dockerfile
from buildprof.web.live import LiveEvents
from tests.analysis.recipes import a_build

ALL = (ContextUse(),)


@pytest.fixture
def context(tmp_path: Path) -> Path:
    directory = tmp_path / "shop"
    directory.mkdir()
    (directory / "Dockerfile").write_text("FROM base\nCOPY . /\n")
    (directory / "a.txt").write_text("a")
    return directory


@pytest.fixture
def contexts(tmp_path: Path) -> Iterator[Contexts]:
    made = Contexts(tmp_path / "trees.db", (), watch_builds=True)
    yield made
    made.close()


def record(ref: str, completed_ns: int | None = None) -> BuildRecord:
    return BuildRecord(ref, RecordState.STARTED, 1, time.time_ns(), completed_ns)


def state(directory: Path, uid: int | None = None) -> LocalState:
    return LocalState("", "default", str(directory), str(directory / "Dockerfile"), owner_uid=uid)


async def snapshot(contexts: Contexts, ref: str, directory: Path, **more):
    contexts.begin(ref, state(directory), time.time_ns(), **more)
    return await contexts.snapshot(ref, wait=True)


async def test_what_changed_between_two_builds_is_told(contexts: Contexts, context: Path):
    before = a_build("a", snapshot=await snapshot(contexts, "a", context))
    (context / "a.txt").write_text("b")
    (context / "new.txt").write_text("n")
    after = a_build("b", snapshot=await snapshot(contexts, "b", context))
    changes = contexts.changes(before, after, ALL)
    assert changes is not None
    assert (changes.changed, changes.added) == (("a.txt",), ("new.txt",))
    assert contexts.changes(before, after, (ContextUse(path="Dockerfile"),)) == type(changes)()


async def test_of_other_contexts_and_builds_without_snapshot_nothing_is_known(contexts: Contexts, context: Path):
    seen = a_build("a", snapshot=await snapshot(contexts, "a", context))
    assert contexts.changes(seen, seen, (ContextUse("other"),)) is None
    assert contexts.changes(a_build("b"), seen, ALL) is None


async def test_a_snapshot_of_another_agent_is_not_known(contexts: Contexts, context: Path, tmp_path: Path):
    other = Contexts(tmp_path / "other.db", (), watch_builds=True)
    try:
        before = a_build("a", snapshot=await snapshot(other, "a", context))
    finally:
        other.close()
    (context / "a.txt").write_text("b")
    after = a_build("b", snapshot=await snapshot(contexts, "b", context))
    assert contexts.changes(before, after, ALL) is None


async def test_a_build_that_was_over_when_it_was_seen_has_one_and_an_old_one_none(contexts: Contexts, context: Path):
    assert await snapshot(contexts, "a", context, completed_ns=time.time_ns()) is not None
    assert await snapshot(contexts, "b", context, completed_ns=time.time_ns() - JUST_ENDED_NS - 1) is None


async def test_directories_of_builds_are_left_alone_where_that_is_wanted(context: Path, tmp_path: Path):
    for watch, expected in (((), False), ((context.parent,), True)):
        contexts = Contexts(tmp_path / "trees.db", watch, watch_builds=False)
        try:
            assert (await snapshot(contexts, "a", context) is not None) is expected
        finally:
            contexts.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may read what others may not")
async def test_a_directory_is_not_read_for_a_user_who_may_not_read_it(contexts: Contexts, context: Path):
    await asyncio.to_thread(context.chmod, 0o700)
    contexts.begin("a", state(context, uid=65534), time.time_ns())
    assert await contexts.snapshot("a", wait=True) is None


@pytest.mark.parametrize("directory", ["/", "relative", "/nowhere/at/all"])
async def test_what_cannot_be_watched_has_no_snapshot(contexts: Contexts, directory: str):
    assert await snapshot(contexts, "a", Path(directory)) is None


class Observer:
    def __init__(self) -> None:
        self.trees: dict[str, tuple[int, int]] = {}
        self.up: bool | None = None

    def watched(self, trees: dict[str, tuple[int, int]]) -> None:
        self.trees = trees

    def source_state(self, _source: str, _builder: str, *, up: bool) -> None:
        self.up = up

    def source_dropped(self, _source: str, count: int = 1) -> None:
        raise AssertionError(count)


async def test_a_directory_watched_from_the_start_is_a_project_by_its_dockerfile(context: Path, tmp_path: Path):
    store = connect.open_store(f"sqlite:///{tmp_path}/store.db")
    ingest = Ingest(store, scope="here", max_projects=10, max_targets=10)
    contexts = Contexts(tmp_path / "trees.db", (context,), watch_builds=True)
    desk = Desk(ingest, LiveEvents(max_clients=1, max_waiting=1), (), make_redactor(b"key", (), ()), contexts)
    observer = Observer()
    running = asyncio.create_task(contexts.run(observer, desk.remember_directory))
    try:
        while not observer.trees:
            await asyncio.sleep(0.01)
        text = (context / "Dockerfile").read_text()
        assert known_dockerfile(store, text_digest(text)) == ("shop", str(context))
        assert observer.trees == {"shop": (1, 2)}
        assert observer.up is True
    finally:
        running.cancel()
        await asyncio.wait({running})
        contexts.close()
        desk.close()
        ingest.close()
        store.dispose()
