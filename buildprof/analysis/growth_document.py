"""The JSON of what made two images differ in size, as `compare --json` has it. Pure."""

from __future__ import annotations

from buildprof.analysis.growth import ImageGrowth, LayerGrowth
from buildprof.model.document import Document
from buildprof.model.image import FileGrowth


def growth_document(growth: ImageGrowth) -> Document:
    """The document of a growth: sums, the layers that are not in both, and the files that differ most."""
    return {
        "stored_before_bytes": growth.stored_before_bytes,
        "stored_after_bytes": growth.stored_after_bytes,
        "visible_before_bytes": growth.visible_before_bytes,
        "visible_after_bytes": growth.visible_after_bytes,
        "common_layers": growth.common_layers,
        "layers": [_layer(one) for one in growth.layers],
        "files": [_file(one) for one in growth.files],
        "file_count": growth.file_count,
        "grown_bytes": growth.grown_bytes,
        "shrunk_bytes": growth.shrunk_bytes,
    }


def _layer(layer: LayerGrowth) -> Document:
    return {
        "before": layer.before,
        "after": layer.after,
        "command": layer.command,
        "before_bytes": layer.before_bytes,
        "after_bytes": layer.after_bytes,
        "difference_bytes": layer.difference_bytes,
    }


def _file(file: FileGrowth) -> Document:
    return {
        "path": file.path,
        "before_bytes": file.before_bytes,
        "after_bytes": file.after_bytes,
        "layer": file.layer,
    }
