"""One throw-away Docker Engine: started, used through its socket, stopped by its pid, its mounts gone with it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.engines.rootfs import EngineUnavailable, engine_rootfs

_START_SECONDS = 60


@dataclass(slots=True)
class Engine:
    """A running engine. `socket` is its API; `environment` points a docker client (and its plugins) at it."""

    name: str
    suite: str
    rootfs: Path
    run_dir: Path
    options: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | None = None
    clock_faketime: str | None = field(default=None)

    @property
    def socket(self) -> Path:
        return self.run_dir / "docker.sock"

    @property
    def host(self) -> str:
        return f"unix://{self.socket}"

    @property
    def config_dir(self) -> Path:
        return self.run_dir / "config"

    @property
    def has_build_history(self) -> bool:
        return self.suite != "bookworm"

    @property
    def environment(self) -> dict[str, str]:
        """For a client that must not touch the user's own configuration."""
        return {
            "PATH": f"{self.run_dir / 'bin'}:{os.environ['PATH']}",
            "HOME": str(self.run_dir / "home"),
            "DOCKER_HOST": self.host,
            "DOCKER_CONFIG": str(self.config_dir),
            "BUILDX_NO_DEFAULT_ATTESTATIONS": "1",
            "LANG": "C.UTF-8",
        }

    def docker(self, *arguments: str, cwd: Path | None = None, check: bool = True, **extra_env: str) -> subprocess.CompletedProcess[str]:
        """Run the suite's docker client against this engine."""
        return subprocess.run(
            ["docker", *arguments], cwd=cwd, env=self.environment | extra_env, check=check, capture_output=True, text=True
        )

    def start(self) -> None:
        """Start dockerd in a mount namespace of its own and wait until it answers."""
        for directory in ("run", "home", "bin", "config/cli-plugins", "data", "exec"):
            (self.run_dir / directory).mkdir(parents=True, exist_ok=True)
        self._install_client()
        script = f"""set -e
            mount --bind {self.rootfs} {self.rootfs}
            mount -t proc proc {self.rootfs}/proc
            mount --rbind /sys {self.rootfs}/sys
            mount --rbind /dev {self.rootfs}/dev
            mkdir -p {self.rootfs}{self.run_dir}
            mount --bind {self.run_dir} {self.rootfs}{self.run_dir}
            exec chroot {self.rootfs} dockerd -H {self.host} --data-root {self.run_dir}/data \
              --exec-root {self.run_dir}/exec --pidfile {self.run_dir}/docker.pid \
              --bridge=none --iptables=false {" ".join(self.options)}"""
        with (self.run_dir / "dockerd.log").open("ab") as log:
            self.process = subprocess.Popen(
                ["unshare", "--mount", "--propagation", "private", "sh", "-c", script],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                log_tail = (self.run_dir / "dockerd.log").read_text(errors="replace")[-1500:]
                self.stop()
                raise EngineUnavailable(f"dockerd of {self.suite} did not start: {log_tail}")
            time.sleep(0.1)

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as client:
            client.settimeout(2)
            client.connect(str(self.socket))
            client.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
            return b"200" in client.recv(64)
        return False

    def _install_client(self) -> None:
        """Copy the suite's client and plugins where only this engine's environment finds them."""
        for source, target in (
            ("usr/bin/docker", "bin/docker"),
            ("usr/libexec/docker/cli-plugins/docker-buildx", "config/cli-plugins/docker-buildx"),
            ("usr/libexec/docker/cli-plugins/docker-compose", "config/cli-plugins/docker-compose"),
        ):
            if (self.rootfs / source).exists() and not (self.run_dir / target).exists():
                shutil.copy2(self.rootfs / source, self.run_dir / target)

    def stop(self, with_signal: int = signal.SIGTERM) -> None:
        """Stop dockerd and the containerd it started; images and build cache stay for a later start."""
        if self.process is None:
            return
        process, self.process = self.process, None
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(with_signal)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)

    def restart(self, with_signal: int = signal.SIGTERM) -> None:
        self.stop(with_signal)
        self.start()

    def remove(self) -> None:
        """Stop, and delete all that the engine wrote."""
        self.stop()
        subprocess.run(["rm", "-rf", "--one-file-system", str(self.run_dir)], check=False)


@contextlib.contextmanager
def running_engine(suite: str, options: Sequence[str] = (), name: str | None = None) -> Iterator[Engine]:
    """A fresh engine of a suite for the time of a `with` block."""
    rootfs = engine_rootfs(suite)
    run_dir = Path(tempfile.mkdtemp(prefix=f"bp-{name or suite}-", dir="/tmp"))
    engine = Engine(name or suite, suite, rootfs, run_dir, tuple(options))
    try:
        engine.start()
        yield engine
    finally:
        engine.remove()
