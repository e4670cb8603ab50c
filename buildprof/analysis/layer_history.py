"""How large the layers are that the steps of a target put into its images, build by build. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from buildprof.analysis.image_steps import layer_steps
from buildprof.model.step import Kind, Step
from buildprof.model.text import clean

NAME_CHARS = 80
OTHERS = "other layers"


@dataclass(frozen=True, slots=True)
class LayerSizes:
    """One layer's bytes in each of the builds, None where a build has no such layer, or its size is not known."""

    name: str
    sizes: tuple[int | None, ...]


def layer_history(builds: Sequence[Sequence[Step]], most: int) -> list[LayerSizes]:
    """The layers of a series of builds, each given as its steps: the `most` largest of the last builds that have them, and what the others add up to.

    A layer is that of one step, whatever its digest is. Layers that came with FROM are left out, of which only the last
    is known; so are layers without bytes.
    """
    names: dict[str, str] = {}
    sizes: dict[str, dict[int, int]] = {}
    for place, steps in enumerate(builds):
        for step in layer_steps(steps):
            if step.kind is Kind.FROM or step.layer is None or not step.layer.size_bytes:
                continue
            key = step.identity or f"{step.stage} {step.instruction} {step.command}"
            names[key] = _name(step)
            sizes.setdefault(key, {})[place] = step.layer.size_bytes
    ordered = sorted(sizes, key=lambda key: (-sizes[key][max(sizes[key])], names[key]))
    shown = [_series(names[key], [sizes[key]], len(builds)) for key in ordered[:most]]
    rest = [sizes[key] for key in ordered[most:]]
    return [*shown, _series(OTHERS, rest, len(builds))] if rest else shown


def _series(name: str, many: Sequence[dict[int, int]], count: int) -> LayerSizes:
    known = [[one[place] for one in many if place in one] for place in range(count)]
    return LayerSizes(name, tuple(sum(sizes) if sizes else None for sizes in known))


def _name(step: Step) -> str:
    return clean(f"{step.instruction} {step.command}", NAME_CHARS) or clean(step.name, NAME_CHARS) or "a step"
