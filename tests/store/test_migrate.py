from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, inspect, text

from buildprof.store import schema
from buildprof.store.connect import open_store
from buildprof.store.errors import StoreError
from buildprof.store.migrate import REVISIONS


def test_the_revisions_are_those_of_the_migration_scripts() -> None:
    config = Config()
    config.set_main_option("script_location", "buildprof:store/migrations")
    scripts = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]
    assert tuple(reversed(scripts)) == REVISIONS


def test_migrations_make_the_schema(engine: Engine) -> None:
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), schema.metadata) == []


def test_migrations_make_the_very_tables_of_the_schema(tmp_path: Path) -> None:
    """What the comparison above does not look at: tables without a row id, the order of columns and of indexes.

    Of SQLite alone, which keeps the text of its schema.
    """
    engine = open_store(f"sqlite:///{tmp_path}/store.db")

    def texts(made: Engine) -> set[str]:
        with made.connect() as connection:
            rows = connection.scalars(text("SELECT sql FROM sqlite_master WHERE name NOT LIKE 'alembic%'"))
            return {re.sub(r"\s+", " ", row) for row in rows if row and "alembic" not in row}

    migrated = texts(engine)
    with engine.begin() as connection:
        schema.metadata.drop_all(connection)
        schema.metadata.create_all(connection)
    assert texts(engine) == migrated
    engine.dispose()


def test_a_store_of_a_newer_version_is_refused(database_url: str, engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreError, match=r"newer version of buildprof.*upgrade buildprof"):
        open_store(database_url)


def test_two_that_start_at_once_make_one_schema(database_url: str) -> None:
    with ThreadPoolExecutor(6) as pool:
        engines = list(pool.map(open_store, [database_url] * 6))
    assert "builds" in inspect(engines[0]).get_table_names()
    for engine in engines:
        engine.dispose()


def test_alembic_is_not_imported_for_a_store_that_is_up_to_date(database_url: str, engine: Engine) -> None:
    program = (
        "import sys; from buildprof.store.connect import open_store; open_store(sys.argv[1]).dispose();"
        "from buildprof.store import queries, writer; print('alembic' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program, database_url], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_database_of_another_program_is_refused(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "other.db")
    connection.execute("CREATE TABLE notes (x)")
    connection.close()
    with pytest.raises(StoreError, match=r"other\.db: is a database of another program"):
        open_store(f"sqlite:///{tmp_path}/other.db")
