"""Two builds, step by step."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from buildprof.analysis.alignment import align
from buildprof.analysis.bases import BaseChange, base_changes, is_on_other
from buildprof.analysis.reading_order import reading_order
from buildprof.model.build import Build
from buildprof.model.document import Document, build_document, rounded_seconds, step_document
from buildprof.model.step import Kind, Step

Change = Literal["same", "outcome", "base", "edited", "added", "removed"]


@dataclass(frozen=True, slots=True)
class StepPair:
    """A step of both builds; `before` is None for one that came, `after` for one that went.

    `is_other_base` marks a FROM whose image is another under the same name.
    """

    before: Step | None
    after: Step | None
    is_other_base: bool = False

    @property
    def step(self) -> Step:
        """The one to name the pair by: the later where there is one."""
        step = self.after or self.before
        if step is None:
            raise ValueError("a pair has at least one step")
        return step

    @property
    def change(self) -> Change:
        """What became of the step, beside its time and size."""
        if self.before is None:
            return "added"
        if self.after is None:
            return "removed"
        if step_text(self.before) != step_text(self.after):
            return "edited"
        if self.is_other_base:
            return "base"
        return "same" if self.before.outcome is self.after.outcome else "outcome"

    @property
    def difference_seconds(self) -> float | None:
        """After less before; a step that is not in a build took no time there. None if a time is unknown."""
        after, before = _seconds(self.after), _seconds(self.before)
        return None if after is None or before is None else after - before

    @property
    def difference_bytes(self) -> int | None:
        """After less before of the layers; None unless both builds have the step and both sizes are known.

        None of another base too: a FROM has only the base's last layer. One layer has one size, though it is told in
        two ways: as the engine counts it, and once the image was analysed by its files.
        """
        if self.before is None or self.after is None or self.is_other_base:
            return None
        if self.before.layer and self.after.layer and self.before.layer.digest == self.after.layer.digest != "":
            return 0
        before, after = step_size_bytes(self.before), step_size_bytes(self.after)
        return None if before is None or after is None else after - before


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two builds and their steps, in the reading order of the later build; what went stands before what followed it.

    There are no pairs if the steps of either build are not known. `bases` are images that are others under the same
    name; digests of them are known only of builds that have their recipes. `difference_seconds` sums over all steps: it is work,
    not wall time, since steps run side by side.
    """

    before: Build
    after: Build
    pairs: tuple[StepPair, ...]
    bases: tuple[BaseChange, ...] = ()

    @property
    def difference_seconds(self) -> float | None:
        """The summed difference of all steps whose times are known, seconds; None if the steps are not known."""
        if not self.pairs:
            return None
        return sum(pair.difference_seconds or 0.0 for pair in self.pairs)


def step_size_bytes(step: Step) -> int | None:
    """What a step made or moved: its layer, else its cache record, else the bytes that it transferred.

    A base image that was there already has moved nothing, which says nothing about its size: None.
    """
    if step.layer is not None and step.layer.size_bytes is not None and step.layer.size_bytes >= 0:
        return step.layer.size_bytes
    size = step.stored_bytes if step.stored_bytes is not None else step.transferred_bytes
    return (size or None) if step.kind is Kind.FROM else size


def step_text(step: Step) -> str:
    """What somebody wrote in the Dockerfile: of a base image not the digest, which a tag gets by itself.

    "" for internal steps: nobody edits those.
    """
    if step.position is None:
        return ""
    command = step.command.partition("@sha256:")[0] if step.kind is Kind.FROM else step.command
    return f"{step.instruction} {command}".strip()


def compare_builds(before: Build, after: Build) -> Comparison:
    """Align the steps of two builds, see `alignment.align`."""
    if not before.steps or not after.steps:
        return Comparison(before, after, ())
    partners = align(before, after).partners
    both = [(partners[step.id], step) for step in after.steps if step.id in partners]
    bases = base_changes(both, one_builder=before.builder == after.builder)
    order = _in_order(reading_order(before.steps), reading_order(after.steps), partners)
    pairs = (replace(pair, is_other_base=is_on_other(pair.step, bases)) if pair.before else pair for pair in order)
    return Comparison(before, after, tuple(pairs), bases)


def _in_order(before: list[Step], after: list[Step], partners: dict[str, Step]) -> Iterable[StepPair]:
    """The later build's order; a step that went stands before the next one of the earlier build that stayed."""
    kept = {step.id for step in partners.values()}
    gone_before: dict[str, list[Step]] = {}
    gone: list[Step] = []
    for step in before:
        if step.id in kept:
            gone_before[step.id], gone = gone, []
        else:
            gone.append(step)
    for step in after:
        partner = partners.get(step.id)
        if partner is not None:
            yield from (StepPair(removed, None) for removed in gone_before[partner.id])
        yield StepPair(partner, step)
    yield from (StepPair(removed, None) for removed in gone)


def _seconds(step: Step | None) -> float | None:
    """A step that is absent or never ran took no time; one that still runs has a time not known yet."""
    if step is None or step.started_ns is None:
        return 0.0
    return step.duration_seconds


def compare_document(comparison: Comparison) -> Document:
    """The JSON of `compare`: heads of both builds, then the pairs with steps as in `show`."""
    return {
        "before": build_document(comparison.before, with_steps=False),
        "after": build_document(comparison.after, with_steps=False),
        "difference_seconds": rounded_seconds(comparison.difference_seconds),
        "bases": [{"image": one.image, "before": one.before, "after": one.after} for one in comparison.bases],
        "steps": [
            {
                "name": pair.step.name,
                "change": pair.change,
                "difference_seconds": rounded_seconds(pair.difference_seconds),
                "difference_bytes": pair.difference_bytes,
                "before": None if pair.before is None else step_document(pair.before),
                "after": None if pair.after is None else step_document(pair.after),
            }
            for pair in comparison.pairs
        ],
    }
