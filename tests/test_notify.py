import asyncio
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from buildprof import notify


@pytest.fixture(params=["file", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """A service manager's socket, named in the environment as systemd names it."""
    name = str(tmp_path / "notify") if request.param == "file" else f"@buildprof-{tmp_path.name}-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(name.replace("@", "\0"))
        listener.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        yield listener


def told(manager: socket.socket) -> list[str]:
    return manager.recv(4096).decode().split("\n")


def test_the_manager_is_told_that_the_agent_serves_and_how(manager):
    notify.ready("serving http://127.0.0.1:19323/")

    assert told(manager) == ["READY=1", "STATUS=serving http://127.0.0.1:19323/"]


def test_the_manager_is_told_when_the_reading_of_settings_began(manager):
    before = time.monotonic_ns() // 1000
    notify.reloading()

    state, moment = told(manager)
    assert state == "RELOADING=1"
    assert before <= int(moment.removeprefix("MONOTONIC_USEC=")) <= time.monotonic_ns() // 1000


def test_the_manager_is_told_of_the_end(manager):
    notify.stopping()

    assert told(manager) == ["STOPPING=1", "STATUS=stopping"]


@pytest.mark.parametrize("address", [None, "", "relative", "/nobody/listens", "@nobody-listens", "/" + "x" * 200])
def test_without_a_listening_manager_nothing_happens(monkeypatch, address):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    if address is not None:
        monkeypatch.setenv("NOTIFY_SOCKET", address)

    notify.ready("")


def test_a_manager_that_does_not_read_is_not_waited_for(manager):
    for _ in range(2_000):  # far more than a socket's queue holds
        notify.alive()


async def test_the_watchdog_hears_of_the_event_loop_twice_in_its_interval(manager, monkeypatch):
    monkeypatch.setenv("WATCHDOG_USEC", "20000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    task = asyncio.create_task(notify.stay_alive())
    await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert told(manager) == told(manager) == ["WATCHDOG=1"]


@pytest.mark.parametrize(
    ("microseconds", "pid", "seconds"),
    [("60000000", None, 60.0), ("60000000", "own", 60.0), ("60000000", "1", None), ("", None, None), ("x", None, None)],
)
def test_the_watchdog_s_interval_is_that_of_this_process_alone(monkeypatch, microseconds, pid, seconds):
    monkeypatch.setenv("WATCHDOG_USEC", microseconds)
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    if pid is not None:
        monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()) if pid == "own" else pid)

    assert notify.watchdog_seconds() == seconds


async def test_without_a_watchdog_staying_alive_says_nothing(manager, monkeypatch):
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    task = asyncio.create_task(notify.stay_alive())
    await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    manager.setblocking(False)
    with pytest.raises(BlockingIOError):
        manager.recv(1)
