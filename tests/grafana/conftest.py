"""The real builds and the real Prometheus that the dashboards' queries are asked of, once for all of them."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator

import pytest

from benchmarks.harness import running_agent
from tests.e2e.agents import eventually
from tests.engines.engine import running_engine
from tests.engines.images import import_base
from tests.engines.rootfs import EngineUnavailable
from tests.grafana.scraped import Prometheus, is_all_there, perform, running_prometheus


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Prometheus, str]]:
    """A Prometheus that has scraped it all, and the ref of the last build."""
    if shutil.which("prometheus") is None:
        pytest.skip("Prometheus (package prometheus) is not installed")
    directory = tmp_path_factory.mktemp("scraped")
    try:
        with (
            running_engine("forky", ("--feature", "containerd-snapshotter=true"), name="scraped") as engine,
            running_agent(engine) as agent,
        ):
            import_base(engine)
            with running_prometheus(directory, agent) as prometheus:
                ref = perform(engine, agent, directory)
                eventually(lambda: is_all_there(agent))
                time.sleep(2.5)  # scraped twice
                yield prometheus, ref
    except EngineUnavailable as error:
        pytest.skip(f"no engine: {error}")
