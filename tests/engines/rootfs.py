"""Root file systems that hold a Docker Engine, one for each Debian suite, kept in the user's cache.

`python -m tests.engines.rootfs` makes those that are missing ahead of the tests.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

CACHE_DIR = Path(os.environ.get("TESTS_ENGINE_CACHE", Path.home() / ".cache/buildprof/engines"))
"""Outside the checkout, so that a clean clone finds what an earlier one made."""

_PYTHON_TARBALL = CACHE_DIR / "python.tar"
_ENGINE_PACKAGES = ("docker.io", "containerd", "runc", "iptables", "ca-certificates")
_CLIENT_PACKAGES = ("docker-buildx", "docker-compose", "docker-cli")
SUITE_PACKAGES = {
    "bookworm": _ENGINE_PACKAGES,  # 20.10; its docker.io has the client, and it has no buildx
    "trixie": (*_ENGINE_PACKAGES, *_CLIENT_PACKAGES),  # 26.1
    "forky": (*_ENGINE_PACKAGES, *_CLIENT_PACKAGES),  # 28.5, moving
}


class EngineUnavailable(Exception):  # noqa: N818  (a fact about the machine, no fault)
    """An engine cannot be made on this machine; the message says why."""


def debian_mirror_uri() -> str:
    """The package mirror that this machine itself uses, from its apt sources."""
    sources = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]
    for source in sources:
        if not source.is_file():
            continue
        for line in source.read_text(errors="replace").splitlines():
            if match := re.match(r"(?:URIs:|deb(?:\s+\[.*?\])?)\s+(\S+/debian/?)(?:\s|$)", line):
                return match.group(1)
    raise EngineUnavailable("no Debian mirror in the machine's apt sources")


def _make(directory: Path, suite: str, arguments: list[str]) -> None:
    """Run mmdebstrap into a temporary name and move the result into place, so that a kill leaves no half."""
    if os.geteuid() != 0:
        raise EngineUnavailable("engines need root")
    if shutil.which("mmdebstrap") is None:
        raise EngineUnavailable("mmdebstrap is not installed; `make setup` installs it")
    partial = directory.with_name(directory.name + ".partial")
    remove = ["rm", "-rf", "--one-file-system", str(partial)]
    subprocess.run(remove, check=True)
    command = [
        "mmdebstrap", "--quiet", *arguments,
        '--aptopt=Acquire::Check-Valid-Until "false"', '--aptopt=Acquire::Retries "5"',
        suite, str(partial), f"deb [trusted=yes] {debian_mirror_uri()} {suite} main",
    ]  # fmt: skip
    result = subprocess.run(command, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if result.returncode != 0:
        subprocess.run(remove, check=True)
        raise EngineUnavailable(f"mmdebstrap {suite} failed: {result.stderr[-2000:]}")
    partial.rename(directory)


@contextlib.contextmanager
def cache_lock(name: str) -> Iterator[None]:
    """One maker of an entry of the cache at a time, over all processes."""
    CACHE_DIR.mkdir(parents=True, exist_ok=True)
    with (CACHE_DIR / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def engine_rootfs(suite: str) -> Path:
    """The directory of the suite's engine, made when it is not in the cache yet (about 20 s)."""
    directory = CACHE_DIR / suite
    with cache_lock(suite):
        if not (directory / "usr/sbin/dockerd").exists():
            _make(directory, suite, ["--variant=apt", f"--include={','.join(SUITE_PACKAGES[suite])}"])
    return directory


def python_base_tarball() -> Path:
    """A Debian with Python 3 and pip as a tar file, to stand in for Docker Hub's python images.

    As there, `python` is a command and pip installs into the system.
    """
    as_on_docker_hub = 'ln -s python3 "$1/usr/bin/python"; rm -f "$1"/usr/lib/python3*/EXTERNALLY-MANAGED'
    with cache_lock("python"):
        if not _PYTHON_TARBALL.exists():
            packages = "--include=python3,python3-pip"
            hook = f"--customize-hook={as_on_docker_hub}"
            _make(_PYTHON_TARBALL, "bookworm", ["--variant=minbase", "--format=tar", packages, hook])
    return _PYTHON_TARBALL


def _prepare() -> None:
    """Make what the tests will ask for, one line for each; what cannot be made here is said, and is no error."""
    made = {suite: CACHE_DIR / suite / "usr/sbin/dockerd" for suite in SUITE_PACKAGES} | {"python": _PYTHON_TARBALL}
    for name, proof in made.items():
        if proof.exists():
            continue
        print(f"engines: making {name} in {CACHE_DIR} (half a minute, once)", flush=True)
        started = time.monotonic()
        try:
            python_base_tarball() if name == "python" else engine_rootfs(name)
        except EngineUnavailable as error:
            print(f"engines: no {name}: {error}", file=sys.stderr)
        else:
            print(f"engines: {name} took {time.monotonic() - started:.0f} s", flush=True)


if __name__ == "__main__":
    _prepare()
