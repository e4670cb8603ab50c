"""Explanations in words that a newcomer understands: why a step missed, what followed, what to do, how it is known.

Whatever the evidence holds, a sentence is one line without control characters, of MAX_SENTENCE characters at most.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from itertools import takewhile
from typing import Any

from buildprof.model.build import DEFAULT_TARGET, Build
from buildprof.model.explanation import Cause, Confidence, Explanation, Finding, Loss, Miss
from buildprof.model.explanation_document import Document, explanation_document
from buildprof.model.step import Kind, Step
from buildprof.model.text import clean, human_duration, human_size, plural

MAX_SENTENCE = 500
MAX_PARAGRAPH = 2000
TOLD_MISSES = 3
"""How many misses the paragraph tells of; it counts the rest."""

_NAMED, _STEP, _PATH, _EXCERPT = 3, 80, 60, 60
"""How many names a list gives before it counts, and how many characters of each thing are shown."""

CAUSE_NAMES = {
    Cause.FIRST_BUILD: "first build",
    Cause.INSTRUCTION_CHANGED: "Dockerfile edited",
    Cause.SOURCE_CHANGED: "files changed",
    Cause.BASE_CHANGED: "base image changed",
    Cause.BUILD_ARG_CHANGED: "build argument changed",
    Cause.REMOTE_CHANGED: "remote source changed",
    Cause.NO_CACHE: "cache turned off",
    Cause.EVICTED: "cache removed",
    Cause.COLD_BUILDER: "built on another builder",
    Cause.UNKNOWN: "not known",
}
"""What causes are called for people, as a heading or in a table."""

Evidence = Mapping[str, Any]


def told(explanation: Explanation, build: Build) -> Document:
    """The document of `explain`, with its sentences."""
    sentences = {miss.step_id: miss_sentence(miss, build) for miss in explanation.misses}
    return explanation_document(explanation, build.steps, sentences=sentences, text=paragraph(explanation, build))


def paragraph(explanation: Explanation, build: Build) -> str:
    """All in one paragraph: the dearest misses, what followed from them, and what to do about each."""
    if is_first_build(explanation):
        return first_build_sentence(explanation, build)
    if not explanation.misses:
        return "No step missed the cache."
    parts: list[str] = []
    for miss in explanation.misses[:TOLD_MISSES]:
        parts += [miss_sentence(miss, build), followed(miss), advice(miss, build)]
    if (rest := len(explanation.misses) - TOLD_MISSES) > 0:
        parts.append(f"{rest} more {plural(rest, 'step')} missed for other reasons.")
    if len(explanation.misses) > 1:
        parts.append(f"In all, misses cost {_duration(explanation.blamed_seconds)}.")
    return clean(" ".join(filter(None, parts)), MAX_PARAGRAPH)


def is_first_build(explanation: Explanation) -> bool:
    """Whether nothing earlier is known of any step that missed: the first build of a project on a builder."""
    findings = [miss.finding for miss in explanation.misses]
    return bool(findings) and all(one.cause is Cause.FIRST_BUILD and not one.evidence.get("reason") for one in findings)


def first_build_sentence(explanation: Explanation, build: Build) -> str:
    """What is said of a first build in place of a sentence for each miss."""
    builder, project = clean(build.builder, 60), clean(build.project, 100)
    if build.target != DEFAULT_TARGET:
        project += f"/{clean(build.target, 100)}"
    cost = f": its steps took {_duration(explanation.blamed_seconds)}" if explanation.blamed_seconds else ""
    return f"This is the first build of {project} that is known on builder {builder}{cost}."


def miss_sentence(miss: Miss, build: Build) -> str:
    """Why one step missed: "COPY . . (Dockerfile:7) missed because README.md changed (1 file, 3.1 kB)."."""
    by_id = {step.id: step for step in build.steps}
    step, finding = by_id.get(miss.step_id), miss.finding
    name = _step(step, build) if step else clean(miss.step_id, 20) or "A step"
    if finding.cause is Cause.UNKNOWN:
        checked = _listed(_texts(finding.evidence.get("checked")), most=10)
        said = f"none of what was compared explains it: {checked}" if checked else "what made it miss is not known"
        if differs := _text(finding.evidence, "differs", 60):
            said = f"only {differs} are known to differ"
        return clean(f"{name} missed, and {said}.", MAX_SENTENCE)
    via = by_id.get(miss.via)
    lies = f"; the change lies in {_step(via, build)}, which itself came from the cache" if via else ""
    because = "missed because" if finding.confidence is Confidence.CERTAIN else "missed, probably because"
    reason = _reason(finding, step, build, is_own=not miss.via)
    return _ended(f"{name} {because} {reason}", lies)


def others(miss: Miss, build: Build) -> str:
    """What else would have made the step miss, as a sentence; "" if nothing would."""
    if not miss.also:
        return ""
    step = next((step for step in build.steps if step.id == miss.step_id), None)
    reasons = [
        ("" if one.confidence is Confidence.CERTAIN else "probably ") + _reason(one, step, build, is_own=not miss.via)
        for one in miss.also[:_NAMED]
    ]
    return _ended(f"It would have missed anyway: {'; '.join(reasons)}")


def followed(miss: Miss) -> str:
    """What a miss cost: "It took 2 steps with it: 38.9 s."; "" if nobody knows."""
    count, seconds = len(miss.collateral), miss.blamed_seconds
    cost = "" if seconds is None else _duration(seconds)
    if count:
        return f"It took {count} {plural(count, 'step')} with it{f': {cost}' if cost else ''}."
    return f"It cost {cost}." if cost else ""


_PROOFS = {
    Cause.FIRST_BUILD: "no earlier build that is known has this step",
    Cause.INSTRUCTION_CHANGED: "the instructions of both builds were compared",
    Cause.SOURCE_CHANGED: "the files as they were at both builds were compared",
    Cause.BASE_CHANGED: "the digests of the image in both builds were compared",
    Cause.BUILD_ARG_CHANGED: "the values in both builds were compared",
    Cause.REMOTE_CHANGED: "what both builds fetched was compared",
    Cause.NO_CACHE: "the builder was asked for it",
    Cause.EVICTED: "the same was built here before, and its cache record is gone",
    Cause.COLD_BUILDER: "the same was built before, and never here",
}


def how_known(miss: Miss) -> str:
    """How sure the cause is and what it rests on; "" of a cause that is not known."""
    if miss.finding.cause is Cause.UNKNOWN:
        return ""
    if miss.finding.confidence is Confidence.CERTAIN:
        return f"Certain: {_PROOFS[miss.finding.cause]}."
    return "Probable: it is what is left, as far as the builds could be compared."


def advice(miss: Miss, build: Build) -> str:
    """What to do, where there is something to do; else ""."""
    step = next((step for step in build.steps if step.id == (miss.via or miss.step_id)), None)
    evidence = miss.finding.evidence
    match miss.finding.cause:
        case Cause.SOURCE_CHANGED:
            said = _about_files(evidence, step) or _about_install(miss, step, build) or _about_watching(evidence)
        case Cause.BASE_CHANGED:
            said = f"If that is not wanted, pin {_image(evidence) or 'the image'} by its digest."
        case Cause.BUILD_ARG_CHANGED:
            said = _about_arguments(evidence, step, build, has_collateral=bool(miss.collateral))
        case Cause.NO_CACHE:
            said = f"Builds without {_text(evidence, 'option', 60) or '--no-cache'} use the cache."
        case Cause.EVICTED if evidence.get("by") == "gc":
            said = "Raise the builder's cache limit, so that it keeps more."
        case Cause.EVICTED if evidence.get("by") == "prune":
            said = "Pruning with --filter until=168h keeps what was used in the last week."
        case Cause.COLD_BUILDER:
            said = "Builders can share a cache: build with --cache-to on one and --cache-from on the other."
        case _:
            said = ""
    return clean(said, MAX_SENTENCE)


_SUBJECTS = {
    Cause.BASE_CHANGED: "image ",
    Cause.BUILD_ARG_CHANGED: "argument ",
    Cause.INSTRUCTION_CHANGED: "edited ",
}


def loss_name(loss: Loss) -> str:
    """What time was lost to: the file, the image, the argument, else what its cause is called."""
    subject = _tail(loss.subject) if loss.cause is Cause.SOURCE_CHANGED else clean(loss.subject, _PATH)
    if loss.cause is Cause.UNKNOWN:
        return "causes not known"
    if not subject:
        return CAUSE_NAMES[loss.cause]
    return f"{_SUBJECTS.get(loss.cause, '')}{subject}"


# ── reasons: what stands after "because" ──


def _reason(finding: Finding, step: Step | None, build: Build, *, is_own: bool) -> str:  # noqa: C901, PLR0911  # a case for each
    evidence = finding.evidence
    match finding.cause:
        case Cause.FIRST_BUILD:
            return {
                "new_step": "it is new in the Dockerfile",
                "never_succeeded": "it never ran to its end in an earlier build",
            }.get(str(evidence.get("reason")), "no earlier build of it is known")
        case Cause.INSTRUCTION_CHANGED:
            return _edited(evidence, step, build, is_own=is_own)
        case Cause.SOURCE_CHANGED:
            return _files(evidence)
        case Cause.BASE_CHANGED:
            image = _image(evidence)
            is_source = bool(image) and step is not None and "from=" in step.command and image in step.command
            what = f"the image {image}, from which it takes files," if is_source else f"the base image {image}".rstrip()
            return f"{what} changed{_from_to(evidence)}"
        case Cause.BUILD_ARG_CHANGED:
            names = _texts(evidence.get("names"))
            what = f"{'value' if len(names) == 1 else 'values'} of {_listed(names)}" if names else "value of one"
            return f"the {what} changed (build {plural(len(names) or 1, 'argument')} or environment)"
        case Cause.REMOTE_CHANGED:
            return f"what it fetches from {_text(evidence, 'url', 120) or 'elsewhere'} changed{_from_to(evidence)}"
        case Cause.NO_CACHE:
            return f"the build was asked not to use the cache ({_text(evidence, 'option', 60) or '--no-cache'})"
        case Cause.EVICTED:
            by = {
                "prune": "somebody pruned it from the cache",
                "gc": "the builder removed it from its cache to save space",
            }.get(str(evidence.get("by")), "it is no longer in the cache, though it is the same as before")
            return f"{by}{_between(evidence.get('lost_at'))}"
        case Cause.COLD_BUILDER:
            builder, ref = _text(evidence, "builder", 60), _text(evidence, "ref", 12).rstrip("…")
            other = f"builder {builder}" if builder else "another builder"
            return f"only {other} has built it before{f' (build {ref})' if ref else ''}"
        case Cause.UNKNOWN:
            return "something else"


def _edited(evidence: Evidence, step: Step | None, build: Build, *, is_own: bool) -> str:
    before, after = _differing(_text(evidence, "before", 4096), _text(evidence, "after", 4096))
    lines = evidence.get("lines")
    line = lines[0] if isinstance(lines, list | tuple) and lines and isinstance(lines[0], int) else None
    is_within = line is None or step is None or step.lines is None or step.lines[0] <= line <= step.lines[1]
    place = "" if is_own and is_within else f" before it{f' ({_dockerfile(build)}{line})' if line is not None else ''}"
    if before and after:
        the = "an instruction" if place else "the instruction"
        return f"{the}{place} changed from `{before}` to `{after}`"
    if before:
        return f"`{before}` before it was removed"
    return f"`{after}` was added{place}" if after else f"the instruction{place} changed"


def _differing(before: str, after: str) -> tuple[str, str]:
    """Where texts are too long, what they begin with alike gives way."""
    if max(len(before), len(after)) > _EXCERPT and before and after:
        shared = sum(1 for _ in takewhile(lambda both: both[0] == both[1], zip(before, after, strict=False)))
        if shared > _EXCERPT // 2:
            before, after = (f"…{text[shared - _EXCERPT // 4 :]}" for text in (before, after))
    return clean(before, _EXCERPT), clean(after, _EXCERPT)


def _files(evidence: Evidence) -> str:
    groups = []
    total = 0
    for kind, verb in (("changed", "changed"), ("added", "{} added"), ("removed", "{} removed")):
        names = [_tail(path) for path in _texts(evidence.get(kind))]
        count = max(_count(evidence, f"{kind}_count"), len(names))
        if count:
            total += count
            groups.append(f"{_listed(names, count=count)} {verb.format('was' if count == 1 else 'were')}")
    if not groups:
        return "a file that it takes changed"
    size = _count(evidence, "bytes")
    figures = f"{total} {plural(total, 'file')}" + (f", {human_size(size)}" if size else "")
    return f"{_and(groups)} ({figures})"


def _from_to(evidence: Evidence) -> str:
    before, after = (_digest(_text(evidence, key, 200)) for key in ("before", "after"))
    if before and after:
        return f" ({before} before, {after} now)"
    return f" ({after} now)" if after else ""


def _between(interval: object) -> str:
    times = list(interval) if isinstance(interval, list | tuple) else []
    since, until = (_minute(times[at]) if at < len(times) else "" for at in (0, 1))
    if since and until:
        return f" between {since} and {until} UTC"
    return f" after {since} UTC" if since else f" before {until} UTC" if until else ""


# ── advice ──

_IGNORABLE_NAMES = re.compile(
    r"(README|LICEN[CS]E|CHANGELOG|CHANGES|CONTRIBUTING|AUTHORS|NOTICE|CODE_OF_CONDUCT|SECURITY)(\.\w+)?|.+\.md"
    r"|(.+\.)?Dockerfile(\..+)?|Containerfile|(docker-)?compose[\w.-]*\.ya?ml|docker-bake\.\w+|\.dockerignore"
    r"|\.git(ignore|attributes|modules)|\.gitlab-ci\.yml|\.travis\.yml|Jenkinsfile|\.editorconfig|\.DS_Store"
    r"|.+\.(sw[op]|orig|log|pyc)|.+~|\.coverage",
    re.IGNORECASE,
)
_IGNORABLE_DIRECTORIES = frozenset(
    {"docs", "doc", "tests", "test", "__tests__", ".git", ".github", ".gitlab", ".circleci", ".vscode", ".idea"}
    | {"__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache", "coverage"}
)

_INSTALLS = tuple(
    (re.compile(pattern), manifests)
    for pattern, manifests in (
        (r"\bnpm (ci|install|i)\b", ("package.json", "package-lock.json")),
        (r"\byarn( install)?( --|$)", ("package.json", "yarn.lock")),
        (r"\bpnpm (install|i)\b", ("package.json", "pnpm-lock.yaml")),
        (r"\bpip3? install .*?(-r|--requirement)[ =]?", ("requirements.txt",)),
        (r"\bpoetry install\b", ("pyproject.toml", "poetry.lock")),
        (r"\buv sync\b", ("pyproject.toml", "uv.lock")),
        (r"\bbundle install\b", ("Gemfile", "Gemfile.lock")),
        (r"\bgo mod download\b", ("go.mod", "go.sum")),
        (r"\bcomposer install\b", ("composer.json", "composer.lock")),
        (r"\bmvn .*dependency:", ("pom.xml",)),
        (r"\bcargo fetch\b", ("Cargo.toml", "Cargo.lock")),
    )
)
"""Commands that install what a manifest names, and the files that they need for it."""


def ignorable(path: str) -> str | None:
    """What to write in .dockerignore against a file that images usually do without; None for all other files."""
    parts = path.split("/")
    for depth, part in enumerate(parts[:-1], 1):
        if part in _IGNORABLE_DIRECTORIES:
            return "/".join(parts[:depth])
    return path if _IGNORABLE_NAMES.fullmatch(parts[-1][:255]) else None


def _about_files(evidence: Evidence, step: Step | None) -> str:
    paths = _paths(evidence)
    counted = sum(_count(evidence, f"{kind}_count") for kind in ("changed", "added", "removed"))
    patterns = dict.fromkeys(ignorable(path) for path in paths)
    if not paths or counted > len(paths) or None in patterns or (step and any(_is_named(p, step) for p in paths)):
        return ""
    names, it = [_tail(pattern) for pattern in patterns if pattern], "it" if len(patterns) == 1 else "them"
    return f"Usually no step needs {_listed(names)}: add {it} to .dockerignore."


def _is_named(path: str, step: Step) -> bool:
    """Whether an instruction asks for a file by its name, and not only for all that is there."""
    command = step.command[:1000]
    if step.kind not in {Kind.COPY, Kind.ADD}:
        return path in command
    words = [word.strip("[],\"'").removeprefix("./").rstrip("/") for word in command.split() if word[:2] != "--"]
    sources = [word for word in words[:-1] if word not in {"", ".", "*"}]
    return any(path == source or path.startswith(f"{source}/") or fnmatchcase(path, source) for source in sources)


def _about_install(miss: Miss, step: Step | None, build: Build) -> str:
    if step is None or step.kind not in {Kind.COPY, Kind.ADD}:
        return ""
    changed = {path.rpartition("/")[2] for path in _paths(miss.finding.evidence)}
    for run in (one for one in build.steps if one.id in set(miss.collateral) and one.kind is Kind.RUN):
        for pattern, manifests in _INSTALLS:
            needed = not changed.isdisjoint(manifests) or any(name in step.command for name in manifests)
            if not needed and changed and pattern.search(run.command[:1000]):
                files = _listed(manifests)
                return f"{_step(run, build)} ran again for it: copy {files} first, then install, then copy the rest."
    return ""


def _about_watching(evidence: Evidence) -> str:
    missing = evidence.get("missing")
    what = _listed([missing] if isinstance(missing, str) else _texts(missing))
    return f"To know which file, let the agent read {what}: mount it, or name it in `watch`." if what else ""


def _about_arguments(evidence: Evidence, step: Step | None, build: Build, *, has_collateral: bool) -> str:
    names = _texts(evidence.get("names"))
    written = _written(step, build)
    if written and names and not any(name in written for name in names):
        it = "it" if len(names) == 1 else "them"
        return f"The step does not name {_listed(names)}: declare {it} later, after the steps that do without."
    return "If it changes often, declare it later, right before the step that needs it." if has_collateral else ""


def _written(step: Step | None, build: Build) -> str:
    """A step's text as written, for names of steps have their arguments expanded; "" if it is not known."""
    if step is None or step.lines is None:
        return ""
    first, last = step.lines
    return "\n".join(build.dockerfile_text.split("\n")[max(first - 1, 0) : last])


