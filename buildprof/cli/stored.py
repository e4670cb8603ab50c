"""The way from a command to the store: opened for a question, never made by one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from buildprof.cli.failure import Answer
from buildprof.cli.options import Where
from buildprof.store_location import sqlite_file

if TYPE_CHECKING:
    from sqlalchemy import Engine

NO_BUILDS = "no builds yet; start `buildprof agent`, or `buildprof import` a progress log"


@contextmanager
def opened_store(where: Where) -> Iterator[Engine]:
    """Open the store that the settings name.

    Raises:
        Answer: there is no store, so the answer to every question is no.
        StoreError: the store cannot be opened, or not by this user.
        ConfigError: the settings are wrong.
    """
    url = where.store_url()
    file = sqlite_file(url)
    if file is not None:
        _check_place(file)
    from buildprof.store.connect import open_store

    engine = open_store(url, create=False)
    try:
        yield engine
    finally:
        engine.dispose()


def _check_place(file: Path) -> None:
    """Tell apart a store that nobody has made yet, a place where none can be, and one of somebody else."""
    from buildprof.store.errors import StoreError

    try:
        file.stat()
    except FileNotFoundError:
        raise Answer(f"no store at {file} yet; start `buildprof agent`, or give --data-dir") from None
    except NotADirectoryError:
        raise StoreError(f"{file.parent}: is no directory, so no store is in it; give another --data-dir") from None
    except PermissionError:
        raise StoreError(f"{file.parent}: may not be read; run as its owner or root") from None
    except OSError as error:
        raise StoreError(f"{file}: cannot be read: {error.strerror}") from None
    # Who reads writes as well, if only to SQLite's log beside the file.
    if not os.access(file, os.R_OK | os.W_OK):
        raise StoreError(f"{file}: may not be read and written; run as its owner or root")
