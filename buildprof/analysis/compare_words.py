"""What is said of two builds that are compared: what differs in all, and which steps are worth a line."""

from __future__ import annotations

from buildprof.analysis.bases import BaseChange
from buildprof.analysis.build_words import growth_bytes
from buildprof.analysis.compare import Comparison, StepPair
from buildprof.analysis.growth import ImageGrowth, LayerGrowth
from buildprof.model.image import FileGrowth
from buildprof.model.text import clean, human_size, plural, said_duration

NOTABLE_SECONDS = 0.05
"""A smaller difference is shown as none: the next run would have another."""

_DIGEST_CHARACTERS = 12


def is_notable(pair: StepPair) -> bool:
    """Whether a step differs by more than chance: of what nobody wrote only the outcome and the time count."""
    if pair.step.position is not None and (pair.change != "same" or pair.difference_bytes):
        return True
    return pair.change == "outcome" or abs(pair.difference_seconds or 0.0) >= NOTABLE_SECONDS


def differences_said(comparison: Comparison) -> list[str]:
    """The sums that are known: wall time, work in the steps, size of the image."""
    before, after = comparison.before, comparison.after
    parts = []
    if before.duration_seconds is not None and after.duration_seconds is not None:
        parts.append(f"{signed_duration(after.duration_seconds - before.duration_seconds)} in all")
    if comparison.difference_seconds is not None:
        parts.append(f"{signed_duration(comparison.difference_seconds)} of work in the steps")
    if (grown := growth_bytes(after.image, before.image)) is not None:
        parts.append(f"{signed_size(grown)} of image")
    return parts


def other_base_said(change: BaseChange) -> str:
    """An image that is another now. What comes last may give way where the name is long."""
    name = clean(change.image, 200)
    if change.before is None or change.after is None:
        return f"{name} is another image now"
    before, after = (
        clean(digest).removeprefix("sha256:")[:_DIGEST_CHARACTERS] for digest in (change.before, change.after)
    )
    return f"{name} is another image: {after} now, {before} before"


def signed_duration(seconds: float) -> str:
    """Such as "+1.2 s" or "-53 ms"; what is not notable is "0 s"."""
    if abs(seconds) < NOTABLE_SECONDS:
        return "0 s"
    return ("+" if seconds > 0 else "-") + said_duration(abs(seconds))


def signed_size(size_bytes: int) -> str:
    """Such as "+1.2 MB"."""
    return ("+" if size_bytes > 0 else "") + human_size(size_bytes)


def layers_said(growth: ImageGrowth) -> str:
    """What the layers of two images differ by in all."""
    difference = growth.stored_after_bytes - growth.stored_before_bytes
    common = f"{growth.common_layers} {plural(growth.common_layers, 'layer')} in common"
    return f"{signed_size(difference)} stored, {common}"


def changed_layers(growth: ImageGrowth, most: int) -> list[LayerGrowth]:
    """The layers that differ in size, the largest difference first."""
    changed = [layer for layer in growth.layers if layer.difference_bytes]
    return sorted(changed, key=lambda one: -abs(one.difference_bytes))[:most]


def layer_name(layer: LayerGrowth) -> str:
    """The command that made a layer."""
    return clean(layer.command, 300) or "a layer that nothing names"


def files_said(growth: ImageGrowth) -> str:
    """How many files differ and by what; "" if none does."""
    if not growth.file_count:
        return ""
    count = f"{growth.file_count:,} files differ" if growth.file_count > 1 else "1 file differs"
    sums = " and ".join(signed_size(size) for size in (growth.grown_bytes, -growth.shrunk_bytes) if size) or "as large"
    return f"{count}: {sums}"


def file_difference_bytes(file: FileGrowth) -> int:
    """After less before; a file that is not there has no bytes."""
    return (file.after_bytes or 0) - (file.before_bytes or 0)


def file_note(file: FileGrowth) -> str:
    """What else is to be said of a file: that it came, went, or has other bytes of the same number."""
    notes = {
        file.before_bytes is None: "new",
        file.after_bytes is None: "gone",
        file.before_bytes == file.after_bytes: "as large, other bytes",
    }
    return notes.get(True, "")
