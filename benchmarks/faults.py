"""What is lost when things break.

The agent is killed in the middle of builds, the engine is restarted under it, the clock is put forward and back, the
store's disk is full, the store is held by another process, or taken away.

After each, the store is held against what the engine itself tells: no build that it knows may be missing or be there
twice, no counter may have been lowered, and no build may be left as running.

    python -m benchmarks.faults [--quick]
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.harness import (
    Agent,
    MeasurementError,
    Result,
    at_most,
    await_ready,
    engine_with_base,
    figure,
    make_parser,
    report,
    start_agent,
    stop_agent,
)
from buildprof.exporters.prometheus.catalog import CATALOG
from buildprof.model.events import RecordState
from buildprof.sources.buildkit.connection import connect
from buildprof.sources.buildkit.history import listen
from buildprof.sources.endpoint import parse_endpoint
from buildprof.store.connect import open_store
from buildprof.store.queries import BuildFilter, list_builds
from tests.engines.engine import Engine

PATIENCE_SECONDS = 90.0
"""How long something that must happen may take, on a machine that is busy with other things."""

STEP_SECONDS = 0.3
DOCKERFILE = f"""FROM base AS one
ARG ROUND
RUN echo one $ROUND && sleep {STEP_SECONDS}
RUN echo more $ROUND && sleep {STEP_SECONDS}
FROM base AS two
ARG ROUND
RUN echo two $ROUND && sleep {STEP_SECONDS}
FROM base
COPY --from=one /etc /one
COPY --from=two /etc /two
RUN sleep {STEP_SECONDS}
"""
BUILD_SECONDS = 3 * STEP_SECONDS + 1.0

_DAY_SECONDS = 86_400
_FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)


@dataclass(slots=True)
class Scene:
    """An engine, the agent on it (which comes and goes), and what its counters have shown so far."""

    engine: Engine
    data_dir: Path
    project: Path
    agent: Agent
    environment: dict[str, str] = field(default_factory=dict)
    counters: dict[str, float] = field(default_factory=dict)
    lowered: list[str] = field(default_factory=list)
    builds_begun: int = 0

    def begin_build(self) -> subprocess.Popen[bytes]:
        """Start a build that nothing of can come from the cache, and that takes about BUILD_SECONDS."""
        self.builds_begun += 1
        command = ["docker", "build", "--network=host", f"--build-arg=ROUND={self.builds_begun}", "--tag=faults", "."]
        return subprocess.Popen(
            command,
            cwd=self.project,
            env=self.engine.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def build(self) -> None:
        if self.begin_build().wait() != 0:
            raise MeasurementError("a build that must succeed did not")

    def start_agent(self) -> None:
        self.agent = start_agent(self.engine, self.data_dir, environment=self.environment)
        self.scrape()

    def kill_agent(self) -> None:
        stop_agent(self.agent, signal.SIGKILL)

    def scrape(self) -> None:
        """Read the counters, and note those that are lower than they were."""
        for name, value in counters_of(self.agent).items():
            if value < self.counters.get(name, 0.0):
                self.lowered.append(f"{name}: {self.counters[name]:g} → {value:g}")
            self.counters[name] = value


@contextlib.contextmanager
def scene(engine: Engine, data_dir: Path, environment: dict[str, str] | None = None) -> Iterator[Scene]:
    """An agent on an engine for the time of a `with` block, in a directory that is there."""
    project = data_dir / "project"
    project.mkdir(parents=True, exist_ok=True)
    (project / "Dockerfile").write_text(DOCKERFILE)
    environment = environment or {}
    agent = start_agent(engine, data_dir, environment=environment)
    stage = Scene(engine, data_dir, project, agent, environment)
    try:
        yield stage
    finally:
        stop_agent(stage.agent)


def counters_of(agent: Agent) -> dict[str, float]:
    """All samples of counters and histograms that the store feeds, by name with labels."""
    families = tuple(one.full_name for one in CATALOG if one.fed_by == "store" and one.kind in ("counter", "histogram"))
    lines = agent.get("/metrics")[1].decode().splitlines()
    samples = (line.rpartition(" ") for line in lines if line.startswith(families))
    return {name: float(value) for name, _, value in samples}


def await_true(what: str, condition: Callable[[], bool]) -> None:
    """Wait for something that must happen. MeasurementError if it does not."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise MeasurementError(f"it did not happen: {what}")
        time.sleep(0.1)


