"""What an engine with containerd's image store has of an image beside its files: the layers as they are packed."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from buildprof.sources.layers.contents import opener_of_directory, read_document
from buildprof.sources.layers.directories import SYSTEM_CONTAINERD, containerd_homes, layer_digests
from buildprof.sources.layers.errors import LayerError
from buildprof.sources.layers.manifests import packed_sizes

_CONTENT = "io.containerd.content.v1.content"


def may_be_packed(inspect: Mapping[str, Any]) -> bool:
    """Whether an image, by the engine's answer about it, can be one of containerd's image store.

    That names no directories; the classic store keeps no packed layers.
    """
    graph = inspect.get("GraphDriver")
    return not (isinstance(graph, Mapping) and graph.get("Data"))


def packed_layer_sizes(
    inspect: Mapping[str, Any], root_dir: str, system_containerd: str = SYSTEM_CONTAINERD
) -> list[int | None]:
    """Bytes of each packed layer of an image, the lowest first; None of what is not packed or cannot be read.

    The arguments are those of `directories.layer_directories`. The image's id is the digest of its manifest or index,
    and the store keeps blobs in files of their digests' names, as an OCI layout does.
    """
    digests = layer_digests(inspect) or []
    unknown: list[int | None] = [None] * len(digests)
    root = Path(root_dir)
    for home in containerd_homes(root, system_containerd) if root.is_absolute() else ():
        document = partial(read_document, opener_of_directory(home / _CONTENT))
        try:
            found = packed_sizes(document, str(inspect.get("Id")), digests)
        except (OSError, ValueError, LayerError):  # the second for what can be no path
            continue
        if found != unknown:
            return found
    return unknown
