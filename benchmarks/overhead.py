"""What a build costs more with the agent beside the engine: wall time with over wall time without, in pairs.

Blocks of builds alternate (without, with, with, without, …), so that a drift of the machine falls on both sides alike;
the n-th build of a block is paired with the n-th of its neighbour. An agent is a daemon: in its block it has started,
read the history and seen builds before the first that counts, and what it does after a build falls on the next one.
Builds are not cached.

    python -m benchmarks.overhead [--pairs N] [--quick] [--json FILE]
"""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import comb
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
    start_agent,
    stop_agent,
)
from tests.engines.engine import Engine

LIMIT = 1.01
_SETTLE_SECONDS = 0.3
_WARM_BUILDS = 2
_WARM_SECONDS = 4.0
_BLOCK = 10
_WORK: dict[str, Callable[[Path], Path]] = {"30 steps": contexts.thirty_steps, "loud": contexts.loud}


@dataclass(frozen=True, slots=True)
class Timing:
    """One build. `agent_cpu_seconds` is what the agent used from its start to its end; None without an agent."""

    wall_seconds: float
    agent_cpu_seconds: float | None = None


class Bench:
    """An engine, and an agent that is there or not."""

    def __init__(self, engine: Engine, data_dir: Path) -> None:
        self._engine = engine
        self._data_dir = data_dir
        self._agent: Agent | None = None

    def stop(self) -> None:
        """End the agent if there is one."""
        if self._agent is not None:
            stop_agent(self._agent)
            self._agent = None

    def time_builds(self, directory: Path, count: int, *, with_agent: bool) -> list[Timing]:
        """Build so many times in a row without cache. MeasurementError if that fails."""
        self.stop()
        self._agent = start_agent(self._engine, self._data_dir) if with_agent else None
        # An agent's first builds have code to load that a daemon loads once, and at its start the engine amends the
        # records of builds that ended just before; and both sides are to do the same.
        for _ in range(_WARM_BUILDS):
            self._build(directory, "--no-cache")
        time.sleep(_WARM_SECONDS)
        return [self._time_build(directory) for _ in range(count)]

    def _time_build(self, directory: Path) -> Timing:
        time.sleep(_SETTLE_SECONDS)
        cpu_before = self._agent.cpu_seconds() if self._agent else 0.0
        wall_seconds = self._build(directory, "--no-cache")
        return Timing(wall_seconds, self._agent.cpu_seconds() - cpu_before if self._agent else None)

    def _build(self, directory: Path, *options: str) -> float:
        """Build, and give the seconds that it took. Quiet: what drawing the log costs is the client's affair."""
        started = time.perf_counter()
        result = subprocess.run(
            ["docker", "buildx", "build", "--network=host", "--quiet", "--tag=overhead", *options, "."],
            cwd=directory,
            env=self._engine.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        seconds = time.perf_counter() - started
        if result.returncode != 0:
            raise MeasurementError(f"the build failed: {result.stderr[-1000:]}")
        return seconds


@contextlib.contextmanager
def new_bench() -> Iterator[Bench]:
    """A new engine, without an agent yet."""
    with engine_with_base("forky") as engine, tempfile.TemporaryDirectory(prefix="buildprof-overhead-") as data_dir:
        bench = Bench(engine, Path(data_dir))
        try:
            yield bench
        finally:
            bench.stop()


def measure(bench: Bench, directory: Path, pairs: int | None, seconds: float) -> list[tuple[Timing, Timing]]:
    """Pairs of (without, with) in blocks whose order alternates.

    So many of them, or as many blocks as begin within so many seconds.
    """
    found: list[tuple[Timing, Timing]] = []
    deadline = time.monotonic() + seconds
    first = False
    while not found or (len(found) < pairs if pairs else time.monotonic() < deadline):
        count = min(_BLOCK, pairs - len(found)) if pairs else _BLOCK
        timed = {one: bench.time_builds(directory, count, with_agent=one) for one in (first, not first)}
        found += zip(timed[False], timed[True], strict=True)
        first = not first
    return found


def median_interval(values: list[float]) -> tuple[float, float]:
    """Bounds that hold the median of the distribution with at least 95 %, by ranks (binomial, p = 1/2).

    The extremes where there are too few values for that.
    """
    ordered, count = sorted(values), len(values)
    outside, rank = 0.0, 0
    while rank < count // 2 and outside + comb(count, rank) / 2**count <= 0.025:
        outside += comb(count, rank) / 2**count
        rank += 1
    low = max(rank - 1, 0)
    return ordered[low], ordered[count - 1 - low]


def results(name: str, pairs: list[tuple[Timing, Timing]]) -> list[Result]:
    """The ratio, how sure it is, and what the agent itself used: that is free of the machine's noise."""
    ratios = [with_agent.wall_seconds / without.wall_seconds for without, with_agent in pairs]
    low, high = median_interval(ratios)
    wall_seconds = statistics.median(without.wall_seconds for without, _ in pairs)
    best = [min(timing.wall_seconds for timing in side) for side in zip(*pairs, strict=True)]
    cpu_seconds = statistics.median(with_agent.agent_cpu_seconds or 0.0 for _, with_agent in pairs)
    share = cpu_seconds / wall_seconds / (os.cpu_count() or 1)
    detail = f"{len(pairs)} pairs, 95 %: {low:.3f} to {high:.3f}"
    return [
        at_most(f"{name}: with / without agent, median", statistics.median(ratios), LIMIT, "times", detail),
        figure(f"{name}: with / without agent, the quickest of each", best[1] / best[0], "times"),
        figure(f"{name}: without agent, median", wall_seconds, "s"),
        figure(f"{name}: agent's CPU time a build, median", cpu_seconds, "s", f"{share:.1%} of the machine meanwhile"),
    ]


def main() -> int:
    """Print hit or miss; 3 if nothing could be measured."""
    parser = make_parser(__doc__)
    parser.add_argument(
        "--pairs", type=int, help="pairs of each kind of build (default: what takes some minutes in all)"
    )
    parser.add_argument("--only", choices=_WORK, help="one kind of build")
    arguments = parser.parse_args()
    # All that is started here inherits it: what else the machine does disturbs less. Without the right to, it is left.
    with contextlib.suppress(PermissionError):
        os.nice(-10)
    seconds = (5.0 if arguments.quick else 240.0) * (1 if arguments.only is None else 2)
    told: list[Result] = []
    try:
        with new_bench() as bench:
            for name, make in _WORK.items():
                if arguments.only in (None, name):
                    with tempfile.TemporaryDirectory(prefix="buildprof-overhead-") as directory:
                        told += results(name, measure(bench, make(Path(directory)), arguments.pairs, seconds))
    except MeasurementError as error:
        print(f"overhead: {error}", file=sys.stderr)
        return 3
    report("overhead", told, arguments.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
