"""What the benchmarks share: an agent on an engine, and how results are told.

with running_agent(engine) as agent: ...       # a new data directory, a free port, ready when the block begins
agent = start_agent(engine, data_dir)          # or by hand, to kill it and start another on the same directory
report("delay", [at_most("delay", 0.1, 0.5, "s")], options)
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.engines.engine import Engine, running_engine
from tests.engines.images import import_base
from tests.engines.rootfs import EngineUnavailable

CONTAINERD_STORE = ("--feature containerd-snapshotter=true",)
"""dockerd's option for the containerd image store (Engine 28)."""

_READY_SECONDS = 30.0
_STOP_SECONDS = 10.0
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_SAMPLE = re.compile(r"^(?P<name>[a-zA-Z_:][\w:]*)(?:\{(?P<labels>[^}]*)\})? (?P<value>\S+)", re.MULTILINE)


class MeasurementError(Exception):
    """Nothing could be measured; the message says why."""


@dataclass(frozen=True, slots=True)
class Result:
    """One figure. `limit` is None where nothing was promised, and `ok` then says nothing against it."""

    name: str
    value: float
    limit: float | None
    unit: str
    ok: bool
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Agent:
    """A running `buildprof agent`, a child of this process."""

    process: subprocess.Popen[bytes]
    port: int
    data_dir: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def log(self) -> str:
        return (self.data_dir / "agent.log").read_text(errors="replace")

    def get(self, path: str, timeout_seconds: float = 10.0) -> tuple[int, bytes]:
        """Status and body of a GET. OSError if nobody listens."""
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout_seconds)) as client:
            client.request("GET", path)
            response = client.getresponse()
            return response.status, response.read()

    def build(self, ref: str) -> dict[str, Any] | None:
        """A build as the API serves it; None if the store does not have it."""
        status, body = self.get(f"/api/v1/builds/{ref}")
        return json.loads(body) if status == http.HTTPStatus.OK else None

    def metric(self, name: str, **labels: str) -> float:
        """The sum of the samples of a metric, by its full name, whose labels include these; 0 if there is none."""
        return sum_samples(self.get("/metrics")[1].decode(), name, labels)

    def cpu_seconds(self) -> float:
        """Time on a processor of all its threads that live, so far (the kernel's scheduler statistics, field 1, in ns)."""
        nanoseconds = 0
        for thread in Path(f"/proc/{self.pid}/task").iterdir():
            with contextlib.suppress(OSError):  # gone meanwhile
                nanoseconds += int((thread / "schedstat").read_text().split()[0])
        return nanoseconds / 1e9

    def resident_bytes(self) -> int:
        """Resident memory (proc(5), statm, field 2)."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * _PAGE_BYTES


def sum_samples(exposition: str, name: str, labels: Mapping[str, str]) -> float:
    """The sum of a metric's samples in a text exposition whose labels include these."""
    wanted = [f'{key}="{value}"' for key, value in labels.items()]
    samples = (match for match in _SAMPLE.finditer(exposition) if match["name"] == name)
    return sum(float(one["value"]) for one in samples if all(pair in (one["labels"] or "") for pair in wanted))


