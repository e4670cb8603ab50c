"""Which step of an earlier build a step is: stage by stage, by the shortest edit between the instructions as written."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from buildprof.analysis.reading_order import reading_order
from buildprof.model.build import Build
from buildprof.model.recipe import Written
from buildprof.model.step import Kind, Step

_UNNAMED = re.compile(r"(?:stage-[0-9]+)?")
"""Names that BuildKit gives: they change when a stage comes before."""

MAX_COMPARED = 1_000_000
"""Pairs of instructions of a stage that are weighed against each other; what is beyond is paired in order."""


@dataclass(frozen=True, slots=True)
class Edit:
    """An instruction that became another; `before` is None for one that came, `after` for one that went."""

    before: Written | None
    after: Written | None
    is_step: bool
    """Whether it makes a step, or is such as ENV, USER, LABEL."""


@dataclass(frozen=True, slots=True)
class Alignment:
    """`partners` maps ids of the later build's steps to the earlier build's steps.

    `edits` maps ids of the later build's steps to what else was edited in the stage since the step before.
    """

    partners: dict[str, Step] = field(default_factory=dict)
    edits: dict[str, tuple[Edit, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Line:
    """One instruction of a stage; `step` is None where it makes none."""

    written: Written
    step: Step | None

    @property
    def keyword(self) -> str:
        return self.written.text.partition(" ")[0].upper()


Stage = tuple[str, str]
"""(platform, stage name)."""


def align(before: Build, after: Build) -> Alignment:
    """Find the partner of each step of the later build.

    Steps whose instructions are known are paired by the Dockerfiles' texts, so that a changed instruction finds its
    earlier form and an inserted one has none. The rest are paired by identity, then by stage and text, then by stage
    and position, then by name.
    """
    found = Alignment()
    earlier, later = _stages(before), _stages(after)
    for stage, partner in _stage_pairs(earlier, later).items():
        _align_stage(earlier[partner], later[stage], found)
    written = {line.step.id for lines in later.values() for line in lines if line.step}
    known = {line.step.id for lines in earlier.values() for line in lines if line.step} if written else set()
    keys: tuple[Callable[[Step], Hashable], ...] = (_by_identity, _by_text, _by_position, _by_name)
    for key in keys:
        taken = {step.id for step in found.partners.values()} | known
        rest = [step for step in after.steps if step.id not in found.partners and step.id not in written]
        _match((step for step in before.steps if step.id not in taken), rest, key, found.partners)
    return found


def _stages(build: Build) -> dict[Stage, list[_Line]]:
    """The written instructions of each stage, in the Dockerfile's order; of a link's copy and merge the first counts."""
    stages: dict[Stage, list[_Line]] = {}
    seen: set[tuple[Stage, int | None]] = set()
    for step in reading_order(build.steps):
        if step.recipe is None or step.recipe.written is None or step.kind is Kind.MERGE:
            continue
        stage = (step.platform, step.stage)
        if (stage, step.position) in seen:
            continue
        seen.add((stage, step.position))
        lines = stages.setdefault(stage, [])
        lines += [_Line(one, None) for one in step.recipe.before]
        lines.append(_Line(step.recipe.written, step))
    return stages


def _stage_pairs(earlier: Mapping[Stage, list[_Line]], later: Mapping[Stage, list[_Line]]) -> dict[Stage, Stage]:
    """Stages of the same given name; of the rest those that have most instructions in common, then what is left alone."""
    pairs = {stage: stage for stage in later if stage in earlier and not _UNNAMED.fullmatch(stage[1])}
    old = [stage for stage in earlier if stage not in pairs]
    new = [stage for stage in later if stage not in pairs]
    texts = {stage: Counter(line.written.text for line in earlier[stage]) for stage in old}
    ranked: list[tuple[int, int, Stage, Stage]] = []
    for at, stage in enumerate(new):
        mine = Counter(line.written.text for line in later[stage])
        ranked += [
            (-(mine & texts[one]).total(), abs(at - place), one, stage)
            for place, one in enumerate(old)
            if one[0] == stage[0]
        ]
    none_came = len(old) == len(new)  # else a stage that has nothing in common may be the one that came or went
    for common, _, one, stage in sorted(ranked):
        if stage not in pairs and one not in pairs.values() and (common < 0 or none_came):
            pairs[stage] = one
    return pairs


def _align_stage(before: list[_Line], after: list[_Line], found: Alignment) -> None:
    pending: list[Edit] = []
    for old, new in _paired(before, after):
        own = new is not None and new.step is not None
        if old is not None and new is not None and old.step is not None and new.step is not None:
            found.partners[new.step.id] = old.step
        elif old is None or new is None or old.written.text != new.written.text:
            is_step = (old is not None and old.step is not None) or own
            edit = Edit(old.written if old else None, new.written if new else None, is_step)
            if not (own and old is None):  # a step that came is its own news
                pending.append(edit)
        if new is not None and new.step is not None:
            if pending:
                found.edits[new.step.id] = tuple(pending)
            # What came before a step that is new matters to the next one as well: it stands on both.
            pending = [Edit(None, new.written, is_step=True)] if old is None else []


def _paired(before: Sequence[_Line], after: Sequence[_Line]) -> Iterable[tuple[_Line | None, _Line | None]]:
    """Lines side by side: the same ones, in each gap those of the same keyword, the rest alone."""
    at_before = at_after = 0
    for same_before, same_after in [*_common(before, after), (len(before), len(after))]:
        yield from _gap(before[at_before:same_before], after[at_after:same_after])
        if same_before < len(before):
            yield before[same_before], after[same_after]
        at_before, at_after = same_before + 1, same_after + 1


def _gap(before: Sequence[_Line], after: Sequence[_Line]) -> Iterable[tuple[_Line | None, _Line | None]]:
    at = 0
    for new in after:
        match = next((index for index in range(at, len(before)) if _is_form_of(before[index], new)), None)
        if match is None:
            yield None, new
            continue
        yield from ((old, None) for old in before[at:match])
        yield before[match], new
        at = match + 1
    yield from ((old, None) for old in before[at:])


def _is_form_of(old: _Line, new: _Line) -> bool:
    return old.keyword == new.keyword and (old.step is None) == (new.step is None)


def _common(before: Sequence[_Line], after: Sequence[_Line]) -> list[tuple[int, int]]:
    """Index pairs of a longest common subsequence by text."""
    old, new = ([line.written.text for line in lines] for lines in (before, after))
    start = 0
    while start < min(len(old), len(new)) and old[start] == new[start]:
        start += 1
    end = 0
    while end < min(len(old), len(new)) - start and old[-1 - end] == new[-1 - end]:
        end += 1
    head = [(index, index) for index in range(start)]
    tail = [(len(old) - index, len(new) - index) for index in range(end, 0, -1)]
    middle = _longest(old[start : len(old) - end], new[start : len(new) - end])
    return [*head, *((start + i, start + j) for i, j in middle), *tail]


def _longest(old: Sequence[str], new: Sequence[str]) -> list[tuple[int, int]]:
    if len(old) * len(new) > MAX_COMPARED:
        return []
    lengths = [[0] * (len(new) + 1) for _ in range(len(old) + 1)]
    for i in range(len(old) - 1, -1, -1):
        row, below = lengths[i], lengths[i + 1]
        for j in range(len(new) - 1, -1, -1):
            row[j] = below[j + 1] + 1 if old[i] == new[j] else max(below[j], row[j + 1])
    pairs: list[tuple[int, int]] = []
    i = j = 0
    while i < len(old) and j < len(new):
        if old[i] == new[j]:
            pairs.append((i, j))
            i, j = i + 1, j + 1
        elif lengths[i + 1][j] >= lengths[i][j + 1]:
            i += 1
        else:
            j += 1
    return pairs


def _match(
    before: Iterable[Step], after: Iterable[Step], key: Callable[[Step], Hashable], partners: dict[str, Step]
) -> None:
    """Pair steps of the same key in the order in which they stand; a key of None pairs with nothing."""
    waiting: defaultdict[Hashable, list[Step]] = defaultdict(list)
    for step in before:
        waiting[key(step)].append(step)
    for step in after:
        candidates = waiting.get(value) if (value := key(step)) is not None else None
        if candidates:
            partners[step.id] = candidates.pop(0)


def _by_identity(step: Step) -> Hashable:
    return step.identity or None


def _by_text(step: Step) -> Hashable:
    return (step.platform, step.stage, step.kind, step.command) if step.position is not None else None


def _by_position(step: Step) -> Hashable:
    if step.position is None:
        return None
    return (step.platform, step.stage, step.kind, step.position)


def _by_name(step: Step) -> Hashable:
    # There is one of each of these; their names carry image digests and file names that change.
    singular = step.kind in {Kind.CONTEXT, Kind.DOCKERFILE, Kind.EXPORT, Kind.CACHE_EXPORT, Kind.CACHE_IMPORT}
    return None if step.position is not None else (step.platform, step.kind, "" if singular else step.name)
