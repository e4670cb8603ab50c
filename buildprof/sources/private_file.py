"""Files that are for their owner's eyes."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def make_private(path: Path) -> None:
    """Make an empty file if there is none; OSError if that cannot be.

    One that is there is not opened: to close it would give up the locks that SQLite has on it for this process
    (sqlite.org/howtocorrupt.html, 2.2).
    """
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
