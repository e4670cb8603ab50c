"""What the service manager is told of the agent's state, by datagrams to the socket that it names (sd_notify(3)).

Where nobody asked to be told, which is everywhere but in a systemd service of `Type=notify`, nothing is sent.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from contextlib import suppress

NEVER_SECONDS = 86_400.0


def ready(status: str) -> None:
    """The agent serves; `status` is one line for `systemctl status`."""
    _send("READY=1", f"STATUS={status}")


def reloading() -> None:
    """The agent reads its settings again; `ready` ends that. The time is what `Type=notify-reload` asks for."""
    _send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")


def stopping() -> None:
    """The agent ends."""
    _send("STOPPING=1", "STATUS=stopping")


def alive() -> None:
    """The agent is not stuck; of use only to a watchdog."""
    _send("WATCHDOG=1")


async def stay_alive() -> None:
    """Tell the watchdog, twice in each of its intervals and until cancelled, that the event loop runs."""
    interval_seconds = watchdog_seconds()
    while True:
        if interval_seconds is not None:
            alive()
        await asyncio.sleep(interval_seconds / 2 if interval_seconds else NEVER_SECONDS)


def watchdog_seconds() -> float | None:
    """After how long a silence the service manager ends this process (sd_watchdog_enabled(3)); None if it never does."""
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    return int(microseconds) / 1e6 if microseconds.isascii() and microseconds.isdigit() and int(microseconds) else None


def _send(*states: str) -> None:
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    if address.startswith("@"):
        address = "\0" + address[1:]  # a name without a file (unix(7))
    # A service manager that does not listen is no reason to stop; nor is one that is slow, so it is not waited for.
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as manager:
        manager.setblocking(False)
        manager.connect(address)
        manager.send("\n".join(states).encode())
