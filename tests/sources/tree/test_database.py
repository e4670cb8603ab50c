import random
from pathlib import Path

import pytest

from buildprof.sources.tree import database as database_module
from buildprof.sources.tree.database import UNUSED_NS, Database


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return Database(tmp_path / "trees.db")


def test_dropped_snapshots_take_along_what_only_they_needed(database: Database, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(database_module, "MAX_SNAPSHOTS", 5)
    chance = random.Random(3)
    tree = database.open_tree(b"/x", b"/x/.dockerignore", 1)
    states = {}
    for number in range(30):
        for _ in range(3):
            blob = None if chance.random() < 0.3 else str(number).encode()
            database.put(tree.id, tree.number, [(f"d{chance.randrange(6)}".encode(), blob)])
        states[tree.number] = dict(database.current(tree.id))
        tree = database.add_snapshot(tree.id, number + 1)
    database.retain(100)
    kept = [number for number in states if database.tree_of(number) is not None]
    assert len(kept) == 5
    for number in kept:
        assert dict(database.at(tree.id, number)) == states[number]
    count = database._connection.execute("SELECT count(*) FROM versions").fetchone()[0]
    assert count <= 6 * 6
    database.close()


def test_trees_that_nobody_built_for_long_are_forgotten(database: Database):
    tree = database.open_tree(b"/x", b"/x/.dockerignore", 1)
    database.put(tree.id, tree.number, [(b"", b"blob")])
    database.retain(UNUSED_NS + 2)
    assert database.trees() == []
    assert database.current(tree.id) == {}
    database.close()
