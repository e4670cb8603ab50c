"""What an image is made of, and what of it nobody sees."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from buildprof.model.layer_files import LayerFiles


class WasteKind(StrEnum):
    """Why bytes of a layer are not seen, or are seen twice.

    REMOVED: a layer above takes the name away. OVERWRITTEN: a layer above puts something else there. METADATA_ONLY: a
    layer above has the same bytes once more, since mode, owner or time were changed. DUPLICATE: two visible files have
    the same bytes; that is reported and not part of what is wasted.
    """

    REMOVED = "removed"
    OVERWRITTEN = "overwritten"
    METADATA_ONLY = "metadata_only"
    DUPLICATE = "duplicate"


@dataclass(frozen=True, slots=True)
class ImageLayer:
    """One layer of an image to be analysed, the lowest first.

    `digest` is that of its uncompressed archive (`diff_id`). `command` is what the image's history says made it, ""
    if nothing does. `compressed_bytes` is the size of its blob where one is known. `is_base` marks the layers that came
    with FROM.
    """

    digest: str
    files: LayerFiles
    command: str = ""
    compressed_bytes: int | None = None
    is_base: bool = False


@dataclass(frozen=True, slots=True)
class Waste:
    """Bytes of a file that are wasted, or of a duplicate.

    `layer` is the index of the layer that has them, `caused_by_layer` that of the layer which made them waste; of a
    duplicate both are its own, and `same_as` is the path of the first file with the same bytes.
    """

    path: str
    bytes: int
    kind: WasteKind
    layer: int
    caused_by_layer: int
    same_as: str = ""


@dataclass(frozen=True, slots=True)
class LayerSummary:
    """What a layer adds and changes. `size_bytes` sums its files, each once however many names it has.

    `files_added`, `files_changed` and `files_removed` count names that are no directories, against what the layers
    below show. `wasted_bytes` are its own bytes that are wasted in the end.
    """

    index: int
    digest: str
    size_bytes: int
    compressed_bytes: int | None
    command: str
    is_base: bool
    files_added: int
    files_changed: int
    files_removed: int
    wasted_bytes: int


@dataclass(frozen=True, slots=True)
class ImageAnalysis:
    """An image's bytes. `wasted_bytes` = `stored_bytes` - `visible_bytes`; `efficiency` = visible / stored, 1 of nothing.

    `waste` has the MAX_WASTE largest of each kind, the largest first; `waste_bytes` sums all of each kind, and
    `waste_count` counts them. `own_wasted_bytes` is the part that layers above the base caused.
    """

    stored_bytes: int
    visible_bytes: int
    own_wasted_bytes: int
    layers: tuple[LayerSummary, ...]
    waste: tuple[Waste, ...]
    waste_bytes: dict[WasteKind, int]
    waste_count: dict[WasteKind, int]

    @property
    def wasted_bytes(self) -> int:
        """Bytes that no file of the image shows."""
        return self.stored_bytes - self.visible_bytes

    @property
    def base_wasted_bytes(self) -> int | None:
        """The part of it that the base image's own layers caused; None if no layer is known to be of the base."""
        return self.wasted_bytes - self.own_wasted_bytes if any(layer.is_base for layer in self.layers) else None

    @property
    def efficiency(self) -> float:
        """The share of the stored bytes that is seen."""
        return self.visible_bytes / self.stored_bytes if self.stored_bytes else 1.0


@dataclass(frozen=True, slots=True)
class FileGrowth:
    """A visible file that differs between two images: bytes before and after, None where it is not there.

    `layer` is the index of the layer that has it in the later image, in the earlier one if it is gone.
    """

    path: str
    before_bytes: int | None
    after_bytes: int | None
    layer: int


@dataclass(frozen=True, slots=True)
class LayerStep:
    """The step that made a layer: its build, its id there, and its lines in the Dockerfile."""

    ref: str
    step_id: str
    lines: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class ImageReport:
    """An analysed image. `image` is what it was asked for as, `id` the engine's, or the digest of its configuration.

    `size_bytes` is as the engine counts it, None for an archive. `steps` has the step that made each layer, None of a
    layer whose build is not known, as those of a base image.
    """

    image: str
    id: str
    analysis: ImageAnalysis
    size_bytes: int | None = None
    steps: tuple[LayerStep | None, ...] = ()
