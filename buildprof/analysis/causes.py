"""Why the root misses of a build missed: by comparison with earlier builds of the same target.

For each root miss the earlier builds are looked through, the newest first, for the same step. One with the same inputs
says that the step was in the cache and is no more; otherwise what differs from the newest one is the cause.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from graphlib import CycleError, TopologicalSorter

from buildprof.analysis.alignment import align
from buildprof.analysis.differences import CHECKED, ChangesBetween, Differences, StepComparison, source_evidence
from buildprof.analysis.misses import root_misses
from buildprof.analysis.reading_order import reading_order
from buildprof.model.build import UNKNOWN_PROJECT, Build, Source
from buildprof.model.document import REDACTED
from buildprof.model.explanation import Cause, Confidence, Explanation, Finding, Miss
from buildprof.model.recipe import MAIN_CONTEXT, Recipe
from buildprof.model.step import Kind, Outcome, Step
from buildprof.model.text import rfc3339

_UNNAMED = re.compile(r"(?:stage-[0-9]+)?")
_NAMED_STAGE = re.compile(r"^[ \t]*FROM[ \t]+\S[^\n]{0,1000}?[ \t]AS[ \t]+(\S+)[ \t]*$", re.IGNORECASE | re.MULTILINE)

_IN_CACHE = frozenset({Outcome.HIT, Outcome.MISS, Outcome.SHARED})
"""A step with one of these ended well, so that its result was in the cache afterwards."""


@dataclass(frozen=True, slots=True)
class Lost:
    """A cache record that was there at `since_ns` and gone at `until_ns`; `by` is "prune", "gc" or None."""

    since_ns: int
    until_ns: int
    by: str | None = None


LostRecord = Callable[[Build, Step], Lost | None]
"""What became of the record that a step made in a build in which it ran; None if nothing is known of it."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known beside the builds themselves.

    `deleted_ns` tells when the image that a step of a classic build made was deleted, None if nobody saw that.
    `is_poorer` tells whether the cache may have lost something since a build ended. `missing` says what would have to
    be seen to know changed files.
    """

    changes: ChangesBetween = lambda _before, _after, _uses: None
    lost: LostRecord = lambda _build, _step: None
    deleted_ns: Callable[[Build, Step], int | None] = lambda _build, _step: None
    is_poorer: Callable[[Build], bool] = lambda _build: True
    missing: str = ""


NOTHING_KNOWN = Evidence()


def explain(
    build: Build, earlier: Iterable[Build], elsewhere: Iterable[Build] = (), evidence: Evidence = NOTHING_KNOWN
) -> Explanation:
    """Explain all root misses of a build.

    `earlier` are builds of the same target on the same builder, the newest first; `elsewhere` such on other builders.
    Both are read only as far as they are needed.
    """
    roots = root_misses(build.steps)
    if not roots:
        return Explanation(build.ref, build.project, build.target)
    here, away = _Compared(build, earlier, evidence), _Compared(build, elsewhere, evidence)
    ordered = [step for step in reading_order(build.steps) if step.id in roots]
    misses = [_miss(build, step, here, away, evidence) for step in ordered]
    misses = _with_costs(build, misses)
    return Explanation(
        ref=build.ref,
        project=build.project,
        target=build.target,
        compared_to=here.first_ref,
        misses=tuple(sorted(misses, key=lambda miss: -(miss.blamed_seconds or 0.0))),
        blamed_seconds=sum(miss.blamed_seconds or 0.0 for miss in misses),
    )


class _Compared:
    """Earlier builds, each aligned once, as they are asked for."""

    def __init__(self, build: Build, earlier: Iterable[Build], evidence: Evidence) -> None:
        self._build, self._evidence = build, evidence
        self._source = iter(earlier)
        self._seen: list[StepComparison] = []
        self.first_ref: str | None = None

    def __iter__(self) -> Iterator[StepComparison]:
        number = 0
        while True:
            if number == len(self._seen):
                before = next(self._source, None)
                if before is None:
                    return
                alignment = align(before, self._build)
                self._seen.append(StepComparison(before, self._build, alignment, self._evidence.changes))
            yield self._seen[number]
            number += 1


@dataclass(slots=True)
class _Found:
    """What the earlier builds say of one step.

    `nearest` is how it differs from the newest in which it ended well, `same` are those that had the same inputs, the
    newest first. `made` is how it differs from the build that ran it last before it was taken from the cache with other
    inputs. `failed_before` says that it never ended well, `is_known` that there is any earlier build.
    """

    nearest: Differences | None = None
    same: list[tuple[Build, Step]] = field(default_factory=list)
    made: Differences | None = None
    failed_before: bool = False
    is_known: bool = False


def _look_back(build: Build, step: Step, here: _Compared) -> _Found:
    found = _Found()
    for comparison in here:
        found.is_known = True
        partner = comparison.alignment.partners.get(step.id)
        if partner is None or partner.outcome not in _IN_CACHE:
            found.failed_before |= partner is not None
            continue
        if _at_once(partner, step):  # the result was not there yet
            continue
        differences = comparison.of(step) or Differences()
        if (comparison.before.context, comparison.before.dockerfile) != (build.context, build.dockerfile):
            differences = replace(differences, findings=_all_likely(differences.findings))
        if found.nearest is None:
            found.nearest = differences
            here.first_ref = here.first_ref or comparison.before.ref
        ran = partner.outcome is Outcome.MISS
        if differences.are_none:
            found.same.append((comparison.before, partner))
        elif found.same and ran and differences.findings:
            found.made = differences
        if found.same and ran:
            break
    return found


def _at_once(partner: Step, step: Step) -> bool:
    """Whether a step of an earlier build still ran when this one began: builds can run at once."""
    return None not in (partner.completed_ns, step.started_ns) and (partner.completed_ns or 0) > (step.started_ns or 0)


def _miss(build: Build, step: Step, here: _Compared, away: _Compared, evidence: Evidence) -> Miss:
    miss = _explained(build, step, here, away, evidence)
    if build.project != UNKNOWN_PROJECT:
        return miss
    # Of a build that could not be placed nobody knows which are its earlier ones: they may be of another project.
    return replace(miss, finding=_all_likely([miss.finding])[0], also=_all_likely(miss.also))


def _explained(build: Build, step: Step, here: _Compared, away: _Compared, evidence: Evidence) -> Miss:
    found = _look_back(build, step, here)
    if (option := _no_cache(build, step)) is not None:
        asked, other = Finding(Cause.NO_CACHE, Confidence.CERTAIN, {"option": option}), found.nearest or Differences()
        return Miss(step.id, asked, also=other.findings, via=other.via)
    if found.same and build.source is Source.CLASSIC:
        return Miss(step.id, _asked_or_deleted(build, step, found.same[0], evidence))
    if found.same and found.made is not None and not evidence.is_poorer(found.same[-1][0]):
        # The client sends no file whose size and time are as before: that hit was one of other content.
        return _different(step, replace(found.made, findings=_all_likely(found.made.findings)), evidence)
    if found.same:
        return Miss(step.id, _evicted(found.same, evidence))
    if found.nearest is not None:
        return _different(step, found.nearest, evidence)
    return _doubted(build, _never_seen(step, here, away, evidence, found))


def _doubted(build: Build, miss: Miss) -> Miss:
    """Earlier builds of a classic one may lack a place, and so be none that it is compared with."""
    if build.source is not Source.CLASSIC or miss.finding.cause is not Cause.FIRST_BUILD:
        return miss
    return replace(miss, finding=replace(miss.finding, confidence=Confidence.LIKELY))


def _different(step: Step, differences: Differences, evidence: Evidence) -> Miss:
    if differences.findings:
        first, *rest = differences.findings
        return Miss(step.id, first, tuple(rest), differences.via)
    return Miss(step.id, _by_elimination(step, differences, evidence))


def _by_elimination(step: Step, differences: Differences, evidence: Evidence) -> Finding:
    """What is left, where nothing is known to differ: of the step's own parts first, then of an earlier step's files."""
    recipe, unknown = step.recipe or Recipe(), differences.unknown
    files = Finding(Cause.SOURCE_CHANGED, Confidence.LIKELY, source_evidence(None, _missing(recipe, evidence)))
    if "files" in unknown and (recipe.takes or step.kind in (Kind.COPY, Kind.ADD)):
        return files
    for part, cause, key, origins in (
        ("base image", Cause.BASE_CHANGED, "image", recipe.images),
        ("remote sources", Cause.REMOTE_CHANGED, "url", recipe.remotes),
    ):
        if part in unknown and origins:
            name, digest = origins[0]
            return Finding(cause, Confidence.LIKELY, {key: name, "before": None, "after": digest or None})
    if "files" in unknown and step.recipe is not None:
        return files
    checked = [one for one in (*CHECKED, "cache records") if one not in differences.unknown]
    return Finding(Cause.UNKNOWN, Confidence.LIKELY, {"checked": checked})


def _never_seen(step: Step, here: _Compared, away: _Compared, evidence: Evidence, found: _Found) -> Miss:
    if not found.is_known:
        for comparison in away:
            partner = comparison.alignment.partners.get(step.id)
            differences = comparison.of(step) if partner and partner.outcome in _IN_CACHE else None
            if differences is None:
                continue
            if not differences.findings:
                before = comparison.before
                sure = Confidence.LIKELY if differences.unknown else Confidence.CERTAIN
                return Miss(step.id, Finding(Cause.COLD_BUILDER, sure, {"builder": before.builder, "ref": before.ref}))
            miss = _different(step, differences, evidence)
            return replace(miss, finding=replace(miss.finding, confidence=Confidence.LIKELY))
        return Miss(step.id, Finding(Cause.FIRST_BUILD, Confidence.CERTAIN))
    if found.failed_before:
        return Miss(step.id, Finding(Cause.FIRST_BUILD, Confidence.CERTAIN, {"reason": "never_succeeded"}))
    if (moved := _moved(step, next(iter(here)))) is not None:
        return Miss(step.id, moved)
    return Miss(step.id, Finding(Cause.FIRST_BUILD, Confidence.CERTAIN, {"reason": "new_step"}))


def _missing(recipe: Recipe, evidence: Evidence) -> str | None:
    """What would have to be watched; None where that is no directory, or only that of a `--build-context`."""
    is_other = any(use.context != MAIN_CONTEXT for use in recipe.takes)
    return None if is_other or "://" in evidence.missing else evidence.missing or None


def _moved(step: Step, newest: StepComparison) -> Finding | None:
    """A step that the earlier build had in another place of the stage: what stood there before stands beside it."""
    written = step.recipe.written if step.recipe else None
    if written is None:
        return None
    stage = [one for one in newest.before.steps if one.stage == step.stage and one.platform == step.platform]
    texts = {one.position: one.recipe.written for one in stage if one.recipe and one.recipe.written}
    if written.text not in {one.text for one in texts.values()}:
        return None
    there = texts.get(step.position)
    evidence = {"before": there.text if there else None, "after": written.text, "lines": list(written.lines)}
    return Finding(Cause.INSTRUCTION_CHANGED, Confidence.CERTAIN, evidence)


def _no_cache(build: Build, step: Step) -> str | None:
    """The option that asked for this step to run. WORKDIR and merges come from the cache nevertheless."""
    options = build.options
    if not options.no_cache or step.kind in (Kind.WORKDIR, Kind.MERGE):
        return None
    if not options.no_cache_stages:
        return "--no-cache"
    stages = {one.lower() for one in options.no_cache_stages}
    # BuildKit goes by names as written: what it calls a stage without one is no name for the option.
    name = step.stage.lower()
    if not name and (written := _NAMED_STAGE.search(build.dockerfile_text)):
        name = written[1].lower()
    return f"--no-cache-filter={name}" if name in stages and not _UNNAMED.fullmatch(name) else None


def _evicted(same: Sequence[tuple[Build, Step]], evidence: Evidence) -> Finding:
    last_build, _ = same[0]
    lost = next((found for one in same if (found := evidence.lost(*one)) is not None), None)
    if lost is None:
        since = rfc3339(last_build.completed_ns) if last_build.completed_ns else None
        return Finding(Cause.EVICTED, Confidence.LIKELY, {"lost_at": [since, None], "by": None})
    times = [rfc3339(lost.since_ns), rfc3339(lost.until_ns)]
    return Finding(Cause.EVICTED, Confidence.CERTAIN, {"lost_at": times, "by": lost.by})


def _all_likely(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    return tuple(replace(one, confidence=Confidence.LIKELY) for one in findings)


def _may_differ_by_an_argument(build: Build, step: Step) -> bool:
    """Whether a variable stands in what a classic step is made of, but for RUN, whose variables are known.

    The values of the others are nowhere.
    """
    by_id = {one.id: one for one in build.steps}
    one: Step | None = step
    while one is not None:
        recipe = one.recipe or Recipe()
        written = [*recipe.before, *([recipe.written] if recipe.written and one.kind is not Kind.RUN else [])]
        texts = [each.text for each in written if not each.text.startswith("ARG ")]
        if any("$" in text or REDACTED in text for text in texts):
            return True
        one = by_id.get(one.inputs[0]) if one.inputs else None
    return False


def _asked_or_deleted(build: Build, step: Step, same: tuple[Build, Step], evidence: Evidence) -> Finding:
    """Why the classic builder made again what it had made: its cache are the images, and it records no options."""
    deleted_ns = evidence.deleted_ns(*same)
    if deleted_ns is None and _may_differ_by_an_argument(build, step):
        return Finding(Cause.UNKNOWN, Confidence.LIKELY, {"checked": ["instruction", "files"]})
    if deleted_ns is None:
        return Finding(Cause.NO_CACHE, Confidence.LIKELY, {"option": "--no-cache"})
    at = rfc3339(deleted_ns)
    return Finding(Cause.EVICTED, Confidence.CERTAIN, {"lost_at": [at, at], "by": "prune"})


def _with_costs(build: Build, misses: Sequence[Miss]) -> list[Miss]:
    """Each root with what followed from it: a missed step counts to the root that its first missed input leads to."""
    steps = {step.id: step for step in build.steps}
    collateral: dict[str, list[str]] = {miss.step_id: [] for miss in misses}
    root_of = _roots(steps, collateral.keys())
    for step in reading_order(build.steps):
        if step.cacheable and step.outcome is Outcome.MISS and step.id not in collateral and (root := root_of[step.id]):
            collateral[root].append(step.id)
    costed = []
    for miss in misses:
        own = steps[miss.step_id].duration_seconds
        rest = [steps[one].duration_seconds or 0.0 for one in collateral[miss.step_id]]
        costed.append(
            replace(
                miss,
                executed_seconds=own,
                collateral=tuple(collateral[miss.step_id]),
                blamed_seconds=(own or 0.0) + sum(rest) if own is not None or rest else None,
            )
        )
    return costed


def _roots(steps: Mapping[str, Step], roots: AbstractSet[str]) -> dict[str, str]:
    """The root that each step follows from, "" for none. A miss shows through steps that are not cacheable."""
    root_of = dict.fromkeys(steps, "")
    graph = {step.id: [one for one in step.inputs if one in steps] for step in steps.values()}
    try:
        order = list(TopologicalSorter(graph).static_order())
    except CycleError:  # no build's graph has one, but a stored one may be of any making
        order = list(steps)
    for step_id in order:
        step = steps[step_id]
        if step_id in roots:
            root_of[step_id] = step_id
        elif not step.cacheable or step.outcome not in (Outcome.HIT, Outcome.SKIPPED):
            root_of[step_id] = next((root_of[one] for one in graph[step_id] if root_of[one]), "")
    return root_of
