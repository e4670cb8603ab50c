"""Opening a store: SQLite in a file by default, or a PostgreSQL server.

Every transaction that writes holds the one lock of the store from its beginning (BEGIN IMMEDIATE on SQLite, an
advisory lock on PostgreSQL), so that what a writer reads inside it stays true until it commits. Readers take no
lock and see the store as of their first statement.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from buildprof.store.errors import StoreError
from buildprof.store.migrate import WRITES, migrate

BUSY_SECONDS = 30.0
"""How long a writer waits for another one."""

ADVISORY_LOCK = 0x6275_696C_6470_726F
"""The number of the store's advisory lock on PostgreSQL: the first letters of our name."""

_PRAGMAS = (
    "PRAGMA synchronous=NORMAL",  # in WAL mode a crash of the machine may lose the last commits, never the store
    "PRAGMA foreign_keys=ON",
    "PRAGMA cache_size=-2048",  # KiB for each connection: the pages that matter are in the kernel's cache anyway
    "PRAGMA journal_size_limit=16777216",
)


def open_store(database_url: str, *, create: bool = True) -> Engine:
    """Open the store, made or migrated to this version's schema first, with a pool of connections.

    `database_url` is `sqlite:////absolute/path` or `postgresql://…`. The directory and the file of an SQLite store
    are made, for their owner only; without `create` a missing file is an error instead. Raises StoreError.
    """
    url = _parse(database_url)
    if url.get_backend_name() == "sqlite":
        _make_file(Path(str(url.database)), create=create)
        engine = create_engine(url, connect_args={"timeout": BUSY_SECONDS}, pool_size=2, max_overflow=8)
        event.listen(engine, "connect", _set_up_sqlite)
    else:
        # Positional parameters, as SQLite has them: rows are tuples on both.
        options = {"connect_timeout": 10, "application_name": "buildprof"}
        try:
            engine = create_engine(
                url, connect_args=options, paramstyle="format", pool_size=2, max_overflow=8, pool_pre_ping=True
            )
        except ImportError:
            raise StoreError("PostgreSQL needs psycopg: install docker-buildprof[postgresql]") from None
        event.listen(engine, "connect", _set_up_postgresql)
    event.listen(engine, "begin", _begin)
    with one_line_errors(engine):
        try:
            migrate(engine)
        except BaseException:
            engine.dispose()
            raise
    return engine


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """Lend a connection that sees the store as of its first statement. Raises StoreError."""
    with one_line_errors(engine), engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            connection = connection.execution_options(isolation_level="REPEATABLE READ")  # noqa: PLW2901 - the same
        yield connection


@contextmanager
def one_line_errors(engine: Engine) -> Iterator[None]:
    """Turn what the database says into a StoreError of one line that names the store."""
    try:
        yield
    except DBAPIError as error:
        lost = error.connection_invalidated or error.statement is None
        raise StoreError(_explain(engine.url, error.orig or error, lost=lost)) from error
    except (SQLAlchemyError, sqlite3.Error) as error:
        raise StoreError(_explain(engine.url, error)) from error
    except OverflowError as error:
        raise StoreError(f"{describe(engine.url)}: a number is too large to be stored") from error


def describe(url: URL) -> str:
    """Name a store for people: the file's path, or the server and database without credentials or options."""
    if url.get_backend_name() == "sqlite":
        return str(url.database)
    host = url.host or str(url.query.get("host", "localhost"))
    return f"postgresql://{host}{f':{url.port}' if url.port else ''}/{url.database or ''}"


def _parse(database_url: str) -> URL:
    try:
        url = make_url(database_url)
        backend = url.get_backend_name()
    except (ArgumentError, ValueError):
        raise StoreError("database_url is not a URL such as sqlite:////path or postgresql://host/database") from None
    if backend in {"postgres", "postgresql"}:
        return url.set(drivername="postgresql+psycopg")
    if backend != "sqlite":
        raise StoreError(f"database_url: {backend[:40]} is not supported, only sqlite and postgresql are")
    if not url.database or url.database == ":memory:":
        raise StoreError("database_url: SQLite needs the path of a file, as in sqlite:////path")
    return url


def _make_file(path: Path, *, create: bool) -> None:
    if not create and not path.exists():
        raise StoreError(f"{path}: there is no store here; `buildprof agent` makes one")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # One that is there is not opened: a process that closes a file of SQLite's, however it came by it, gives up all
        # locks that it has on it (https://www.sqlite.org/howtocorrupt.html, 2.2), and this one may have the store open.
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        except FileExistsError:
            if path.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR)) from None
            if not os.access(path, os.R_OK | os.W_OK, effective_ids=os.access in os.supports_effective_ids):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES)) from None
    except OSError as error:
        raise StoreError(f"{path}: cannot be written: {error.strerror}") from None


def _set_up_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # the begin event below says what to begin
    give_up = time.monotonic() + BUSY_SECONDS
    while True:
        # SQLite does not wait for others when it changes the journal's mode, whatever the timeout says.
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            break
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > give_up:
                raise
            time.sleep(0.02)
    for pragma in _PRAGMAS:
        connection.execute(pragma)


def _set_up_postgresql(connection: Any, _record: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"SET lock_timeout = '{BUSY_SECONDS * 1e3:.0f}ms'")
        # A writer that has lost its network would hold the lock of the store until the kernel gives it up.
        cursor.execute("SET idle_in_transaction_session_timeout = '60s'")
    connection.commit()


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get(WRITES, False)
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
    elif writes:
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({ADVISORY_LOCK})")


def _explain(url: URL, error: BaseException, *, lost: bool = False) -> str:
    said = _first_line(error)
    name = describe(url)
    if "not a database" in said or "malformed" in said:
        return f"{name}: is not a database, or a damaged one: {said}"
    if any(words in said for words in ("readonly", "unable to open", "disk is full", "disk I/O")):
        return f"{name}: cannot be written: {said}"
    if "locked" in said or "lock timeout" in said:
        return f"{name}: another process has held the store for more than {BUSY_SECONDS:g} s"
    if lost and url.get_backend_name() == "postgresql":
        return f"{name}: cannot be reached: {said}"
    return f"{name}: {said}"


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__
