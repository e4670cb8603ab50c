"""One throw-away Docker Engine: started, used through its socket, stopped by its pid, its mounts gone with it.

dockerd runs in a mount namespace of its own, so a mount is gone when the last process of the engine is, and several
engines can use one root file system at once: what they write there (/run, /tmp) is private to each.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.engines.rootfs import EngineUnavailable, cache_lock, engine_rootfs

_START_SECONDS = 60
_RUN_ROOT = Path("/tmp")  # short, since a unix socket's path has 107 bytes at most


@dataclass(slots=True)
class Engine:
    """A running engine. `socket` is its API; `environment` points a docker client (and its plugins) at it."""

    name: str
    suite: str
    rootfs: Path
    run_dir: Path
    options: tuple[str, ...] = ()
    own_network: bool = False
    """A network namespace of its own, with bridges, names and published ports; else the host's network, and no bridge."""
    in_memory: bool = False
    """What it stores is in memory and gone when it stops: to delete many files takes longer than to make them."""
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

    def docker(
        self, *arguments: str, cwd: Path | None = None, check: bool = True, **extra_env: str
    ) -> subprocess.CompletedProcess[str]:
        """Run the suite's docker client against this engine; a failure shows what the client said."""
        command = ["docker", *arguments]
        result = subprocess.run(
            command, cwd=cwd, env=self.environment | extra_env, check=False, capture_output=True, text=True
        )
        if check and result.returncode != 0:
            error = subprocess.CalledProcessError(result.returncode, command, result.stdout, result.stderr)
            error.add_note(result.stderr[-3000:])
            raise error
        return result

    def start(self) -> None:
        """Start dockerd in a mount namespace of its own and wait until it answers."""
        for directory in ("run", "home", "bin", "config/cli-plugins", "data", "exec"):
            (self.run_dir / directory).mkdir(parents=True, exist_ok=True)
        self._install_client()
        for stale in ("docker.pid", "exec/containerd/containerd.pid"):
            # of a killed engine, all of which is gone; dockerd would wait 10 s for a process of that number, or refuse
            (self.run_dir / stale).unlink(missing_ok=True)
        namespaces = ["--mount", "--propagation", "private", *(["--net"] if self.own_network else [])]
        with (self.run_dir / "dockerd.log").open("ab") as log:
            self.process = subprocess.Popen(
                ["unshare", *namespaces, "sh", "-c", self._script()],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                log_tail = (self.run_dir / "dockerd.log").read_text(errors="replace")[-1500:]
                self.stop()
                raise EngineUnavailable(f"dockerd of {self.suite} did not start: {log_tail}")
            time.sleep(0.1)

    def _script(self) -> str:
        """The shell commands that become dockerd; options are words of a command line, several to a string if you like."""
        rootfs, run_dir = shlex.quote(str(self.rootfs)), shlex.quote(str(self.run_dir))
        network = "" if self.own_network else "--bridge=none --iptables=false"
        return f"""set -e
            {"busybox ip link set lo up" if self.own_network else ""}
            mount --bind {rootfs} {rootfs}
            mount -t proc proc {rootfs}/proc
            mount --rbind /sys {rootfs}/sys
            mount --rbind /dev {rootfs}/dev
            mount -t tmpfs -o mode=755 tmpfs {rootfs}/run
            mount -t tmpfs -o mode=1777 tmpfs {rootfs}/tmp
            if [ -e /etc/resolv.conf ]; then
              touch {rootfs}/etc/resolv.conf
              mount --bind /etc/resolv.conf {rootfs}/etc/resolv.conf
            fi
            mkdir -p {rootfs}{run_dir}
            mount --bind {run_dir} {rootfs}{run_dir}
            {f"mount -t tmpfs -o mode=710 tmpfs {rootfs}{run_dir}/data" if self.in_memory else ""}
            cd {rootfs}
            mount --move . /  # over the root of the namespace, where `docker exec` and health checks begin
            exec chroot . dockerd -H {shlex.quote(self.host)} --data-root {run_dir}/data \
              --exec-root {run_dir}/exec --pidfile {run_dir}/docker.pid \
              {network} {" ".join(self.options)}"""

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
        """Stop dockerd and all that it started; images and build cache stay for a later start."""
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
        _kill_processes_of(self.run_dir)

    def restart(self, with_signal: int = signal.SIGTERM) -> None:
        self.stop(with_signal)
        self.start()

    def remove(self) -> None:
        """Stop, and delete all that the engine wrote; so it need not put anything in order first."""
        self.stop(signal.SIGKILL)
        _delete(self.run_dir)


def _processes_of(run_dir: Path) -> list[int]:
    """Every process of an engine, and of its containers, has the run directory in its table of mounts."""
    mounted = re.compile(re.escape(os.fsencode(run_dir)) + rb"[ /,:]")
    pids = []
    for table in Path("/proc").glob("[0-9]*/mountinfo"):
        with contextlib.suppress(OSError):
            if mounted.search(table.read_bytes()):
                pids.append(int(table.parent.name))
    return pids


def _kill_processes_of(run_dir: Path) -> None:
    """Kill what is left of an engine; twice, since a process may have started another between look and kill."""
    deadline = time.monotonic() + 10
    while (pids := _processes_of(run_dir)) and time.monotonic() < deadline:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)


def remove_leftovers() -> list[Path]:
    """Stop and delete the engines of test processes that were killed; those of living ones hold their lock.

    Only directories that `running_engine` made have an `owner.lock`: an engine started by hand is left alone.
    """
    removed = []
    with cache_lock("runs"):
        for lock_file in _RUN_ROOT.glob("bp-*/owner.lock"):
            with contextlib.suppress(OSError), lock_file.open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _kill_processes_of(lock_file.parent)
                _delete(lock_file.parent)
                removed.append(lock_file.parent)
    return removed


def _delete(run_dir: Path) -> None:
    subprocess.run(["rm", "-rf", "--one-file-system", str(run_dir)], check=False)


@contextlib.contextmanager
def _owned_run_dir(name: str) -> Iterator[Path]:
    """A new directory that is ours for as long as this process lives."""
    with cache_lock("runs"):
        run_dir = Path(tempfile.mkdtemp(prefix=f"bp-{name}-", dir=_RUN_ROOT))
        lock = (run_dir / "owner.lock").open("w")
        fcntl.flock(lock, fcntl.LOCK_EX)
    with lock:
        yield run_dir


@contextlib.contextmanager
def running_engine(
    suite: str,
    options: Sequence[str] = (),
    name: str | None = None,
    *,
    own_network: bool = False,
    in_memory: bool = False,
) -> Iterator[Engine]:
    """A fresh engine of a suite for the time of a `with` block."""
    rootfs = engine_rootfs(suite)
    remove_leftovers()
    with _owned_run_dir(name or suite) as run_dir:
        engine = Engine(name or suite, suite, rootfs, run_dir, tuple(options), own_network, in_memory)
        try:
            engine.start()
            yield engine
        finally:
            engine.remove()
