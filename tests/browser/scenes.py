"""What the pages are looked at with: two projects built by people who change things, and one build that is still running."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.harness import Agent
from tests.e2e.agents import build, builds, ended, eventually, project
from tests.engines.engine import Engine

SHOP = """FROM base:latest AS deps
WORKDIR /app
COPY package.json .
RUN sleep 0.4; echo one > node_modules; dd if=/dev/zero of=/app/cache bs=1000 count=300

FROM deps AS build
COPY . .
RUN sleep 0.3; cat app.js README.md > dist; rm /app/cache

FROM base:latest
RUN sleep 0.2; mkdir /srv; dd if=/dev/zero of=/srv/archive bs=1000 count=800
COPY --from=build /app/dist /srv/dist
RUN rm /srv/archive
CMD ["cat", "/srv/dist"]
"""
API = "FROM base:latest\nCOPY main.py /\nRUN sleep 0.1; grep -q ok /main.py || { echo the test failed; exit 3; }\n"


@dataclass(frozen=True, slots=True)
class Scenes:
    """The agent's address, and refs of builds that have something to show. `first` and `last` are of shop."""

    engine: Engine
    agent: Agent
    directory: Path
    first: str
    last: str
    failed: str

    @property
    def address(self) -> str:
        """Of the pages, without a slash at the end."""
        return f"http://127.0.0.1:{self.agent.port}"

    @property
    def paths(self) -> dict[str, str]:
        """All pages, by name."""
        return {
            "builds": "/",
            "build": f"/builds/{self.last}",
            "failed": f"/builds/{self.failed}",
            "compare": f"/compare/{self.first}/{self.last}",
            "projects": "/projects",
            "project": "/projects/shop",
            "images": "/images",
            "image": "/images/shop:web",
            "health": "/health",
        }


def perform(engine: Engine, agent: Agent, directory: Path) -> Scenes:
    """Build both projects until the pages have all that they show."""
    shop = project(directory / "shop", SHOP, **{"package.json": "{}", "app.js": "1\n", "README.md": "1\n"})
    api = project(directory / "api", API, **{"main.py": "ok\n"})
    first = build(engine, shop, "--tag=shop:web")
    for number in range(3):
        (shop / "README.md").write_text(f"{number}\n" * 10)
        build(engine, shop, "--tag=shop:web")
    (shop / "package.json").write_text('{"a": 1}')
    last = build(engine, shop, "--tag=shop:web", "--build-arg=UNUSED=1")
    build(engine, api, "--tag=api:1")
    (api / "main.py").write_text("wrong\n")
    build(engine, api, "--tag=api:2", check=False)
    ended(agent, last)
    failed = eventually(
        lambda: next(
            (one["ref"] for one in builds(agent) if (one["project"], one["status"]) == ("api", "failed")), None
        )
    )
    eventually(lambda: agent.get(f"/api/v1/builds/{last}/explain")[0] == 200)
    eventually(lambda: agent.get("/api/v1/images/shop:web")[0] == 200)
    return Scenes(engine, agent, directory, first, last, failed)


@contextmanager
def running_build(scenes: Scenes, name: str, seconds: int = 8) -> Iterator[str]:
    """A build that takes a while, and its ref once the agent has seen it; over when the block is."""
    text = f"FROM base:latest\nRUN echo {name}\nRUN sleep {seconds}; echo over\nRUN echo last\n"
    slow = project(scenes.directory / name, text)
    command = ["docker", "build", "--network=host", f"--tag={name}:1", "."]
    environment = scenes.engine.environment | {"DOCKER_BUILDKIT": "1"}
    quiet = subprocess.DEVNULL
    client = subprocess.Popen(command, cwd=slow, env=environment, stdout=quiet, stderr=quiet)
    try:
        yield eventually(lambda: next((one["ref"] for one in builds(scenes.agent) if one["project"] == name), None))
    finally:
        client.terminate()
        client.wait(60)
