"""The directory where an agent keeps what is its own: a lock, its id, the key of its redaction."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

from buildprof.store.errors import StoreError


class AlreadyRunningError(Exception):
    """Another agent uses the data directory."""


@contextlib.contextmanager
def hold(data_dir: Path) -> Iterator[None]:
    """Hold the data directory for this process alone."""
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (data_dir / "agent.lock").open("a")
    except OSError as error:
        raise StoreError(
            f"{data_dir}: cannot be written: {error.strerror}; choose another one with --data-dir"
        ) from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise AlreadyRunningError(
                f"another agent runs on {data_dir}; stop it, or choose another --data-dir"
            ) from None
        yield


def redaction_key(data_dir: Path) -> bytes:
    """The key of the hashes that stand for build-argument values: made once, kept for the owner's eyes."""
    return _kept(data_dir, "redaction.key", secrets.token_bytes(32))


def agent_id(data_dir: Path) -> str:
    """Who this agent is, in a store that several may share: made once, kept with its data."""
    return _kept(data_dir, "agent.id", uuid.uuid4().hex.encode()).decode("ascii", "replace").strip()[:64]


def _kept(data_dir: Path, name: str, content: bytes) -> bytes:
    """What a file of the directory holds; where it is not there it is made, for its owner alone, with this content."""
    path = data_dir / name
    try:
        with contextlib.suppress(FileNotFoundError):
            return path.read_bytes()
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Complete before it has its name: another process may look at once.
        with tempfile.NamedTemporaryFile(dir=data_dir, prefix=name) as file, contextlib.suppress(FileExistsError):
            file.write(content)
            file.flush()
            os.link(file.name, path)
        return path.read_bytes()
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}; choose another --data-dir") from None
