"""Names for projects: short where they can be, and different for different directories."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import PurePosixPath

from buildprof.model.build import UNKNOWN_PROJECT

NAME_CHARACTERS = 100
"""The length of a project's name at most."""

_RESERVED = frozenset({"", ".", "..", "/", UNKNOWN_PROJECT, "other"})  # `other`: the bucket beyond the label budget


def candidate_names(directory: str, preferred: str) -> Iterator[str]:
    """Yield names for the project in a directory, best first, without end; the last ones carry a digest.

    `web`, then `shop/web`, then `work/shop/web` for the directory `/work/shop/web`.
    """
    parents = [part for part in PurePosixPath(directory).parts[:-1] if part != "/"]
    for taken in range(len(parents) + 1):
        name = "/".join([*parents[len(parents) - taken :], preferred])
        if len(name) > NAME_CHARACTERS:
            break
        if name not in _RESERVED:
            yield name
    number = 0
    while True:
        digest = hashlib.sha256(f"{number}{directory}".encode("utf-8", "replace")).hexdigest()[:8]
        yield f"{preferred[: NAME_CHARACTERS - 9]}-{digest}"
        number += 1
