import os
import random
import shutil
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from buildprof.model.recipe import ContextUse
from buildprof.model.snapshot import ContextChanges, Snapshot
from buildprof.sources.tree import index as index_module
from buildprof.sources.tree.database import TreeNote, read_notes
from buildprof.sources.tree.watch import Trees, may_watch
from buildprof.store.connect import open_store
from buildprof.store.writer import Writer
from tests.sources.tree.trees import make
from tests.store.other_process import cursor_seen, look

ALL = [ContextUse()]


@pytest.fixture
def context(tmp_path: Path) -> Path:
    return make(tmp_path / "context", {"Dockerfile": "FROM x", "src/a": "1", "src/b": "1", "README.md": "1"})


@pytest.fixture
def trees(tmp_path: Path) -> Iterator[Trees]:
    opened = Trees(tmp_path / "trees.db")
    yield opened
    opened.close()


def snap(trees: Trees, context: Path) -> Snapshot:
    taken = trees.snapshot(str(context), "Dockerfile", time.time_ns())
    assert taken is not None
    return taken


def changes(trees: Trees, before: Snapshot, after: Snapshot, *uses: ContextUse) -> ContextChanges:
    found = trees.changes(before, after, uses or ALL)
    assert found is not None
    return found


def test_changes_before_a_snapshot_are_in_it(trees: Trees, context: Path):
    first = snap(trees, context)
    make(context, {"src/a": "22", "new/deep/file": "3"})
    (context / "src/b").unlink()
    found = changes(trees, first, second := snap(trees, context))
    assert (found.changed, found.added, found.removed) == (("src/a",), ("new", "new/deep", "new/deep/file"), ("src/b",))
    assert (found.bytes, found.is_certain) == (3, True)
    assert changes(trees, first, second, ContextUse(path="README.md")) == ContextChanges()
    assert trees.digest(first, ALL) != trees.digest(second, ALL)
    assert trees.facts()[0].rescans == 0


def test_equal_content_is_no_change_and_a_mode_is_one(trees: Trees, context: Path):
    first = snap(trees, context)
    os.utime(context / "src/a", (1, 1))
    (context / "src/b").unlink()
    (context / "src/b").write_text("1")
    second = snap(trees, context)
    assert not changes(trees, first, second)
    assert trees.digest(first, ALL) == trees.digest(second, ALL)
    (context / "src/a").chmod(0o755)
    (context / "src").chmod(0o700)
    assert changes(trees, second, snap(trees, context)).changed == ("src", "src/a")


def test_what_changed_while_nobody_watched_is_found(tmp_path: Path, context: Path):
    trees = Trees(tmp_path / "trees.db")
    first = snap(trees, context)
    trees.close()
    make(context, {"src/a": "2"})
    shutil.move(context / "src", context / "moved")
    trees = Trees(tmp_path / "trees.db")
    found = changes(trees, first, snap(trees, context))
    trees.close()
    assert found.added == ("moved", "moved/a", "moved/b")
    assert found.removed == ("src", "src/a", "src/b")


def test_a_renamed_directory_is_followed(trees: Trees, context: Path):
    snap(trees, context)
    for number in range(20):
        (context / "src").rename(context / f"src{number}")
        make(context, {f"src{number}/a": str(number)})
        (context / f"src{number}").rename(context / "src")
    before = snap(trees, context)
    make(context, {"src/b": "9"})
    assert changes(trees, before, snap(trees, context)).changed == ("src/b",)


def test_a_file_that_becomes_a_directory_and_back_is_followed(trees: Trees, context: Path):
    first = snap(trees, context)
    (context / "src/a").unlink()
    make(context, {"src/a/below": "1"})
    second = snap(trees, context)
    assert changes(trees, first, second).added == ("src/a/below",)
    shutil.rmtree(context / "src/a")
    make(context, {"src/a": "1"})
    third = snap(trees, context)
    assert changes(trees, second, third).removed == ("src/a/below",)
    assert trees.digest(first, ALL) == trees.digest(third, ALL)


def test_ignored_directories_are_not_watched_until_the_ignore_file_lets_them(trees: Trees, context: Path):
    make(context, {"node_modules/x/y": "1", ".dockerignore": "node_modules\n.dockerignore\n"})
    first = snap(trees, context)
    assert trees.facts()[0].directories == 2
    make(context, {"node_modules/x/y": "2"})
    assert not changes(trees, first, second := snap(trees, context))
    make(context, {".dockerignore": ".dockerignore\n"})
    assert changes(trees, second, snap(trees, context)).added == ("node_modules", "node_modules/x", "node_modules/x/y")


