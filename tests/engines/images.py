"""Base images for engines that can pull none."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from tests.engines.engine import Engine
from tests.engines.rootfs import EngineUnavailable, python_base_tarball

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
