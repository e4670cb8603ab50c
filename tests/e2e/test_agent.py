"""The agent's life, and every kind of build, on real engines."""

import http.client
import json
import os
import signal
import subprocess
import sys
import threading

import docker
import pytest

from benchmarks.harness import free_port, stop_agent
from buildprof.store.connect import open_store
from buildprof.store.queries import engine_events
from tests.e2e.agents import build, buildprof, builds, ended, eventually, named, project, whole
from tests.engines.images import import_base

SLOW = "FROM base\nRUN echo {0} && sleep 1.5\nRUN echo {0} again && sleep 1.5\n"


def outcomes(document):
    return [step["outcome"] for step in document["steps"] if step["cacheable"]]


def test_builds_from_before_the_agent_and_from_while_it_was_down_appear_once(history_engine, agent_on, tmp_path):
    context = project(tmp_path / "absent", "FROM base\nCOPY word /word\nRUN cat /word\n", word="one")
    before = build(history_engine, context, "--tag=e2e-absent")
    agent = agent_on(history_engine)

    assert outcomes(ended(agent, before)) == ["miss", "miss"]

    stop_agent(agent, signal.SIGKILL)
    meanwhile = build(history_engine, context, "--tag=e2e-absent")
    agent = agent_on(history_engine)

    assert outcomes(ended(agent, meanwhile)) == ["hit", "hit"]
    refs = [one["ref"] for one in builds(agent)]
    assert len(refs) == len(set(refs))
    assert {before, meanwhile} <= set(refs)
    assert agent.metric("buildprof_builds_total") == len([one for one in builds(agent) if one["status"] != "running"])
    assert agent.build(before)["project"] == "absent"


def test_a_build_is_seen_while_it_runs_and_told_as_it_happens(history_engine, shared_agent, tmp_path):
    agent = shared_agent(history_engine)
    context = project(tmp_path / "live", SLOW.format(tmp_path.name))
    told = []

    def listen(response):
        while not any(event == "build_finished" and data["project"] == "live" for event, data in told):
            line = response.readline().decode().rstrip("\n")
            if line.startswith("event: "):
                told.append((line.removeprefix("event: "), json.loads(response.readline().removeprefix(b"data: "))))

    client = http.client.HTTPConnection("127.0.0.1", agent.port, timeout=60)
    client.request("GET", "/api/v1/events")
    listener = threading.Thread(target=listen, args=(client.getresponse(),))
    listener.start()
    client_process = subprocess.Popen(
        ["docker", "build", "--network=host", "--tag=e2e-live", "."],
        cwd=context, env=history_engine.environment, stderr=subprocess.DEVNULL,
    )  # fmt: skip

    def running_with_steps():
        found = [one for one in builds(agent) if one["project"] == "live" and one["status"] == "running"]
        document = agent.build(found[0]["ref"]) if found else None
        return document if document and any(step["kind"] == "run" for step in document["steps"]) else None

    seen = eventually(running_with_steps)
    assert seen["completed_at"] is None
    assert seen["duration_seconds"] is None
    assert whole(agent, seen["ref"])["steps"]
    assert agent.metric("buildprof_builds_in_progress") >= 1
    assert client_process.wait() == 0

    done = ended(agent, seen["ref"])
    listener.join(60)
    client.close()

    assert done["status"] == "completed"
    assert outcomes(done) == ["miss", "miss"]
    assert all(step["duration_seconds"] >= 1.5 for step in done["steps"] if step["kind"] == "run")
    mine = [(event, data) for event, data in told if data["project"] == "live"]
    assert next(event for event, _ in mine) == "build_started"
    assert [event for event, _ in mine][-1] == "build_finished"
    steps = [
        data["step"]["instruction"] for event, data in mine if event == "step_finished" and data["step"]["cacheable"]
    ]
    assert steps == ["RUN", "RUN"]
    assert agent.metric("buildprof_builds_in_progress") == 0


def test_failed_and_canceled_builds_are_what_they_are(history_engine, shared_agent, tmp_path):
    agent = shared_agent(history_engine)
    broken = project(tmp_path / "broken", "FROM base\nRUN echo why && false\nRUN true\n")
    build(history_engine, broken, check=False)
    stopped = project(tmp_path / "stopped", "FROM base\nRUN sleep 60\n")
    client = subprocess.Popen(
        ["docker", "build", "--network=host", "."],
        cwd=stopped,
        env=history_engine.environment,
        stderr=subprocess.DEVNULL,
    )
    eventually(lambda: [one for one in builds(agent) if one["project"] == "stopped"] or None)
    client.send_signal(signal.SIGINT)
    client.wait()

    def of(name):
        return eventually(
            lambda: next(
                (one for one in builds(agent) if (one["project"], one["status"] != "running") == (name, True)), None
            )
        )

    failed = agent.build(of("broken")["ref"])
    assert failed["status"] == "failed"
    assert outcomes(failed) == ["failed", "skipped"]
    assert failed["error"]["log_tail"][-1] == "why"
    assert of("stopped")["status"] == "canceled"


def test_two_platforms_are_two_chains_of_one_build(engine_28_containerd, shared_agent, tmp_path):
    agent = shared_agent(engine_28_containerd)
    context = project(
        tmp_path / "both", "FROM scratch\nARG TARGETARCH\nCOPY $TARGETARCH /word\n", amd64="one", arm64="other"
    )
    found = ended(agent, build(engine_28_containerd, context, "--platform=linux/amd64,linux/arm64", "--tag=e2e-both"))

    assert sorted(found["platforms"]) == ["linux/amd64", "linux/arm64"]
    copies = [step for step in found["steps"] if step["kind"] == "copy"]
    assert sorted(step["platform"] for step in copies) == ["linux/amd64", "linux/arm64"]


