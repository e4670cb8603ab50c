"""What to do about the waste in an image, in a sentence for each layer that causes much of it. Pure."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from buildprof.model.image import ImageAnalysis, Waste, WasteKind
from buildprof.model.text import clean, human_size, plural

NOTABLE_SHARE = 0.001
"""Waste below this share of the image is not worth a sentence."""

MAX_ADVICE = 3
_COMMAND_CHARS = 40

_CACHES = (
    ("var/cache/apt/", "--mount=type=cache,target=/var/cache/apt"),
    ("var/lib/apt/lists/", "--mount=type=cache,target=/var/lib/apt/lists"),
    ("root/.cache/pip/", "--mount=type=cache,target=/root/.cache/pip"),
    ("root/.npm/", "--mount=type=cache,target=/root/.npm"),
    ("root/.cache/go-build/", "--mount=type=cache,target=/root/.cache/go-build"),
    ("go/pkg/mod/", "--mount=type=cache,target=/go/pkg/mod"),
    ("root/.cargo/registry/", "--mount=type=cache,target=/root/.cargo/registry"),
    ("root/.m2/", "--mount=type=cache,target=/root/.m2"),
    ("var/cache/apk/", "--mount=type=cache,target=/var/cache/apk"),
)
"""Directories of package managers that nothing in the image needs, and the mount that keeps them out of it."""


@dataclass(slots=True)
class _Group:
    """Waste of one kind, in one layer, caused by one layer."""

    bytes: int = 0
    count: int = 0
    paths: list[str] = field(default_factory=list)


def image_advice(analysis: ImageAnalysis) -> list[str]:
    """Sentences, the one that would save most first; about the Dockerfile's own layers only, since a base is another's."""
    groups: defaultdict[tuple[WasteKind, int, int], _Group] = defaultdict(_Group)
    for waste in analysis.waste:
        if _is_own(waste, analysis):
            group = groups[waste.kind, waste.layer, waste.caused_by_layer]
            group.bytes += waste.bytes
            group.count += 1
            group.paths.append(waste.path)
    notable = analysis.stored_bytes * NOTABLE_SHARE
    ordered = sorted(groups.items(), key=lambda item: (-item[1].bytes, item[0]))
    return [_sentence(*key, group, analysis) for key, group in ordered if group.bytes > notable][:MAX_ADVICE]


def _is_own(waste: Waste, analysis: ImageAnalysis) -> bool:
    return not analysis.layers[waste.caused_by_layer].is_base


def _sentence(  # noqa: PLR0911  # a case for each
    kind: WasteKind, layer: int, by: int, group: _Group, analysis: ImageAnalysis
) -> str:
    size = f"{human_size(group.bytes)} in {group.count:,} {plural(group.count, 'file')}"
    there, here = _named(analysis, layer), _named(analysis, by)
    match kind:
        case WasteKind.REMOVED:
            mount = next((mount for head, mount in _CACHES if any(path.startswith(head) for path in group.paths)), "")
            if analysis.layers[layer].is_base:
                return f"{here} removes {size} of the base image, which stays as large: choose a smaller base."
            if mount and there != here:
                return f"{here} removes {size} that stays in {there}: give that RUN {mount}, or remove it there."
            if _is_copy(analysis, layer):
                return f"{here} removes {size} that stays in {there}: leave it out with .dockerignore, or mount it."
            return f"{here} removes {size} that stays in {there}: remove it in the same RUN, or build it in a stage."
        case WasteKind.OVERWRITTEN:
            return f"{here} replaces {size} that stays in {there}: put it there once, in the step that has it final."
        case WasteKind.METADATA_ONLY:
            flag = "give COPY --chown or --chmod" if _is_copy(analysis, layer) else "set owner and mode in that RUN"
            return f"{here} changes only owner, mode or time of {size} of {there}, which are stored twice: {flag}."
        case WasteKind.DUPLICATE:
            return f"{size} of {there}: the same bytes are there under another name: link to it, or copy them once."


def _named(analysis: ImageAnalysis, index: int) -> str:
    layer = analysis.layers[index]
    if layer.is_base:
        return "the base image"
    command = clean(layer.command, _COMMAND_CHARS)
    return f"layer {index + 1} ({command})" if command else f"layer {index + 1}"


def _is_copy(analysis: ImageAnalysis, index: int) -> bool:
    return analysis.layers[index].command.upper().startswith(("COPY", "ADD"))
