"""How long after its end a build is in the store, and in what `/metrics` says.

The store is looked at every 5 ms from outside, by reading SQLite's file, which costs the agent nothing. Once the build
is there, `/metrics` is asked until it has counted it, without pause: the figure includes that answer's own time. The
end is taken twice: when the engine says that it was, and when the docker client exited, some time later.

    python -m benchmarks.delay [--builds N] [--quick] [--json FILE]
"""

from __future__ import annotations

import contextlib
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import contexts
from benchmarks.harness import (
    Agent,
    MeasurementError,
    Result,
    at_most,
    engine_with_base,
    figure,
    make_parser,
    report,
    running_agent,
)
from tests.engines.engine import Engine

LIMIT_SECONDS = 0.5
_POLL_SECONDS = 0.005
_PATIENCE_SECONDS = 20.0
_ENDED = "SELECT completed_ns FROM builds WHERE status <> 'running' ORDER BY completed_ns"


@dataclass(frozen=True, slots=True)
class Delay:
    """Moments of one build, in seconds since the epoch."""

    completed: float
    client_exited: float
    stored: float
    counted: float


@dataclass(slots=True)
class _Watch:
    """A thread that notes when the store has one ended build more, and when the metrics have."""

    agent: Agent
    ended_before: int
    found: list[float] = field(default_factory=list)
    """When the build ended for the engine, when it was stored, when it was counted."""

    def run(self) -> None:
        counted_before = self.agent.metric("buildprof_builds_total")
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < deadline:
            ended = ended_builds(self.agent)
            if len(ended) > self.ended_before:
                self.found += [ended[-1] / 1e9, time.time()]
                break
            time.sleep(_POLL_SECONDS)
        while time.monotonic() < deadline:
            if self.agent.metric("buildprof_builds_total") > counted_before:
                self.found.append(time.time())
                return


def ended_builds(agent: Agent) -> list[int]:
    """When each build of the store that has ended did so, in nanoseconds since the epoch."""
    path = agent.data_dir / "buildprof.db"
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)) as store:
        return [int(completed_ns) for (completed_ns,) in store.execute(_ENDED)]


def measure(engine: Engine, agent: Agent, directory: Path, builds: int) -> Iterator[Delay]:
    """Builds one after another, after one that is not counted. MeasurementError if one fails or is not stored."""
    for number in range(builds + 1):
        (directory / "src/main.txt").write_text(f"{number}\n")
        watch = _Watch(agent, len(ended_builds(agent)))
        thread = threading.Thread(target=watch.run)
        thread.start()
        result = subprocess.run(
            ["docker", "buildx", "build", "--network=host", "--quiet", "--tag=delay", "."],
            cwd=directory,
            env=engine.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        client_exited = time.time()
        thread.join()
        if result.returncode != 0:
            raise MeasurementError(f"the build failed: {result.stderr[-1000:]}")
        if len(watch.found) < 3:
            raise MeasurementError(f"a build was not stored and counted within {_PATIENCE_SECONDS:.0f} s")
        completed, stored, counted = watch.found
        if number:
            yield Delay(completed, client_exited, stored, counted)


def results(delays: list[Delay]) -> list[Result]:
    """Medians against the limit, and the worst of each."""
    told: list[Result] = []
    for name, after_engine, after_client in (
        ("stored", [d.stored - d.completed for d in delays], [d.stored - d.client_exited for d in delays]),
        ("in /metrics", [d.counted - d.completed for d in delays], [d.counted - d.client_exited for d in delays]),
    ):
        for end, seconds in (("the engine's end", after_engine), ("the client's exit", after_client)):
            median = statistics.median(seconds)
            told += [
                at_most(f"{name} after {end}, median", median, LIMIT_SECONDS, "s", f"{len(delays)} builds"),
                figure(f"{name} after {end}, worst", max(seconds), "s"),
            ]
    return told


def main() -> int:
    """Print hit or miss; 3 if nothing could be measured."""
    parser = make_parser(__doc__)
    parser.add_argument("--builds", type=int, help="how many (default: 20, with --quick 5)")
    arguments = parser.parse_args()
    builds = max(1, arguments.builds or (5 if arguments.quick else 20))
    try:
        with (
            engine_with_base("forky") as engine,
            running_agent(engine) as agent,
            tempfile.TemporaryDirectory(prefix="buildprof-delay-") as directory,
        ):
            delays = list(measure(engine, agent, contexts.thirty_steps(Path(directory)), builds))
    except MeasurementError as error:
        print(f"delay: {error}", file=sys.stderr)
        return 3
    report("delay", results(delays), arguments.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
