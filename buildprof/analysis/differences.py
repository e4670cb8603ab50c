"""What differs between a step and its form in an earlier build, as far as the cache is concerned."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from buildprof.analysis.alignment import Alignment, Edit
from buildprof.model.build import Build, Source
from buildprof.model.explanation import Cause, Confidence, Finding
from buildprof.model.recipe import ContextUse, Recipe, Written
from buildprof.model.snapshot import ContextChanges
from buildprof.model.step import Step

ChangesBetween = Callable[[Build, Build, Sequence[ContextUse]], ContextChanges | None]
"""What differs in what a step takes, between the contexts of an earlier and a later build; None if nobody knows."""

ORDER = (
    Cause.NO_CACHE,
    Cause.INSTRUCTION_CHANGED,
    Cause.BASE_CHANGED,
    Cause.BUILD_ARG_CHANGED,
    Cause.REMOTE_CHANGED,
    Cause.SOURCE_CHANGED,
    Cause.UNKNOWN,
)
"""Which cause is named first where several would do."""

CHECKED = ("instruction", "arguments", "base image", "remote sources", "files", "earlier steps")
"""What is compared of a step, as an unknown cause tells it."""

_ABOUT_ALL = frozenset({"USER", "SHELL", "WORKDIR"})
"""Instructions without a step of their own that are part of what a later RUN or COPY does."""


@dataclass(frozen=True, slots=True)
class Differences:
    """`findings` are what is known to differ, in the order of `ORDER`; `unknown` what could not be compared.

    `via` is the id of the earlier step that they are of, "" for the step's own.
    """

    findings: tuple[Finding, ...] = ()
    unknown: frozenset[str] = frozenset()
    via: str = ""

    @property
    def are_none(self) -> bool:
        """Whether all was compared and nothing differs."""
        return not self.findings and not self.unknown


@dataclass(slots=True)
class StepComparison:
    """Compares steps of a later build with their partners of one earlier build."""

    before: Build
    after: Build
    alignment: Alignment
    changes: ChangesBetween
    _known: dict[str, Differences] = field(default_factory=dict)
    _earlier: dict[str, Step] = field(default_factory=dict)
    _later: dict[str, Step] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._earlier = {step.id: step for step in self.before.steps}
        self._later = {step.id: step for step in self.after.steps}

    def of(self, step: Step) -> Differences | None:
        """The differences of a step, or of what it stands on; None if the earlier build has no such step."""
        partner = self.alignment.partners.get(step.id)
        if partner is None:
            return None
        if step.id not in self._known:
            self._known[step.id] = Differences(unknown=frozenset({"earlier steps"}))  # of a graph in a ring
            self._known[step.id] = self._compared(step, partner)
        return self._known[step.id]

    def _compared(self, step: Step, partner: Step) -> Differences:
        unknown: set[str] = set()
        findings = sorted(self._own(step, partner, unknown), key=lambda one: ORDER.index(one.cause))
        if findings:
            return Differences(tuple(findings), frozenset(unknown))
        beneath = self._beneath(step, partner)
        found = Differences(beneath.findings, beneath.unknown | unknown, beneath.via)
        if not found.are_none or _same_operation(step, partner) is not False:
            return found
        evidence = {"checked": list(CHECKED), "differs": "options of the build"}
        return Differences((Finding(Cause.UNKNOWN, Confidence.LIKELY, evidence),))

    def _own(self, step: Step, partner: Step, unknown: set[str]) -> Iterator[Finding]:
        now, then = step.recipe, partner.recipe
        if now is None or then is None:
            unknown.update(CHECKED[:-1])
            return
        edits = self.alignment.edits.get(step.id, ())
        names = _changed_names(then, now)
        stands_elsewhere = self._stands_elsewhere(step, partner)
        is_classic = self.after.source is Source.CLASSIC
        yield from _instruction(step, then, now, edits, stands_elsewhere=stands_elsewhere, is_classic=is_classic)
        if names:
            yield Finding(Cause.BUILD_ARG_CHANGED, Confidence.CERTAIN, {"names": names})
        yield from _digests(Cause.BASE_CHANGED, then.images, now.images, unknown)
        yield from _digests(Cause.REMOTE_CHANGED, then.remotes, now.remotes, unknown)
        yield from self._content(then, now, unknown)

    def _content(self, then: Recipe, now: Recipe, unknown: set[str]) -> Iterator[Finding]:
        if now.content and then.content and now.content == then.content:
            return
        if not now.takes and not now.content:
            return
        changes = self.changes(self.before, self.after, now.takes) if now.takes else None
        told = now.content != "" and then.content != ""  # the engine itself says that the content is another
        if changes:
            # That the content is another may be told; that it is these files only the directory can tell.
            confidence = Confidence.CERTAIN if changes.is_certain else Confidence.LIKELY
            yield Finding(Cause.SOURCE_CHANGED, confidence, source_evidence(changes))
        elif told:  # of which file is not known; an argument in a path would do as well
            yield Finding(Cause.SOURCE_CHANGED, Confidence.LIKELY, source_evidence(None))
        elif changes is None or not changes.is_certain:
            unknown.add("files")

    def _stands_elsewhere(self, step: Step, partner: Step) -> bool:
        """Whether it takes from other steps than before, as `COPY --from=` another stage does."""
        now = {found.id for one in self._inputs(step, self._later) if (found := self.alignment.partners.get(one))}
        then = set(self._inputs(partner, self._earlier))
        return bool(now) and bool(now - then)

    def _beneath(self, step: Step, partner: Step) -> Differences:
        """Whether what the step stands on is another chain of steps, though each of them came from the cache."""
        for edit in self.alignment.edits.get(step.id, ()):
            if edit.is_step:
                lines = list(edit.after.lines) if edit.after else None
                return Differences((_edited(edit.before, edit.after, lines),))
        unknown: set[str] = set()
        for input_id in self._inputs(step, self._later):
            found = self.of(self._later[input_id])
            if found is None:
                added = self._later[input_id].recipe
                written = added.written if added else None
                if written is None:
                    unknown.add("earlier steps")
                    continue
                return Differences((_edited(None, written, list(written.lines)),), via=input_id)
            if found.findings:
                return Differences(found.findings, found.unknown, found.via or input_id)
            unknown |= found.unknown
        if self._stands_elsewhere(step, partner):
            unknown.add("earlier steps")
        return Differences(unknown=frozenset(unknown))

    def _inputs(self, step: Step, steps: dict[str, Step]) -> list[str]:
        """The cacheable steps that a step stands on directly; others are looked through."""
        found: list[str] = []
        seen: set[str] = set()
        pending = list(step.inputs)
        while pending:
            source = steps.get(id_ := pending.pop(0))
            if source is None or id_ in seen:
                continue
            seen.add(id_)
            if source.cacheable:
                found.append(id_)
            else:
                pending = [*source.inputs, *pending]
        return found


def source_evidence(changes: ContextChanges | None, missing: str | None = None) -> dict[str, Any]:
    """The evidence of changed sources; without `changes` only what would have to be seen to know them."""
    if changes is None:
        names = ("changed", "added", "removed", "changed_count", "added_count", "removed_count", "bytes")
        return {**dict.fromkeys(names), "missing": missing}
    return {
        "changed": list(changes.changed),
        "added": list(changes.added),
        "removed": list(changes.removed),
        "changed_count": changes.changed_count,
        "added_count": changes.added_count,
        "removed_count": changes.removed_count,
        "bytes": changes.bytes,
    }


def _instruction(  # noqa: PLR0913  # each is a fact of its own
    step: Step, then: Recipe, now: Recipe, edits: Iterable[Edit], *, stands_elsewhere: bool, is_classic: bool
) -> Iterator[Finding]:
    """Whether the builder is asked to do something else.

    To the classic builder every instruction is an image that the next one stands on, ENV and LABEL too.
    """
    same_operation = now.operation == then.operation if now.operation and then.operation else None
    # Other blanks and comments make no other operation; nor does the name of another stage, which is another input.
    is_same = same_operation is True and now.takes == then.takes and not stands_elsewhere
    before, after = then.written, now.written
    is_edited = before.differs_from(after) if before and after else before is not after
    if is_edited and not is_same:
        yield _edited(then.written, now.written, list(step.lines) if step.lines else None)
        return
    about_all = [one for one in edits if is_classic or _keyword(one.after or one.before) in _ABOUT_ALL]
    if about_all and same_operation is not True:
        edit = about_all[-1]
        yield _edited(edit.before, edit.after, list(edit.after.lines) if edit.after else None)


def _same_operation(step: Step, partner: Step) -> bool | None:
    """Whether both do the same, as far as the provenance tells; None if it tells nothing."""
    now, then = (one.recipe.operation if one.recipe else "" for one in (step, partner))
    return now == then if now and then else None


def _edited(before: Written | None, after: Written | None, lines: list[int] | None) -> Finding:
    evidence = {"before": before.text if before else None, "after": after.text if after else None, "lines": lines}
    return Finding(Cause.INSTRUCTION_CHANGED, Confidence.CERTAIN, evidence)


def _keyword(written: Written | None) -> str:
    return written.text.partition(" ")[0].upper() if written else ""


def _changed_names(then: Recipe, now: Recipe) -> list[str]:
    """Names of other values. One that is absent where the environment is not known whole says nothing."""
    found = []
    for name in sorted(then.environment.keys() | now.environment.keys()):
        old, new = then.environment.get(name), now.environment.get(name)
        silent = (old is None and not then.is_exact) or (new is None and not now.is_exact)
        if old != new and not silent:
            found.append(name)
    return found


def _digests(
    cause: Cause, then: Sequence[tuple[str, str]], now: Sequence[tuple[str, str]], unknown: set[str]
) -> Iterator[Finding]:
    """Each image or URL that is another one than before, in the order in which the step names them."""
    key = "image" if cause is Cause.BASE_CHANGED else "url"
    if not then and cause is Cause.BASE_CHANGED:
        return  # it stood on a step before: that is told of the instructions
    for index, (name, digest) in enumerate(now):
        if name == "-":  # an archive on standard input, whose digest changes with the times of its files
            unknown |= {"files"} if digest != dict(then).get(name) else set()
            continue
        old_name, old = next((one for one in then if one[0] == name), then[index] if index < len(then) else ("", ""))
        if digest and old and digest != old:
            yield Finding(cause, Confidence.CERTAIN, {key: name, "before": old, "after": digest})
        elif old_name and old_name != name and not (digest and old):
            yield Finding(cause, Confidence.LIKELY, {key: name, "before": old or None, "after": digest or None})
        elif not (digest and old):
            unknown.add("base image" if cause is Cause.BASE_CHANGED else "remote sources")
