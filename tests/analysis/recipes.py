"""Builds in a few words: a chain of steps whose recipes are given by their instructions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from buildprof.model.build import Build, Engine, Options, Source, Status
from buildprof.model.recipe import ContextUse, Recipe, Written
from buildprof.model.step import Kind, Outcome, Step

SECOND_NS = 1_000_000_000


def stage(*texts: str, name: str = "", outcomes: str = "", first: int = 2, **recipes: dict[str, Any]) -> list[Step]:
    """The steps of a stage. `outcomes` has a letter for each step: h(it), m(iss), f(ailed), s(kipped); all hit without.

    Instructions that make no step stand before the next one. `recipes` change recipes: `at_2={...}` of the second step.
    """
    steps: list[Step] = []
    before: list[Written] = []
    for line, text in enumerate(texts, first):
        keyword, _, command = text.partition(" ")
        written = Written(text, (line, line))
        if keyword not in ("RUN", "COPY", "ADD", "WORKDIR"):
            before.append(written)
            continue
        number = len(steps) + 1
        letter = outcomes[number - 1] if outcomes else "h"
        outcome = {"h": Outcome.HIT, "m": Outcome.MISS, "f": Outcome.FAILED, "s": Outcome.SKIPPED}[letter]
        takes = (ContextUse(path=command.split()[0].strip("./")),) if keyword == "COPY" and "--" not in text else ()
        recipe = Recipe(written, tuple(before), is_exact=True, takes=takes)
        if not steps:
            recipe = replace(recipe, images=(("base:latest", "sha256:b1"),))
        recipe = replace(recipe, **recipes.get(f"at_{number}", {}))
        before = []
        steps.append(
            Step(
                f"{name}{number}", text, Kind(keyword.lower()), outcome, stage=name, position=number + 1, of=9,
                instruction=keyword, command=command, lines=(line, line), cacheable=True, recipe=recipe,
                inputs=(steps[-1].id,) if steps else (), started_ns=number * SECOND_NS,
                completed_ns=(number + 1) * SECOND_NS, duration_seconds=1.0,
            )
        )  # fmt: skip
    return steps


def a_build(ref: str, *steps: Step, **changes: Any) -> Build:
    started_ns = int.from_bytes(ref[-1:].encode()) * 100 * SECOND_NS
    steps = tuple(
        replace(one, started_ns=started_ns + (one.started_ns or 0), completed_ns=started_ns + (one.completed_ns or 0))
        for one in steps
    )
    build = Build(
        ref, "default", Engine("docker", "28"), Source.BUILDKIT, "shop", "default", Status.COMPLETED, started_ns,
        completed_ns=started_ns + 50 * SECOND_NS, options=Options(), steps=steps,
    )  # fmt: skip
    return replace(build, **changes)
