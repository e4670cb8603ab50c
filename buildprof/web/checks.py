"""What `doctor` finds, for the pages: asked for in a thread of its own, and kept for a while."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import structlog

from buildprof.model.check import Check

KEPT_SECONDS = 30.0
WAIT_SECONDS = 3.0
"""How long a page waits: an engine that does not answer must not keep it from being shown."""

Ask = Callable[[], Sequence[Check]]

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Checkup:
    """What was found, and when that was asked for."""

    checks: tuple[Check, ...]
    at_ns: int


class KeptChecks:
    """Asks at most once at a time, however many want to know."""

    def __init__(self, ask: Ask, kept_seconds: float = KEPT_SECONDS, wait_seconds: float = WAIT_SECONDS) -> None:
        self._ask = ask
        self._kept_seconds, self._wait_seconds = kept_seconds, wait_seconds
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="checks")
        self._asking: asyncio.Future[Checkup] | None = None
        self._last: Checkup | None = None
        self._good_until = 0.0

    async def found(self) -> Checkup | None:
        """What was found within the last half minute, or is found now; what was found before, or None, if that takes long."""
        if self._last is not None and time.monotonic() < self._good_until:
            return self._last
        if self._asking is None:
            self._asking = asyncio.get_running_loop().run_in_executor(self._executor, self._run)
            self._asking.add_done_callback(self._keep)
        await asyncio.wait({self._asking}, timeout=self._wait_seconds)
        return self._last

    def _run(self) -> Checkup:
        at_ns = time.time_ns()
        return Checkup(tuple(self._ask()), at_ns)

    def _keep(self, asked: asyncio.Future[Checkup]) -> None:
        self._asking = None
        if asked.cancelled():
            return
        if (error := asked.exception()) is not None:
            _log.error("the checks of doctor failed", reason=f"{type(error).__name__}: {error}")
            return
        self._last = asked.result()
        self._good_until = time.monotonic() + self._kept_seconds