def test_a_tree_that_vanishes_is_gone_and_watched_again_when_it_is_back(trees: Trees, context: Path):
    first = snap(trees, context)
    context.rename(context.with_name("away"))
    assert trees.snapshot(str(context), "Dockerfile", time.time_ns()) is None
    assert trees.facts()[0].state == "gone"
    context.with_name("away").rename(context)
    make(context, {"src/a": "2"})
    assert changes(trees, first, snap(trees, context)).changed == ("src/a",)


def test_a_lost_queue_or_no_watches_cost_a_rescan_and_no_change(
    trees: Trees, context: Path, monkeypatch: pytest.MonkeyPatch
):
    before = snap(trees, context)
    index = trees._indexes[next(iter(trees._indexes))]
    index._watches.on_queue_overflow()
    make(context, {"src/a": "2"})
    assert changes(trees, before, before := snap(trees, context)).changed == ("src/a",)
    assert (trees.facts()[0].overflows, trees.facts()[0].rescans) == (1, 1)
    monkeypatch.setattr(trees._inotify, "add", lambda *_: None)
    make(context, {"new/x/y": "1"})
    assert changes(trees, before, before := snap(trees, context)).added_count == 3
    assert trees.facts()[0].state == "polled: out of inotify watches"
    make(context, {"new/x/y": "2", "new/x/z/deep": "1"})
    assert changes(trees, before, before := snap(trees, context)).added == ("new/x/z", "new/x/z/deep")
    shutil.rmtree(context / "new/x")
    assert changes(trees, before, snap(trees, context)).removed_count == 4


def test_odd_things_in_a_tree_are_no_errors(trees: Trees, context: Path):
    os.mkfifo(context / "fifo")
    (context / "loop").symlink_to("loop")
    (context / "up").symlink_to("..")
    (Path(os.fsdecode(os.fsencode(context) + b"/\xff\x1b"))).write_text("1")
    deep = context
    for _ in range(300):
        deep /= "d" * 10
    deep.mkdir(parents=True)
    first = snap(trees, context)
    (Path(os.fsdecode(os.fsencode(context) + b"/\xff\x1b"))).write_text("2")
    assert changes(trees, first, snap(trees, context)).changed == ("\\xff\\x1b",)


def test_a_large_file_is_hashed_behind_and_uncertain_until_then(trees: Trees, context: Path):
    trees._is_closing.set()  # nobody hashes but we
    with (context / "large").open("wb") as file:
        file.truncate(10 * 2**30)
    first = snap(trees, context)
    assert trees.digest(first, ALL) is None
    with (context / "large").open("r+b") as file:
        file.truncate(17 * 2**20)
    os.utime(context / "large", (5, 5))
    second = snap(trees, context)
    assert changes(trees, first, second).changed == ("large",)
    os.utime(context / "large", (6, 6))
    third = snap(trees, context)
    assert not changes(trees, second, third).is_certain
    index = trees._indexes[next(iter(trees._indexes))]
    while index.pending:
        index.hash_pending(iter(int, 1))
    assert trees.digest(third, ALL) is not None
    assert changes(trees, third, snap(trees, context)) == ContextChanges()


def test_a_tree_first_read_after_a_build_began_is_exact_if_nothing_in_it_is_younger(trees: Trees, context: Path):
    time.sleep(0.02)
    now_ns = time.time_ns()
    taken = trees.snapshot(str(context), None, now_ns)
    assert taken is not None
    assert taken.is_exact
    other = make(context.with_name("other"), {"a": "1"})
    late = trees.snapshot(str(other), None, now_ns)
    assert late is not None
    assert not late.is_exact


def test_the_root_pseudo_file_systems_and_huge_trees_are_refused(
    trees: Trees, context: Path, monkeypatch: pytest.MonkeyPatch
):
    assert trees.open("/").state == "refused: the root of the file system"
    assert trees.open("/proc").state == "refused: no real file system"
    assert trees.open("/nowhere/at/all").state == "gone"
    monkeypatch.setattr(index_module, "MAX_FILES", 3)
    assert trees.open(str(context)).state.startswith("refused: more than")
    assert trees.snapshot(str(context), None, 0) is None


def test_build_files_are_found_below_too(trees: Trees, context: Path):
    make(context, {"a/web.Dockerfile": "", "a/compose.prod.yaml": "", "b/docker-bake.hcl": "", "b/Dockerfile.dev": ""})
    make(context, {"b/Dockerfile.dev.dockerignore": "", "b/xcompose.yaml": "", "b/Containerfile": ""})
    trees.open(str(context))
    assert trees.build_files(str(context)) == (
        "Dockerfile",
        "a/compose.prod.yaml",
        "a/web.Dockerfile",
        "b/Containerfile",
        "b/Dockerfile.dev",
        "b/docker-bake.hcl",
    )


