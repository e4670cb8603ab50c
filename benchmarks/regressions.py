"""Are regressions found, and only those? 500 labelled series of made-up builds, beside simpler rules.

Each series is given build by build, and after each build only what the agent would read of the store. An alarm is right
if it begins while the series is worse; what was worse is found if there is such an alarm. The delay counts builds from
the first that is worse (of a drift: that could be noticed) to the alarm, both included.

    python -m benchmarks.regressions [--seed N] [--quick] [--json FILE]
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.harness import Result, at_least, at_most, figure, make_parser, report
from benchmarks.regression_series import Series, make_series
from buildprof.analysis.baselines import LEAST_HISTORY, LEVEL_BUILDS, NOISE, RULES, standing, standings
from buildprof.model.regression import Signal
from buildprof.store.baselines import LAST_READINGS

PRECISION, RECALL, DELAY_BUILDS = 0.95, 0.9, 3
FIXED_FACTOR, FIXED_BUILDS = 1.5, 20

Alarms = Callable[[Series], list[bool]]
"""Whether a series was called worse after each build."""


@dataclass(frozen=True, slots=True)
class Score:
    """`found` of `labelled` regressions, `false` alarms, and after how many builds each was found."""

    labelled: int
    found: int
    false: int
    delays: tuple[int, ...]

    @property
    def precision(self) -> float:
        """The share of what is there in all that was told; several alarms for one regression count once."""
        return self.found / max(self.found + self.false, 1)

    @property
    def recall(self) -> float:
        """The share of what was told in all that is there."""
        return self.found / max(self.labelled, 1)


def by_baselines(series: Series) -> list[bool]:
    """As the agent does it. While it looks back at all builds, one run over them gives the same as one for each."""
    points = list(zip(series.times_ns, series.figures, strict=True))
    alarms = [stands.since is not None for stands in standings(series.signal, points[:LAST_READINGS])]
    later = range(LAST_READINGS + 1, len(points) + 1)
    windows = (points[end - LAST_READINGS : end] for end in later)
    return alarms + [standing(series.signal, window).since is not None for window in windows]


def by_fixed_threshold(series: Series) -> list[bool]:
    """1.5 times the mean of the first 20 builds (a hit ratio: that part of it), in 2 of the last 3 builds."""
    mean = sum(series.figures[:FIXED_BUILDS]) / FIXED_BUILDS
    exceeds = []
    for place, value in enumerate(series.figures):
        beyond = value < mean / FIXED_FACTOR if series.signal is Signal.HIT_RATIO else value > mean * FIXED_FACTOR
        exceeds.append(place >= FIXED_BUILDS and beyond)
    return [sum(exceeds[max(place - 2, 0) : place + 1]) >= 2 for place in range(len(exceeds))]


def by_last_builds(series: Series) -> list[bool]:
    """Median + max(3 x 1.4826 x MAD, 10 %, the floor) of the last 20 builds before, in 2 of the last 3 builds."""
    rule = RULES[series.signal]
    values = [rule.sign * value for value in series.figures]
    beyond = [False] * len(values)
    for place in range(LEAST_HISTORY, len(values)):
        good = [values[at] for at in range(place) if not beyond[at]][-LEVEL_BUILDS:]
        level = median(good)
        spread = NOISE * median(abs(one - level) for one in good)
        beyond[place] = values[place] > level + max(spread, rule.share * abs(level), rule.floor)
    return [sum(beyond[max(place - 2, 0) : place + 1]) >= 2 for place in range(len(beyond))]


def score(many: Sequence[Series], alarms: Alarms) -> Score:
    """Judge series and hold the alarms against the labels."""
    labelled, false, delays = 0, 0, []
    for series in many:
        said = alarms(series)
        begins = [place for place, alarm in enumerate(said) if alarm and not (place and said[place - 1])]
        labelled += len(series.worse)
        right = set()
        for worse in series.worse:
            within = [place for place in begins if worse.first <= place <= worse.last]
            right.update(within)
            if within:
                delays.append(max(within[0] - worse.noticeable + 1, 0))
        false += len(set(begins) - right)
    return Score(labelled, len(delays), false, tuple(delays))


def results(many: Sequence[Series]) -> list[Result]:
    """The figures of both ways, and where ours was wrong."""
    ours, fixed, plain = (score(many, one) for one in (by_baselines, by_fixed_threshold, by_last_builds))
    told = f"{ours.found} of {ours.labelled} regressions, {ours.false} false alarms in {len(many)} series"
    rows = [
        at_least("precision", ours.precision, PRECISION, "of 1", told),
        at_least("recall", ours.recall, RECALL, "of 1"),
        at_most("median delay", median(ours.delays or [0]), DELAY_BUILDS, "builds"),
        figure("fixed threshold: precision", fixed.precision, "of 1", f"{fixed.false} false alarms"),
        figure("fixed threshold: recall", fixed.recall, "of 1", f"{fixed.found} of {fixed.labelled} regressions"),
        figure("fixed threshold: median delay", median(fixed.delays or [0]), "builds"),
        figure("last 20 builds: precision", plain.precision, "of 1", f"{plain.false} false alarms"),
        figure("last 20 builds: recall", plain.recall, "of 1", f"{plain.found} of {plain.labelled} regressions"),
        figure("last 20 builds: median delay", median(plain.delays or [0]), "builds"),
    ]
    for kind in dict.fromkeys(series.kind for series in many):
        one = score([series for series in many if series.kind == kind], by_baselines)
        detail = f"{one.found} of {one.labelled} found" + (
            f", after {median(one.delays):g} builds" if one.delays else ""
        )
        rows.append(figure(f"{kind}: false alarms", one.false, "alarms", detail))
    return rows


def main() -> int:
    """Print the figures."""
    parser = make_parser(__doc__)
    parser.add_argument("--seed", type=int, default=1, help="other series of the same kinds")
    arguments = parser.parse_args()
    many = make_series(arguments.seed, 0.2 if arguments.quick else 1.0)
    report("regressions", results(many), arguments.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
