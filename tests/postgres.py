"""A real PostgreSQL server for tests: made by `initdb` in a temporary directory, on a Unix socket only."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

UNPRIVILEGED = ("postgres", "nobody")
"""Users to run the server as, the first that exists: it refuses to run as root."""


def server_binaries() -> Path | None:
    """The directory of `initdb`, `pg_ctl` and `postgres`, the newest that the machine has; None if it has none."""
    on_path = shutil.which("initdb")
    candidates = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
    if on_path:
        candidates.insert(0, Path(on_path).resolve().parent)
    for directory in reversed(candidates):
        if all((directory / name).exists() for name in ("initdb", "pg_ctl", "postgres")):
            return directory
    return None


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The URL of the server's database `postgres`; a test makes a schema of its own in it."""
    binaries = server_binaries()
    if binaries is None:
        pytest.skip("no PostgreSQL server: initdb and pg_ctl are neither on PATH nor under /usr/lib/postgresql")
    user = _unprivileged_user()
    # Not pytest's directory, which other users cannot enter; short, since a socket's path has 107 bytes at most.
    root = Path(tempfile.mkdtemp(prefix="bp-pg-", dir="/tmp"))
    if user is not None:
        shutil.chown(root, user)
    name = user or pwd.getpwuid(os.geteuid()).pw_name

    def run(*command: str) -> None:
        done = subprocess.run(
            command,
            user=user,
            cwd=root,
            env={"PATH": os.defpath, "LC_ALL": "C.UTF-8"},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            log = root / "log"
            pytest.fail(f"{command[0]}: {done.stderr}{log.read_text() if log.exists() else ''}")

    data = root / "data"
    options = f"-c listen_addresses= -c unix_socket_directories={root} -c fsync=off -c shared_buffers=32MB"
    try:
        run(str(binaries / "initdb"), "-D", str(data), "-A", "trust", "-U", name, "-E", "UTF8", "--no-sync")
        run(str(binaries / "pg_ctl"), "-D", str(data), "-w", "-l", str(root / "log"), "-o", options, "start")
        try:
            yield f"postgresql://{name}@/postgres?host={root}"
        finally:
            run(str(binaries / "pg_ctl"), "-D", str(data), "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _unprivileged_user() -> str | None:
    if os.geteuid() != 0:
        return None
    for name in UNPRIVILEGED:
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            continue
    pytest.skip("no PostgreSQL server: it refuses to run as root, and there is no user to run it as")