def free_port() -> int:
    """A TCP port of loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start_agent(
    engine: Engine, data_dir: Path, *, wait_until_ready: bool = True, environment: Mapping[str, str] | None = None
) -> Agent:
    """Start an agent that also sees what the engine's test client writes on disk. Its log is `agent.log` there.

    Raises:
        MeasurementError: it ended, or did not get ready.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    port = free_port()
    own = {key: value for key, value in os.environ.items() if not key.startswith(("BUILDPROF_", "DOCKER_", "BUILDX_"))}
    if engine.config_dir.is_dir():  # the machine's own engine has none: its clients use the user's
        own["BUILDPROF_BUILDX_DIRS"] = json.dumps([str(engine.config_dir / "buildx")])
    command = [sys.executable, "-m", "buildprof", "agent", "--docker-host", engine.host]
    command += ["--data-dir", str(data_dir), "--listen", f"127.0.0.1:{port}"]
    with (data_dir / "agent.log").open("ab") as log:
        process = subprocess.Popen(
            command,
            cwd=Path(__file__).parents[1],
            env=own | dict(environment or {}),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    agent = Agent(process, port, data_dir)
    if wait_until_ready:
        try:
            await_ready(agent)
        except MeasurementError:
            stop_agent(agent, signal.SIGKILL)
            raise
    return agent


def await_ready(agent: Agent) -> None:
    """Wait until the agent has read the engine's history. MeasurementError if it ends or takes half a minute."""
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline and agent.process.poll() is None:
        with contextlib.suppress(OSError, http.client.HTTPException):
            if agent.get("/-/ready")[0] == http.HTTPStatus.OK:
                return
        time.sleep(0.02)
    raise MeasurementError(f"the agent did not get ready: {agent.log[-2000:]}")


def stop_agent(agent: Agent, with_signal: int = signal.SIGTERM) -> int:
    """Stop the agent by its process id and give its exit code; one that does not stop is killed."""
    with contextlib.suppress(ProcessLookupError):
        agent.process.send_signal(with_signal)
    try:
        return agent.process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        agent.process.kill()
        return agent.process.wait()


@contextlib.contextmanager
def running_agent(engine: Engine, **options: Any) -> Iterator[Agent]:
    """An agent with a new data directory, for the time of a `with` block; the options are `start_agent`'s."""
    with tempfile.TemporaryDirectory(prefix="buildprof-bench-") as directory:
        agent = start_agent(engine, Path(directory), **options)
        try:
            yield agent
        finally:
            stop_agent(agent)


@contextlib.contextmanager
def engine_with_base(suite: str, options: Sequence[str] = ()) -> Iterator[Engine]:
    """A new engine that has `base:latest`, a busybox. MeasurementError where none can be had."""
    try:
        with running_engine(suite, options) as engine:
            import_base(engine)
            yield engine
    except EngineUnavailable as error:
        raise MeasurementError(f"no engine of {suite}: {error}") from error


def at_most(name: str, value: float, limit: float, unit: str, detail: str = "") -> Result:
    """A figure that must not be larger than its limit."""
    return Result(name, value, limit, unit, value <= limit, detail)


def at_least(name: str, value: float, limit: float, unit: str, detail: str = "") -> Result:
    """A figure that must not be smaller than its limit."""
    return Result(name, value, limit, unit, value >= limit, detail)


def figure(name: str, value: float, unit: str, detail: str = "") -> Result:
    """A figure without a limit, to read the others by."""
    return Result(name, value, None, unit, ok=True, detail=detail)


def make_parser(description: str | None) -> argparse.ArgumentParser:
    """The options that all benchmarks have: `--quick` and `--json FILE`."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rounds: an impression, no verdict")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results there")
    return parser


def report(benchmark: str, results: Sequence[Result], json_file: Path | None = None) -> None:
    """Print the results as an aligned table, misses once more at the end, and write them as JSON where asked.

    The `ratio` of a figure is value over limit.
    """
    rows = [_row(one) for one in results]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)] if rows else []
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    missed = [one for one in results if not one.ok]
    with_limit = sum(one.limit is not None for one in results)
    print(f"{benchmark}: {with_limit - len(missed)} of {with_limit} limits met", end="")
    print("".join(f"; MISSED {one.name}: {_number(one.value)} {one.unit}" for one in missed))
    if json_file is not None:
        document = {"benchmark": benchmark, "missed": len(missed), "results": [asdict(one) for one in results]}
        json_file.write_text(json.dumps(document, indent=2) + "\n")


def _row(result: Result) -> tuple[str, ...]:
    value = f"{_number(result.value)} {result.unit}"
    if result.limit is None:
        return result.name, value, "", "", "", result.detail
    ratio = f"ratio {result.value / result.limit:.3f}" if result.limit else "ratio -"
    return result.name, value, f"limit {_number(result.limit)}", ratio, "hit" if result.ok else "MISS", result.detail


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:,.4g}"
