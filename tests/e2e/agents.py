"""What these tests do with an agent: build beside it, ask it, wait until it knows."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.harness import Agent
from tests.engines.engine import Engine

T = TypeVar("T")

PATIENCE_SECONDS = 60.0
"""How long to wait for what must happen; far more than it takes, so that a busy machine fails no test."""


def eventually(ask: Callable[[], T | None]) -> T:
    """The first answer that is not None or False."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        answer = ask()
        if answer is not None and answer is not False:
            return answer
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


def project(directory: Path, dockerfile: str, **files: str) -> Path:
    """A directory with a Dockerfile and files to build from."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "Dockerfile").write_text(dockerfile)
    for name, text in files.items():
        (directory / name).write_text(text)
    return directory


def build(engine: Engine, context: Path, *arguments: str, check: bool = True) -> str:
    """Build by the docker client with BuildKit, and give the build's ref, "" if it failed."""
    told = context.with_name(f"{context.name}.built.json")
    told.unlink(missing_ok=True)
    engine.docker(
        "build", "--network=host", f"--metadata-file={told}", *arguments, ".", cwd=context, check=check,
        DOCKER_BUILDKIT="1",
    )  # fmt: skip
    return json.loads(told.read_text())["buildx.build.ref"].rpartition("/")[2] if told.exists() else ""


def builds(agent: Agent) -> list[dict[str, Any]]:
    """The heads of all builds, newest first."""
    status, body = agent.get("/api/v1/builds?limit=500")
    assert status == 200, body
    found: list[dict[str, Any]] = json.loads(body)["builds"]
    return found


def ended(agent: Agent, ref: str) -> dict[str, Any]:
    """A build once it has ended."""
    return eventually(lambda: (found := agent.build(ref)) and found["status"] != "running" and found)


def named(agent: Agent, tag: str, count: int = 1) -> list[dict[str, Any]]:
    """The builds of an image's name, oldest first, once there are so many."""

    def enough() -> list[dict[str, Any]] | None:
        found = [one for one in builds(agent) if one["image"] and tag in " ".join(one["image"]["tags"])]
        return found[::-1] if len(found) >= count else None

    return eventually(enough)


def buildprof(*arguments: str | Path, stdin: bytes = b"", check: bool = True) -> subprocess.CompletedProcess[bytes]:
    """Run the command."""
    command = [sys.executable, "-m", "buildprof", *map(str, arguments)]
    result = subprocess.run(command, input=stdin, capture_output=True, check=False)
    assert not check or result.returncode == 0, result.stderr.decode(errors="replace")
    return result


def whole(agent: Agent, ref: str) -> dict[str, Any]:
    """A build with its steps, as `show --json` gives it."""
    document: dict[str, Any] = json.loads(buildprof("show", ref, "--json", "--data-dir", agent.data_dir).stdout)
    return document
