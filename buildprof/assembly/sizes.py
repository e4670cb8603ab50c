"""How large a step's result is: its layer in the image, and its record in the builder's cache."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from buildprof.assembly.dockerfile import DEFAULT_SHELL, exec_form
from buildprof.model.cache import CacheRecord, CacheUsage
from buildprof.model.events import HistoryEntry

_RUN_DESCRIPTION = "mount / from exec "
CLOCK_SLACK_NS = 2_000_000_000
"""How far the time of a cache record may be out of its step's interval."""


def layer_sizes(history: Sequence[HistoryEntry], image_config: str) -> list[int]:
    """Bytes of each layer of an image, the lowest first.

    `history` is newest first, as the engine gives it, and has an entry for every instruction; which of them made a
    layer stands in the image's configuration (`empty_layer`), not in the size: a WORKDIR's layer can be of 0 bytes.
    Without a configuration that fits, every entry of some size is a layer.
    """
    entries = list(reversed(history))
    empty = _empty_layers(image_config)
    if len(empty) == len(entries):
        return [entry.size_bytes for entry, is_empty in zip(entries, empty, strict=True) if not is_empty]
    return [entry.size_bytes for entry in entries if entry.size_bytes > 0]


def _empty_layers(image_config: str) -> list[bool]:
    try:
        config: Any = json.loads(image_config or "{}")
    except (ValueError, RecursionError):
        return []
    history = config.get("history") if isinstance(config, dict) else None
    if not isinstance(history, list):
        return []
    return [isinstance(entry, dict) and entry.get("empty_layer") is True for entry in history]


def index_usage(usage: CacheUsage | None) -> Mapping[str, Sequence[CacheRecord]]:
    """The cache's records by their description."""
    found: dict[str, list[CacheRecord]] = {}
    for record in usage.records if usage else ():
        found.setdefault(record.description, []).append(record)
    return found


def stored_bytes(
    records: Mapping[str, Sequence[CacheRecord]],
    names: Sequence[str],
    interval: tuple[int, int] | None,
) -> int | None:
    """Bytes of the cache record that a step made or was served from; None if none, or several, could be it.

    The description of a file operation is the vertex' name, that of a RUN its command (seen on Engine 26.1 and
    28.5). `names` are the forms that it may have; `interval` are start and end of the step's work in nanoseconds,
    None for a hit. Of several records, the one made during the work is it.
    """
    candidates = [record for name in names for record in records.get(name, ())]
    if interval is not None:
        started_ns, completed_ns = interval[0] - CLOCK_SLACK_NS, interval[1] + CLOCK_SLACK_NS
        candidates = [record for record in candidates if started_ns <= record.created_ns <= completed_ns]
    return candidates[0].size_bytes if len(candidates) == 1 else None


def run_description(command: str, shell: str = DEFAULT_SHELL) -> str:
    """The description of a RUN's record: the words that are run, joined by spaces, in shell form after the shell's.

    moby/buildkit solver/llbsolver/ops/exec.go, of the mount that has an output.
    """
    return _RUN_DESCRIPTION + (" ".join(exec_form(command)) or f"{shell} {command}")
