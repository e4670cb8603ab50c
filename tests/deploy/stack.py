"""The bundled stack on an engine of its own: docker-compose.yaml as it is, with images made on this machine.

The engine has a network of its own, so that names, ports and internal networks are those of the file. A user who is not
root calls compose and builds, as on a machine of a developer.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.engines.engine import Engine, running_engine
from tests.engines.images import agent_wheels, import_base, import_python, import_service

ROOT = Path(__file__).parents[2]
SHIPPED = ("docker-compose.yaml", ".dockerignore", ".env.example", "deploy", "grafana", "buildprof", "requirements")
USER = 1000
SECONDS = r"\d+[smh]"

_FETCH = "import sys, urllib.request as u; sys.stdout.buffer.write(u.urlopen(sys.argv[1], timeout=10).read())"


@dataclass(frozen=True, slots=True)
class Stack:
    """A copy of the checkout that the engine can see, and what is done with it."""

    engine: Engine

    @property
    def checkout(self) -> Path:
        return self.engine.run_dir / "checkout"

    @property
    def projects(self) -> Path:
        return self.engine.run_dir / "projects"

    @property
    def socket_group(self) -> int:
        return self.engine.socket.stat().st_gid

    def run(self, *command: str, cwd: Path, check: bool = True) -> subprocess.CompletedProcess[str]:
        """A command of the user, who is a member of the socket's group."""
        result = subprocess.run(
            command, cwd=cwd, env=self.engine.environment | {"PWD": str(cwd)}, user=USER, group=USER,
            extra_groups=[self.socket_group], check=False, capture_output=True, text=True,
        )  # fmt: skip
        assert not check or result.returncode == 0, result.stderr[-6000:]
        return result

    def compose(self, *arguments: str, check: bool = True) -> str:
        return self.run("docker", "compose", *arguments, cwd=self.checkout, check=check).stdout

    def buildprof(self, *arguments: str) -> Any:
        """What a command of the agent's container prints as JSON."""
        return json.loads(self.compose("exec", "-T", "agent", "buildprof", *arguments, "--json"))

    def build(self, name: str) -> None:
        self.run("docker", "build", "--quiet", "--tag", name, ".", cwd=self.projects / name)

    def get(self, port: int, path: str) -> str:
        """A page of a published port, as a browser on the engine's machine gets it."""
        assert self.engine.process is not None
        command = ["nsenter", "--target", str(self.engine.process.pid), "--net"]
        command += [sys.executable, "-c", _FETCH, f"http://127.0.0.1:{port}{path}"]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def received(self) -> list[dict[str, Any]]:
        """The alerts that the receiver has heard of."""
        bodies = self.compose("logs", "--no-log-prefix", "receiver").splitlines()
        return [alert for body in bodies for alert in json.loads(body)["alerts"]]


@contextlib.contextmanager
def prepared_stack() -> Iterator[Stack]:
    """An engine with the images that the stack asks for and with its files, nothing started.

    Raises:
        EngineUnavailable: this cannot be had here.
    """
    wheels = agent_wheels()
    with running_engine("forky", name="stack", own_network=True, in_memory=True) as engine:
        stack = Stack(engine)
        images = dict(re.findall(r"image: ((?:prom|grafana)/(\w+):\S+)", (ROOT / "docker-compose.yaml").read_text()))
        names = {command: name for name, command in images.items()}
        import_base(engine)
        import_python(engine, re.findall(r"FROM (python:\S+)", (ROOT / "deploy/Dockerfile").read_text())[0])
        import_service(engine, names["prometheus"], "prometheus", "prometheus")
        templates = ("/usr/share/prometheus/alertmanager",)
        import_service(engine, names["alertmanager"], "prometheus-alertmanager", "alertmanager", templates)
        _copy_checkout(stack.checkout, wheels)
        _hurry(stack.checkout)
        stack.projects.mkdir()
        engine.run_dir.chmod(0o711)
        for directory in (stack.checkout, stack.projects, engine.config_dir, engine.run_dir / "home"):
            subprocess.run(["chown", "-R", f"{USER}:{USER}", directory], check=True)
        _write_settings(stack)
        yield stack


def _copy_checkout(checkout: Path, wheels: Path) -> None:
    checkout.mkdir()
    for name in SHIPPED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(ROOT / name, checkout / name)
    shutil.copytree(ROOT / "tests/deploy", checkout / "tests/deploy", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(wheels, checkout / "wheels")


def _hurry(checkout: Path) -> None:
    """Seconds instead of minutes in the shipped configuration."""
    prometheus = checkout / "deploy/prometheus"
    for file, keys in (
        (prometheus / "prometheus.yml", "scrape_interval|evaluation_interval"),
        (prometheus / "rules/alerts.yaml", "for"),
        (checkout / "deploy/alertmanager/alertmanager.yml", "group_wait|group_interval"),
    ):
        text, changes = re.subn(rf"\b({keys}): {SECONDS}", r"\1: 1s", file.read_text())
        assert changes, f"{file} has no {keys}"
        file.write_text(text)


def _write_settings(stack: Stack) -> None:
    pip = stack.engine.run_dir / "pip.conf"
    pip.write_text("[global]\nno-index = true\nroot-user-action = ignore\n")
    settings = {
        "AGENT_UID": USER,
        "AGENT_GID": USER,
        "ENGINE_SOCKET": stack.engine.socket,
        "DOCKER_GID": stack.socket_group,
        "PROJECTS_DIR": stack.projects,
        "BUILDX_DIR": stack.engine.config_dir / "buildx",
        "PIP_CONFIG": pip,
        "ALERT_WEBHOOK": "http://receiver:8080/",
        "COMPOSE_FILE": "docker-compose.yaml:tests/deploy/stack.override.yaml",
    }
    (stack.checkout / ".env").write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
    os.chown(stack.checkout / ".env", USER, USER)
