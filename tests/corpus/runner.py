"""Runs scenarios on real engines, several at once where they do not disturb each other.

with running_corpus(chosen, directory) as corpus:       # chosen: (scenario, where) pairs
    corpus.verdict("28", "copied-file-edited")          # waits for it
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from benchmarks.harness import CONTAINERD_STORE, MeasurementError, engine_with_base
from buildprof.analysis.misses import root_misses
from buildprof.model.step import Outcome
from tests.corpus.judge import Observed, Verdict, judge
from tests.corpus.perform import PATIENCE_SECONDS, Place, ScenarioError, Site, ask, import_image, perform
from tests.corpus.scenario import ALONE, CONTAINERD, ENGINE_20, ENGINE_26, SHARED, Miss, Scenario
from tests.corpus.server import Server, running_server

AT_ONCE = 4
"""Scenarios at a time on the shared engine."""

_KINDS: dict[str, tuple[str, tuple[str, ...]]] = {
    SHARED: ("forky", ()),
    ALONE: ("forky", ()),
    CONTAINERD: ("forky", CONTAINERD_STORE),
    ENGINE_26: ("trixie", ()),
    ENGINE_20: ("bookworm", ()),
}
_SECOND_LOOK_SECONDS = 2.0


@dataclass(slots=True)
class Ground:
    """An engine, started when the first scenario wants it, and who may be on it."""

    kind: tuple[str, tuple[str, ...]]
    directory: Path
    server: Server
    slots: threading.Semaphore
    running: contextlib.ExitStack
    lock: threading.Lock = field(default_factory=threading.Lock)
    place: Place | None = None

    def ready(self, scenario: Scenario) -> Place:
        """The place, with an agent and a second engine as the scenario wants them."""
        with self.lock:
            if self.place is None:
                engine = self.running.enter_context(engine_with_base(*self.kind))
                self.place = Place(engine, self.directory / "agent", self.server)
                self.running.callback(self.place.stop_agent)
            if scenario.second and self.place.second is None:
                self.place.second = self.running.enter_context(engine_with_base(*self.kind))
            environment = _environment(scenario, self.place)
            if environment != self.place.environment:
                self.place.stop_agent()
                self.place.environment = environment
            self.place.running_agent()
            return self.place


def _environment(scenario: Scenario, place: Place) -> Mapping[str, str]:
    if not scenario.second or place.second is None:
        return scenario.agent
    shared = {"BUILDPROF_BUILDERS": json.dumps([place.second.host])}
    dirs = [str(engine.config_dir / "buildx") for engine in (place.engine, place.second)]
    return {**shared, "BUILDPROF_BUILDX_DIRS": json.dumps(dirs), **scenario.agent}


@dataclass(frozen=True, slots=True)
class Corpus:
    """Scenarios under way."""

    futures: Mapping[tuple[str, str], Future[Verdict]]

    def verdict(self, where: str, name: str) -> Verdict:
        """Wait for a scenario. MeasurementError where no engine can be had."""
        return self.futures[where, name].result()

    def verdicts(self) -> list[Verdict]:
        """Wait for all that can be run."""
        return [one.result() for one in self.futures.values() if not isinstance(one.exception(), MeasurementError)]


@contextlib.contextmanager
def running_corpus(
    chosen: Sequence[tuple[Scenario, str]], directory: Path, *, labels_only: bool = False
) -> Iterator[Corpus]:
    """Begin to run scenarios, each where it is said; what is still to be run at the end of the block is not."""
    with contextlib.ExitStack() as running:
        server = running.enter_context(running_server())
        grounds = {
            where: Ground(
                kind,
                directory / where,
                server,
                threading.Semaphore(AT_ONCE if where == SHARED else 1),
                running.enter_context(contextlib.ExitStack()),
            )
            for where, kind in _KINDS.items()
        }
        pools = {
            where: ThreadPoolExecutor(AT_ONCE if where == SHARED else 1, thread_name_prefix=f"corpus-{where}")
            for where in _KINDS
        }
        for pool in pools.values():
            running.callback(pool.shutdown, cancel_futures=True)
        yield Corpus(
            {
                (where, one.name): pools[where].submit(run, one, grounds[where], labels_only=labels_only)
                for one, where in chosen
            }
        )


def run(scenario: Scenario, ground: Ground, *, labels_only: bool = False) -> Verdict:
    """Run one scenario and judge what is said of its last build. MeasurementError where there is no engine."""
    place = ground.ready(scenario)
    site = Site(scenario.name, ground.directory / scenario.name, place)
    site.directory.mkdir(parents=True)
    try:
        for image in ("base:latest", "tools:latest"):
            import_image(site, image, {})
        site.put(scenario.tree)
        for act in scenario.acts:
            perform(act, site)
        return _judged(scenario, site, labels_only=labels_only)
    except subprocess.CalledProcessError as error:
        return Verdict(scenario.name, error=f"{error}: {str(error.stderr)[-1000:]}")
    except (ScenarioError, OSError) as error:
        return Verdict(scenario.name, error=str(error))


def _judged(scenario: Scenario, site: Site, *, labels_only: bool) -> Verdict:
    build = _last_build(scenario, site)
    filled = _filled(scenario, site)
    verdict = judge(filled, _observed(site, build, None))
    if labels_only or verdict.labels:
        return verdict
    verdict = judge(filled, _observed(site, build, _explanation(site, build["ref"])))
    if verdict.problems:
        # The cache is read when no build runs, a moment after the end: what it tells comes with a second writing.
        time.sleep(_SECOND_LOOK_SECONDS)
        verdict = judge(filled, _observed(site, build, _explanation(site, build["ref"])))
    return verdict


def _last_build(scenario: Scenario, site: Site) -> dict[str, Any]:
    found = [ask(site, f"/api/v1/builds/{ref}") for ref in site.last_refs]
    found = [one for one in found if not scenario.target or one["target"] == scenario.target]
    if len(found) != 1:
        raise ScenarioError(f"{len(found)} builds to judge")
    build: dict[str, Any] = found[0]
    return build


def _explanation(site: Site, ref: str) -> Any:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (found := ask(site, f"/api/v1/builds/{ref}/explain")) is None:
        if time.monotonic() > deadline:
            raise ScenarioError(f"no explanation of {ref} within {PATIENCE_SECONDS:.0f} s")
        time.sleep(0.05)
    return found


def _observed(site: Site, build: dict[str, Any], explanation: Any) -> Observed:
    steps = [
        SimpleNamespace(id=one["id"], inputs=one["inputs"], cacheable=one["cacheable"], outcome=Outcome(one["outcome"]))
        for one in build["steps"]
    ]
    return Observed(build, explanation, site.dockerfile, root_misses(steps), site.refs[0])  # type: ignore[arg-type]  # all that is looked at


def _filled(scenario: Scenario, site: Site) -> Scenario:
    """The scenario with its own images and server in all that is expected."""
    return replace(scenario, misses=[_filled_miss(one, site) for one in scenario.misses])


def _filled_miss(miss: Miss, site: Site) -> Miss:
    evidence = {key: site.fill(one) if isinstance(one, str) else one for key, one in miss.evidence.items()}
    return replace(
        miss, at=site.fill(miss.at), collateral=[site.fill(one) for one in miss.collateral], evidence=evidence
    )
