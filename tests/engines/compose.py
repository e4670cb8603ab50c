"""Builds of several targets at once, by the plugins of an engine's own suite: `docker compose` and `docker buildx bake`."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.engines.engine import Engine
from tests.engines.rootfs import EngineUnavailable

_FIRST_THAT_ASKS_BEFORE_HOST_NETWORK = "forky"


def compose(engine: Engine, *arguments: str, cwd: Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run `docker compose ARGUMENTS`; a build in the compose file needs `network: host`, as these engines have no bridge."""
    _require_plugins(engine)
    return engine.docker("compose", *arguments, cwd=cwd, check=check)


def bake(engine: Engine, *arguments: str, cwd: Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run `docker buildx bake ARGUMENTS`; a target with a RUN needs the host's network.

    In a compose file that is `network: host`, on every engine; in a bake file `network = "host"`, which the buildx of
    26.1 (0.13) ignores. From buildx 0.19 on, bake asks on a terminal before a file gets that network: here it may.
    """
    _require_plugins(engine)
    allowed = ("--allow=network.host",) if engine.suite == _FIRST_THAT_ASKS_BEFORE_HOST_NETWORK else ()
    return engine.docker("buildx", "bake", *allowed, *arguments, cwd=cwd, check=check)


def _require_plugins(engine: Engine) -> None:
    if engine.suite == "bookworm":
        raise EngineUnavailable("Debian 12 has no buildx, and no compose that is its plugin")
