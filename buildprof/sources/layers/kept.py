"""layers.db: what was read of layers, by the digest of their archive (`diff_id`), so that each is read once.

What no image has asked for as long as builds are kept is dropped, as is what there is no room for. A cache: what cannot be kept or read is read again from the engine. Several processes may use it at once.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from buildprof.model.image import ImageLayer
from buildprof.model.layer_files import LayerFiles
from buildprof.sources.private_file import make_private

FILE_NAME = "layers.db"
SCHEMA_VERSION = 1
MAX_BYTES = 512 * 1024 * 1024
"""What all layers together may take; those that were not asked for the longest go first."""

MAX_LAYER_BYTES = 128 * 1024 * 1024

_SCHEMA = """
CREATE TABLE layers (digest TEXT PRIMARY KEY, files BLOB NOT NULL, bytes INTEGER NOT NULL, used_ns INTEGER NOT NULL);
CREATE INDEX layers_by_use ON layers (used_ns);
"""


class KeptLayers:
    """The layers that are known. `path` None keeps nothing."""

    def __init__(self, path: Path | None) -> None:
        self._connection: sqlite3.Connection | None = None
        if path is not None:
            with suppress(OSError, sqlite3.Error):
                self._connection = _open(path)

    def find(self, digest: str) -> LayerFiles | None:
        """A layer's entries; None if it is not known."""
        if self._connection is None:
            return None
        with suppress(sqlite3.Error, ValueError):
            row = self._connection.execute("SELECT files FROM layers WHERE digest = ?", (digest,)).fetchone()
            if row is not None:
                found = LayerFiles.unpack(row[0])
                with suppress(sqlite3.Error):  # another process writes, or this one may not
                    self._connection.execute("UPDATE layers SET used_ns = ? WHERE digest = ?", (time.time_ns(), digest))
                return found
        return None

    def keep(self, digest: str, files: LayerFiles) -> None:
        """Keep a layer's entries, and drop others where there is no room."""
        packed = files.pack()
        if self._connection is None or len(packed) > MAX_LAYER_BYTES:
            return
        with suppress(sqlite3.Error):
            self._connection.execute(
                "INSERT OR REPLACE INTO layers (digest, files, bytes, used_ns) VALUES (?, ?, ?, ?)",
                (digest, packed, len(packed), time.time_ns()),
            )
            total = self._connection.execute("SELECT sum(bytes) FROM layers").fetchone()[0]
            for old, size in self._connection.execute("SELECT digest, bytes FROM layers ORDER BY used_ns").fetchall():
                if total <= MAX_BYTES:
                    break
                self._connection.execute("DELETE FROM layers WHERE digest = ?", (old,))
                total -= size

    def keep_new(self, layers: Iterable[ImageLayer]) -> None:
        """Keep those layers of an image that are not known."""
        for layer in layers:
            if self.find(layer.digest) is None:
                self.keep(layer.digest, layer.files)

    def forget_unused_since(self, horizon_ns: int) -> int:
        """Drop the layers that were last asked for before a time, and give the disk back; returns how many they were."""
        if self._connection is None:
            return 0
        with suppress(sqlite3.Error):
            dropped = self._connection.execute("DELETE FROM layers WHERE used_ns < ?", (horizon_ns,)).rowcount
            if dropped:
                self._connection.execute("VACUUM")
            return dropped
        return 0

    def close(self) -> None:
        """Close the file."""
        if self._connection is not None:
            self._connection.close()


def forget_layers(directory: Path, horizon_ns: int) -> int:
    """Drop what nobody has asked for since a time from a data directory; how many layers that were. Blocks.

    Where no layers are kept, nothing is made.
    """
    path = directory / FILE_NAME
    if not path.exists():
        return 0
    kept = KeptLayers(path)
    try:
        return kept.forget_unused_since(horizon_ns)
    finally:
        kept.close()


def _open(path: Path) -> sqlite3.Connection:
    """Open the file, made anew if it is broken or of another version. sqlite3.Error if it cannot be used."""
    try:
        return _connect(path)
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):  # locked, or may not be written
            raise
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    return _connect(path)


def _connect(path: Path) -> sqlite3.Connection:
    make_private(path)  # it has names of files
    connection = sqlite3.connect(path, isolation_level=None, timeout=10, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = OFF")  # a cache
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version == 0 and not connection.execute("SELECT 1 FROM sqlite_master").fetchone():
            connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")
        elif version != SCHEMA_VERSION:
            raise sqlite3.DatabaseError(f"schema version {version}")  # noqa: TRY301  # closed below
    except BaseException:
        connection.close()
        raise
    return connection