# ── words ──


def _step(step: Step, build: Build) -> str:
    """A step and where it stands: "COPY . . (Dockerfile:7)"."""
    name = clean(f"{step.instruction} {step.command}", _STEP) or clean(step.name, _STEP) or "a step"
    where = [f"{_dockerfile(build)}{step.lines[0]}"] if step.lines else []
    if not where and step.position is not None:
        where = [clean(f"{step.stage} {step.position}/{step.of}", 60)]
    if len(build.platforms) > 1 and step.platform:
        where.append(clean(step.platform, 40))
    return f"{name} ({', '.join(where)})" if where else name


def _dockerfile(build: Build) -> str:
    return f"{_tail(build.dockerfile)}:" if clean(build.dockerfile, _PATH) else "line "


def _image(evidence: Evidence) -> str:
    name = _text(evidence, "image", 200).partition("@")[0].removeprefix("docker.io/").removeprefix("library/")
    return clean(name, 100)


def _digest(digest: str) -> str:
    """As much of a digest or a commit as people compare."""
    found = re.fullmatch(r"(?:\w+:)?([0-9a-f]{12})[0-9a-f]*", digest)
    return found[1] if found else clean(digest, 20)


def _minute(moment: object) -> str:
    found = re.match(r"([0-9]{4}-[0-9]{2}-[0-9]{2})T([0-9]{2}:[0-9]{2})", str(moment))
    return f"{found[1]} {found[2]}" if found else ""


