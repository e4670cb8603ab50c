"""What a scrape costs with 100 projects of 20 targets each, beside prometheus_client rendering as many plain series.

A real agent serves a store that has a build of every target. Ours is the processor time of the agent for a whole scrape
by HTTP, twenty builds after the last one; theirs is `generate_latest` over gauges of the same names, labels and values
in this process. The two take turns. While the agent is then scraped without pause, the latency of its other answers is
measured from another thread, and compared with that at rest.

    python -m benchmarks.scrape [--rounds N] [--quick] [--json FILE]
"""

from __future__ import annotations

import http.client
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families

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
from benchmarks.store import make_build
from buildprof.analysis.contributions import LabelBudget, contributions
from buildprof.data_dir import agent_id
from buildprof.exporters.prometheus.collector import OPENMETRICS_CONTENT_TYPE, TEXT_CONTENT_TYPE
from buildprof.model.build import Build
from buildprof.model.series import Contribution, Effect
from buildprof.store.connect import open_store
from buildprof.store.writer import Writer
from buildprof.store_location import store_url

PROJECTS = 100
TARGETS = 20
BUILDS_BETWEEN = 20
"""Builds that end between two scrapes: many for the fifteen seconds that are usual."""

LIMIT_RATIO = 1.3
LIMIT_LATENCY_SECONDS = 0.25
"""What a person takes for at once; an answer may have to wait for the part of a scrape that holds the interpreter."""

FORMATS = {"text": TEXT_CONTENT_TYPE, "OpenMetrics": OPENMETRICS_CONTENT_TYPE}
PATHS = ("/-/healthy", "/api/v1/builds?limit=20", "/")


@dataclass(frozen=True, slots=True)
class Cost:
    """Medians in seconds of one format: of the agent's processor and by the clock, and of prometheus_client's render."""

    processor: float
    clock: float
    peer: float


def build_of(number: int) -> tuple[Build, list[Contribution]]:
    """The build with this number, and what it adds to the series; every target has one of the first 2,000."""
    project, target = f"team/project-{number // TARGETS % PROJECTS:03}", f"target-{number % TARGETS:02}"
    build = replace(make_build(number)[0], project=project, target=target)
    added, labels, at_ns = (
        contributions(build, LabelBudget()),
        (("project", project), ("target", target)),
        build.started_ns,
    )
    for metric, value in (("image_wasted_bytes", 1e6), ("image_efficiency_ratio", 0.97)):  # by the images' analysis
        added.append(Contribution(metric, labels, value, Effect.SET, at_ns))
    return build, added


class Store:
    """The store of an agent, written from outside as its builds would."""

    def __init__(self, data_dir: Path) -> None:
        data_dir.mkdir(parents=True, exist_ok=True)
        self._scope = agent_id(data_dir)
        self._engine = open_store(store_url("", data_dir))
        self._writer = Writer(self._engine)
        self._built = 0

    def add(self, count: int) -> None:
        """Add so many builds, in transactions of a hundred at most."""
        while count > 0:
            batch = [build_of(self._built + index) for index in range(min(count, 100))]
            self._writer.save_builds(batch, scope=self._scope)
            self._built += len(batch)
            count -= len(batch)

    def close(self) -> None:
        self._writer.close()
        self._engine.dispose()


def get(client: http.client.HTTPConnection, path: str, accept: str = "*/*") -> bytes:
    """The body of a GET over a connection that is kept, as Prometheus keeps its own."""
    client.request("GET", path, headers={"accept": accept})
    response = client.getresponse()
    body = response.read()
    if response.status != http.HTTPStatus.OK:
        raise MeasurementError(f"{path}: {response.status} {body[:200]!r}")
    return body


def plain_gauges(openmetrics: bytes) -> tuple[CollectorRegistry, int]:
    """A registry of one plain gauge for each name of a sample, with all its series, and how many series those are."""
    registry, gauges, count = CollectorRegistry(), dict[str, Gauge](), 0
    for family in text_string_to_metric_families(openmetrics.decode()):
        for sample in family.samples:
            names = sorted(sample.labels)
            gauge = gauges.get(sample.name)
            if gauge is None:
                # Another name, as that of a counter or a histogram's count may not be a gauge's.
                gauge = gauges[sample.name] = Gauge(
                    f"peer_{sample.name}_now", family.documentation, names, registry=registry
                )
            (gauge.labels(*(sample.labels[name] for name in names)) if names else gauge).set(sample.value)
            count += 1
    return registry, count


