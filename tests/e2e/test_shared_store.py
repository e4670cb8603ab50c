"""A history that agents share, and one that outlives its engine: nobody ends, counts or reads on for another."""

from __future__ import annotations

import subprocess

from benchmarks.harness import Agent, start_agent, stop_agent
from tests.e2e.agents import build, builds, ended, eventually, project

SLOW = "FROM base\nRUN sleep 8\n"
QUICK = "FROM base\nRUN echo quick\n"


def slow_build(engine, context):
    return subprocess.Popen(
        ["docker", "build", "--network=host", "."], cwd=context, env=engine.environment | {"DOCKER_BUILDKIT": "1"},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def running(agent: Agent):
    return next((one["ref"] for one in builds(agent) if one["status"] == "running"), None)


def counted(agent: Agent) -> float:
    body = agent.get("/metrics")[1].decode()
    lines = [line for line in body.splitlines() if line.startswith("buildprof_builds_total{")]
    return sum(float(line.rpartition(" ")[2]) for line in lines)


def test_agents_that_share_a_postgresql_count_apart_and_end_no_build_of_another(
    fresh_engine,
    postgres_url,
    tmp_path,
):
    ours, theirs = fresh_engine("forky"), fresh_engine("trixie")
    shared = {"BUILDPROF_DATABASE_URL": postgres_url}
    quick, slow = project(tmp_path / "quick", QUICK), project(tmp_path / "slow", SLOW)
    first = start_agent(ours, tmp_path / "first", environment=shared)
    second = start_agent(theirs, tmp_path / "second", environment=shared)
    try:
        ended(first, build(ours, quick))
        client = slow_build(theirs, slow)
        ref = eventually(lambda: running(second))
        stop_agent(first)
        first = start_agent(ours, tmp_path / "first", environment=shared)
        client.wait(60)
        assert ended(second, ref)["status"] == "completed"
        eventually(lambda: counted(second) == 1)
        assert counted(first) == 1
        assert len({one["builder"] for one in builds(first)}) == 2
    finally:
        stop_agent(first)
        stop_agent(second)


def test_an_agent_that_is_pointed_at_another_engine_leaves_the_builds_of_the_one_before_alone(fresh_engine, tmp_path):
    before, after = fresh_engine("trixie"), fresh_engine("forky")
    slow = project(tmp_path / "slow", SLOW)
    agent = start_agent(before, tmp_path / "data")
    client = slow_build(before, slow)
    ref = eventually(lambda: running(agent))
    stop_agent(agent)
    agent = start_agent(after, tmp_path / "data")
    try:
        assert agent.build(ref)["status"] == "running"
    finally:
        stop_agent(agent)
    client.wait(60)
    agent = start_agent(before, tmp_path / "data")
    try:
        found = ended(agent, ref)
        assert (found["status"], found["builder"]) == ("completed", "default")
        assert counted(agent) == 1
    finally:
        stop_agent(agent)
