"""`docker compose up` on a real engine: the agent's image is built, builds get worse, and the alert reaches somebody."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.deploy.stack import ROOT, USER, Stack, prepared_stack
from tests.e2e.agents import eventually, project
from tests.engines.rootfs import EngineUnavailable

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

DOCKERFILE = """\
FROM base
COPY package /package
RUN cat /package > /installed
COPY source /source
RUN cat /source > /built
"""
USUAL_BUILDS, WORSE_BUILDS = 14, 4

PROXIED = {
    "COMPOSE_PROFILES": "socket-proxy",
    "BUILDPROF_DOCKER_HOST": "tcp://socket-proxy:2375",
    "AGENT_SOCKET": "/dev/null",
}
PROXY = """\
FROM buildprof/agent
COPY socket_proxy.py /
COPY --chmod=755 socket_proxy_healthcheck /healthcheck
ENTRYPOINT ["python", "-u", "/socket_proxy.py"]
"""


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """The stack, up and healthy, with what has no image here left out: Grafana."""
    try:
        with prepared_stack() as stack:
            stack.compose("build", "agent")
            stack.compose("up", "--detach", "--wait", "agent", "prometheus", "alertmanager", "receiver")
            yield stack
    except EngineUnavailable as error:
        pytest.skip(str(error))


def containers(stack: Stack) -> dict[str, dict[str, Any]]:
    """What the engine says of each service's container."""
    ids = stack.compose("ps", "--quiet", "--all").split()
    found = json.loads(stack.engine.docker("inspect", *ids).stdout)
    return {one["Config"]["Labels"]["com.docker.compose.service"]: one for one in found}


def test_every_service_is_healthy_and_has_few_rights(stack):
    services = containers(stack)
    for name in ("agent", "prometheus", "alertmanager"):
        container = services[name]
        assert container["State"]["Health"]["Status"] == "healthy", name
        assert container["HostConfig"]["ReadonlyRootfs"], name
        assert container["HostConfig"]["CapDrop"] == ["ALL"], name
        assert container["HostConfig"]["SecurityOpt"] == ["no-new-privileges:true"], name
        assert int(container["Config"]["User"].partition(":")[0]) > 0, name
        published = [port["HostIp"] for ports in container["HostConfig"]["PortBindings"].values() for port in ports]
        assert published == ["127.0.0.1"], name


def test_project_directories_and_builders_state_are_mounted_read_only(stack):
    mounts = {one["Destination"]: one["RW"] for one in containers(stack)["agent"]["Mounts"]}

    assert mounts[str(stack.projects)] is False
    assert mounts["/var/lib/buildx"] is False


def test_prometheus_scrapes_all_and_has_loaded_the_rules(stack):
    def all_up() -> bool:
        targets = json.loads(stack.get(9090, "/api/v1/targets"))["data"]["activeTargets"]
        return len(targets) == 3 and all(one["health"] == "up" for one in targets)

    eventually(all_up)
    groups = json.loads(stack.get(9090, "/api/v1/rules"))["data"]["groups"]
    assert {"buildprof-regressions", "buildprof-windows"} <= {group["name"] for group in groups}
    assert json.loads(stack.get(9090, "/api/v1/alertmanagers"))["data"]["activeAlertmanagers"]


def test_the_agent_in_its_container_says_which_file_made_a_step_miss(stack):
    shop = project(stack.projects / "explained", DOCKERFILE, package="1", source="1")
    stack.build("explained")
    (shop / "package").write_text("2")
    stack.build("explained")

    def explained() -> dict[str, Any] | None:
        explanation = stack.buildprof("explain", "last")
        return explanation if explanation["compared_to"] else None

    (miss,) = eventually(explained)["misses"]
    assert miss["cause"] == "source_changed"
    assert miss["evidence"]["changed"] == ["package"]
    assert miss["confidence"] == "certain"


def test_builds_that_miss_the_cache_again_and_again_raise_an_alert_that_reaches_its_receiver(stack):
    shop = project(stack.projects / "shop", DOCKERFILE, package="1", source="1")
    for _ in range(USUAL_BUILDS):
        stack.build("shop")
    for number in range(WORSE_BUILDS):
        (shop / "package").write_text(f"changed {number}")
        stack.build("shop")

    def heard() -> dict[str, Any] | None:
        named = [one for one in stack.received() if one["labels"]["alertname"] == "BuildprofHitRatioDown"]
        return next((one for one in named if one["labels"]["project"] == "shop"), None)

    alert = eventually(heard)
    assert alert["status"] == "firing"
    assert "shop" in alert["annotations"]["summary"]
    assert (ROOT / "docs/runbooks" / alert["annotations"]["runbook_url"].rpartition("/")[2]).exists()


def test_the_agents_image_is_small_and_wastes_nothing(stack):
    image = stack.buildprof("image", "buildprof/agent")

    assert image["size_bytes"] < 120e6
    assert image["wasted_bytes"] < 0.01 * image["stored_bytes"]


