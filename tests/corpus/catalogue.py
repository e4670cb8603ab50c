"""All scenarios, by name, and where each runs."""

from __future__ import annotations

from tests.corpus import arguments, classic, histories, images, instructions, records, sources, unchanged
from tests.corpus.scenario import Scenario

SCENARIOS: tuple[Scenario, ...] = (
    *instructions.FIRST_BUILDS,
    *instructions.INSTRUCTIONS,
    *sources.FILES,
    *sources.FOLDERS,
    *sources.IGNORING,
    *arguments.ARGUMENTS,
    *arguments.OPTIONS,
    *images.IMAGES,
    *images.REMOTES,
    *unchanged.UNCHANGED,
    *histories.BRANCHES,
    *histories.MISHAPS,
    *histories.GROUPS,
    *records.EVICTIONS,
    *records.BUILDERS,
    *classic.CLASSIC,
)

RUNS: tuple[tuple[Scenario, str], ...] = tuple((one, where) for one in SCENARIOS for where in one.on)
"""Each scenario on each engine that it is meant for."""
