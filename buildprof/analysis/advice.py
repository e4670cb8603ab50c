"""What to do about a miss, where there is something to do."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

from buildprof.analysis.words import (
    MAX_SENTENCE,
    Evidence,
    all_paths,
    count_of,
    image_name,
    listed,
    named_step,
    path_tail,
    text_of,
    texts_of,
)
from buildprof.model.build import Build, Source
from buildprof.model.explanation import Cause, Miss
from buildprof.model.step import Kind, Step
from buildprof.model.text import clean, said_duration


def advice(miss: Miss, build: Build) -> str:
    """What to do, where there is something to do; else ""."""
    step = next((step for step in build.steps if step.id == (miss.via or miss.step_id)), None)
    evidence = miss.finding.evidence
    match miss.finding.cause:
        case Cause.SOURCE_CHANGED:
            said = (
                _about_files(evidence, step)
                or _about_install(miss, step, build)
                or _about_order(miss, step, build)
                or _about_watching(evidence, build)
            )
        case Cause.BASE_CHANGED:
            said = f"If that is not wanted, pin {image_name(evidence) or 'the image'} by its digest."
        case Cause.BUILD_ARG_CHANGED:
            said = _about_arguments(evidence, step, build, has_collateral=bool(miss.collateral))
        case Cause.NO_CACHE:
            said = f"Builds without {text_of(evidence, 'option', 60) or '--no-cache'} use the cache."
        case Cause.EVICTED if evidence.get("by") == "gc":
            said = "Raise the builder's cache limit, so that it keeps more."
        case Cause.EVICTED if evidence.get("by") == "prune":
            said = "Pruning with --filter until=168h keeps what was used in the last week."
        case Cause.COLD_BUILDER:
            said = "Builders can share a cache: build with --cache-to on one and --cache-from on the other."
        case _:
            said = ""
    return clean(said, MAX_SENTENCE)


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


_FETCHES = re.compile(
    r"\b(apt(-get)? (-\S+ )*install|apk add|dnf install|yum install|zypper install|pip3? install|gem install|curl|wget"
    r"|git clone|npm (install|i) (-g|--global)|go install \S+@)\b"
)
"""Commands that get what they install from elsewhere."""

_BUILDS = re.compile(
    r"\b(make|ninja|cmake|gcc|cc|javac|tsc|webpack|vite|rake|mix|bazel|sbt|cabal|stack|msbuild|pytest|tox|gradlew?|mvn|ant"
    r"|go|cargo|swift|dotnet|npm|yarn|pnpm|bun|hugo|poetry|uv|pip3?|bundle|composer|mvnw|python3?|node|php|ruby|perl)\b"
)
"""Commands that work on a project's own files."""

SLOW_SECONDS = 1.0
"""How long a step takes at least for it to be worth a change of the Dockerfile."""


def ignorable(path: str) -> str | None:
    """What to write in .dockerignore against a file that images usually do without; None for all other files."""
    parts = path.split("/")
    for depth, part in enumerate(parts[:-1], 1):
        if part in _IGNORABLE_DIRECTORIES:
            return "/".join(parts[:depth])
    return path if _IGNORABLE_NAMES.fullmatch(parts[-1][:255]) else None


def _about_files(evidence: Evidence, step: Step | None) -> str:
    paths = all_paths(evidence)
    counted = sum(count_of(evidence, f"{kind}_count") for kind in ("changed", "added", "removed"))
    patterns = dict.fromkeys(ignorable(path) for path in paths)
    if not paths or counted > len(paths) or None in patterns or (step and any(_is_named(p, step) for p in paths)):
        return ""
    names, it = [path_tail(pattern) for pattern in patterns if pattern], "it" if len(patterns) == 1 else "them"
    return f"Usually no step needs {listed(names)}: add {it} to .dockerignore."


