"""Bringing a store to this version's schema.

Alembic takes 10 MB of memory that an agent would keep for its life, so it is imported only when there is something
to do; what the store is stamped with is read without it.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, text

from buildprof.store.errors import StoreError

REVISIONS = ("0001", "0002", "0003", "0004")
"""All revisions in order, the last being that of `schema`; a file in `migrations/versions` stands behind each."""

WRITES = "buildprof_writes"
"""The execution option of a connection whose transactions write: they begin with the lock of the store."""

_SCRIPTS = Path(__file__).parent / "migrations"


def migrate(engine: Engine) -> None:
    """Make the schema, or bring an older one up to date, in one transaction that one process at a time runs.

    Raises StoreError for a store of a newer version and for a database of another program.
    """
    with engine.connect() as connection:
        if _is_current(connection):
            return
    with engine.connect().execution_options(**{WRITES: True}) as connection, connection.begin():
        if not _is_current(connection):  # another process may have been faster
            _upgrade(connection)


def _is_current(connection: Connection) -> bool:
    tables = inspect(connection).get_table_names()
    if "alembic_version" not in tables:
        if tables and connection.dialect.name == "sqlite":
            raise StoreError(f"{connection.engine.url.database}: is a database of another program")
        return False
    stamp = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    if stamp is not None and stamp not in REVISIONS:
        raise StoreError(
            f"the store was made by a newer version of buildprof (schema {stamp[:40]!r}): upgrade buildprof"
        )
    return bool(stamp == REVISIONS[-1])


def _upgrade(connection: Connection) -> None:
    from alembic import command  # noqa: PLC0415 - see the module's docstring
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
