"""What another process does with a store: POSIX locks are a process's, so a thread would not do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_LOOK = "import sys; from buildprof.store.connect import open_store; open_store(sys.argv[1]).dispose()"
_READ = "import sqlite3, sys; print(*sqlite3.connect(sys.argv[1]).execute('SELECT value FROM cursors').fetchone())"


def look(database_url: str) -> None:
    """Open the store and close it again, as a command does. It takes the log away if it thinks that it is the last."""
    subprocess.run([sys.executable, "-c", _LOOK, database_url], check=True)


def cursor_seen(path: Path) -> str:
    """The value of the one cursor in the file."""
    read = subprocess.run([sys.executable, "-c", _READ, path], check=True, capture_output=True, text=True)
    return read.stdout.strip()
