"""What a build is measured by against its own past, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Signal(StrEnum):
    """A figure of a build that can get worse. The values are those of the label `signal`.

    All are worse when larger, but for the hit ratio. CACHED_STEPS has no figure: it tells of steps that the cache used
    to serve and has lost.
    """

    DURATION_SECONDS = "duration_seconds"
    EXECUTED_SECONDS = "executed_seconds"
    HIT_RATIO = "hit_ratio"
    IMAGE_SIZE_BYTES = "image_size_bytes"
    CONTEXT_BYTES = "context_bytes"
    CACHED_STEPS = "cached_steps"


MEASURED = tuple(signal for signal in Signal if signal is not Signal.CACHED_STEPS)
"""The signals that have a figure."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The figures of one completed build by signal; one that is unknown is left out.

    `dockerfile` is its path as far as the project's root, which tells what of a repository was built; `platform` is what
    it was built for, several joined by commas; both are "" where nobody knows. `is_cold` tells of a build that had no cache to use.
    `steps_lost` are identities of steps that missed though their inputs were the same.
    """

    ref: str
    builder: str
    dockerfile: str
    platform: str
    started_ns: int
    completed_ns: int
    is_cold: bool
    figures: Mapping[Signal, float] = field(default_factory=dict)
    steps_lost: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Baseline:
    """What is usual by so many good builds; a figure beyond `threshold` is not."""

    median: float
    threshold: float
    builds: int


@dataclass(frozen=True, slots=True)
class Standing:
    """How a signal stands after a series of builds, which are named by their places in it.

    `baseline` is None until enough builds are known. `since` is the first build of an active regression, None without
    one. `good` are the last builds that the baseline is of.
    """

    baseline: Baseline | None = None
    since: int | None = None
    good: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class StepGrowth:
    """A step that takes longer, or makes more, than it did: medians, in the unit of the signal, seconds or bytes.

    `before` is None for a step that is new. `name` is for people: "RUN npm ci (Dockerfile:4)".
    """

    step_id: str
    name: str
    before: float | None
    now: float

    @property
    def difference(self) -> float:
        """Now less before."""
        return self.now - (self.before or 0.0)


@dataclass(frozen=True, slots=True)
class NewMiss:
    """A root miss that came with a regression, of a step that used to hit; `sentence` says why it missed."""

    step_id: str
    cause: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Changes:
    """What changed with a regression, the largest first, and the same in one sentence."""

    steps: tuple[StepGrowth, ...] = ()
    misses: tuple[NewMiss, ...] = ()
    sentence: str = ""


@dataclass(frozen=True, slots=True)
class Regression:
    """One signal of one target that is worse than usual, since the build with the ref `since_ref`.

    `builds` counts those since then, `last_ref` is the newest of them and `value` its figure. `value`, `median` and
    `threshold` are None for CACHED_STEPS.
    """

    signal: Signal
    builder: str
    dockerfile: str
    platform: str
    is_cold: bool
    since_ref: str
    since_ns: int
    last_ref: str
    builds: int
    value: float | None = None
    median: float | None = None
    threshold: float | None = None
    changes: Changes = field(default_factory=Changes)
