"""Which entries of an image's history made its layers. The engine's API has no mark for it, the configuration has."""

from __future__ import annotations

from collections.abc import Sequence

from buildprof.assembly.history_text import WITHOUT_LAYER, layer_command


def layer_entries(entries: Sequence[tuple[str, int]], layers: int) -> list[int] | None:
    """Indices of the entries that made the image's so many layers, in order; None where that cannot be told.

    `entries` are (text, bytes), the oldest first. An instruction about metadata makes none. BuildKit makes one of all
    others. The classic builder makes none of what changes nothing, but one of no bytes of a WORKDIR that makes its
    directory: where some entries of no bytes made a layer and some did not, nobody knows which.
    """
    texts = [layer_command(text) for text, _ in entries]
    able = [index for index, text in enumerate(texts) if text.partition(" ")[0] not in WITHOUT_LAYER]
    sure = [index for index in able if entries[index][1] > 0]
    return next((found for found in (able, sure) if len(found) == layers), None)