# -- what breaks ------------------------------------------------------------------------------------------------------


def kill_the_agent(stage: Scene, rounds: int) -> None:
    """SIGKILL in the middle of builds, each time at another moment; some builds end while there is no agent."""
    for number in range(rounds):
        building = stage.begin_build()
        time.sleep(BUILD_SECONDS * (number + 0.5) / rounds)
        stage.kill_agent()
        if number % 2:
            building.wait()
        stage.start_agent()
        building.wait()
        stage.scrape()


def restart_the_engine(stage: Scene, rounds: int) -> None:
    """SIGTERM and SIGKILL in turn, most times in the middle of a build."""
    for number in range(rounds):
        building = stage.begin_build() if number % 5 != 4 else None
        time.sleep(BUILD_SECONDS * (number + 0.5) / rounds)
        stage.engine.restart(signal.SIGKILL if number % 2 else signal.SIGTERM)
        if building is not None:
            building.kill()
            building.wait()
        stage.build()
        await_true("the agent is back at the engine", lambda: is_up(stage.agent))
        stage.scrape()


def step_the_clock(stage: Scene, clock_file: Path, days: Sequence[int]) -> None:
    """The agent's clock, which libfaketime reads from a file, forward and back by days: as it runs, and between runs."""
    for days_off in days:
        building = stage.begin_build()
        time.sleep(BUILD_SECONDS / 2)
        set_clock(clock_file, days_off)
        building.wait()
        stage.build()
        stage.scrape()
        stage.kill_agent()
        set_clock(clock_file, -days_off)
        stage.build()
        stage.start_agent()
    set_clock(clock_file, 0)


def fill_the_disk(stage: Scene) -> None:
    """No room for a while: what is built meanwhile has to be there afterwards."""
    filler = stage.data_dir / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(b"\0" * 4096):
            pass
    for _ in range(3):
        stage.build()
    await_true("the agent says that it cannot write", lambda: "cannot be written" in stage.agent.log)
    stage.build()
    filler.unlink()
    await_true("the agent writes again", lambda: "the store is written again" in stage.agent.log)
    stage.scrape()