def measure(
    agent: Agent, client: http.client.HTTPConnection, store: Store, registry: CollectorRegistry, rounds: int
) -> dict[str, Cost]:
    """Take turns: some builds, a scrape, the peer's render; for each format."""
    peers: dict[str, Callable[[CollectorRegistry], bytes]] = {
        "text": generate_latest,
        "OpenMetrics": generate_openmetrics,
    }
    costs = {}
    for name, accept in FORMATS.items():
        processor, clock, peer = [], [], []
        for _ in range(rounds):
            store.add(BUILDS_BETWEEN)
            began, began_processor = time.perf_counter(), agent.cpu_seconds()
            get(client, "/metrics", accept)
            clock.append(time.perf_counter() - began)
            processor.append(agent.cpu_seconds() - began_processor)
            began_processor = time.process_time()
            peers[name](registry)
            peer.append(time.process_time() - began_processor)
        costs[name] = Cost(statistics.median(processor), statistics.median(clock), statistics.median(peer))
    return costs


@contextmanager
def scraping(agent: Agent) -> Iterator[None]:
    """Scrape without pause from a thread, for the time of a `with` block."""
    stop = threading.Event()

    def scrape() -> None:
        client = http.client.HTTPConnection("127.0.0.1", agent.port, timeout=60)
        while not stop.is_set():
            get(client, "/metrics", OPENMETRICS_CONTENT_TYPE)
        client.close()

    thread = threading.Thread(target=scrape)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def latencies(agent: Agent, path: str, requests: int) -> tuple[float, float]:
    """Median and 95th percentile, in seconds, of requests twenty milliseconds apart."""
    client, taken = http.client.HTTPConnection("127.0.0.1", agent.port, timeout=60), []
    for _ in range(requests):
        began = time.perf_counter()
        get(client, path)
        taken.append(time.perf_counter() - began)
        time.sleep(0.02)
    client.close()
    return statistics.median(taken), statistics.quantiles(taken, n=20)[-1]


def results_of(agent: Agent, store: Store, rounds: int, requests: int) -> list[Result]:
    """Measure all."""
    client = http.client.HTTPConnection("127.0.0.1", agent.port, timeout=60)
    began = time.perf_counter()
    body = get(client, "/metrics", OPENMETRICS_CONTENT_TYPE)
    first = time.perf_counter() - began
    registry, series = plain_gauges(body)
    results = [figure("series", series, "", f"{PROJECTS} projects of {TARGETS} targets, {len(body):,} bytes")]
    results.append(figure("first scrape after a start", first, "s"))
    for name, cost in measure(agent, client, store, registry, rounds).items():
        detail = f"{cost.processor:.3f} s of the agent, {cost.peer:.3f} s of prometheus_client; {cost.clock:.3f} s by the clock"
        results.append(
            at_most(f"scrape over plain render, {name}", cost.processor / cost.peer, LIMIT_RATIO, "times", detail)
        )
    client.close()
    at_rest = {path: latencies(agent, path, requests) for path in PATHS}
    with scraping(agent):
        for path in PATHS:
            median, most = latencies(agent, path, requests)
            detail = f"median {median * 1e3:.1f} ms; at rest {at_rest[path][0] * 1e3:.1f} ms, 95 % {at_rest[path][1] * 1e3:.1f} ms"
            results.append(at_most(f"{path} while scraped, 95 %", most, LIMIT_LATENCY_SECONDS, "s", detail))
    results.append(figure("memory", agent.resident_bytes() / 2**20, "MiB", "after all that"))
    return results


def main() -> int:
    """Exit code 0, 3 if nothing could be measured."""
    parser = make_parser(__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    rounds, requests = (3, 20) if options.quick else (options.rounds, 150)
    try:
        with tempfile.TemporaryDirectory(prefix="buildprof-bench-") as directory, engine_with_base("forky") as engine:
            store = Store(Path(directory))
            store.add(PROJECTS * TARGETS)
            agent = start_agent(engine, Path(directory))
            try:
                results = results_of(agent, store, rounds, requests)
            finally:
                stop_agent(agent)
                store.close()
    except MeasurementError as error:
        print(f"scrape: {error}", file=sys.stderr)
        return 3
    report("scrape", results, options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
