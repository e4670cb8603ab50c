from __future__ import annotations

import sqlite3
import stat
import threading
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from buildprof.store import connect
from buildprof.store.connect import open_store
from buildprof.store.errors import StoreError
from buildprof.store.queries import cursor, list_builds
from buildprof.store.writer import Writer
from tests.nobody import as_nobody, public_directory
from tests.store.conftest import new_schema
from tests.store.other_process import cursor_seen, look
from tests.store.samples import make_build


def message_of(database_url: str, **options) -> str:
    with pytest.raises(StoreError) as raised:
        open_store(database_url, **options)
    message = str(raised.value)
    assert "\n" not in message
    return message


def test_directory_and_file_are_for_their_owner_only(tmp_path: Path) -> None:
    open_store(f"sqlite:///{tmp_path}/state/store.db").dispose()
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "state/store.db").stat().st_mode) == 0o600


def test_a_missing_store_is_not_made_for_a_reader(tmp_path: Path) -> None:
    assert "there is no store here" in message_of(f"sqlite:///{tmp_path}/none/store.db", create=False)
    assert not (tmp_path / "none").exists()


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database, but long enough to have a header of a hundred bytes" * 10)
    before = path.read_bytes()
    assert message_of(f"sqlite:///{path}").startswith(f"{path}: is not a database")
    assert path.read_bytes() == before


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "cannot be written" in message_of(f"sqlite:///{tmp_path}/file/store.db")
    assert "cannot be written: Is a directory" in message_of(f"sqlite:///{tmp_path}")


def test_a_process_that_opens_its_store_twice_loses_nothing_that_it_writes(tmp_path: Path) -> None:
    """Another process that reads meanwhile would take away the log, if it thought that it is the last to have it open."""
    url = f"sqlite:///{tmp_path}/store.db"
    engine = open_store(url)
    writer = Writer(engine)
    open_store(url, create=False).dispose()
    for value in ("first", "second"):
        writer.set_cursor("events", value)
        look(url)
    assert cursor_seen(tmp_path / "store.db") == "second"
    writer.close()
    engine.dispose()


@pytest.mark.parametrize(
    ("database_url", "says"),
    [
        ("mysql://user:hunter2@host/db", "mysql is not supported"),
        ("oracle://user:hunter2@host/db", "oracle is not supported"),
        ("hunter2", "is not a URL"),
        ("", "is not a URL"),
        ("postgresql://user:hunter2@host:port/db", "is not a URL"),
        ("sqlite://", "needs the path of a file"),
        ("sqlite:///:memory:", "needs the path of a file"),
        ("postgresql://user:hunter2@127.0.0.1:1/db", "postgresql://127.0.0.1:1/db: cannot be reached"),
        ("postgresql://user@/db?host=/nowhere&password=hunter2", "cannot be reached"),
    ],
)
def test_a_url_that_leads_nowhere_is_one_line_without_its_password(database_url: str, says: str) -> None:
    message = message_of(database_url)
    assert says in message
    assert "hunter2" not in message


@pytest.mark.postgresql
def test_a_missing_database_of_a_server_is_named(postgres_url: str) -> None:
    assert "does not exist" in message_of(postgres_url.replace("/postgres?", "/nothing?"))


def test_a_reader_does_not_wait_for_a_writer(engine: Engine, writer: Writer) -> None:
    writer.save_build(make_build("old"), scope="agent")
    with writer._transaction() as connection:
        writer._save_rows(connection, {("default", "new"): make_build("new")}, {})
        assert [build.ref for build in list_builds(engine)] == ["old"]
    assert {build.ref for build in list_builds(engine)} == {"new", "old"}


def test_a_writer_waits_for_another_and_says_so_in_the_end(
    engine: Engine, writer: Writer, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connect, "BUSY_SECONDS", 0.3)
    impatient_engine = open_store(database_url)
    impatient = Writer(impatient_engine)
    with writer._transaction(), pytest.raises(StoreError, match="another process has held the store"):
        impatient.set_cursor("a", "b")
    impatient.set_cursor("a", "b")
    impatient.close()
    impatient_engine.dispose()


def test_threads_share_a_writer(engine: Engine, writer: Writer) -> None:
    def save(number: int) -> None:
        for count in range(10):
            writer.save_build(make_build(f"{number}-{count}"), scope="agent")

    threads = [threading.Thread(target=save, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(list_builds(engine)) == 40


@pytest.mark.postgresql
def test_a_writer_that_has_lost_its_connection_says_so_and_makes_a_new_one(postgres_url: str) -> None:
    engine = open_store(new_schema(postgres_url))
    writer = Writer(engine)
    with engine.connect() as other:
        others = "datname = current_database() AND pid <> pg_backend_pid()"
        other.execute(text(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}"))
    with pytest.raises(StoreError, match="cannot be reached"):
        writer.set_cursor("a", "b")
    writer.set_cursor("a", "c")
    assert cursor(engine, "a") == "c"
    writer.close()
    engine.dispose()


def test_a_read_only_file_is_named() -> None:
    with public_directory() as directory:
        path = directory / "store.db"
        sqlite3.connect(path).close()
        path.chmod(0o444)
        message = as_nobody(lambda: message_of(f"sqlite:///{path}"))
    assert message == f"{path}: cannot be written: Permission denied"
