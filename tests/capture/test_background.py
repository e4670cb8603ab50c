import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from buildprof.capture import background
from buildprof.capture.background import Throttle


def test_a_process_in_the_background_gives_way_to_all_others():
    program = (
        "import os, subprocess; from buildprof.capture.background import work_in_background; work_in_background();"
        "print(os.getpriority(os.PRIO_PROCESS, 0)); print(subprocess.run(['ionice', '-p', str(os.getpid())], capture_output=True, text=True).stdout)"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert told == ["19", "idle"]
    assert os.getpriority(os.PRIO_PROCESS, 0) < 19


def test_it_ends_with_who_started_it():
    child = "from buildprof.capture.background import work_in_background; work_in_background(); print(flush=True); import time; time.sleep(60)"
    parent = f"import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', {child!r}], stdout=subprocess.PIPE); p.stdout.readline(); print(p.pid)"
    pid = int(subprocess.run([sys.executable, "-c", parent], capture_output=True, text=True, check=True).stdout)
    deadline = time.monotonic() + 30
    while Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2]:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_reading_is_held_back_to_its_rate(monkeypatch: pytest.MonkeyPatch):
    slept: list[float] = []
    monkeypatch.setattr(background.time, "sleep", slept.append)
    throttle = Throttle(1000)
    throttle(10)
    throttle(500)
    assert slept[-1] == pytest.approx(0.51, abs=0.3)
    throttle(10**9)
    assert slept[-1] == 1.0
    monkeypatch.setattr(background.time, "monotonic", lambda: time.perf_counter() + 10**9)
    throttle(1)
    assert len(slept) == 3
