"""The Docker Engine that a machine has anyway: used where none can be made, never started or stopped."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.engines.engine import Engine


@dataclass(slots=True)
class MachineEngine(Engine):
    """An engine of somebody else: what a test puts there, it takes away again."""

    endpoint: str = ""
    version: str = ""

    @property
    def host(self) -> str:
        return self.endpoint

    @property
    def socket(self) -> Path:
        return Path(self.endpoint.removeprefix("unix://"))

    @property
    def has_build_history(self) -> bool:
        # moby/buildkit 0.11, which came with Docker Engine 24
        return int(self.version.split(".")[0]) >= 24

    @property
    def environment(self) -> dict[str, str]:
        """The user's own, since their client and its contexts lead to this engine."""
        return dict(os.environ)

    def start(self) -> None:
        raise RuntimeError("this engine is not ours to start")

    def stop(self, with_signal: int = signal.SIGTERM) -> None:  # noqa: ARG002  (as the class above has it)
        raise RuntimeError("this engine is not ours to stop")


def machine_engine() -> MachineEngine | None:
    """The engine that `docker` on this machine leads to (DOCKER_HOST, the context, the default socket), if it answers."""
    if shutil.which("docker") is None:
        return None
    try:
        version = _ask("docker", "version", "--format", "{{.Server.Version}}")
        endpoint = _ask("docker", "context", "inspect", "--format", "{{.Endpoints.docker.Host}}")
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        return None
    return MachineEngine("machine", "machine", Path("/"), Path("/"), endpoint=endpoint, version=version)


def _ask(*command: str) -> str:
    result = subprocess.run(command, check=True, capture_output=True, text=True, timeout=20, stdin=subprocess.DEVNULL)
    return result.stdout.strip()