def test_the_agent_needs_no_call_that_the_socket_proxy_refuses(stack):
    proxy = stack.checkout / "tests/deploy"
    (proxy / "Dockerfile").write_text(PROXY)
    name = re.findall(r"image: (wollomatic\S+)", (ROOT / "docker-compose.yaml").read_text())[0]
    stack.run("docker", "build", "--quiet", "--tag", name, ".", cwd=proxy)
    settings = stack.checkout / ".env"
    settings.write_text(settings.read_text() + "".join(f"{key}={value}\n" for key, value in PROXIED.items()))
    stack.compose("up", "--detach", "--wait", "agent", "socket-proxy")

    project(stack.projects / "proxied", DOCKERFILE, package="1", source="1")
    stack.build("proxied")

    def known() -> bool:
        return any(one["project"] == "proxied" for one in stack.buildprof("builds")["builds"])

    eventually(known)
    assert stack.buildprof("image", "proxied")["layers"]
    degraded = [one for one in stack.buildprof("doctor")["checks"] if one["status"] != "ok"]
    refused = set(stack.compose("logs", "--no-log-prefix", "socket-proxy").splitlines())
    assert (degraded, refused) == ([], {"refused PRI *"})  # it asks for HTTP/2 first, which no proxy speaks


def test_the_file_is_valid_without_settings_and_everything_it_mounts_and_pins_is_there(stack):
    (stack.checkout / ".env").rename(stack.checkout / "no.env")
    try:
        config = json.loads(stack.compose("--profile", "*", "config", "--format", "json"))
    finally:
        (stack.checkout / "no.env").rename(stack.checkout / ".env")
    services = config["services"]

    assert set(services) == {"agent", "socket-proxy", "prometheus", "alertmanager", "grafana"}
    for name, service in services.items():
        assert re.fullmatch(r"buildprof/agent|[\w./-]+:v?\d+\.\d+\.\d+", service["image"]), name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert all(port["host_ip"] == "127.0.0.1" for port in service.get("ports", ())), name
        for mount in service.get("volumes", ()):
            if mount["source"].startswith(f"{stack.checkout}/"):
                assert (ROOT / mount["source"].removeprefix(f"{stack.checkout}/")).exists(), mount
                assert mount["read_only"], mount
    assert services["grafana"]["depends_on"]["prometheus"]["condition"] == "service_healthy"
    assert services["agent"]["build"]["args"]["UID"] == "1000"


def test_every_setting_of_the_file_is_in_the_example_and_the_other_way_round():
    used = set(re.findall(r"\$\{(\w+)", (ROOT / "docker-compose.yaml").read_text())) - {"PWD", "HOME"}
    told = set(re.findall(r"^#(\w+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))

    assert told - {"COMPOSE_PROFILES"} == used


def test_the_facts_of_a_machine_are_written_as_settings(stack):
    facts = stack.run("deploy/dotenv", cwd=stack.checkout).stdout

    assert f"AGENT_UID={USER}\n" in facts
    assert f"DOCKER_GID={stack.socket_group}\n" in facts
    assert f"ENGINE_SOCKET={stack.engine.socket}\n" in facts
    assert f"BUILDX_DIR={stack.engine.config_dir}/buildx\n" in facts


def test_without_an_engine_no_settings_are_written(tmp_path):
    command = [ROOT / "deploy/dotenv"]
    done = subprocess.run(
        command,
        env={"DOCKER_HOST": f"unix://{tmp_path}/none.sock", "PATH": "/usr/bin:/bin"},
        check=False,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"dotenv: there is no {tmp_path}/none.sock; is docker running?\n"


def test_a_whole_home_is_not_mounted_unless_somebody_asks_for_it(tmp_path):
    checkout = tmp_path / "home" / "buildprof"
    checkout.mkdir(parents=True)
    (tmp_path / "sock").touch()
    variables = {
        "DOCKER_HOST": f"unix://{tmp_path}/sock", "PATH": "/usr/bin:/bin", "HOME": str(checkout.parent),
    }  # fmt: skip

    def dotenv(**more: str) -> tuple[str, str]:
        environment = {**variables, **more}
        command = [ROOT / "deploy/dotenv"]
        done = subprocess.run(command, cwd=checkout, env=environment, check=True, capture_output=True, text=True)
        return next(line for line in done.stdout.splitlines() if line.startswith("PROJECTS_DIR=")), done.stderr

    assert dotenv() == (
        f"PROJECTS_DIR={checkout}",
        f"dotenv: the agent will see the files of {checkout}; name another directory with PROJECTS_DIR\n",
    )
    assert dotenv(PROJECTS_DIR="/srv") == ("PROJECTS_DIR=/srv", "")
    assert dotenv(HOME=str(tmp_path)) == (f"PROJECTS_DIR={checkout.parent}", "")
