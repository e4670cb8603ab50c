"""The unit: what systemd itself says of it, and that the agent keeps to what it promises (`Type=notify`)."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.harness import free_port

UNIT = Path(__file__).parents[2] / "deploy/systemd/buildprof.service"
LARGEST_EXPOSURE = 3.0
"""Of 10, as `systemd-analyze security` counts: what is left is being root, a few capabilities, homes and the network."""


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit with a command that is there."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed; `make setup` installs it")
    copy = tmp_path / UNIT.name
    copy.write_text(UNIT.read_text().replace("/opt/buildprof/bin/buildprof", "/bin/true"))
    return copy


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *arguments], check=False, capture_output=True, text=True)


def test_systemd_finds_no_fault_in_the_unit(unit):
    verified = analyze("verify", "--man=no", unit)

    own = [line for line in (verified.stdout + verified.stderr).splitlines() if "buildprof" in line]
    assert (verified.returncode, own) == (0, [])


def test_the_unit_leaves_the_agent_few_rights(unit):
    told = analyze("security", "--offline=true", "--no-pager", unit).stdout

    exposure = re.search(r"Overall exposure level for \S+: (\d+\.\d)", told)
    assert exposure is not None, told
    assert float(exposure[1]) <= LARGEST_EXPOSURE


def test_the_agent_tells_the_manager_when_it_serves_reads_its_settings_again_and_ends(tmp_path):
    name = f"\0buildprof-{os.getpid()}"
    port = free_port()
    command = [sys.executable, "-m", "buildprof", "agent", "--listen", f"127.0.0.1:{port}"]
    command += ["--data-dir", tmp_path / "data", "--docker-host", f"unix://{tmp_path}/nobody.sock"]
    environment = os.environ | {"NOTIFY_SOCKET": name.replace("\0", "@"), "WATCHDOG_USEC": "200000"}
    environment.pop("WATCHDOG_PID", None)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(name)
        manager.settimeout(30)
        with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as agent:
            try:
                told = [_heard(manager)]
                agent.send_signal(signal.SIGHUP)
                told += [_heard(manager), _heard(manager)]
                assert manager.recv(4096) == b"WATCHDOG=1"
                agent.send_signal(signal.SIGTERM)
                told.append(_heard(manager))
                assert agent.wait(10) == 0
            finally:
                agent.kill()

    serving = f"READY=1\nSTATUS=serving http://127.0.0.1:{port}/"
    assert [re.sub(r"\d{6,}", "…", one) for one in told] == [
        serving,
        "RELOADING=1\nMONOTONIC_USEC=…",
        serving,
        "STOPPING=1\nSTATUS=stopping",
    ]


def _heard(manager: socket.socket) -> str:
    """What the manager is told next, but for signs of life."""
    while (told := manager.recv(4096).decode()) == "WATCHDOG=1":
        pass
    return told
