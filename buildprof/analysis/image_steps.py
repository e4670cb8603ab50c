"""Which steps of a build made the layers of its image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from buildprof.model.build import Build
from buildprof.model.image import LayerStep
from buildprof.model.step import Kind, Step

_ROOTED_KINDS = frozenset({Kind.FROM, Kind.RUN, Kind.COPY, Kind.ADD, Kind.WORKDIR, Kind.MERGE})


def image_steps(build: Build) -> list[Step]:
    """The steps whose layers are in the image, the lowest first; of several platforms the last one's.

    They are found from the last step that has a layer, back along the file system that each step stands on.
    """
    return [step for step in reversed(_last_chain(build)) if step.layer is not None]


def steps_of_layers(build: Build, digests: Sequence[Sequence[str]]) -> tuple[LayerStep | None, ...]:
    """The step of each layer of the build's image, None of those that came with FROM.

    `digests` are those that each layer is known by, the lowest first: of its archive, and of its blob. Where the steps
    tell no digest, as the classic builder's do not, or other ones, they are taken from the top down.
    """
    chain = [step for step in image_steps(build) if step.kind is not Kind.FROM]
    known = {
        step.layer.digest: step
        for step in (*build.steps, *chain)  # a digest of several steps is that of the image's own
        if step.layer is not None and step.layer.digest and step.kind is not Kind.FROM
    }
    found = [next((known[one] for one in names if one in known), None) for names in digests]
    if not any(found) and len(chain) <= len(digests):
        found[len(digests) - len(chain) :] = chain
    return tuple(None if step is None else LayerStep(build.ref, step.id, step.lines) for step in found)


def base_layers(steps: Sequence[LayerStep | None]) -> int:
    """How many layers came with FROM: those below the first that a step made; 0 where no step is known."""
    return next((index for index, step in enumerate(steps) if step is not None), 0)


def _last_chain(build: Build) -> list[Step]:
    """The steps that made the image, last one first."""
    by_id = {step.id: step for step in build.steps}
    used = {parent for step in build.steps if step.kind in _ROOTED_KINDS for parent in step.inputs}
    step = next((s for s in reversed(build.steps) if s.layer is not None and s.id not in used), None)
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
