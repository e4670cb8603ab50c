"""A project that gets slower on a real engine: told since which build, by how much, and what changed."""

import json
import re

from benchmarks.harness import sum_samples
from buildprof.analysis.baselines import JUDGED, LEAST_HISTORY, WORSE
from tests.e2e.agents import build, buildprof, ended, eventually, project

SLOW = "FROM base\nCOPY app /srv/app\nRUN sleep 2 && echo {} > /built\n"
BUILDS_BEFORE = 1 + LEAST_HISTORY + JUDGED - 1  # the first is cold, and the last few are not known to be good


def exported(agent, name, metric, signal):
    labels = {"project": name, "signal": signal}
    return sum_samples(agent.get("/metrics")[1].decode(), f"buildprof_{metric}", labels)


def told(agent, name):
    documents = json.loads(buildprof("projects", "--json", "--data-dir", agent.data_dir).stdout)["projects"]
    return {
        one["signal"]: one for document in documents if document["project"] == name for one in document["regressions"]
    }


def test_a_build_that_gets_slower_and_loses_its_cache_is_told_with_what_changed(engine_28, agent_on, tmp_path):
    agent = agent_on(engine_28)
    context = project(tmp_path / "slowing", "FROM base\nCOPY app /srv/app\nRUN echo 0 > /built\n", app="1")
    name = context.name
    before = [build(engine_28, context) for _ in range(BUILDS_BEFORE)]
    ended(agent, before[-1])
    assert told(agent, name) == {}
    assert exported(agent, name, "regression_active", "duration_seconds") == 0
    median_seconds = eventually(lambda: exported(agent, name, "baseline_median", "duration_seconds") or None)
    assert 0 < median_seconds < exported(agent, name, "baseline_threshold", "duration_seconds")

    refs = []
    (context / "Dockerfile").write_text(SLOW.format(1))
    for number in range(WORSE):
        (context / "app").write_text(str(number) * 10)
        refs.append(build(engine_28, context))

    eventually(lambda: exported(agent, name, "regression_active", "duration_seconds") == 1)
    eventually(lambda: exported(agent, name, "regression_active", "hit_ratio") == 1)
    regressions = told(agent, name)
    slower = regressions["duration_seconds"]
    assert slower["since"]["ref"] == refs[0]
    assert (slower["builds"], slower["cold"]) == (WORSE, False)
    assert slower["baseline_median"] < slower["baseline_threshold"] < 2 < slower["value"]
    assert slower["steps"][0]["name"] == "RUN sleep 2 && echo 1 > /built (Dockerfile:3)"
    assert slower["steps"][0]["now"] > 2
    assert slower["text"].startswith("RUN sleep 2 && echo 1 > /built (Dockerfile:3) takes 2.")
    assert regressions["hit_ratio"]["misses"][0]["cause"] == "source_changed"
    assert "app" in regressions["hit_ratio"]["text"]
    assert {"executed_seconds", "duration_seconds", "hit_ratio"} == set(regressions)
    served = json.loads(agent.get("/api/v1/projects")[1])["projects"]
    assert [one["signal"] for document in served if document["project"] == name for one in document["regressions"]] == [
        *regressions
    ]
    shown = buildprof("projects", "--data-dir", agent.data_dir).stdout.decode()
    assert re.search(
        rf"slowing  build time 2\.\d s, usually 0\.\d s and at most \d\.\d s\n   Since build {refs[0][:12]}", shown
    )
