"""Several processes on one store, and processes that die on it: run for real."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest
from sqlalchemy import Engine

from buildprof.store.queries import BuildFilter, changed_series, find_build, list_builds
from buildprof.store.writer import Writer
from tests.store.samples import counted, make_build

PROGRAM = """
import sys
from buildprof.store.connect import open_store
from buildprof.store.writer import Writer
from tests.store.samples import counted, make_build

url, first, count, batch = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
writer = Writer(open_store(url))
print("ready", flush=True)
sys.stdin.readline()
for number in range(first, first + count, batch):
    some = [(make_build(f"r{n:06}"), [counted(value=n), counted("builds_total")]) for n in range(number, number + batch)]
    writer.save_builds(some, scope="agent")
    print(number + batch, flush=True)
"""


def start(url: str, first: int, count: int, batch: int = 1) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PROGRAM, url, str(first), str(count), str(batch)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.close()


def finish(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    process.stdout.read()
    process.stdout.close()
    return process.wait()


def test_two_processes_that_write_at_once_lose_and_double_nothing(database_url: str, engine: Engine) -> None:
    processes = [start(database_url, 0, 120), start(database_url, 60, 120, batch=5)]
    for process in processes:
        go(process)
    assert [finish(process) for process in processes] == [0, 0]
    builds = list_builds(engine, BuildFilter(limit=None))
    assert sorted(build.ref for build in builds) == [f"r{number:06}" for number in range(180)]
    series, last = changed_series(engine, "agent")
    assert {one.metric: one.value for one in series} == {"builds_total": sum(range(180)) + 180}
    assert last <= 144


@pytest.mark.parametrize("after", [1, 7, 23])
def test_a_killed_process_leaves_whole_builds_and_their_totals(
    database_url: str, engine: Engine, writer: Writer, after: int
) -> None:
    process = start(database_url, 0, 100_000, batch=3)
    go(process)
    assert process.stdout is not None
    for _ in range(after):
        acknowledged = int(process.stdout.readline())
    time.sleep(0.003 * (after % 5))
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()

    builds = list_builds(engine, BuildFilter(limit=None))
    numbers = sorted(int(build.ref[1:]) for build in builds)
    assert numbers == list(range(len(numbers)))
    assert len(numbers) >= acknowledged
    series, _ = changed_series(engine, "agent")
    assert {one.metric: one.value for one in series} == {"builds_total": sum(numbers) + len(numbers)}
    for number in (numbers[0], numbers[-1]):
        ref = f"r{number:06}"
        assert find_build(engine, ref) == make_build(ref)
    assert not writer.save_build(make_build("r000000"), [counted()], scope="agent")
    assert writer.save_build(make_build("new"), [counted()], scope="agent")
