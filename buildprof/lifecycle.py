"""The lives of the agent's process: signals, settings read again, a store that was taken away, and trying again."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Coroutine
from enum import Enum
from functools import partial
from typing import Any

import structlog

from buildprof import notify
from buildprof.config import ConfigError, Settings
from buildprof.data_dir import AlreadyRunningError, hold
from buildprof.log import configure_logging
from buildprof.sources.endpoint import EndpointError
from buildprof.store.connect import open_store
from buildprof.store.errors import StoreError
from buildprof.web.server import ListenError

NICENESS = 10
"""Builds come first: where they need every core, a profile is late rather than a build slow."""

REOPEN_SECONDS = 2.0
"""How long to wait before a life that could not begin is tried again."""

MAX_REASON_BYTES = 2_000

_log = structlog.get_logger(__name__)


class Ending(Enum):
    """Why the agent stops."""

    STOP = "stop"
    RELOAD = "reload"
    REOPEN = "reopen"
    """The store's file was taken away."""
    ENDED = "a part ended"


class Wishes:
    """What signals ask for. Heard between two lives as well: then the next one ends as soon as it begins."""

    def __init__(self) -> None:
        self._asked: set[Ending] = set()
        self._hear: Callable[[], object] | None = None
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._heard)

    @property
    def stop(self) -> bool:
        """Whether the agent is to stop; that is never taken back."""
        return Ending.STOP in self._asked

    def begin(self) -> asyncio.Event:
        """Begin a life: what is set as soon as there is a wish."""
        loop, event = asyncio.get_running_loop(), asyncio.Event()
        self._hear = partial(loop.call_soon_threadsafe, event.set)
        if self._asked:
            event.set()
        return event

    def end(self) -> Ending:
        """End a life: what is wished most, which for all but STOP is done with then."""
        self._hear = None
        found = next((one for one in (Ending.STOP, Ending.RELOAD, Ending.REOPEN) if one in self._asked), Ending.ENDED)
        self._asked &= {Ending.STOP}
        return found

    def ask(self, ending: Ending) -> None:
        """Wish for an end."""
        if ending is Ending.STOP:
            notify.stopping()
        elif ending is Ending.RELOAD:
            notify.reloading()
        self._asked.add(ending)
        if self._hear is not None:
            with contextlib.suppress(RuntimeError):  # the loop of a life that failed is closed
                self._hear()

    def _heard(self, number: int, _frame: object) -> None:
        self.ask(Ending.RELOAD if number == signal.SIGHUP else Ending.STOP)


Life = Callable[[Settings, Wishes], Coroutine[Any, Any, Ending]]
"""One life of the agent, with one set of settings."""


def run_lives(settings: Settings, reload: Callable[[], Settings], live: Life) -> int:
    """Live until SIGTERM or SIGINT; on SIGHUP begin again with the settings that `reload` gives.

    Returns the exit code.

    Raises:
        StoreError: the store cannot be used.
        ListenError: the address cannot be listened on.
        EndpointError: an address of the settings is none.
        AlreadyRunningError: another agent runs on this data directory.
    """
    working: Settings | None = None  # what the agent has run with: what fails after that does not stop it
    wishes = Wishes()
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, max(NICENESS, os.getpriority(os.PRIO_PROCESS, 0)))
    while True:
        configure_logging(settings.log_level, settings.log_format)
        try:
            with hold(settings.data_dir):
                _prepare_store(settings.store_url)
                ending = asyncio.run(live(settings, wishes))
        except (StoreError, ListenError, EndpointError, AlreadyRunningError) as error:
            if working is None:
                raise
            if settings is not working:
                _log.error("the new settings cannot be used, the old ones stay", reason=str(error))
                settings = working
                continue
            _log.error("cannot go on; trying again", reason=str(error))
            notify.alive()
            time.sleep(REOPEN_SECONDS)
            if wishes.stop:
                return 0
            continue
        working = settings
        if ending in (Ending.STOP, Ending.ENDED):
            return 0
        if ending is Ending.RELOAD:
            try:
                settings = reload()
            except ConfigError as error:
                _log.error("the new settings cannot be used, the old ones stay", reason=str(error))


def _prepare_store(url: str) -> None:
    """Make or migrate the store in a child: Alembic takes memory that the agent would keep for its life.

    Raises:
        StoreError: the store cannot be used.
    """
    if threading.active_count() > 1:
        return  # a child could wait for ever for what another thread held; opening the store does the same here
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        reason = ""
        try:
            open_store(url).dispose()
        except BaseException as error:  # noqa: BLE001 - nothing may leave the child but by its pipe
            reason = str(error) or type(error).__name__
        os.write(writer, reason.encode(errors="replace")[:MAX_REASON_BYTES])
        os._exit(0)
    os.close(writer)
    with open(reader, "rb") as pipe:  # noqa: PTH123 - a descriptor
        said = pipe.read().decode(errors="replace")
    os.waitpid(child, 0)
    if said:
        raise StoreError(said)
