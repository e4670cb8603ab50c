"""Which entries of an image's history made its layers. The engine's API has no mark for it, the configuration has."""

from __future__ import annotations

from collections.abc import Sequence

from buildprof.assembly.history_text import WITHOUT_LAYER, layer_command


def layer_entries(entries: Sequence[tuple[str, int]], layers: int) -> list[int] | None:
    """Indices of the entries that made the image's so many layers, in order; None where they do not fit together.

    `entries` are (text, bytes), the oldest first. An instruction about metadata makes none. Nor does what changes
    nothing, for the classic builder: first a WORKDIR of a directory that is there, then any entry of no bytes.
    """
    texts = [layer_command(text) for text, _ in entries]
    found = [index for index, text in enumerate(texts) if text.partition(" ")[0] not in WITHOUT_LAYER]
    if len(found) > layers:
        found = [index for index in found if entries[index][1] > 0 or not texts[index].startswith("WORKDIR")]
    if len(found) > layers:
        found = [index for index in found if entries[index][1] > 0]
    return found if len(found) == layers else None