def _is_named(path: str, step: Step) -> bool:
    """Whether an instruction asks for a file by its name, and not only for all that is there."""
    command = step.command[:1000]
    if step.kind not in {Kind.COPY, Kind.ADD}:
        return path in command
    words = [word.strip("[],\"'").removeprefix("./").rstrip("/") for word in command.split() if word[:2] != "--"]
    sources = [word for word in words[:-1] if word not in {"", ".", "*"}]
    return any(path == source or path.startswith(f"{source}/") or fnmatchcase(path, source) for source in sources)


def _followers(miss: Miss, build: Build) -> list[Step]:
    """The RUN steps that a miss took with it."""
    collateral = set(miss.collateral)
    return [one for one in build.steps if one.id in collateral and one.kind is Kind.RUN]


def _about_install(miss: Miss, step: Step | None, build: Build) -> str:
    if step is None or step.kind not in {Kind.COPY, Kind.ADD}:
        return ""
    changed = {path.rpartition("/")[2] for path in all_paths(miss.finding.evidence)}
    for run in _followers(miss, build):
        for pattern, manifests in _INSTALLS:
            needed = not changed.isdisjoint(manifests) or any(name in step.command for name in manifests)
            if not needed and changed and pattern.search(run.command[:1000]):
                files = listed(manifests)
                return (
                    f"{named_step(run, build)} ran again for it: copy {files} first, then install, then copy the rest."
                )
    return ""


def _about_order(miss: Miss, step: Step | None, build: Build) -> str:
    """A slow step that ran again after a copy of everything, and that seems to need nothing of it."""
    paths = all_paths(miss.finding.evidence)
    if (
        step is None
        or step.kind not in {Kind.COPY, Kind.ADD}
        or not paths
        or any(_is_named(one, step) for one in paths)
    ):
        return ""
    changed = {path.rpartition("/")[2] for path in paths}
    slow = [
        one
        for one in _followers(miss, build)
        if (one.stage, one.platform) == (step.stage, step.platform)
        and (one.duration_seconds or 0.0) >= SLOW_SECONDS
        and not any(name in one.command for name in changed)
        and (_FETCHES.search(one.command[:1000]) or not _BUILDS.search(one.command[:1000]))
    ]
    if not slow:
        return ""
    slowest = max(slow, key=lambda one: one.duration_seconds or 0.0)
    took, copied = said_duration(slowest.duration_seconds or 0.0), clean(f"{step.instruction} {step.command}", 60)
    return (
        f"{named_step(slowest, build)} ran again for it and took {took}: if it needs nothing of what {copied} brings,"
        " put it above."
    )


def _about_watching(evidence: Evidence, build: Build) -> str:
    """What to do where the files that changed are not known."""
    missing = evidence.get("missing")
    what = listed([missing] if isinstance(missing, str) else texts_of(missing))
    if what:
        return f"To know which file, let the agent read {what}: mount it, or name it in `watch`."
    if evidence.get("changed") is not None:
        return ""
    if build.source is Source.CLASSIC and build.snapshot is not None:
        return "Which file is not known: the directory was not seen at both builds."
    if build.source is Source.CLASSIC:
        return (
            "The classic builder does not tell its directory. Which file is known of builds with BuildKit, and where"
            " the agent can see the client's `docker build` while it runs."
        )
    return (
        "Which file is known of the main context alone, if the agent can read that directory and buildx's state"
        " (`buildx_dirs`)."
    )


def _about_arguments(evidence: Evidence, step: Step | None, build: Build, *, has_collateral: bool) -> str:
    names = texts_of(evidence.get("names"))
    written = _written(step, build)
    if written and names and not any(name in written for name in names):
        it = "it" if len(names) == 1 else "them"
        return f"The step does not name {listed(names)}: declare {it} later, after the steps that do without."
    return "If it changes often, declare it later, right before the step that needs it." if has_collateral else ""


def _written(step: Step | None, build: Build) -> str:
    """A step's text as written, for names of steps have their arguments expanded; "" if it is not known."""
    if step is None or step.lines is None:
        return ""
    first, last = step.lines
    return "\n".join(build.dockerfile_text.split("\n")[max(first - 1, 0) : last])