def lock_the_store(stage: Scene, seconds: float) -> None:
    """Another process holds the store for longer than the agent waits."""
    with contextlib.closing(sqlite3.connect(stage.data_dir / "buildprof.db", isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        stage.build()
        time.sleep(seconds)
        connection.execute("ROLLBACK")
    stage.build()
    stage.scrape()


def take_the_store_away(stage: Scene) -> None:
    """The file is deleted under the agent: it makes another, with all that the engine still knows."""
    for name in ("buildprof.db", "buildprof.db-wal", "buildprof.db-shm"):
        (stage.data_dir / name).unlink(missing_ok=True)
    await_true("the agent says that its store is gone", lambda: "the store was taken away" in stage.agent.log)
    await_ready(stage.agent)
    stage.counters.clear()  # what they stood on is gone
    stage.build()
    stage.scrape()


# -- what must hold afterwards ----------------------------------------------------------------------------------------


def damage(stage: Scene) -> list[str]:
    """Everything that is not as it must be, once the agent had time to catch up; [] if all is well."""
    found = ["the agent did not catch up"]
    deadline = time.monotonic() + PATIENCE_SECONDS
    while found and time.monotonic() < deadline:
        time.sleep(0.5)
        found = _damage_now(stage)
    return found + [f"lowered: {one}" for one in stage.lowered]


def _damage_now(stage: Scene) -> list[str]:
    stage.scrape()
    known = asyncio.run(refs_of_engine(stage.engine))
    store = open_store(f"sqlite:///{stage.data_dir / 'buildprof.db'}", create=False)
    try:
        builds = list_builds(store, BuildFilter(limit=None))
    finally:
        store.dispose()
    refs = Counter(build.ref for build in builds)
    counted = stage.agent.metric("buildprof_builds_total")
    found = [f"lost: {ref}" for ref in known - refs.keys()]
    found += [f"doubled: {ref}" for ref, times in refs.items() if times > 1]
    found += [f"{build.status}: {build.ref}" for build in builds if build.status == "running"]
    found += [
        f"{build.status}, and the engine does not know it: {build.ref}"
        for build in builds
        if build.ref not in known and build.status != "canceled" and build.source == "buildkit"
    ]
    if counted != len(builds):
        found.append(f"{counted:g} builds counted, {len(builds)} stored")
    return found


async def refs_of_engine(engine: Engine) -> set[str]:
    """The refs of all finished builds, by the engine's own word."""
    channel, _ = await connect(parse_endpoint(engine.host))
    try:
        return {one.ref async for one in listen(channel, early_exit=True) if one.state is RecordState.COMPLETE}
    finally:
        channel.close()


# -- with what ---------------------------------------------------------------------------------------------------------


def is_up(agent: Agent) -> bool:
    """Whether the agent follows the engine's builds."""
    return agent.metric("buildprof_source_up", source="buildkit") == 1


def fake_clock(clock_file: Path) -> dict[str, str]:
    """The environment of an agent whose clock `set_clock` sets; MeasurementError without libfaketime."""
    if _FAKETIME is None:
        raise MeasurementError("libfaketime is not installed (Debian: apt-get install libfaketime)")
    set_clock(clock_file, 0)
    return {
        "LD_PRELOAD": str(_FAKETIME),
        "FAKETIME_TIMESTAMP_FILE": str(clock_file),
        "FAKETIME_CACHE_DURATION": "1",  # seconds after which the file is read again
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


def set_clock(clock_file: Path, days: int) -> None:
    """Put the clock so many days from the true time."""
    new = clock_file.with_suffix(".new")
    new.write_text(f"{days * _DAY_SECONDS:+d}\n")
    new.rename(clock_file)


@contextlib.contextmanager
def small_disk(directory: Path, size_bytes: int) -> Iterator[Path]:
    """A file system of a size, in memory."""
    directory.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size_bytes},mode=700", "tmpfs", directory], check=True)
    try:
        yield directory
    finally:
        subprocess.run(["umount", "--lazy", directory], check=True)


def main(arguments: list[str]) -> int:
    options = make_parser(__doc__).parse_args(arguments)
    kills, restarts = (4, 2) if options.quick else (20, 10)
    results: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="buildprof-bench-") as name, engine_with_base("forky") as engine:
        directory = Path(name)
        with scene(engine, directory / "faults") as stage:
            kill_the_agent(stage, kills)
            results += told(f"agent killed {kills} times", stage)
            restart_the_engine(stage, restarts)
            results += told(f"engine restarted {restarts} times", stage)
            lock_the_store(stage, 35.0)
            results += told("store locked for 35 s", stage)
            take_the_store_away(stage)
            results += told("store deleted", stage)
        clock_file = directory / "clock"
        with scene(engine, directory / "clock-stepped", fake_clock(clock_file)) as stage:
            step_the_clock(stage, clock_file, (3, -3, 0, 40, -40, 0))
            results += told("clock stepped 12 times", stage)
        with small_disk(directory / "full", 8 * 1024 * 1024) as full, scene(engine, full) as stage:
            fill_the_disk(stage)
            results += told("disk full", stage)
    report("faults", results, options.json)
    return 0 if all(one.ok for one in results) else 1


def told(name: str, stage: Scene) -> list[Result]:
    """The verdict on the state of things after a fault."""
    found = damage(stage)
    for line in found:
        print(f"  {name}: {line}", flush=True)
    builds = stage.agent.metric("buildprof_builds_total")
    canceled = stage.agent.metric("buildprof_build_cancellations_total")
    return [
        at_most(f"{name}: lost, doubled, lowered", len(found), 0, "", f"{builds:.0f} builds, {canceled:.0f} cut off"),
        figure(f"{name}: builds begun", stage.builds_begun, ""),
    ]


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a polite kill stops engine and agent, as Ctrl-C does
    try:
        sys.exit(main(sys.argv[1:]))
    except MeasurementError as error:
        sys.exit(f"faults: {error}")
