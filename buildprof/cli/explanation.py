"""An explanation as a person reads it: what happened, what the misses cost, then why, one miss after the other. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from buildprof.analysis.advice import advice
from buildprof.analysis.sentences import (
    first_build_sentence,
    followed,
    how_known,
    is_first_build,
    loss_name,
    miss_sentence,
    others,
)
from buildprof.cli.lines import Line, wrap
from buildprof.cli.profile import KEY, SHORT_REF, keyed, what_happened
from buildprof.model.build import Build
from buildprof.model.explanation import Explanation, Loss, Miss
from buildprof.model.step import Outcome
from buildprof.model.text import clean, plural, said_duration

MAX_LINES = 12
"""Of one sentence: more than the longest takes on the narrowest paper."""

LOSSES = 3
"""How many of what cost most lately are named."""


def explanation_lines(  # noqa: PLR0913  # the moment, the paper and what the store adds, all of them plain
    explanation: Explanation,
    build: Build,
    losses: Sequence[Loss],
    now_ns: int,
    width: int,
    *,
    ref: str = "",
    compared_ref: str = "",
) -> list[Line]:
    """All that `explain` prints. `losses` are those of the project in the last 7 days, the dearest first.

    `ref` and `compared_ref` are as much of the refs of both builds as tells them apart, where that is known.
    """
    lines = what_happened(build, ref or build.ref[:SHORT_REF], now_ns, width)
    lines += _wrapped(_in_all(explanation, build), "misses", KEY, width)
    if explanation.compared_to and explanation.misses:
        compared = clean(compared_ref or explanation.compared_to[:SHORT_REF], 100)
        lines.append(keyed("", f"compared with build {compared}", width))
    if is_first_build(explanation):
        lines += [[], *_wrapped(first_build_sentence(explanation, build), "", 0, width)]
    else:
        room = len(str(len(explanation.misses))) + 2
        for number, miss in enumerate(explanation.misses, 1):
            lines += [[], *_miss(miss, build, str(number), room, width)]
    if losses:
        said = "; ".join(_loss(loss) for loss in losses[:LOSSES])
        lines += [[], *_wrapped(f"in the last 7 days, most was lost to: {said}", "lost", KEY, width)]
    return lines


def _in_all(explanation: Explanation, build: Build) -> str:
    roots = len(explanation.misses)
    if not roots:
        return "none: no step missed the cache"
    missed = max(sum(step.outcome is Outcome.MISS for step in build.steps), roots)
    cost = f"cost {said_duration(explanation.blamed_seconds)} in all"
    if missed == roots:
        return f"{roots} {plural(roots, 'step')} missed · {cost}"
    return f"{missed} {plural(missed, 'step')} missed, {roots} of them for a cause of {_its(roots)} own · {cost}"


def _its(count: int) -> str:
    return "its" if count == 1 else "their"


def _miss(miss: Miss, build: Build, number: str, room: int, width: int) -> list[Line]:
    lines = _wrapped(miss_sentence(miss, build), number, room, width, style="bold")
    for text in (others(miss, build), followed(miss), advice(miss, build)):
        lines += _wrapped(text, "", room, width)
    return [*lines, *_wrapped(how_known(miss), "", room, width, style="dim")]


def _loss(loss: Loss) -> str:
    misses = "1 miss" if loss.misses == 1 else f"{loss.misses} misses"
    return f"{loss_name(loss)} {said_duration(loss.seconds)} in {misses}"


def _wrapped(text: str, key: str, room: int, width: int, *, style: str = "") -> list[Line]:
    """Clean text behind a key of `room` columns, in as many lines as it takes."""
    chunks = wrap(text, width - room, most=MAX_LINES)
    return [[(f"{key if at == 0 else '':<{room}}", "dim"), (chunk, style)] for at, chunk in enumerate(chunks)]
