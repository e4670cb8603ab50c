"""What an agent does beside following builds: retention, a look at the store's size, and at whether it is there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import structlog
from sqlalchemy import Engine as SqlEngine

from buildprof.capture.desk import Desk, RefusedError
from buildprof.sources.layers.kept import forget_layers
from buildprof.store import queries
from buildprof.store.errors import StoreError

RETENTION_SECONDS = 3600.0
STORE_SIZE_SECONDS = 30.0
STORE_LOOK_SECONDS = 2.0
NANOSECONDS_PER_DAY = 86_400 * 1_000_000_000

_log = structlog.get_logger(__name__)


async def tend(desk: Desk, data_dir: Path, retention_days: int, on_size: Callable[[int], None]) -> None:
    """Delete what is past its retention, in the store and of what is known of layers, and look how large the store is.

    A clock that is set forward while the agent runs makes no build older.
    """
    next_deletion = time.monotonic()
    clock_lead_ns = time.time_ns() - time.monotonic_ns()
    while True:
        try:
            on_size(await asyncio.to_thread(queries.store_size_bytes, desk.ingest.engine))
            if time.monotonic() >= next_deletion:
                next_deletion = time.monotonic() + RETENTION_SECONDS
                now_ns = min(time.time_ns(), time.monotonic_ns() + clock_lead_ns)
                horizon_ns = now_ns - retention_days * NANOSECONDS_PER_DAY
                if deleted := await desk.write(partial(desk.ingest.delete_older_than, horizon_ns)):
                    _log.info("old builds deleted", builds=deleted, retention_days=retention_days)
                if forgotten := await asyncio.to_thread(forget_layers, data_dir, horizon_ns):
                    _log.info("unused layers forgotten", layers=forgotten, retention_days=retention_days)
        except (StoreError, RefusedError) as error:
            _log.warning("the store could not be tended", reason=str(error))
        await asyncio.sleep(STORE_SIZE_SECONDS)


async def notice_loss(store: SqlEngine, on_loss: Callable[[], None]) -> None:
    """Look whether the store's file is still the one that was opened: SQLite writes on into one that was deleted."""
    if store.dialect.name != "sqlite":
        await asyncio.Future()  # a server's database is noticed by whoever writes to it
    path = Path(str(store.url.database))
    opened = _identity(path)
    while _identity(path) == opened:  # noqa: ASYNC110 - a look at the disk is all there is to wait for
        await asyncio.sleep(STORE_LOOK_SECONDS)
    _log.error("the store was taken away; making it anew, with all that the engine still knows", store=str(path))
    on_loss()


def _identity(path: Path) -> tuple[int, int] | None:
    """What tells a file from others that had or will have its name; None if it is gone."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
