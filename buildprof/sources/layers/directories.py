"""Where an engine keeps the files of an image's layers, by its own answers.

With overlay2 the answer to an image's inspection names the directories. With containerd's overlayfs snapshotter it names
none: a layer's directory is that of the snapshot whose name ends in the chain id (OCI image specification, config.md,
"Layer ChainID"), and the snapshotter's own records tell its number.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from buildprof.sources.layers.bolt import BoltError, Bucket, read_bolt

SYSTEM_CONTAINERD = "/var/lib/containerd"
_SNAPSHOTTER = "io.containerd.snapshotter.v1.overlayfs"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_OVERLAY2_NAME = re.compile(r"[0-9a-z-]{1,128}")
_CHAIN_NAME = re.compile(rb"[^/]+/\d+/(sha256:[0-9a-f]{64})")  # namespace, number (containerd, metadata/snapshot.go)
_COMMITTED = b"\x03"  # containerd, core/snapshots/snapshotter.go, Kind


def layer_directories(
    inspect: Mapping[str, Any], root_dir: str, driver: str = "", system_containerd: str = SYSTEM_CONTAINERD
) -> dict[str, bytes] | None:
    """The directory of each layer of an image by its `diff_id`; None unless all of them can be read.

    `inspect` is the engine's answer about the image; `root_dir` and `driver` are `DockerRootDir` and `Driver` of its
    answer about itself. An engine whose containerd is not its own child keeps the layers in `system_containerd`.
    """
    digests, root = layer_digests(inspect), Path(root_dir)
    if digests is None or not root.is_absolute():
        return None
    if not digests:
        return {}
    graph = _part(inspect, "GraphDriver")
    found: list[bytes] | None = None
    with suppress(OSError, ValueError):  # the last for what can be no path
        match graph.get("Name") or driver:  # the Engine API has no GraphDriver from 1.52 on with containerd's store
            case "overlay2":
                found = _of_overlay2(_part(graph, "Data"), root)
            case "overlayfs":
                homes = containerd_homes(root, system_containerd)
                found = next(filter(None, (_of_snapshotter(digests, home / _SNAPSHOTTER) for home in homes)), None)
        if found is not None and len(found) == len(digests) and all(map(_is_readable, found)):
            return dict(zip(digests, found, strict=True))
    return None


def layer_digests(inspect: Mapping[str, Any]) -> list[str] | None:
    """The `diff_id` of each layer of an image, the lowest first; None if the answer has none that could be one."""
    digests = _strings(_part(inspect, "RootFS").get("Layers"))
    return digests if digests is not None and all(map(_DIGEST.fullmatch, digests)) else None


def containerd_homes(root: Path, system_containerd: str = SYSTEM_CONTAINERD) -> tuple[Path, Path]:
    """Where containerd may keep what it has for an engine: below the engine's root, or where the system's does."""
    return root / "containerd" / "daemon", Path(system_containerd)


def chain_ids(digests: Sequence[str]) -> list[str]:
    """What each layer is called together with those below it (OCI image specification, config.md, "Layer ChainID")."""
    chain: list[str] = []
    for digest in digests:
        chain.append(f"sha256:{hashlib.sha256(f'{chain[-1]} {digest}'.encode()).hexdigest()}" if chain else digest)
    return chain


def _of_overlay2(data: Mapping[str, Any], root: Path) -> list[bytes] | None:
    """The lowest first; None if one lies elsewhere than such directories do."""
    upper, lower = data.get("UpperDir"), data.get("LowerDir", "")
    if not isinstance(upper, str) or not isinstance(lower, str):
        return None
    top_first = [upper, *(lower.split(":") if lower else ())]
    home = f"{root / 'overlay2'}/"
    for path in top_first:
        name = path.removeprefix(home).removesuffix("/diff")
        if not _OVERLAY2_NAME.fullmatch(name) or path != f"{home}{name}/diff":
            return None
    return [os.fsencode(path) for path in reversed(top_first)]


def _of_snapshotter(digests: Sequence[str], home: Path) -> list[bytes] | None:
    """The lowest first; None unless the snapshotter has all of them."""
    chain = [chain_id.encode() for chain_id in chain_ids(digests)]
    wanted = frozenset(chain)
    try:
        numbers = read_bolt(home / "metadata.db", lambda root: _numbers(root, wanted))
    except (OSError, BoltError):
        return None
    if not wanted <= numbers.keys():
        return None
    return [bytes(home / "snapshots" / str(numbers[chain_id]) / "fs") for chain_id in chain]


def _numbers(root: Bucket, wanted: frozenset[bytes]) -> dict[bytes, int]:
    """Numbers of finished snapshots by chain id (containerd, core/snapshots/storage/bolt.go)."""
    snapshots = root.bucket(b"v1", b"snapshots")
    numbers: dict[bytes, int] = {}
    for name, snapshot in snapshots.items() if snapshots is not None else ():
        found = _CHAIN_NAME.fullmatch(name)
        if found is None or found[1] not in wanted or not isinstance(snapshot, Bucket):
            continue
        number = snapshot.get(b"id")
        if snapshot.get(b"kind") == _COMMITTED and isinstance(number, bytes):
            numbers[found[1]] = _unsigned_varint(number)
    return numbers


def _unsigned_varint(data: bytes) -> int:
    """As Go's encoding/binary writes it: seven bits a byte, the lowest first, the eighth tells of more."""
    value = 0
    for index, byte in enumerate(data[:10]):
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return value
    raise BoltError("a number is cut off")


def _is_readable(directory: bytes) -> bool:
    return stat.S_ISDIR(os.lstat(directory).st_mode) and os.access(directory, os.R_OK | os.X_OK)


def _part(document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """An object in JSON; empty if it is null, absent or something else."""
    part = document.get(key)
    return part if isinstance(part, Mapping) else {}


def _strings(value: object) -> list[str] | None:
    """A list of strings in JSON, [] for null; None if it is something else."""
    if value is None:
        return []
    return value if isinstance(value, list) and all(isinstance(one, str) for one in value) else None