def test_classic_builds_of_the_docker_client(any_engine, shared_agent, tmp_path):
    agent = shared_agent(any_engine)
    context = project(
        tmp_path / "classic", f"FROM base\nCOPY word /word\nRUN echo {tmp_path.name} && sleep 0.5\n", word="1"
    )
    for _ in range(2):
        any_engine.docker("build", "--network=host", "-t", "e2e-classic:1", ".", cwd=context, DOCKER_BUILDKIT="0")

    cold, again = [agent.build(one["ref"]) for one in named(agent, "e2e-classic:1", count=2)]

    assert (cold["source"], again["source"]) == ("classic", "classic")
    assert outcomes(cold) == ["miss", "miss"]
    assert outcomes(again) == ["hit", "hit"]
    assert [step["kind"] for step in cold["steps"]] == ["from", "copy", "run"]
    assert cold["steps"][-1]["duration_seconds"] >= 0.5


def test_builds_of_docker_py_are_classic_builds(engine_26, shared_agent, tmp_path):
    agent = shared_agent(engine_26)
    context = project(tmp_path / "sdk", "FROM base\nRUN echo by the sdk\n")
    client = docker.DockerClient(base_url=engine_26.host)
    client.images.build(path=str(context), tag="e2e-sdk:1", network_mode="host")
    client.close()

    assert agent.build(named(agent, "e2e-sdk:1")[0]["ref"])["source"] == "classic"


def test_an_engine_without_history_shows_images_and_takes_imports(engine_20, shared_agent, tmp_path):
    agent = shared_agent(engine_20)
    context = project(tmp_path / "old", "FROM base\nRUN echo old\n")
    engine_20.docker("build", "--network=host", "-t", "e2e-old:1", ".", cwd=context, DOCKER_BUILDKIT="1")

    found = named(agent, "e2e-old:1")[0]
    assert found["source"] == "buildkit"
    assert found["duration_seconds"] is None
    assert agent.build(found["ref"])["steps"] == []

    check = buildprof("doctor", "--json", "--docker-host", engine_20.host, "--data-dir", agent.data_dir)
    buildkit = next(one for one in json.loads(check.stdout)["checks"] if one["name"] == "buildkit")
    assert buildkit["status"] == "degraded"
    assert "import" in buildkit["remedy"]


def test_image_events_are_stored(engine_28, shared_agent, tmp_path):
    agent = shared_agent(engine_28)
    import_base(engine_28, "e2e-event:1")
    image = engine_28.docker("image", "inspect", "e2e-event:1", "--format", "{{.Id}}").stdout.strip()
    engine_28.docker("tag", "e2e-event:1", "e2e-event:2")
    engine_28.docker("image", "rm", "e2e-event:1", "e2e-event:2")

    def stored():
        store = open_store(f"sqlite:///{agent.data_dir / 'buildprof.db'}", create=False)
        actions = [one.action for one in engine_events(store, limit=100_000) if one.id == image]
        store.dispose()
        return actions if "delete" in actions else None

    assert sorted(eventually(stored)) == ["delete", "import", "tag", "tag", "untag", "untag"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_agent_with_0_in_the_middle_of_a_build(number, engine_28, agent_on, tmp_path):
    agent = agent_on(engine_28)
    context = project(tmp_path / f"cut{number}", SLOW.format(f"{tmp_path.name} {number}"))
    client = subprocess.Popen(
        ["docker", "build", "--network=host", "."], cwd=context, env=engine_28.environment, stderr=subprocess.DEVNULL
    )
    running = eventually(lambda: next((one for one in builds(agent) if one["project"] == f"cut{number}"), None))

    assert stop_agent(agent, number) == 0  # which kills it, and gives another code, where it takes long

    assert "Traceback" not in agent.log
    assert whole(agent, running["ref"])["status"] == "running"
    assert client.wait() == 0
    assert ended(agent_on(engine_28), running["ref"])["status"] == "completed"


def test_sighup_reloads_and_keeps_the_old_settings_where_the_new_are_bad(engine_28, tmp_path):
    ports = [free_port(), free_port()]
    settings = tmp_path / "buildprof.toml"

    def write(listen, more=""):
        settings.write_text(
            f'docker_host = "{engine_28.host}"\ndata_dir = "{tmp_path / "data"}"\nlisten = "{listen}"\n{more}'
        )

    def answers(port):
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            client.request("GET", "/-/ready")
            return client.getresponse().status == 200
        except OSError:
            return False
        finally:
            client.close()

    write(f"127.0.0.1:{ports[0]}")
    own = {name: value for name, value in os.environ.items() if not name.startswith("BUILDPROF_")}
    log = tmp_path / "log"
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "buildprof", "agent", "--config", settings], env=own, stdout=stderr, stderr=stderr
        )
    try:
        eventually(lambda: answers(ports[0]))
        write(f"127.0.0.1:{ports[1]}")
        process.send_signal(signal.SIGHUP)
        eventually(lambda: answers(ports[1]))
        assert not answers(ports[0])

        for number, bad in enumerate(('colour = "red"\n', 'database_url = "sqlite:////dev/null/x"\n'), 1):
            write(f"127.0.0.1:{ports[0]}", bad)
            process.send_signal(signal.SIGHUP)
            eventually(lambda: log.read_text().count("the old ones stay") == number)  # noqa: B023
            eventually(lambda: answers(ports[1]))
        for _ in range(5):
            process.send_signal(signal.SIGHUP)
        eventually(lambda: answers(ports[1]))
        process.terminate()
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
    assert "Traceback" not in log.read_text()