def _duration(seconds: float) -> str:
    """As people say it; tenths of a second would call a quick step free."""
    return f"{seconds * 1000:.0f} ms" if 0 < seconds < 0.0995 else human_duration(seconds)


def _tail(path: str) -> str:
    """The end of a path, by which people know a file."""
    shown = clean(path, 4096)
    return shown if len(shown) <= _PATH else f"…{shown[1 - _PATH :]}"


def _paths(evidence: Evidence) -> list[str]:
    return [path for kind in ("changed", "added", "removed") for path in _texts(evidence.get(kind))]


def _listed(names: Sequence[str], *, count: int | None = None, most: int = _NAMED) -> str:
    """Write "a", "a and b", or "a, b, c and 9 more" of `count` names."""
    shown = [clean(name, _PATH) for name in names[:most]]
    rest = (len(names) if count is None else count) - len(shown)
    return _and([*shown, f"{rest} more" if shown else f"{rest} {plural(rest, 'file')}"] if rest > 0 else shown)


def _and(parts: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(parts[:-1]), *parts[-1:]]))


def _texts(value: object) -> list[str]:
    """Texts that evidence has under a key, bounded and cleaned; none if it has something else there."""
    if not isinstance(value, Iterable) or isinstance(value, str | bytes | Mapping):
        return []
    return [text for text in (clean(one, 4096) for one in list(value)[:50]) if text]


def _text(evidence: Evidence, key: str, limit: int) -> str:
    value = evidence.get(key)
    return clean(value, limit) if isinstance(value, str) else ""


def _count(evidence: Evidence, key: str) -> int:
    value = evidence.get(key)
    return value if isinstance(value, int) and value > 0 else 0


def _ended(text: str, more: str = "") -> str:
    return f"{clean(f'{text}{more}', MAX_SENTENCE - 1)}."
