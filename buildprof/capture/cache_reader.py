"""Reads a builder's cache: soon after builds ended, for what their steps stored, and slowly otherwise."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace

import structlog
from grpclib.exceptions import GRPCError, StreamTerminatedError

from buildprof.capture.quiet import until_quiet
from buildprof.model.cache import CacheRecord, CacheUsage
from buildprof.model.series import Contribution
from buildprof.sources.buildkit.connection import BuildkitChannel
from buildprof.sources.buildkit.history import disk_usage

QUIET_SECONDS = 1.0
"""No build may have run for so long before a reading, since the engine holds the cache's lock meanwhile."""

_LOOK_SECONDS = 0.25

BUSY_SECONDS = 60.0
"""And at most so long for the builds that run: the engine measures what is new in its cache (2.6 ms a small record)."""

SLOW_SECONDS = 60.0
MAX_WAITING_BUILDS = 64

_log = structlog.get_logger(__name__)


class CacheReader:
    """Readings of one builder's cache.

    `on_reading` is told each of them, `on_evicted` the sums of what a reading no longer shows of the one before, and
    `on_lost` the records themselves with both readings.
    """

    def __init__(
        self,
        builder: str,
        on_reading: Callable[[CacheUsage], None],
        on_evicted: Callable[[list[Contribution]], Awaitable[None]],
        on_lost: Callable[[CacheUsage, CacheUsage, list[CacheRecord]], Awaitable[None]],
    ) -> None:
        self.is_busy: Callable[[], bool] = lambda: False
        """Whether builds run now."""
        self._builder = builder
        self._on_reading = on_reading
        self._on_evicted = on_evicted
        self._on_lost = on_lost
        self._waiting: dict[str, None] = {}
        self._wanted = asyncio.Event()
        self._last: CacheUsage | None = None

    def want(self, ref: str) -> None:
        """Read the cache soon, for what the steps of this build stored."""
        if len(self._waiting) < MAX_WAITING_BUILDS:
            self._waiting[ref] = None
        self._wanted.set()

    async def run(self, channel: BuildkitChannel, use: Callable[[str, CacheUsage], Awaitable[None]]) -> None:
        """Read when it is wanted, and at least once in SLOW_SECONDS; `use` is told of each build that waits for it."""
        await self.read(channel)
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(SLOW_SECONDS):
                    await self._wanted.wait()
            self._wanted.clear()
            await until_quiet(
                self._is_busy_or_asked,
                quiet_seconds=QUIET_SECONDS,
                at_most_seconds=BUSY_SECONDS,
                look_seconds=_LOOK_SECONDS,
            )
            waiting, self._waiting = self._waiting, {}
            if usage := await self.read(channel):
                for ref in waiting:
                    await use(ref, usage)

    def _is_busy_or_asked(self) -> bool:
        """Whether builds run, or one that was over between two looks has asked."""
        is_asked = self._wanted.is_set()
        self._wanted.clear()
        return is_asked or self.is_busy()

    async def read(self, channel: BuildkitChannel) -> CacheUsage | None:
        """One reading; None if the engine gives none."""
        try:
            usage = await disk_usage(channel, self._builder, time.time_ns())
        except GRPCError as error:
            _log.warning("the cache cannot be read", builder=self._builder, reason=error.message)
            return None
        except StreamTerminatedError:
            return None
        gone: list[CacheRecord] = []
        before, self._last = self._last, usage
        if before:
            gone = evicted(before, usage)
            usage = self._last = sharing(usage, before)
            if gone:
                await self._on_lost(before, usage, gone)
        self._on_reading(usage)
        labels = (("builder", self._builder),)
        sizes = sum(max(record.size_bytes, 0) for record in gone)
        await self._on_evicted(
            [
                Contribution("build_cache_evicted_records_total", labels, len(gone)),
                Contribution("build_cache_evicted_bytes_total", labels, sizes),
            ]
        )
        return usage


def sharing(usage: CacheUsage, earlier: CacheUsage) -> CacheUsage:
    """The same reading, in which records that have not changed are the earlier one's objects.

    A builder has thousands of records, and each of the last builds keeps the reading that its sizes are from.
    """
    known = {record.id: record for record in earlier.records}
    return replace(usage, records=tuple(_either(known.get(record.id), record) for record in usage.records))


def _either(earlier: CacheRecord | None, record: CacheRecord) -> CacheRecord:
    return earlier if earlier == record and earlier is not None else record


def evicted(before: CacheUsage, after: CacheUsage) -> list[CacheRecord]:
    """The records of results that a later reading no longer shows: pruned, or collected as garbage.

    Sources are left out: contexts and Dockerfiles are replaced by every build.
    """
    kept = {record.id for record in after.records}
    return [record for record in before.records if record.record_type == "regular" and record.id not in kept]
