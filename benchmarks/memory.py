"""How much memory and processor an agent takes.

Idle for a minute on a new store and on one that is there; then what 200 builds in a row add.

    python -m benchmarks.memory [--quick]
"""

from __future__ import annotations

import signal
import sys
import tempfile
import time
from pathlib import Path

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

MIB = 1024 * 1024
IDLE_LIMIT_MIB = 80.0
IDLE_LIMIT_CPU_PERCENT = 0.5
GROWTH_LIMIT_MIB = 10.0

SETTLE_SECONDS = 15.0
"""After start-up, or the last build: the engine amends a build after 3 s, and readings of the cache follow."""

DOCKERFILE = "FROM base\nCOPY word /word\n" + "".join(
    f"RUN cat /word > /copy{number} && echo step {number}\n" for number in range(6)
)


def main(arguments: list[str]) -> int:
    options = make_parser(__doc__).parse_args(arguments)
    idle_seconds, builds = (10.0, 20) if options.quick else (60.0, 200)
    results: list[Result] = []
    with engine_with_base("forky") as engine, tempfile.TemporaryDirectory(prefix="buildprof-bench-") as directory:
        data_dir, project = Path(directory, "data"), Path(directory, "project")
        project.mkdir()
        (project / "Dockerfile").write_text(DOCKERFILE)
        for start in ("first start", "second start"):
            agent = start_agent(engine, data_dir)
            try:
                results += measure_idle(agent, start, idle_seconds)
                if start == "second start":
                    results += measure_growth(agent, engine, project, builds)
            finally:
                stop_agent(agent)
    report("memory", results, options.json)
    return 0 if all(one.ok for one in results) else 1


def measure_idle(agent: Agent, start: str, seconds: float) -> list[Result]:
    """Resident memory and the share of one core, while nothing is built."""
    time.sleep(SETTLE_SECONDS)
    cpu_before, began = agent.cpu_seconds(), time.monotonic()
    peak_bytes = 0
    while (passed := time.monotonic() - began) < seconds:
        peak_bytes = max(peak_bytes, agent.resident_bytes())
        time.sleep(min(1.0, seconds - passed))
    percent = 100 * (agent.cpu_seconds() - cpu_before) / (time.monotonic() - began)
    detail = f"over {seconds:.0f} s"
    return [
        at_most(f"idle resident, {start}", peak_bytes / MIB, IDLE_LIMIT_MIB, "MiB", detail),
        at_most(f"idle processor, {start}", percent, IDLE_LIMIT_CPU_PERCENT, "% of a core", detail),
    ]


def measure_growth(agent: Agent, engine: Engine, project: Path, builds: int) -> list[Result]:
    """What builds in a row add to resident memory, from idle on; a leak would show in the second half."""
    before_bytes, cpu_before = agent.resident_bytes(), agent.cpu_seconds()
    build_many(engine, project, builds // 2, "first half")
    time.sleep(SETTLE_SECONDS)
    halfway_bytes = agent.resident_bytes()
    build_many(engine, project, builds - builds // 2, "second half")
    time.sleep(SETTLE_SECONDS)
    after_bytes = agent.resident_bytes()
    counted = agent.metric("buildprof_builds_total")
    if counted != builds:
        raise MeasurementError(f"{counted:.0f} of {builds} builds were counted: {agent.log[-2000:]}")
    grown = (after_bytes - before_bytes) / MIB
    cpu_seconds = agent.cpu_seconds() - cpu_before
    return [
        at_most(f"added by {builds} builds", grown, GROWTH_LIMIT_MIB, "MiB", f"{after_bytes / MIB:.1f} MiB after them"),
        figure("of that by the second half", (after_bytes - halfway_bytes) / MIB, "MiB"),
        figure("processor for a build", 1e3 * cpu_seconds / builds, "ms", "of 9 steps, half of them new"),
    ]


def build_many(engine: Engine, project: Path, count: int, word: str) -> None:
    """One build after another, each second one with a change."""
    for number in range(count):
        (project / "word").write_text(f"{word} {number // 2}\n")
        engine.docker("build", "--network=host", "--tag", "memory", ".", cwd=project)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a polite kill stops engine and agent, as Ctrl-C does
    try:
        sys.exit(main(sys.argv[1:]))
    except MeasurementError as error:
        sys.exit(f"memory: {error}")
