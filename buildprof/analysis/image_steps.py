"""Which steps of a build made the layers of its image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from buildprof.model.build import Build, Source
from buildprof.model.image import LayerStep
from buildprof.model.step import Kind, Step

_ROOTED_KINDS = frozenset({Kind.FROM, Kind.RUN, Kind.COPY, Kind.ADD, Kind.WORKDIR, Kind.MERGE})


def image_steps(build: Build, platform: str = "") -> list[Step]:
    """The steps whose layers are in the image, the lowest first; of several platforms that one's, else the last one's.

    They are found from the last step that has a layer, back along the file system that each step stands on.
    """
    return [step for step in reversed(_chain(build, platform)) if step.layer is not None]


def layer_steps(steps: Sequence[Step], platform: str = "") -> list[Step]:
    """The same of all the steps of a build."""
    return [step for step in reversed(_last_chain(steps, platform)) if step.layer is not None]


def steps_of_layers(
    build: Build, digests: Sequence[str], platform: str = ""
) -> tuple[tuple[LayerStep | None, ...], int]:
    """The step of each layer of the build's image, None of those that came with FROM; and how many those are.

    `digests` are those of the layers, the lowest first. Where the steps tell other ones, as those of packed layers with
    containerd's image store, they are taken from the top down. Where nothing fits, no layer has a step and none is
    known to be of the base.
    """
    whole = [step for step in reversed(_chain(build, platform)) if step.kind is not Kind.FROM]
    chain = [step for step in whole if step.layer is not None]
    made = [step.layer.digest for step in chain if step.layer is not None]
    nothing: tuple[LayerStep | None, ...] = (None,) * len(digests)
    found: list[Step | None] = [None] * len(digests)
    # BuildKit makes a layer of every step: of one without, it is not known, and of a build without any, nothing is.
    is_partial = build.source is not Source.CLASSIC and len(chain) < len([step for step in whole if step.cacheable])
    is_silent = not whole and any(step.cacheable and step.kind is not Kind.FROM for step in build.steps)
    if is_partial or is_silent or not all(made) or len(made) > len(digests):
        return nothing, 0
    at = len(digests)
    if set(made) <= set(digests):  # in their order, the last that is equal: a digest can be there twice
        for step, digest in zip(reversed(chain), reversed(made), strict=True):
            at = next((index for index in range(at - 1, -1, -1) if digests[index] == digest), -1)
            if at < 0:
                return nothing, 0
            found[at] = step
    elif set(made).isdisjoint(digests):
        at -= len(made)
        found[at:] = chain
    else:
        return nothing, 0
    return tuple(None if step is None else LayerStep(build.ref, step.id, step.lines) for step in found), at


def _chain(build: Build, platform: str) -> list[Step]:
    """The steps that made the image, last one first. Of the classic builder's the last may have made no layer."""
    if build.source is not Source.CLASSIC:
        return _last_chain(build.steps, platform)
    by_id = {step.id: step for step in build.steps}
    chain: dict[str, Step] = {}
    step = build.steps[-1] if build.steps else None
    while step is not None and step.id not in chain:  # each instruction stands on the one before, ENV too
        chain[step.id] = step
        step = by_id.get(step.inputs[0]) if step.inputs else None
    return [step for step in chain.values() if step.kind in _ROOTED_KINDS]


def _last_chain(steps: Sequence[Step], platform: str) -> list[Step]:
    """The steps that made the image, last one first."""
    by_id = {step.id: step for step in steps}
    used = {parent for step in steps if step.kind in _ROOTED_KINDS for parent in step.inputs}
    ends = [step for step in reversed(steps) if step.layer is not None and step.id not in used]
    if platform and len({step.platform for step in ends}) > 1:
        ends = [step for step in ends if step.platform == platform]
    step = next(iter(ends), None)
    chain: dict[str, Step] = {}
    while step is not None and step.id not in chain:
        chain[step.id] = step
        step = _stands_on(step, by_id)
    return list(chain.values())


def _stands_on(step: Step, by_id: Mapping[str, Step]) -> Step | None:
    """The step that made a step's root file system; None on `FROM scratch`.

    BuildKit lists the root file system first among a vertex' inputs, before what is copied or mounted (seen on 28.5).
    On scratch there is none, so that the only input of a COPY --from is what it copies.
    """
    if step.kind in {Kind.COPY, Kind.ADD} and len(step.inputs) == 1 and "--from=" in step.command:
        return None
    return next((by_id[i] for i in step.inputs if i in by_id and by_id[i].kind in _ROOTED_KINDS), None)
