"""Explanations made by hand, each with its build."""

from __future__ import annotations

from dataclasses import replace

from buildprof.model.build import Build, Summary
from buildprof.model.explanation import Cause, Confidence, Explanation, Finding, Loss, Miss
from buildprof.model.step import Outcome, Step
from tests.cli.sample_builds import build, linked, shop, step

CERTAIN, LIKELY = Confidence.CERTAIN, Confidence.LIKELY


def files(*changed: str, size: int = 3100, **more: object) -> dict[str, object]:
    """Evidence of changed files."""
    return {
        "changed": list(changed),
        "added": [],
        "removed": [],
        "changed_count": len(changed),
        "added_count": 0,
        "removed_count": 0,
        "bytes": size,
        **more,
    }


def explained(of: Build, *misses: Miss, compared_to: str | None = "9f8e7d6c5b4a") -> Explanation:
    blamed = sum(miss.blamed_seconds or 0.0 for miss in misses)
    return Explanation(of.ref, of.project, of.target, compared_to, misses, blamed)


def readme() -> tuple[Build, Explanation]:
    """One file that no step needs, and two steps that follow."""
    sample = shop()
    lines = {"COPY . .": (7, 7), "RUN npm run build": (8, 8)}
    steps = tuple(replace(one, lines=lines.get(f"{one.instruction} {one.command}")) for one in sample.steps)
    sample = replace(sample, steps=steps)
    copy, run, final = (one.id for one in steps if one.outcome is Outcome.MISS)
    finding = Finding(Cause.SOURCE_CHANGED, CERTAIN, files("README.md"))
    return sample, explained(sample, Miss(copy, finding, (), "", 0.4, (run, final), 38.9))


def several() -> tuple[Build, Explanation]:
    """Misses of several causes, certain and likely, one with more than one, one that lies in an earlier step."""

    def missed(name: str, number: int, begin: float, end: float) -> Step:
        return step(name, Outcome.MISS, begin, end, place=("app", number, 7), lines=(number + 1, number + 1))

    manifest = step("COPY requirements.txt .", Outcome.HIT, 0.1, 0.1, place=("app", 2, 7), lines=(3, 3))
    install = missed("RUN pip install -r requirements.txt", 3, 0.1, 64.0)
    label = missed("RUN echo 42 > /version", 4, 64.0, 64.2)
    apt = missed("RUN apt-get update && apt-get install -y --no-install-recommends curl git make", 5, 64.2, 84.2)
    source = missed("COPY . /app", 6, 84.2, 84.6)
    assets = missed("RUN yarn install --frozen-lockfile", 7, 84.6, 99.6)
    base = step("FROM docker.io/library/python:3.12", begin=0.0, end=0.1, place=("app", 1, 7), lines=(1, 1))
    sample = build(
        linked(base, manifest, install, label, apt, source, assets),
        target="default",
        dockerfile="docker/app.Dockerfile",
        dockerfile_text="FROM python:3.12\nARG BUILD\nCOPY requirements.txt .\nRUN pip\nRUN echo $BUILD > /version\n",
        summary=Summary(steps=7, cacheable_steps=6, cache_hits=1, cache_misses=5),
    )
    before = "RUN apt-get update && apt-get install -y --no-install-recommends curl git"
    return sample, explained(
        sample,
        Miss(
            install.id,
            Finding(Cause.SOURCE_CHANGED, CERTAIN, files("requirements.txt", size=412)),
            (Finding(Cause.BASE_CHANGED, CERTAIN, {"image": "docker.io/library/python:3.12"}),),
            manifest.id,
            63.9,
            (),
            63.9,
        ),
        Miss(
            apt.id,
            Finding(Cause.INSTRUCTION_CHANGED, CERTAIN, {"before": before, "after": f"{before} make", "lines": [6, 6]}),
            (),
            "",
            20.0,
            (),
            20.0,
        ),
        Miss(
            source.id,
            Finding(
                Cause.SOURCE_CHANGED,
                CERTAIN,
                files("src/a.py", "src/b.py", added=["src/c.py"], added_count=1, changed_count=12, size=48_000),
            ),
            (),
            "",
            0.4,
            (assets.id,),
            15.4,
        ),
        Miss(label.id, Finding(Cause.EVICTED, LIKELY, {"lost_at": [None, None], "by": None}), (), "", 0.2, (), 0.2),
    )


def first() -> tuple[Build, Explanation]:
    """The first build of a project on a builder."""
    sample = shop()
    misses = [one for one in sample.steps if one.outcome is Outcome.MISS]
    finding = Finding(Cause.FIRST_BUILD, CERTAIN)
    miss = Miss(misses[0].id, finding, (), "", 0.4, tuple(one.id for one in misses[1:]), 38.9)
    return sample, explained(sample, miss, compared_to=None)


def none() -> tuple[Build, Explanation]:
    """Nothing missed."""
    sample = shop()
    steps = tuple(replace(one, outcome=Outcome.HIT) if one.outcome is Outcome.MISS else one for one in sample.steps)
    return replace(sample, steps=steps), explained(sample)


ALL = {"readme": readme, "several": several, "first": first, "none": none}

LOSSES = (
    Loss(Cause.SOURCE_CHANGED, "package.json", 840.0, 9),
    Loss(Cause.SOURCE_CHANGED, "README.md", 362.5, 4),
    Loss(Cause.BASE_CHANGED, "node:20", 61.0, 1),
    Loss(Cause.NO_CACHE, "", 12.0, 2),
)
