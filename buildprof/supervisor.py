"""Keeps sources running: one owner for every task, restarts with growing pauses, and the health of each."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import structlog

from buildprof.model.text import clean
from buildprof.sources.endpoint import EndpointError, UnsupportedError
from buildprof.store.errors import StoreError

FIRST_PAUSE_SECONDS = 0.2
MAX_PAUSE_SECONDS = 15.0
STEADY_SECONDS = 10.0
"""A source that was up for so long has got over its earlier failures."""

UNSUPPORTED_PAUSE_SECONDS = 60.0
"""An engine that cannot do a thing is asked again in case it was replaced by a newer one."""

MAX_REASON_CHARS = 500

_log = structlog.get_logger(__name__)


class State(StrEnum):
    """How a source stands."""

    STARTING = "starting"
    UP = "up"
    DOWN = "down"
    UNSUPPORTED = "unsupported"


class Observer(Protocol):
    """Who is told how sources do: the agent's own metrics."""

    def source_state(self, source: str, builder: str, *, up: bool) -> None:
        """It works, or it does not."""

    def source_event(self, source: str, builder: str, at_ns: int, count: int = 1) -> None:
        """So many events came."""

    def source_dropped(self, source: str, count: int = 1) -> None:
        """So many events were lost."""

    def source_restarted(self, source: str) -> None:
        """It is started again."""


class SourceHealth:
    """What a running source tells of itself. `reason` is one line on why it is not up, "" when it is.

    `events`, `restarts` and `lost` count since the agent started.
    """

    def __init__(self, name: str, builder: str, observer: Observer) -> None:
        self.name = name
        self.builder = builder
        self.state = State.STARTING
        self.reason = "not connected yet"
        self.last_event_ns: int | None = None
        self.events = self.restarts = self.lost = 0
        self._up_since: float | None = None
        self._observer = observer
        observer.source_state(name, builder, up=False)

    @property
    def up_seconds(self) -> float:
        """How long it has been up; 0 if it is not."""
        return 0.0 if self._up_since is None else time.monotonic() - self._up_since

    def up(self) -> None:
        """The source is connected and works."""
        if self.state is not State.UP:
            _log.info("source up", source=self.name, builder=self.builder)
            self._up_since = time.monotonic()
        self.state, self.reason = State.UP, ""
        self._observer.source_state(self.name, self.builder, up=True)

    def down(self, state: State, reason: str) -> None:
        """The source has stopped working; said once for each reason."""
        if (state, reason) != (self.state, self.reason):
            _log.warning("source down", source=self.name, builder=self.builder, reason=reason)
        self.state, self.reason, self._up_since = state, reason, None
        self._observer.source_state(self.name, self.builder, up=False)

    def event(self, count: int = 1) -> None:
        """Events came."""
        self.last_event_ns = time.time_ns()
        self.events += count
        self._observer.source_event(self.name, self.builder, self.last_event_ns, count)

    def dropped(self, count: int) -> None:
        """Events were lost, since a bound was reached."""
        self.lost += count
        self._observer.source_dropped(self.name, count)

    def restarted(self) -> None:
        """The supervisor starts it again."""
        self.restarts += 1
        self._observer.source_restarted(self.name)


@dataclass(frozen=True, slots=True)
class Source:
    """Something to keep running. `run` returns when the source has ended and is to be started again."""

    health: SourceHealth
    run: Callable[[SourceHealth], Awaitable[None]]


async def supervise(sources: Sequence[Source]) -> None:
    """Run all sources until cancelled; whatever one of them raises is its own affair."""
    async with asyncio.TaskGroup() as group:
        for source in sources:
            group.create_task(_keep_running(source), name=f"{source.health.builder}/{source.health.name}")


async def _keep_running(source: Source) -> None:
    failures = 0
    while True:
        health = source.health
        try:
            await source.run(health)
            state, reason = State.DOWN, "the connection ended"
        except asyncio.CancelledError:
            if (task := asyncio.current_task()) is None or task.cancelling():
                raise
            state, reason = State.DOWN, "it was interrupted"
        except UnsupportedError as error:
            state, reason = State.UNSUPPORTED, clean(error, MAX_REASON_CHARS)
        except (EndpointError, StoreError, OSError, TimeoutError) as error:
            state, reason = State.DOWN, clean(error, MAX_REASON_CHARS) or type(error).__name__
        except Exception as error:  # noqa: BLE001 - a fault of one source must not stop the agent; it is logged whole
            _log.exception("source failed", source=health.name, builder=health.builder)
            state, reason = State.DOWN, clean(f"{type(error).__name__}: {error}", MAX_REASON_CHARS)
        failures = 1 if health.up_seconds >= STEADY_SECONDS else failures + 1
        health.down(state, reason)
        pause_seconds = (
            UNSUPPORTED_PAUSE_SECONDS if state is State.UNSUPPORTED else pause_after(failures, random.random())  # noqa: S311  # no secret
        )
        await asyncio.sleep(pause_seconds)
        health.restarted()


def pause_after(failures: int, chance: float) -> float:
    """Seconds to wait after so many failures in a row: doubled each time, capped, spread by `chance` in 0 … 1."""
    capped: float = min(FIRST_PAUSE_SECONDS * 2 ** min(failures - 1, 16), MAX_PAUSE_SECONDS)
    return capped * (0.5 + chance / 2)
