"""Figures of builds that are made up, with what is true of them: where they got worse, and where they only seem to."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from buildprof.model.regression import Signal

DAY_NS = 86_400 * 10**9
WORKING_DAYS = 5
START_NS = 1_790_000_000 * 10**9


@dataclass(frozen=True, slots=True)
class Worse:
    """Builds `first` to `last`, by place, are worse than they were. A drift can be noticed from `noticeable` on."""

    first: int
    last: int
    noticeable: int


@dataclass(frozen=True, slots=True)
class Series:
    """Builds of one target: when they began and one figure of each, oldest first; `worse` is the label."""

    kind: str
    signal: Signal
    times_ns: tuple[int, ...]
    figures: tuple[float, ...]
    worse: tuple[Worse, ...]


Maker = Callable[[random.Random], Series]


def make_series(seed: int, share: float = 1.0) -> list[Series]:
    """500 series, the same ones for a seed; of each kind its share."""
    chance = random.Random(seed)
    return [make(chance) for make, count in _MAKERS for _ in range(max(1, round(count * share)))]


def _steps(chance: random.Random) -> Series:
    """A level that rises at once, by 30 % at least and by five times the noise, and stays or is mended."""
    count = chance.randint(60, 120)
    spread, noise = _noise(chance, count)
    first = chance.randint(15, count - 12)
    last = count - 1 if chance.random() < 0.5 else min(count - 1, first + chance.randint(5, 18))
    factor = 1 + max(chance.uniform(0.3, 2.0), 5 * spread)
    base = _seconds(chance)
    figures = [base * one * (factor if first <= place <= last else 1) for place, one in enumerate(noise)]
    if chance.random() < 0.3:
        _add_spikes(chance, figures, 0.03)
    return _durations(chance, "step", figures, Worse(first, last, first))


def _drifts(chance: random.Random) -> Series:
    """A level that rises by 1 to 4 % of the first with every build, until it is half or twice as high again."""
    count = chance.randint(90, 130)
    spread, noise = _noise(chance, count)
    first, slope, top = chance.randint(20, 40), chance.uniform(0.01, 0.04), chance.uniform(1.5, 2.5)
    levels = [min(top, 1 + slope * max(0, place - first)) for place in range(count)]
    noticeable = next(place for place in range(count) if levels[place] >= 1 + max(0.25, 3 * spread))
    base = _seconds(chance)
    figures = [base * one * level for one, level in zip(noise, levels, strict=True)]
    return _durations(chance, "drift", figures, Worse(first, count - 1, noticeable))


def _spikes(chance: random.Random) -> Series:
    """One build in 10 to 50 takes up to six times as long, now and then two in a row: nothing has changed."""
    figures = _level(chance, chance.randint(60, 120))
    _add_spikes(chance, figures, chance.uniform(0.02, 0.1))
    return _durations(chance, "spikes", figures)


def _noises(chance: random.Random) -> Series:
    """Much noise, a busy machine, two ways to build (code or words changed), builds that take no time: nothing changed."""
    count, base = chance.randint(60, 120), _seconds(chance)
    match chance.randrange(4):
        case 0:
            spread = chance.uniform(0.15, 0.4)
            figures = [base * math.exp(chance.gauss(0, spread)) for _ in range(count)]
        case 1:
            figures = [base * one for one in _busy(chance, count, 0.7, chance.uniform(0.05, 0.12))]
        case 2:
            share, longer = chance.uniform(0.2, 0.8), chance.uniform(2, 8)
            figures = [base * (longer if chance.random() < share else 1) * chance.gauss(1, 0.05) for _ in range(count)]
        case _:
            figures = [chance.uniform(0.3, 1.2) + abs(chance.gauss(0, 0.15)) for _ in range(count)]
    return _durations(chance, "noise", figures)


def _weekdays(chance: random.Random) -> Series:
    """On one day of the week builds take up to half as long again; in some series a regression comes on top."""
    count, slow, weekday = chance.randint(80, 130), chance.uniform(1.15, 1.5), chance.randrange(WORKING_DAYS)
    spread, noise = _noise(chance, count)
    a_day = chance.uniform(1, 10)
    times_ns = _times(chance, count, a_day)
    base = _seconds(chance)
    days = [(at_ns - START_NS) // DAY_NS % 7 for at_ns in times_ns]
    figures = [base * one * (slow if day == weekday else 1) for one, day in zip(noise, days, strict=True)]
    worse: tuple[Worse, ...] = ()
    if chance.random() < 0.4:
        first = chance.randint(min(count - 15, max(30, round(6 * a_day))), count - 10)
        factor = slow * (1 + max(0.3, 5 * spread) * chance.uniform(1, 2))
        figures = [figure * (factor if place >= first else 1) for place, figure in enumerate(figures)]
        worse = (Worse(first, count - 1, first),)
    return Series("weekday", Signal.DURATION_SECONDS, tuple(times_ns), tuple(figures), worse)


def _new_projects(chance: random.Random) -> Series:
    """A Dockerfile that is being written: builds grow up to four times as long, and then stay. Nothing got worse."""
    noise = _level(chance, chance.randint(3, 40))
    grows, factor = chance.randint(2, 8), chance.uniform(1, 4)
    figures = [one * (1 + (factor - 1) * min(1, place / grows)) for place, one in enumerate(noise)]
    return _durations(chance, "new project", figures)


def _lost_gains(chance: random.Random) -> Series:
    """A level that falls, and rises again to what it was at first: worse than it was last."""
    count = chance.randint(90, 120)
    spread, noise = _noise(chance, count)
    fall = chance.randint(25, 35)
    rise = fall + chance.randint(25, 40)
    low = min(chance.uniform(0.3, 0.65), 1 / (1 + 5 * spread))
    base = _seconds(chance)
    figures = [base * one * (low if fall <= place < rise else 1) for place, one in enumerate(noise)]
    return _durations(chance, "lost gain", figures, Worse(rise, count - 1, rise))


def _hit_ratios(chance: random.Random) -> Series:
    """Hits among 6 to 20 steps, all of them now and then; in some series many are lost, for good."""
    count, steps, usual = chance.randint(60, 110), chance.randint(6, 20), chance.uniform(0.6, 0.95)
    first = chance.randint(20, count - 12)
    spread = math.sqrt(usual * (1 - usual) / steps)
    broken = max(0.0, usual - max(chance.uniform(0.3, 0.6), 4 * spread))
    breaks = chance.random() < 0.6
    figures = []
    for place in range(count):
        is_broken = breaks and place >= first
        share = broken if is_broken else 1.0 if chance.random() < 0.3 else usual
        figures.append(sum(chance.random() < share for _ in range(steps)) / steps)
    worse = (Worse(first, count - 1, first),) if breaks else ()
    return Series("hit ratio", Signal.HIT_RATIO, tuple(_times(chance, count)), tuple(figures), worse)


def _image_sizes(chance: random.Random) -> Series:
    """Sizes that grow by a hair with each build; in some series by 15 % at least at once."""
    count, size, growth = chance.randint(40, 110), chance.uniform(2e7, 2e9), chance.uniform(0, 0.0005)
    first, factor, jumps = chance.randint(15, count - 8), chance.uniform(1.15, 2), chance.random() < 0.6
    figures = []
    for place in range(count):
        size *= 1 + growth * chance.random()
        figures.append(float(round(size * (factor if jumps and place >= first else 1))))
    worse = (Worse(first, count - 1, first),) if jumps else ()
    return Series("image size", Signal.IMAGE_SIZE_BYTES, tuple(_times(chance, count)), tuple(figures), worse)


_MAKERS: Sequence[tuple[Maker, int]] = (
    (_steps, 150),
    (_drifts, 50),
    (_spikes, 60),
    (_noises, 60),
    (_weekdays, 60),
    (_new_projects, 40),
    (_lost_gains, 30),
    (_hit_ratios, 30),
    (_image_sizes, 20),
)


def _noise(chance: random.Random, count: int) -> tuple[float, list[float]]:
    """Factors around 1: normal, skewed, or of a machine that is busy for some builds. With their rough spread."""
    spread = chance.uniform(0.02, 0.12)
    match chance.randrange(3):
        case 0:
            return spread, [max(0.3, chance.gauss(1, spread)) for _ in range(count)]
        case 1:
            return spread, [
                math.exp(chance.gauss(0, spread)) * (1 + chance.expovariate(2 / spread)) for _ in range(count)
            ]
        case _:
            return spread, _busy(chance, count, 0.6, 0.8 * spread)


def _busy(chance: random.Random, count: int, memory: float, spread: float) -> list[float]:
    """Noise of which each build has a part of the one before."""
    factors, state = [], 0.0
    for _ in range(count):
        state = memory * state + chance.gauss(0, spread)
        factors.append(math.exp(state))
    return factors


def _level(chance: random.Random, count: int) -> list[float]:
    base = _seconds(chance)
    return [base * one for one in _noise(chance, count)[1]]


def _seconds(chance: random.Random) -> float:
    """How long a build takes: from 5 seconds to 10 minutes."""
    return math.exp(chance.uniform(math.log(5), math.log(600)))


def _add_spikes(chance: random.Random, figures: list[float], share: float) -> None:
    place = 0
    while place < len(figures):
        if chance.random() < share:
            for spiked in range(place, min(len(figures), place + (2 if chance.random() < 0.05 else 1))):
                figures[spiked] *= chance.uniform(1.5, 6)
            place += 2
        place += 1


def _durations(chance: random.Random, kind: str, figures: Sequence[float], *worse: Worse) -> Series:
    return Series(kind, Signal.DURATION_SECONDS, tuple(_times(chance, len(figures))), tuple(figures), worse)


def _times(chance: random.Random, count: int, a_day: float | None = None) -> list[int]:
    """Some builds on each working day, from 8 to 18 h."""
    a_day = chance.uniform(1, 12) if a_day is None else a_day
    times: list[int] = []
    day = chance.randrange(WORKING_DAYS)
    while len(times) < count:
        begin_ns = START_NS + (day // WORKING_DAYS * 7 + day % WORKING_DAYS) * DAY_NS
        builds = max(1, round(chance.gauss(a_day, a_day / 4)))
        times += sorted(begin_ns + round(chance.uniform(8, 18) / 24 * DAY_NS) for _ in range(builds))
        day += 1
    return times[:count]
