"""What a cause rests on, taken apart for a page: files, texts before and after, and further facts. Bounded and clean."""

from __future__ import annotations

from dataclasses import dataclass

from buildprof.analysis.words import count_of, image_name, minute, text_of, texts_of
from buildprof.model.explanation import Cause, Finding
from buildprof.model.text import human_size

MAX_EXCERPT = 2000
_BY = {"prune": "somebody's prune", "gc": "the builder's own clean-up"}


@dataclass(frozen=True, slots=True)
class FileGroup:
    """Files that one thing happened to: "changed", "added" or "removed". Of `count` files the first are in `paths`."""

    what: str
    count: int
    paths: tuple[str, ...]

    @property
    def rest(self) -> int:
        """How many are not named."""
        return self.count - len(self.paths)


@dataclass(frozen=True, slots=True)
class Shown:
    """Evidence taken apart. `before` and `after` are texts, "" for none; `facts` are names with their values."""

    files: tuple[FileGroup, ...] = ()
    before: str = ""
    after: str = ""
    facts: tuple[tuple[str, str], ...] = ()


def shown_evidence(finding: Finding) -> Shown:
    """The evidence of a finding; whatever has another shape than `Finding` tells is left out."""
    evidence = finding.evidence
    facts: list[tuple[str, str]] = []
    match finding.cause:
        case Cause.SOURCE_CHANGED:
            size = count_of(evidence, "bytes")
            facts.append(("size of these files", human_size(size) if size else ""))
        case Cause.BASE_CHANGED:
            facts.append(("image", image_name(evidence)))
        case Cause.REMOTE_CHANGED:
            facts.append(("from", text_of(evidence, "url", 300)))
        case Cause.BUILD_ARG_CHANGED:
            facts.append(("arguments", ", ".join(texts_of(evidence.get("names")))))
        case Cause.NO_CACHE:
            facts.append(("option", text_of(evidence, "option", 100)))
        case Cause.EVICTED:
            lost = evidence.get("lost_at")
            times = [minute(one) for one in lost] if isinstance(lost, list | tuple) else []
            between = " and ".join(f"{time} UTC" for time in times if time)
            facts += [("lost", between), ("by", _BY.get(str(evidence.get("by")), "nobody knows whom"))]
        case Cause.UNKNOWN:
            facts.append(("compared", ", ".join(texts_of(evidence.get("checked")))))
        case _:
            pass
    return Shown(
        files=tuple(_groups(finding)) if finding.cause is Cause.SOURCE_CHANGED else (),
        before=text_of(evidence, "before", MAX_EXCERPT),
        after=text_of(evidence, "after", MAX_EXCERPT),
        facts=tuple((name, value) for name, value in facts if value),
    )


def _groups(finding: Finding) -> list[FileGroup]:
    groups = []
    for what in ("changed", "added", "removed"):
        paths = tuple(texts_of(finding.evidence.get(what)))
        count = max(count_of(finding.evidence, f"{what}_count"), len(paths))
        if count:
            groups.append(FileGroup(what, count, paths))
    return groups