def test_a_directory_is_watched_for_a_user_who_may_read_it(tmp_path: Path):
    tmp_path.chmod(0o755)
    mine = tmp_path / "mine"
    mine.mkdir(mode=0o700)
    assert may_watch(str(mine), None)
    assert may_watch(str(mine), 0)
    assert not may_watch(str(mine), 12345)
    assert not may_watch("/nowhere", 12345)
    assert not may_watch("\0", 12345)
    assert may_watch("/usr", 12345)


@pytest.mark.parametrize("content", [b"no database", None])
def test_a_broken_or_foreign_database_is_made_anew(tmp_path: Path, context: Path, content: bytes | None):
    path = tmp_path / "trees.db"
    if content is None:
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA user_version = 99")
        connection.execute("CREATE TABLE x (y)")
        connection.close()
    else:
        path.write_bytes(content * 100)
    trees = Trees(path)
    snapshot = snap(trees, context)
    assert trees.changes(snapshot, snapshot, ALL) == ContextChanges()
    trees.close()


def test_a_storm_of_changes_leaves_the_index_as_a_fresh_look_finds_the_tree(
    trees: Trees, tmp_path: Path, context: Path
):
    chance = random.Random(7)
    snap(trees, context)
    for number in range(3000):
        place = context / f"d{chance.randrange(8)}" / f"e{chance.randrange(3)}"
        try:
            match chance.randrange(5):
                case 0 | 1:
                    place.mkdir(parents=True, exist_ok=True)
                    (place / f"f{chance.randrange(9)}").write_text(str(number))
                case 2:
                    place.rename(context / f"d{chance.randrange(8)}" / f"e{chance.randrange(3)}")
                case 3:
                    place.parent.rename(context / f"d{chance.randrange(8)}")
                case _:
                    shutil.rmtree(place)
        except OSError:
            pass
        if number % 500 == 0:
            snap(trees, context)
    last = snap(trees, context)
    fresh = Trees(tmp_path / "fresh.db")
    assert trees.digest(last, ALL) == fresh.digest(snap(fresh, context), ALL)
    assert trees.facts()[0].files == fresh.facts()[0].files
    assert trees.facts()[0].directories == fresh.facts()[0].directories
    fresh.close()


def test_a_file_that_changes_under_another_name_elsewhere_is_seen(trees: Trees, context: Path, tmp_path: Path):
    make(context, {"src/linked": "1", "src/later": "1"})
    other, later = tmp_path / "other", tmp_path / "later"
    other.hardlink_to(context / "src/linked")
    before = snap(trees, context)
    later.hardlink_to(context / "src/later")
    before = snap(trees, context)
    other.write_text("2")
    later.write_text("2")
    assert changes(trees, before, snap(trees, context)).changed == ("src/later", "src/linked")


def test_how_trees_are_watched_is_noted_for_others(
    trees: Trees, context: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    snap(trees, context)
    path = next(tmp_path.rglob("trees.db"))
    assert read_notes(path, 0) == [TreeNote(os.fsencode(context), "watched")]
    trees._indexes[next(iter(trees._indexes))]._watches.on_queue_overflow()
    monkeypatch.setattr(trees._inotify, "add", lambda *_: None)
    make(context, {"new/x": "1"})
    snap(trees, context)
    unwatched = trees.facts()[0].unwatched_directories
    assert unwatched
    assert read_notes(path, 0) == [TreeNote(os.fsencode(context), "polled: out of inotify watches", unwatched, 1)]
    assert read_notes(path, time.time_ns() + 10**9) == []
    assert read_notes(tmp_path / "none.db", 0) == []


def test_a_file_of_any_date_is_watched(trees: Trees, context: Path):
    make(context, {"src/far": "1", "src/long ago": "1"})
    before = snap(trees, context)
    os.utime(context / "src/far", ns=(0, 10_413_792_000 * 10**9))
    os.utime(context / "src", ns=(0, 10_413_792_000 * 10**9))
    assert changes(trees, before, snap(trees, context)).changed == ()
    (context / "src/far").write_text("2")
    os.utime(context / "src/far", ns=(0, 10_413_792_000 * 10**9))
    assert changes(trees, before, snap(trees, context)).changed == ("src/far",)


def test_a_store_that_lies_in_a_context_keeps_its_locks(tmp_path: Path):
    """Else a command that looks at the store would take away the log that the agent writes to, and what is in it."""
    context = make(tmp_path / "context", {"Dockerfile": "FROM x"})
    url = f"sqlite:///{context}/store.db"
    engine = open_store(url)
    writer = Writer(engine)
    trees = Trees(context / "trees.db")
    for value in ("first", "second"):
        writer.set_cursor("events", value)
        snap(trees, context)
        look(url)
    assert cursor_seen(context / "store.db") == "second"
    trees.close()
    writer.close()
    engine.dispose()
