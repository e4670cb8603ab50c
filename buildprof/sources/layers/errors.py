"""Why a layer, or an archive of layers, cannot be read."""

from __future__ import annotations


class LayerError(Exception):
    """A layer or an archive that is not what it should be. The message is one line for people."""


class LayerLimitError(LayerError):
    """It holds more than the caller lets it: a decompression bomb, or names without number."""
