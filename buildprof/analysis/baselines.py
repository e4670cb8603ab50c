"""What is usual for a signal of one target, and since when it has been worse than that. How, and why so: docs/regressions.md.

The scale of noise is 1.4826 x MAD, the standard deviation where noise is normal (Rousseeuw and Croux 1993, "Alternatives
to the Median Absolute Deviation", section 1).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from buildprof.model.regression import Baseline, Signal, Standing

LEAST_HISTORY = 8
"""Good builds that it takes to say anything."""

LEVEL_BUILDS = 20
"""Good builds in a row whose median is a level."""

REMEMBERED = 100
"""How many good builds back are looked at."""

JUDGED, WORSE = 4, 3
"""A signal regresses when so many of so many last builds are beyond the threshold."""

RECOVERED = 2
"""It has recovered when so many of the last three are not."""

TOLD_BUILDS = 20
"""A regression is told for so many builds; then its level is the usual one."""

NOISE = 3 * 1.4826
"""Times the MAD: beyond three standard deviations."""

FEW = 8.0
"""Of n builds the MAD is taken 1 + FEW / n times, since that of few builds is often too small by chance."""

PEAKS = 0.10
"""The share of the good builds whose figures are peaks: what the others reach is usual."""

DAY_NS = 86_400 * 10**9
WEEK_NS = 7 * DAY_NS
FAMILIAR_NS = 8 * DAY_NS
"""A target that is known for as long has shown its week."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What difference of a signal matters: more than a share of the level and more than a floor, in the signal's unit.

    Of a target whose week is not known yet only a `far` difference is told at once, which no rhythm makes.
    """

    share: float
    floor: float
    far_share: float = 0.0
    far_floor: float = 0.0
    sign: float = 1.0


RULES = {
    Signal.DURATION_SECONDS: Rule(0.10, 1.0, far_share=0.50),
    Signal.EXECUTED_SECONDS: Rule(0.10, 1.0, far_share=0.50),
    Signal.HIT_RATIO: Rule(0.0, 0.10, far_floor=0.25, sign=-1.0),
    Signal.IMAGE_SIZE_BYTES: Rule(0.10, 1e6),
    Signal.CONTEXT_BYTES: Rule(0.10, 1e6, far_share=0.50),
}

Point = tuple[int, float]
"""When a build started, in nanoseconds, and its figure."""


def standing(signal: Signal, builds: Sequence[Point]) -> Standing:
    """How a signal stands after these builds, oldest first."""
    watch = _Watch(RULES[signal])
    for place, point in enumerate(builds):
        watch.see(place, *point)
    return watch.standing()


def standings(signal: Signal, builds: Sequence[Point]) -> Iterator[Standing]:
    """How a signal stood after each of these builds, oldest first."""
    watch = _Watch(RULES[signal])
    for place, point in enumerate(builds):
        watch.see(place, *point)
        yield watch.standing()


@dataclass(frozen=True, slots=True)
class _Seen:
    """A build that was judged when it came. `value` is larger when it is worse, whatever the signal."""

    place: int
    at_ns: int
    value: float
    is_worse: bool = False
    is_far: bool = False


class _Watch:
    """Sees builds one after another. A build is good when the builds after it did not make it part of a regression."""

    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        self._usual = _Usual(rule)
        self._seen: list[_Seen] = []
        self._open: list[_Seen] = []
        """The last builds, of which is not decided yet whether they are good."""
        self._first: _Seen | None = None
        """The first build of what is a regression, or may be one."""
        self._told_at: int | None = None

    def standing(self) -> Standing:
        since = None if self._told_at is None or self._first is None else self._first.place
        median, threshold = self._usual.level, self._usual.threshold
        if median is None or threshold is None:
            return Standing(None, since)
        sign = self._rule.sign
        places = tuple(one.place for one in self._usual.good)
        shown = max(sign * threshold, 0.0)  # no signal is below 0
        return Standing(Baseline(sign * median, shown, len(places)), since, places[-LEVEL_BUILDS:])

    def see(self, place: int, at_ns: int, figure: float) -> None:
        one = self._judged(place, at_ns, self._rule.sign * figure)
        self._seen.append(one)
        self._open.append(one)
        last = self._open[-JUDGED:]
        if self._first is None:
            worse = [each for each in last if each.is_worse]
            if len(worse) >= WORSE:
                self._first = worse[0]
                self._release(self._open.index(worse[0]))
            elif len(self._open) >= JUDGED:
                self._release(1)
        elif sum(not each.is_worse for each in last[-3:]) >= RECOVERED:
            self._end()
        if self._first is not None and self._told_at is None and one.is_worse and self._is_sure(one, last):
            self._told_at = place
        if self._told_at is not None and place - self._told_at >= TOLD_BUILDS:
            self._accept()

    def _judged(self, place: int, at_ns: int, value: float) -> _Seen:
        if not self._usual.is_beyond(value) or self._is_weekly(at_ns, value):
            return _Seen(place, at_ns, value)
        return _Seen(place, at_ns, value, is_worse=True, is_far=self._usual.is_far(value))

    def _is_weekly(self, at_ns: int, value: float) -> bool:
        """Whether it was as bad a week before at this time of the day, half a day more or less."""
        known_since = self._usual.good[0].place if self._usual.good else 0
        until = len(self._seen) if self._first is None else self._first.place
        then = [each.value for each in self._seen[known_since:until] if abs(at_ns - WEEK_NS - each.at_ns) < DAY_NS // 2]
        return bool(then) and value <= _median(sorted(then)) + self._usual.margin / 2

    def _is_sure(self, one: _Seen, last: Sequence[_Seen]) -> bool:
        """In the first week a difference that is not far has to last for a day: it may be that of a weekday."""
        if self._first is None or one.at_ns - self._usual.good[0].at_ns >= FAMILIAR_NS:
            return True
        return sum(each.is_far for each in last) >= WORSE or one.at_ns - self._first.at_ns >= DAY_NS

    def _end(self) -> None:
        """What may have been a regression was none, and its builds were good; what was one is over, and they were not."""
        if self._told_at is not None:
            self._open = [each for each in self._open[-3:] if not each.is_worse]
        self._first = self._told_at = None
        self._release(max(len(self._open) - JUDGED + 1, 0))

    def _accept(self) -> None:
        self._usual = _Usual(self._rule)
        self._open = self._open[-LEVEL_BUILDS:]
        self._first = self._told_at = None
        self._release(len(self._open))

    def _release(self, count: int) -> None:
        for one in self._open[:count]:
            self._usual.add(one)
        self._open = self._open[count:]


class _Usual:
    """The good builds of the best level that is known, and what follows from them.

    The level is the median of LEVEL_BUILDS in a row, of the earliest that are about as good as the best: a level that
    rises little by little is compared with what it was, and one that has fallen with what it is now.
    """

    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        self._all: list[_Seen] = []
        self._levels: list[float] = []
        self.good: list[_Seen] = []
        self.level: float | None = None
        self._margin: float | None = None

    def add(self, one: _Seen) -> None:
        self._all.append(one)
        if len(self._all) > REMEMBERED:
            del self._all[0], self._levels[0]
        self._margin = None
        self.good = self._all
        if len(self._all) >= LEAST_HISTORY:
            self.level = _median(sorted(each.value for each in self._all[-LEVEL_BUILDS:]))
        if len(self._all) >= LEVEL_BUILDS and self.level is not None:
            self._levels.append(self.level)
            best = min(self._levels)
            about = best + self._least(best)
            start = next(place for place, level in enumerate(self._levels) if level <= about)
            self.level = self._levels[start]
            # Half of the builds around a fall may be from before it.
            self.good = self._all[start + LEVEL_BUILDS // 2 :] if start else self._all

    @property
    def threshold(self) -> float | None:
        return None if self.level is None else self.level + self.margin

    @property
    def margin(self) -> float:
        if self._margin is None:
            self._margin = self._measured()
        return self._margin

    def is_beyond(self, value: float) -> bool:
        # The margin is never smaller than the least, which is quickly told.
        return (
            self.level is not None and value > self.level + self._least(self.level) and value > self.level + self.margin
        )

    def is_far(self, value: float) -> bool:
        level = self.level or 0.0
        return value > level + max(self._rule.far_share * abs(level), self._rule.far_floor)

    def _least(self, level: float) -> float:
        return max(self._rule.share * abs(level), self._rule.floor)

    def _measured(self) -> float:
        if self.level is None:
            return 0.0
        values = sorted(each.value for each in self.good)
        middle = _median(values)
        noise = NOISE * _median(sorted(abs(value - middle) for value in values)) * (1 + FEW / len(values))
        if len(values) >= LEVEL_BUILDS:  # what is worse than all of so many is no noise
            noise = min(noise, values[-1] + self._least(self.level) - self.level)
        peak = values[-1 - int(PEAKS * len(values))]
        return max(noise, self._least(self.level), peak + self._least(peak) - self.level)


def _median(ordered: Sequence[float]) -> float:
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2
