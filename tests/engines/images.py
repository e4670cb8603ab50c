"""Base images for engines that can pull none."""

from __future__ import annotations

import hashlib
import io
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.engines.engine import Engine
from tests.engines.rootfs import CACHE_DIR, EngineUnavailable, cache_lock, python_base_tarball

_BUSYBOX = Path("/bin/busybox")
_APPLETS = (
    *("sh", "ls", "cat", "cp", "mv", "rm", "mkdir", "echo", "sleep", "dd", "seq", "true", "false", "touch", "head"),
    *("test", "yes", "chmod", "ln", "wget", "date", "od", "env"),
)


def busybox_tarball() -> bytes:
    """A root file system of 2 MB: a static busybox and links to it."""
    if not _BUSYBOX.exists():
        raise EngineUnavailable("busybox-static is not installed; `make setup` installs it")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for directory in ("bin", "etc", "tmp"):
            entry = tarfile.TarInfo(directory)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(entry)
        archive.add(_BUSYBOX, "bin/busybox")
        for applet in _APPLETS:
            entry = tarfile.TarInfo(f"bin/{applet}")
            entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
            archive.addfile(entry)
    return buffer.getvalue()


def import_base(engine: Engine, name: str = "base:latest") -> None:
    """Put the busybox base into the engine under a name."""
    subprocess.run(
        ["docker", "import", "-", name],
        env=engine.environment,
        input=busybox_tarball(),
        check=True,
        capture_output=True,
    )


def import_python(engine: Engine, name: str, wheels: Path | None = None) -> None:
    """Put the Python stand-in into the engine under the name that a Dockerfile asks for.

    With `wheels`, a directory, pip in the image installs from a copy of it and asks no index: a build needs no network.
    """
    with tempfile.TemporaryFile() as tarball:
        with python_base_tarball().open("rb") as base:
            shutil.copyfileobj(base, tarball, 1 << 20)
        if wheels is not None:
            tarball.seek(0)
            with tarfile.open(fileobj=tarball, mode="a") as archive:
                archive.add(wheels, "wheels")
                settings = b"[global]\nno-index = true\nfind-links = /wheels\nroot-user-action = ignore\n"
                entry = tarfile.TarInfo("etc/pip.conf")
                entry.size = len(settings)
                archive.addfile(entry, io.BytesIO(settings))
        tarball.seek(0)
        subprocess.run(
            ["docker", "import", "-", name], env=engine.environment, stdin=tarball, check=True, capture_output=True
        )


_RUN_REQUIREMENTS = Path(__file__).parents[2] / "requirements/run.txt"
_NOBODY = 65534


def agent_wheels() -> Path:
    """A directory with all that requirements/run.txt names, for the Python of the stand-in; downloaded once."""
    digest = hashlib.sha256(_RUN_REQUIREMENTS.read_bytes()).hexdigest()[:16]
    directory = CACHE_DIR.parent / "wheels" / digest
    with cache_lock("wheels"):
        if not directory.exists():
            directory.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=directory.parent) as partial:
                command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
                command += ["--only-binary=:all:", "--python-version=3.11", "--dest", f"{partial}/wheels"]
                result = subprocess.run(
                    [*command, "--requirement", _RUN_REQUIREMENTS], check=False, capture_output=True, text=True
                )
                if result.returncode != 0:
                    raise EngineUnavailable(f"no packages for the agent's image: {result.stderr[-1000:]}")
                Path(partial, "wheels").rename(directory)
    return directory


def import_service(engine: Engine, name: str, program: str, command: str, data: Sequence[str] = ()) -> None:
    """Put a program of this machine's Debian packages into the engine, as its project's own image has it.

    That is: `command` in /bin, a busybox, nobody as its user, and /`command` to write in. `data` are further files of
    the package.
    """
    path = shutil.which(program)
    if path is None:
        raise EngineUnavailable(f"{program} is not installed; `make setup` installs it")
    with tempfile.TemporaryFile() as tarball:
        tarball.write(busybox_tarball())
        tarball.seek(0)
        with tarfile.open(fileobj=tarball, mode="a") as archive:
            for library in _libraries(path):
                archive.add(Path(library).resolve(), library)
            archive.add(Path(path).resolve(), f"bin/{command}")
            for file in data:
                archive.add(Path(file).resolve(), file)
            entry = tarfile.TarInfo(command)
            entry.type, entry.mode, entry.uid, entry.gid = tarfile.DIRTYPE, 0o755, _NOBODY, _NOBODY
            archive.addfile(entry)
        tarball.seek(0)
        changes = (
            f'ENTRYPOINT ["/bin/{command}"]',
            f"USER {_NOBODY}:{_NOBODY}",
            f"VOLUME /{command}",
            f"WORKDIR /{command}",
        )
        options = [word for change in changes for word in ("--change", change)]
        subprocess.run(
            ["docker", "import", *options, "-", name],
            env=engine.environment,
            stdin=tarball,
            check=True,
            capture_output=True,
        )


def _libraries(program: str) -> list[str]:
    """What the loader loads for a program, and the loader itself; none for a static one."""
    told = subprocess.run(["ldd", program], check=False, capture_output=True, text=True).stdout
    return re.findall(r"(/\S+) \(0x", told)
