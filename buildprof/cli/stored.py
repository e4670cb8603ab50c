"""The way from a command to the store: opened for a question, never made by one."""

from __future__ import annotations

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
    """Open the store that the settings name. One that does not exist yet has no builds.

    Raises:
        Answer: there is no store, so the answer to every question is no.
        StoreError: the store cannot be opened.
        ConfigError: the settings are wrong.
    """
    url = where.store_url()
    file = sqlite_file(url)
    if file is not None and _is_missing(file):
        raise Answer(NO_BUILDS)
    from buildprof.store.connect import open_store

    engine = open_store(url, create=False)
    try:
        yield engine
    finally:
        engine.dispose()


def _is_missing(file: Path) -> bool:
    try:
        file.stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False  # the store says what is wrong with it
    return False
