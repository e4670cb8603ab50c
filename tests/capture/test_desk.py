"""What waits for a store that cannot be written."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine
from structlog.testing import capture_logs

from buildprof.assembly.redact import make_redactor
from buildprof.capture import desk as module
from buildprof.capture.desk import Desk, RefusedError
from buildprof.ingest import Ingest
from buildprof.model.cache import CacheRecord, CacheUsage
from buildprof.store import connect
from buildprof.store.errors import StoreError
from buildprof.store.queries import cursor
from buildprof.web.live import LiveEvents


@pytest.fixture
def store_file(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
def desk(store_file: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(connect, "BUSY_SECONDS", 0.05)
    store: Engine = connect.open_store(f"sqlite:///{store_file}")
    ingest = Ingest(store, scope="here", max_projects=10, max_targets=10)
    made = Desk(ingest, LiveEvents(max_clients=1, max_waiting=1), (), make_redactor(b"key", (), ()))
    yield made
    made.close()
    ingest.close()
    store.dispose()


def writing(desk: Desk, name: str) -> Callable[[], None]:
    return lambda: desk.ingest.save_events("default", [], (name, "1"))


async def test_a_store_that_cannot_be_written_is_told_once_whatever_else_goes_well(
    desk: Desk, store_file: Path
) -> None:
    holder = sqlite3.connect(store_file, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with capture_logs() as logs:
        waiting = [asyncio.create_task(desk.write(writing(desk, name))) for name in ("a", "b")]
        for _ in range(5):
            await asyncio.sleep(0.1)
            assert await desk.write(lambda: "nothing to write") == "nothing to write"
        assert [one["event"] for one in logs] == ["the store cannot be written; trying again until it can"]
        holder.execute("ROLLBACK")
        holder.close()
        await asyncio.gather(*waiting)
    assert [one["event"] for one in logs][1:] == ["the store is written again"]
    assert [cursor(desk.ingest.engine, name) for name in ("a", "b")] == ["1", "1"]


async def test_who_gives_up_waiting_does_not_keep_the_rest_from_being_told_again(desk: Desk, store_file: Path) -> None:
    with sqlite3.connect(store_file, isolation_level=None) as holder, capture_logs() as logs:
        for name in ("a", "b"):
            holder.execute("BEGIN IMMEDIATE")
            waiting = asyncio.create_task(desk.write(writing(desk, name)))
            await asyncio.sleep(0.3)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
            holder.execute("ROLLBACK")
            await desk.write(writing(desk, "after"))
    holder.close()
    assert len([one for one in logs if "cannot be written" in one["event"]]) == 2


async def test_what_trying_again_does_not_mend_is_refused_at_once(desk: Desk) -> None:
    def work() -> None:
        raise StoreError("a number is too large to be stored")

    with pytest.raises(RefusedError, match="too large"):
        await desk.write(work)


async def test_what_the_cache_lost_is_noted_without_secrets(desk: Desk, store_file: Path) -> None:
    text = "mount / from exec /bin/sh -c curl -H 'Authorization: Bearer abcdef123456789' https://me:s3cr3tpw@example.invalid"
    record = CacheRecord("id", 1, text, "regular", in_use=False, shared=False, created_ns=5)
    before, after = CacheUsage("default", 1, (record,)), CacheUsage("default", 9, ())
    await desk.save_lost(before, after, [record])
    (found,) = sqlite3.connect(store_file).execute("SELECT description FROM lost_records").fetchone()
    assert found.startswith("mount / from exec /bin/sh -c curl")
    assert "abcdef123456789" not in found
    assert "s3cr3tpw" not in found
