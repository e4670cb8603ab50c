"""Does the stored profile say what the client saw? Every step of builds of many kinds, compared with the client's stream.

Each build is run with `--progress=rawjson`; its stream is read by `client_stream`, which shares no code with buildprof.
Outcomes must be equal; durations may differ by 5 ms. Times of day may not be compared: the client shifts its clock.

    python -m benchmarks.truth [--engine KIND ...] [--quick] [--json FILE]
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks import client_stream, contexts
from benchmarks.client_stream import Steps
from benchmarks.harness import (
    CONTAINERD_STORE,
    Agent,
    MeasurementError,
    Result,
    at_least,
    at_most,
    engine_with_base,
    figure,
    make_parser,
    report,
    running_agent,
)
from tests.engines.engine import Engine

LIMIT_MS = 5.0
ENGINES = {"26": ("trixie", ()), "28": ("forky", ()), "28-containerd": ("forky", CONTAINERD_STORE)}

_NEWEST = "forky"
_STORED_SECONDS = 20.0
_CLIENT_SECONDS = 120.0
_UNDER_WAY_SECONDS = 0.5

PLATFORMS = """\
FROM scratch AS files
COPY manifest.txt /a
FROM scratch
COPY --from=files /a /b
COPY src/ /src/
"""
FAILED = """\
FROM base AS left
RUN sleep 0.3; echo left
RUN echo about to fail; exit 3
RUN echo never
FROM base AS right
RUN sleep 20
RUN echo never either
FROM base
COPY --from=left / /left
COPY --from=right / /right
"""
MISSING_FILE = """\
FROM base AS slow
RUN sleep 20
RUN echo after
FROM base
RUN echo at the front
COPY is-not-there.txt /
COPY --from=slow / /slow
"""
SLOW = """\
FROM base AS other
RUN sleep 60; echo other
FROM base
RUN sleep 0.2
RUN sleep 60
COPY --from=other / /other
RUN echo never
"""
SHARED = """\
FROM base AS common
COPY manifest.txt /
RUN sleep 0.4; echo common > /common
RUN sleep 0.2; echo more > /more
FROM common AS {0}
COPY src/ /src/
RUN sleep 0.3; echo {0} > /name
"""
GROUP = ("web", "api", "worker")
COMPOSE = "services:\n" + "".join(
    f"  {name}:\n    image: truth-{name}\n    build: {{context: ., dockerfile: Dockerfile.{name}, network: host}}\n"
    for name in GROUP
)


@dataclass(frozen=True, slots=True)
class Scenario:
    """One call of the client in the context directory. `targets` are the builds of a group."""

    name: str
    arguments: tuple[str, ...]
    dockerfile: str | None = None
    targets: tuple[str, ...] = ()
    edit: str = ""
    interrupt_at: str = ""
    """Ctrl-C once a step with this in its name runs."""


@dataclass(frozen=True, slots=True)
class StepPair:
    """Both views of one step: an outcome or "absent", and seconds or None if it never ran."""

    scenario: str
    build: str
    name: str
    stored: tuple[str, float | None]
    client: tuple[str, float | None]

    @property
    def outcomes_equal(self) -> bool:
        return self.stored[0] == self.client[0]

    @property
    def difference_ms(self) -> float:
        """How far apart the durations are; a step that ran for one only is apart by all of it."""
        return abs((self.stored[1] or 0.0) - (self.client[1] or 0.0)) * 1e3

    @property
    def agrees(self) -> bool:
        both_ran = (self.stored[1] is None) == (self.client[1] is None)
        return self.outcomes_equal and both_ran and self.difference_ms <= LIMIT_MS

    def __str__(self) -> str:
        views = (f"{outcome} {'never ran' if s is None else f'{s:.6f} s'}" for outcome, s in (self.stored, self.client))
        return f"{self.scenario}{f', {self.build}' if self.build else ''}: {self.name}: {' / client: '.join(views)}"


def scenarios(engine: Engine) -> list[Scenario]:
    """All that the engine can do, in an order in which each finds the cache that it needs."""
    build = ("buildx", "build", "--progress=rawjson", "--network=host", "--tag=truth")
    group: tuple[str, ...] = ("buildx", "bake", "--progress=rawjson", "--file=compose.yaml")
    if engine.suite == _NEWEST:
        group = (*group, "--allow=network.host")
    found = [
        Scenario("cold", build),
        Scenario("warm", build),
        Scenario("one source edited", build, edit="src/main.txt"),
        Scenario("no cache", (*build, "--no-cache")),
        Scenario("RUN fails", build, FAILED),
        Scenario("COPY of a missing file", build, MISSING_FILE),
        Scenario("canceled", build, SLOW, interrupt_at="RUN sleep 60"),
        Scenario("group of three", group, targets=GROUP),
        Scenario("group of three, warm", group, targets=GROUP),
        Scenario("group of three, edited", group, targets=GROUP, edit="src/main.txt"),
        Scenario("group of three, no cache", (*group, "--no-cache"), targets=GROUP),
    ]
    if engine.suite == _NEWEST:
        # Compose 2.40 hands its builds to bake, stream and all; earlier ones have no such stream.
        compose = ("compose", "--progress=json", "build", "--no-cache")
        found.append(Scenario("compose, no cache", compose, targets=GROUP))
    if "containerd-snapshotter=true" in " ".join(engine.options):
        platforms = (*build, "--platform=linux/amd64,linux/arm64")
        found += [
            Scenario("two platforms", platforms, PLATFORMS),
            Scenario("two platforms, warm", platforms, PLATFORMS),
        ]
    return found


def compare_on(engine: Engine, agent: Agent) -> Iterator[StepPair]:
    """Run all scenarios in a context of their own and give each step in both views.

    Raises:
        MeasurementError: the client did not build, or the builds did not reach the store.
    """
    with tempfile.TemporaryDirectory(prefix="buildprof-truth-") as name:
        directory = contexts.thirty_steps(Path(name), pause_seconds=0.05)
        (directory / "compose.yaml").write_text(COMPOSE)
        for target in GROUP:
            (directory / f"Dockerfile.{target}").write_text(SHARED.format(target))
        for scenario in scenarios(engine):
            known = _refs(agent)
            stream = _run(engine, scenario, directory)
            stored = _await_builds(agent, known, scenario)
            yield from compare(scenario, client_stream.read_stream(stream, scenario.targets), stored)


def compare(scenario: Scenario, client: dict[str, Steps], stored: Sequence[dict[str, Any]]) -> Iterator[StepPair]:
    """Pair the steps of one call by build and digest."""
    builds = {str(build["target"]) if scenario.targets else "": build for build in stored}
    if set(builds) != set(client):
        raise MeasurementError(f"{scenario.name}: stored as {sorted(builds)}, where the client ran {sorted(client)}")
    shifts = {name: _shift_us(client[name], build) for name, build in builds.items()}
    started_by = _started_by(builds)
    for name, build in builds.items():
        began, ended = (_microseconds(build[key]) + shifts[name] for key in ("started_at", "completed_at"))
        own = {step["id"]: step for step in build["steps"]}
        for digest in own.keys() | client[name].keys():
            step, theirs = own.get(digest), client[name].get(digest)
            theirs_outcome = "absent" if theirs is None else client_stream.outcome(theirs, client[name])
            if theirs is not None and theirs_outcome == "miss":
                began_us = max(run.started_us for run in theirs.worked) - shifts[name]
                able = client_stream.owners(digest, began_us, client, shifts)
                if not able or name not in able or (len(able) > 1 and started_by.get(digest, name) != name):
                    theirs_outcome = "shared"
            yield StepPair(
                scenario.name,
                name,
                step["name"] if step else theirs.name if theirs else "",
                ("absent", None) if step is None else (step["outcome"], step["duration_seconds"]),
                (theirs_outcome, None if theirs is None else theirs.duration_seconds(began, ended)),
            )


def _started_by(builds: dict[str, dict[str, Any]]) -> dict[str, str]:
    """The build that is stored as the one that started a step, of those that it is stored with.

    The client's stream tells who could have; if several could, any one of them is right, so long as it is one.
    """
    return {
        step["id"]: name
        for name, build in sorted(builds.items(), reverse=True)
        for step in build["steps"]
        if step["outcome"] == "miss"
    }


def _shift_us(steps: Steps, build: dict[str, Any]) -> int:
    theirs = {digest: min(step.runs) for digest, step in steps.items() if step.runs}
    ours = {step["id"]: _microseconds(step["started_at"]) for step in build["steps"] if step["started_at"]}
    return client_stream.shift_us(theirs, ours)


def _microseconds(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1e6)


def _run(engine: Engine, scenario: Scenario, directory: Path) -> str:
    """Run the client and give its stream."""
    if scenario.edit:
        with (directory / scenario.edit).open("a") as file:
            file.write(f"{scenario.name}\n")
    arguments = list(scenario.arguments)
    if scenario.dockerfile is not None:
        (directory / "Dockerfile.now").write_text(scenario.dockerfile)
        arguments.append("--file=Dockerfile.now")
    if not scenario.targets:
        arguments.append(".")
    stream = directory.with_name(f"{directory.name}.stream")
    try:
        with stream.open("ab") as file:
            process = subprocess.Popen(
                ["docker", *arguments],
                cwd=directory,
                env=engine.environment,
                stdin=subprocess.DEVNULL,
                stdout=file,  # where compose prints it
                stderr=file,
                start_new_session=True,
            )
        if scenario.interrupt_at:
            _await(lambda: _has_begun(stream.read_text(), scenario.interrupt_at), scenario.interrupt_at)
            # Engine 26 forgets to kill a container that it is just starting, and the build goes on without its client.
            time.sleep(_UNDER_WAY_SECONDS)
            os.killpg(process.pid, signal.SIGINT)
        process.wait(_CLIENT_SECONDS)
        return stream.read_text()
    finally:
        stream.unlink(missing_ok=True)


def _has_begun(stream: str, words: str) -> bool:
    return any(step.name.endswith(words) and step.worked for step in client_stream.read_stream(stream)[""].values())


def _refs(agent: Agent) -> set[str]:
    return {str(build["ref"]) for build in json.loads(agent.get("/api/v1/builds?limit=100")[1])["builds"]}


def _await_builds(agent: Agent, known: set[str], scenario: Scenario) -> list[dict[str, Any]]:
    """The builds that are new in the store, once there are so many and all have ended."""
    found: list[dict[str, Any]] = []

    def all_ended() -> bool:
        found[:] = [build for ref in _refs(agent) - known if (build := agent.build(ref)) and build["completed_at"]]
        return len(found) >= (len(scenario.targets) or 1)

    _await(all_ended, f"the builds of '{scenario.name}' in the store")
    return found


def _await(true: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _STORED_SECONDS
    while not true():
        if time.monotonic() > deadline:
            raise MeasurementError(f"waited {_STORED_SECONDS:.0f} s in vain for: {what}")
        time.sleep(0.05)


def results(pairs: Sequence[StepPair]) -> list[Result]:
    """What is told of one engine."""
    differences = [pair.difference_ms for pair in pairs if pair.client[1] is not None]
    equal = sum(pair.outcomes_equal for pair in pairs)
    builds = len({(one.scenario, one.build) for one in pairs})
    kinds = ", ".join(f"{count} {outcome}" for outcome, count in Counter(one.client[0] for one in pairs).most_common())
    return [
        figure("steps compared", len(pairs), "steps", f"of {builds} builds: {kinds}"),
        at_least("outcomes equal", equal / len(pairs), 1.0, "of 1", f"{equal} of {len(pairs)}"),
        at_most("duration difference, worst", max(differences), LIMIT_MS, "ms"),
        figure("duration difference, median", statistics.median(differences), "ms"),
    ]


def measure(kind: str) -> list[StepPair]:
    """All scenarios on a new engine of a kind."""
    suite, options = ENGINES[kind]
    with engine_with_base(suite, options) as engine, running_agent(engine) as agent:
        return list(compare_on(engine, agent))


def main() -> int:
    """Print figures and every disagreement; 3 if an engine could not be measured."""
    parser = make_parser(__doc__)
    parser.add_argument("--engine", choices=ENGINES, action="append", help="only this one; repeatable")
    arguments = parser.parse_args()
    told: list[Result] = []
    for kind in arguments.engine or (["28"] if arguments.quick else list(ENGINES)):
        try:
            pairs = measure(kind)
        except MeasurementError as error:
            print(f"truth: engine {kind}: {error}", file=sys.stderr)
            return 3
        for pair in pairs:
            if not pair.agrees:
                print(f"engine {kind}: {pair}")
        told += [replace(one, name=f"{kind}: {one.name}") for one in results(pairs)]
    report("truth", told, arguments.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
