"""trees.db: how directories stood at numbered moments. Only what differs from the moment before is a row.

A version of a directory holds from its number until the next version's; a version without a blob says that the
directory is gone. Between two snapshots all is written under the number that the next snapshot will have.

Numbers begin anywhere (below 2^60): of a file that was made anew, or of another agent that shares the history, they are
others, so that a snapshot is known for one that is not kept here.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Collection, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from buildprof.sources.private_file import make_private

FILE_NAME = "trees.db"
SCHEMA_VERSION = 3
MAX_SNAPSHOTS = 200
MAX_AGE_NS = 90 * 86_400 * 10**9
UNUSED_NS = 30 * 86_400 * 10**9

_SCHEMA = """
CREATE TABLE counter (number INTEGER NOT NULL);
INSERT INTO counter VALUES (abs(random()) >> 3);
CREATE TABLE trees (
    id INTEGER PRIMARY KEY AUTOINCREMENT, directory BLOB NOT NULL, ignore_file BLOB NOT NULL, number INTEGER NOT NULL,
    used_at_ns INTEGER NOT NULL, state TEXT NOT NULL DEFAULT '', unwatched INTEGER NOT NULL DEFAULT 0,
    overflows INTEGER NOT NULL DEFAULT 0, UNIQUE (directory, ignore_file));
CREATE TABLE versions (
    tree INTEGER NOT NULL, directory BLOB NOT NULL, number INTEGER NOT NULL, blob BLOB,
    PRIMARY KEY (tree, directory, number));
CREATE INDEX versions_by_number ON versions (tree, number, directory);
CREATE TABLE snapshots (number INTEGER PRIMARY KEY, tree INTEGER NOT NULL, at_ns INTEGER NOT NULL);
CREATE INDEX snapshots_by_tree ON snapshots (tree, number);
"""


@dataclass(frozen=True, slots=True)
class StoredTree:
    """A tree and the number that its next snapshot has."""

    id: int
    number: int


@dataclass(frozen=True, slots=True)
class TreeNote:
    """How an agent watches a tree, or watched it when it last looked; `overflows` are the queue's since it started."""

    directory: bytes
    state: str
    unwatched: int = 0
    overflows: int = 0


