"""A real image registry (Debian's docker-registry) on a free port of loopback, which engines trust without TLS."""

from __future__ import annotations

import contextlib
import http.client
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.engines.rootfs import EngineUnavailable

_START_SECONDS = 20


@dataclass(frozen=True, slots=True)
class Registry:
    """`address` is what an image name starts with: `127.0.0.1:41234`."""

    address: str
    data_dir: Path


@contextlib.contextmanager
def running_registry() -> Iterator[Registry]:
    """An empty registry for the time of a `with` block."""
    program = shutil.which("docker-registry")
    if program is None:
        raise EngineUnavailable("docker-registry is not installed; `make setup` installs it")
    with tempfile.TemporaryDirectory(prefix="bp-registry-") as directory:
        registry = Registry(f"127.0.0.1:{_free_port()}", Path(directory))
        config = registry.data_dir / "config.yml"
        config.write_text(
            f"version: 0.1\nlog: {{level: warn}}\nhttp: {{addr: {registry.address}}}\n"
            f"storage: {{filesystem: {{rootdirectory: {directory}/images}}, delete: {{enabled: true}}}}\n"
        )
        with (registry.data_dir / "log").open("wb") as log:
            process = subprocess.Popen(
                [program, "serve", str(config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            _wait_until_it_answers(registry, process)
            yield registry
        finally:
            process.terminate()
            process.wait(10)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_it_answers(registry: Registry, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError), contextlib.closing(http.client.HTTPConnection(registry.address)) as client:
            client.request("GET", "/v2/")
            if client.getresponse().status == http.HTTPStatus.OK:
                return
        time.sleep(0.05)
    raise EngineUnavailable(f"docker-registry did not start: {(registry.data_dir / 'log').read_text()[-1000:]}")
