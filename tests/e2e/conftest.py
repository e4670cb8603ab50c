"""Agents as fixtures: `agent_on(engine)` for one test, `shared_agent(engine)` for all tests that only build and look."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.harness import Agent, running_agent, start_agent, stop_agent
from tests.engines.engine import Engine


@pytest.fixture
def agent_on(tmp_path: Path) -> Iterator[Callable[..., Agent]]:
    """`agent_on(engine, **options)` starts an agent on the test's own data directory, as often as the test likes."""
    agents: list[Agent] = []

    def start(engine: Engine, **options: Any) -> Agent:
        agents.append(start_agent(engine, tmp_path / "data", **options))
        return agents[-1]

    yield start
    for agent in agents:
        stop_agent(agent)


@pytest.fixture(scope="session")
def shared_agent(
    shared_engine: Callable[[str], Engine],
) -> Iterator[Callable[[Engine], Agent]]:  # its engines outlive it
    """One agent for each shared engine."""
    agents: dict[str, Agent] = {}
    with contextlib.ExitStack() as running:

        def agent(engine: Engine) -> Agent:
            if engine.host not in agents:
                agents[engine.host] = running.enter_context(running_agent(engine))
            return agents[engine.host]

        yield agent
