"""What a real agent exports after real builds."""

import http.client
import shutil
import subprocess

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from buildprof.exporters.prometheus.catalog import CATALOG
from buildprof.exporters.prometheus.collector import OPENMETRICS_CONTENT_TYPE
from tests.e2e.agents import build, ended, eventually, project

DOCKERFILE = "FROM base\nCOPY word /word\nRUN cat /word\n"


def scraped(agent, accept="text/plain"):
    client = http.client.HTTPConnection("127.0.0.1", agent.port, timeout=30)
    client.request("GET", "/metrics", headers={"accept": accept})
    body = client.getresponse().read()
    client.close()
    return body


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool (package prometheus) is not installed")
def test_promtool_has_nothing_to_object_to(history_engine, shared_agent, tmp_path):
    agent = shared_agent(history_engine)
    context = project(tmp_path / "measured", DOCKERFILE, word="one")
    for word in ("one", "two", "two"):
        (context / "word").write_text(word)
        ended(agent, build(history_engine, context, "--tag=e2e-measured"))
    build(history_engine, project(tmp_path / "measured-broken", "FROM base\nRUN false\n"), check=False)
    eventually(lambda: agent.metric("buildprof_build_failures_total", project="measured-broken"))

    checked = subprocess.run(["promtool", "check", "metrics"], input=scraped(agent), capture_output=True, check=False)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


def test_histograms_carry_the_ref_of_a_build(engine_28, shared_agent, tmp_path):
    agent = shared_agent(engine_28)
    ref = build(engine_28, project(tmp_path / "exemplary", DOCKERFILE, word=str(tmp_path)))
    ended(agent, ref)
    families = {family.name: family for family in parse_openmetrics(scraped(agent, OPENMETRICS_CONTENT_TYPE).decode())}
    for name in ("buildprof_build_duration_seconds", "buildprof_step_duration_seconds"):
        mine = [sample for sample in families[name].samples if sample.labels.get("project") == "exemplary"]
        exemplars = [sample.exemplar for sample in mine if sample.exemplar]
        assert {exemplar.labels["ref"] for exemplar in exemplars} == {ref}
    # What no build of these tests can have: a reading of a tree, an image's analysis and a baseline come late or never.
    late = {
        metric.full_name for metric in CATALOG if metric.name.startswith(("image_", "watched_", "baseline_", "regr"))
    }
    exported = {name + {"counter": "_total", "info": "_info"}.get(family.type, "") for name, family in families.items()}
    assert {metric.full_name for metric in CATALOG} - exported <= late | {"buildprof_layer_size_bytes"}
    assert exported <= {metric.full_name for metric in CATALOG}


def test_what_exceeds_the_label_budget_is_counted_as_other(engine_28_containerd, agent_on, tmp_path):
    agent = agent_on(
        engine_28_containerd, environment={"BUILDPROF_MAX_PROJECTS": "1", "BUILDPROF_ANALYSE_IMAGES": "false"}
    )
    before = agent.metric("buildprof_builds_total")
    refs = [build(engine_28_containerd, project(tmp_path / f"many-{n}", DOCKERFILE, word=str(n))) for n in range(3)]
    for ref in refs:
        ended(agent, ref)

    assert agent.metric("buildprof_builds_total") >= before + 3  # the engine is shared
    families = parse_openmetrics(scraped(agent, OPENMETRICS_CONTENT_TYPE).decode())
    builds = next(family for family in families if family.name == "buildprof_builds")
    assert len({sample.labels["project"] for sample in builds.samples} - {"other"}) == 1
    assert agent.metric("buildprof_builds_total", project="other", target="other") >= 2


def test_every_source_tells_of_itself(history_engine, shared_agent, tmp_path):
    agent = shared_agent(history_engine)
    ended(agent, build(history_engine, project(tmp_path / "self-told", DOCKERFILE, word=str(tmp_path))))
    for source in ("buildkit", "docker_events"):
        assert agent.metric("buildprof_source_up", source=source) == 1
        assert agent.metric("buildprof_source_events_total", source=source) >= 1
        assert agent.metric("buildprof_source_last_event_timestamp_seconds", source=source) > 1.7e9