class Database:
    """One connection for all threads, one at a time. A file that is broken or of another version is made anew."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        try:
            self._connection = _connect(path)
        except sqlite3.DatabaseError:
            for suffix in ("", "-wal", "-shm"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)
            self._connection = _connect(path)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing; others wait. A transaction inside another is a part of it."""
        with self._lock:
            if self._connection.in_transaction:
                yield self._connection
                return
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def open_tree(self, directory: bytes, ignore_file: bytes, now_ns: int) -> StoredTree:
        """The tree of this directory and ignore file, made if need be; both are absolute paths."""
        with self.transaction() as connection:
            query = "SELECT id, number FROM trees WHERE directory = ? AND ignore_file = ?"
            row = connection.execute(query, (directory, ignore_file)).fetchone()
            if row is None:
                number = _next_number(connection)
                insert = "INSERT INTO trees (directory, ignore_file, number, used_at_ns) VALUES (?, ?, ?, ?)"
                row = connection.execute(insert, (directory, ignore_file, number, now_ns)).lastrowid, number
            connection.execute("UPDATE trees SET used_at_ns = max(used_at_ns, ?) WHERE id = ?", (now_ns, row[0]))
            return StoredTree(*row)

    def trees(self) -> list[tuple[bytes, bytes]]:
        """(directory, ignore file) of all trees."""
        with self._lock:
            return self._connection.execute("SELECT directory, ignore_file FROM trees").fetchall()

    def current(self, tree: int) -> dict[bytes, bytes]:
        """All directories of a tree as they were last seen."""
        return dict(self.at(tree, 2**62))

    def at(self, tree: int, number: int) -> list[tuple[bytes, bytes]]:
        """All directories of a tree as of a snapshot: (path, blob) in the order of paths."""
        query = "SELECT directory, blob FROM versions WHERE tree = ? AND number <= ? ORDER BY directory, number"
        with self._lock:  # of several versions the last stays; quicker than to have SQLite look for it
            latest = dict(self._connection.execute(query, (tree, number)))
        return [(directory, blob) for directory, blob in latest.items() if blob is not None]

    def directory(self, tree: int, directory: bytes, number: int = 2**62) -> bytes | None:
        """One directory as of a snapshot, or as last seen."""
        query = (
            "SELECT blob FROM versions WHERE tree = ? AND directory = ? AND number <= ? ORDER BY number DESC LIMIT 1"
        )
        with self._lock:
            row = self._connection.execute(query, (tree, directory, number)).fetchone()
        return row[0] if row else None

    def below(self, tree: int, directory: bytes) -> list[bytes]:
        """A directory and those below it that are there."""
        query = (
            "SELECT directory, blob IS NULL, max(number) FROM versions"
            " WHERE tree = ? AND (directory = ? OR directory > ? AND directory < ?) GROUP BY directory"
        )
        with self._lock:
            low, high = (directory + b"/", directory + b"0") if directory else (b"", b"\xff" * 8)
            rows = self._connection.execute(query, (tree, directory, low, high)).fetchall()
        return [path for path, is_gone, _ in rows if not is_gone]

    def put(self, tree: int, number: int, directories: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Write versions of directories; None for one that is gone."""
        insert = "INSERT OR REPLACE INTO versions (tree, directory, number, blob) VALUES (?, ?, ?, ?)"
        with self.transaction() as connection:
            connection.executemany(insert, ((tree, path, number, blob) for path, blob in directories))

    def versions(self, tree: int, directory: bytes) -> list[tuple[int, bytes]]:
        """All versions of a directory: (number, blob)."""
        query = "SELECT number, blob FROM versions WHERE tree = ? AND directory = ? AND blob IS NOT NULL"
        with self._lock:
            return self._connection.execute(query, (tree, directory)).fetchall()

    def changed(self, tree: int, after: int, until: int) -> list[bytes]:
        """The directories that have versions with numbers above `after` and up to `until`."""
        query = "SELECT DISTINCT directory FROM versions WHERE tree = ? AND number > ? AND number <= ?"
        with self._lock:
            return [path for (path,) in self._connection.execute(query, (tree, after, until))]

    def add_snapshot(self, tree: int, at_ns: int) -> StoredTree:
        """Close the tree's open number as a snapshot; gives the tree with its next number."""
        with self.transaction() as connection:
            number = _next_number(connection)
            connection.execute(
                "INSERT INTO snapshots (number, tree, at_ns) SELECT number, id, ? FROM trees WHERE id = ?",
                (at_ns, tree),
            )
            connection.execute("UPDATE trees SET number = ?, used_at_ns = ? WHERE id = ?", (number, at_ns, tree))
            return StoredTree(tree, number)

    def tree_of(self, number: int) -> int | None:
        """The tree that a snapshot is of; None if it is not kept."""
        with self._lock:
            row = self._connection.execute("SELECT tree FROM snapshots WHERE number = ?", (number,)).fetchone()
        return row[0] if row else None

    def note(self, tree: int, note: TreeNote) -> None:
        """Write how a tree is watched, for `read_notes`."""
        with self.transaction() as connection:
            connection.execute(
                "UPDATE trees SET state = ?, unwatched = ?, overflows = ? WHERE id = ?",
                (note.state, note.unwatched, note.overflows, tree),
            )

    def forget(self, tree: int) -> None:
        """Delete a tree and all that is known of it but that it exists."""
        with self.transaction() as connection:
            connection.execute("DELETE FROM versions WHERE tree = ?", (tree,))
            connection.execute("DELETE FROM snapshots WHERE tree = ?", (tree,))

    def retain(self, now_ns: int, opened: Collection[int] = ()) -> None:
        """Drop old snapshots, the versions that only they needed, and trees that nobody built for long and that are not open."""
        with self.transaction() as connection:
            old = connection.execute("SELECT id FROM trees WHERE used_at_ns < ?", (now_ns - UNUSED_NS,)).fetchall()
            for (tree,) in (one for one in old if one[0] not in opened):
                self.forget(tree)
                connection.execute("DELETE FROM trees WHERE id = ?", (tree,))
            for (tree,) in connection.execute("SELECT id FROM trees").fetchall():
                dropped = connection.execute(
                    "DELETE FROM snapshots WHERE tree = ?1 AND (at_ns < ?2 OR number <= coalesce((SELECT number FROM"
                    " snapshots WHERE tree = ?1 ORDER BY number DESC LIMIT 1 OFFSET ?3), -1))",
                    (tree, now_ns - MAX_AGE_NS, MAX_SNAPSHOTS),
                ).rowcount
                if dropped:
                    self._fold(connection, tree)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def _fold(self, connection: sqlite3.Connection, tree: int) -> None:
        """Delete versions that a later one follows before any snapshot, and then leading marks of absence."""
        connection.execute(
            "DELETE FROM versions AS v WHERE tree = ? AND EXISTS (SELECT 1 FROM versions w WHERE w.tree = v.tree AND"
            " w.directory = v.directory AND w.number > v.number AND NOT EXISTS (SELECT 1 FROM snapshots s WHERE"
            " s.tree = v.tree AND s.number >= v.number AND s.number < w.number))",
            (tree,),
        )
        connection.execute(
            "DELETE FROM versions AS v WHERE tree = ? AND blob IS NULL AND NOT EXISTS (SELECT 1 FROM versions w WHERE"
            " w.tree = v.tree AND w.directory = v.directory AND w.number < v.number)",
            (tree,),
        )


def read_notes(path: Path, since_ns: int) -> list[TreeNote]:
    """How the trees are watched that were used since then, in the order of their directories; for any process.

    Nothing where there is no such file, or one of another version.
    """
    with (
        suppress(sqlite3.Error),
        closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection,
    ):
        query = "SELECT directory, state, unwatched, overflows FROM trees WHERE used_at_ns >= ? ORDER BY directory"
        return [TreeNote(*row) for row in connection.execute(query, (since_ns,))]
    return []


def _next_number(connection: sqlite3.Connection) -> int:
    return int(connection.execute("UPDATE counter SET number = number + 1 RETURNING number").fetchone()[0])


def _connect(path: Path) -> sqlite3.Connection:
    """Open the file and see that it is ours. sqlite3.DatabaseError if it is not."""
    make_private(path)  # it has names of files
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA cache_size = -4096")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version == 0 and not connection.execute("SELECT 1 FROM sqlite_master").fetchone():
            connection.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")
        elif version != SCHEMA_VERSION:
            raise sqlite3.DatabaseError(f"schema version {version}")  # noqa: TRY301  # closed below
        elif connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
            raise sqlite3.DatabaseError("broken")  # noqa: TRY301
    except BaseException:
        with suppress(sqlite3.Error):
            connection.close()
        raise
    return connection
