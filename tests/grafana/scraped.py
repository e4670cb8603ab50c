"""A Prometheus that scrapes an agent each second while builds run on an engine of their own."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.harness import Agent, free_port
from tests.e2e.agents import build, eventually, project
from tests.engines.engine import Engine

SHOP = """FROM base AS deps
WORKDIR /srv
COPY packages .
RUN dd if=/dev/zero of=/junk bs=1024 count=64 && sleep 0.2
FROM deps
ARG STAMP=none
COPY . .
RUN rm /junk && echo $STAMP > /built
"""
BUILDS_UNTIL_A_BASELINE = 11
"""The good builds that a baseline needs, and those that are still judged."""

LARGE_BYTES = 4_000_000
"""More than a baseline forgives."""


@dataclass(frozen=True, slots=True)
class Prometheus:
    """A running server. `since` is when it began to scrape, by its clock."""

    address: str
    since: float

    def get(self, path: str, **parameters: str) -> Any:
        """The data of an API's answer. AssertionError with Prometheus' own words for a query that it cannot read."""
        query = urllib.parse.urlencode({name.replace("match", "match[]"): value for name, value in parameters.items()})
        try:
            with urllib.request.urlopen(f"{self.address}/api/v1/{path}?{query}", timeout=30) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{error.read().decode()} to {parameters}") from None

    def ask(self, expr: str, *, instant: bool) -> list[dict[str, Any]]:
        """The series of an answer: now, or in steps of a second since the beginning."""
        now = str(time.time())
        if instant:
            return list(self.get("query", query=expr, time=now)["result"])
        answer = self.get("query_range", query=expr, start=str(self.since), end=now, step="1")
        return list(answer["result"])


@contextlib.contextmanager
def running_prometheus(directory: Path, agent: Agent) -> Iterator[Prometheus]:
    """Debian's Prometheus on loopback, for the time of a `with` block."""
    port = free_port()
    job = {"job_name": "buildprof", "static_configs": [{"targets": [f"127.0.0.1:{agent.port}"]}]}
    configuration = directory / "prometheus.yml"  # JSON is YAML
    configuration.write_text(json.dumps({"global": {"scrape_interval": "1s"}, "scrape_configs": [job]}))
    command = ["prometheus", f"--config.file={configuration}", f"--storage.tsdb.path={directory / 'data'}"]
    command += [f"--web.listen-address=127.0.0.1:{port}", "--enable-feature=exemplar-storage"]
    with (directory / "prometheus.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        server = Prometheus(f"http://127.0.0.1:{port}", time.time())
        eventually(lambda: _answers(server))
        yield server
    finally:
        process.terminate()
        process.wait(10)


def _answers(server: Prometheus) -> bool:
    with contextlib.suppress(OSError, AssertionError):
        return bool(server.ask("buildprof_build_info", instant=True))
    return False


def perform(engine: Engine, agent: Agent, directory: Path) -> str:
    """Build what the dashboards tell of, and give the last build's ref.

    Two projects. One of them changes its sources often enough to have a baseline, fails, grows beyond its limits,
    exports and imports cache, and pays for a prune.
    """
    shop = project(
        directory / "shop", SHOP, packages="1", source="0", **{"broken.Dockerfile": "FROM base\nRUN false\n"}
    )
    toy = project(directory / "toy", "FROM base\nCOPY Dockerfile /\n")
    cache = f"type=local,dest={directory / 'cache'}"
    tags: list[str] = []

    def build_shop(*arguments: str) -> str:
        """Each image keeps its name: while an engine collects one that was replaced, it may fail to unpack the other.

        (moby/buildkit, issue 6521.)
        """
        tags.append(f"shop:{len(tags)}")
        return build(engine, shop, f"--tag={tags[-1]}", *arguments)

    build_shop(f"--cache-to={cache}")
    build(engine, toy, "--tag=toy")
    time.sleep(2.5)  # scraped, so that what comes is an increase
    build(engine, shop, "--file=broken.Dockerfile", check=False)
    build(engine, toy, "--tag=toy")
    for number in range(BUILDS_UNTIL_A_BASELINE):
        (shop / "source").write_text(f"{number}\n" * 100)
        build_shop()
    for number in range(2):
        (shop / "source").write_bytes(os.urandom(LARGE_BYTES))
        build_shop(f"--build-arg=STAMP={number}")
    build_shop(f"--cache-from={cache.replace('dest', 'src')}", f"--cache-to={cache}")
    eventually(lambda: agent.metric("buildprof_regression_active"))
    time.sleep(2.5)  # scraped, before the cold build that follows is the last
    engine.docker("image", "rm", "toy", *tags)
    engine.docker("builder", "prune", "--all", "--force")
    build_shop()
    return build_shop()


def is_all_there(agent: Agent) -> bool:
    """Whether the agent has read and analysed what the builds left."""
    text = agent.get("/metrics")[1].decode()
    wanted = ("image_wasted_bytes", "layer_size_bytes", "watched_files")
    return all(f"buildprof_{name}{{" in text for name in wanted) and bool(
        re.search(r"buildprof_build_cache_evicted_records_total\{[^}]*\} [1-9]", text)
        and re.search(r'buildprof_cache_lost_seconds_total\{cause="evicted"[^}]*\} 0*[.1-9]', text)
    )
