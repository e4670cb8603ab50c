"""What buildx keeps on disk: which directory a ref was built from, and which builders there are.

buildx writes `refs/<builder>/<node>/<ref>` before it asks for the build, and `instances/<builder>` for a builder that
was created (docker/buildx, localstate and store). The files belong to users, so each is read only if it is a regular
file of some size, and no link is followed below a buildx directory.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from buildprof.model.events import LocalState

MAX_STATE_BYTES = 256 * 1024
MAX_DIRECTORIES = 500
MAX_REFS = 50_000

_MAX_PATH_CHARS = 4_096
_MAX_NAME_CHARS = 200
_GROUPS = "__group__"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class BuilderNode:
    """One node of a builder. `endpoint` is a docker context, a host's URL or the address of a buildkitd."""

    name: str
    endpoint: str
    driver_options: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BuilderInstance:
    """A builder that `buildx create` made. `driver` is "docker-container", "kubernetes" or "remote"."""

    name: str
    driver: str
    nodes: tuple[BuilderNode, ...]


def read_local_state(buildx_dirs: Sequence[Path], ref: str) -> LocalState | None:
    """What buildx noted of a ref, from the first directory that knows it; None if none does. Costs a few probes."""
    if not _NAME.fullmatch(ref):
        return None
    for node_dir in _node_dirs(buildx_dirs):
        state = local_state_of(ref, _read_json(node_dir / ref), builder=node_dir.parent.name)
        if state is not None:
            with suppress(OSError):
                return replace(state, owner_uid=(node_dir / ref).lstat().st_uid)
    return None


def list_instances(buildx_dir: Path) -> tuple[BuilderInstance, ...]:
    """The builders that were created, by name. The engine's own ("default", or a context's name) have no file."""
    directory = buildx_dir / "instances"
    if not _is_plain_directory(directory):
        return ()
    found = (_instance(_read_json(directory / name)) for name in _names(directory)[:MAX_DIRECTORIES])
    return tuple(instance for instance in found if instance is not None)


def local_state_of(ref: str, document: Any, builder: str = "") -> LocalState | None:
    """A `localstate.State` of buildx, from JSON; None if it is no such thing or names a path that cannot be shown.

    buildx leaves the Dockerfile's path empty where none was given: it is the context's `Dockerfile` then.
    """
    context_path = _entry(document, "LocalPath", str, "")
    dockerfile_path = _entry(document, "DockerfilePath", str, "")
    if not context_path or not _is_plain_path(context_path) or not _is_plain_path(dockerfile_path):
        return None
    if context_path.endswith("/-"):
        context_path = "-"  # standard input, of which buildx 0.13 makes a path (seen)
    group_id = _entry(document, "GroupRef", str, "")
    return LocalState(
        ref=ref,
        target=_entry(document, "Target", str, "")[:_MAX_NAME_CHARS],
        context_path=context_path,
        dockerfile_path=dockerfile_path or (f"{context_path}/Dockerfile" if context_path.startswith("/") else ""),
        group_id=group_id if _NAME.fullmatch(group_id) else "",
        builder=builder,
    )


def _instance(document: Any) -> BuilderInstance | None:
    name = _entry(document, "Name", str, "")
    if not _NAME.fullmatch(name):
        return None
    nodes = (
        BuilderNode(
            _entry(node, "Name", str, "")[:_MAX_NAME_CHARS],
            _entry(node, "Endpoint", str, "")[:_MAX_PATH_CHARS],
            {
                key[:_MAX_NAME_CHARS]: value[:_MAX_NAME_CHARS]
                for key, value in _entry(node, "DriverOpts", dict, {}).items()
                if isinstance(value, str)
            },
        )
        for node in _entry(document, "Nodes", list, [])[:MAX_DIRECTORIES]
    )
    driver = _entry(document, "Driver", str, "")[:_MAX_NAME_CHARS]
    return BuilderInstance(name, driver, tuple(node for node in nodes if _NAME.fullmatch(node.name)))


def _node_dirs(buildx_dirs: Sequence[Path]) -> Iterator[Path]:
    """`refs/<builder>/<node>` of every buildx directory."""
    for buildx_dir in buildx_dirs:
        refs = buildx_dir / "refs"
        if not _is_plain_directory(refs):
            continue
        for builder in _directories(refs):
            if builder.name != _GROUPS:
                yield from _directories(builder)


def _directories(parent: Path) -> list[Path]:
    found = [name for name in _names(parent)[:MAX_DIRECTORIES] if _is_plain_directory(parent / name)]
    return [parent / name for name in found]


def _names(directory: Path) -> list[str]:
    """Plain names in a directory, sorted, MAX_REFS at most."""
    names: list[str] = []
    with suppress(OSError), os.scandir(directory) as entries:
        for entry in entries:
            if _NAME.fullmatch(entry.name):
                names.append(entry.name)
            if len(names) >= MAX_REFS:
                break
    return sorted(names)


def _is_plain_directory(path: Path) -> bool:
    with suppress(OSError):
        return stat.S_ISDIR(path.lstat().st_mode)
    return False


def _read_json(path: Path) -> Any:
    """The JSON of a small regular file; None for anything else. A FIFO is not waited for."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    with suppress(OSError, ValueError, RecursionError), open(descriptor, "rb") as file:  # noqa: PTH123  # a descriptor
        status = os.fstat(descriptor)
        if stat.S_ISREG(status.st_mode) and status.st_size <= MAX_STATE_BYTES:
            return json.loads(file.read(MAX_STATE_BYTES))
    return None


def _entry(document: Any, key: str, kind: type, default: Any) -> Any:
    value = document.get(key) if isinstance(document, dict) else None
    return value if isinstance(value, kind) else default


def _is_plain_path(path: str) -> bool:
    return len(path) <= _MAX_PATH_CHARS and not _CONTROL.search(path)
