"""Builds of one Dockerfile at once, from events as the classic builder makes them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from buildprof.assembly.classic import ClassicTracker
from buildprof.assembly.classic_facts import Answers, ContainerQuestion, ContainerRecord, ImageQuestion, ImageRecord
from buildprof.model.build import Build, Engine, Status
from buildprof.model.events import EngineEvent, HistoryEntry
from buildprof.model.text import NANOSECONDS

MS = 1_000_000
START_NS = 1_000 * NANOSECONDS
BASE = HistoryEntry("sha256:" + "b" * 64, 0, "import", 0, ("base:latest",))

Pairs = list[tuple[EngineEvent, Answers]]


@dataclass(frozen=True, slots=True)
class Life:
    """A step of a build in milliseconds since the start: its container is created, it is committed, removed.

    A COPY has no container: only its commit counts.
    """

    created: int
    committed: int
    destroyed: int


def digest(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def command(keyword: str, number: int) -> tuple[str, ...]:
    if keyword == "RUN":
        return ("/bin/sh", "-c", f"make {number}")
    text = {"WORKDIR": f"WORKDIR /{number}", "COPY": f"COPY file:{'c' * 64} in /{number} "}[keyword]
    return ("/bin/sh", "-c", f"#(nop) {text}")


def events(build: int, keywords: Sequence[str], lives: Sequence[Life]) -> Pairs:
    """What an engine says of one build, with its answers."""
    pairs: Pairs = []
    history = (BASE,)
    for number, (keyword, life) in enumerate(zip(keywords, lives, strict=True)):
        words = command(keyword, number)
        if keyword != "COPY":
            container = digest("container", build, number)
            parent = ImageRecord(history[0].id, history[1].id if history[1:] else "", history[0].created_ns)
            answers: Answers = {
                ContainerQuestion(container): ContainerRecord(container, history[0].id, words, "none"),
                ImageQuestion(history[0].id): replace(parent, tags=history[0].tags, history=history),
            }
            created = {"image": history[0].id}
            pairs.append((event("container", "create", container, life.created, **created), answers))
            if keyword == "RUN":
                pairs.append((event("container", "start", container, life.created), {}))
                pairs.append((event("container", "die", container, life.committed, exitCode="0"), {}))
            pairs.append((event("container", "destroy", container, life.destroyed), {}))
        image = "sha256:" + digest("image", build, number)
        history = (HistoryEntry(image, START_NS + life.committed * MS, " ".join(words), 1), *history)
    name = f"app:{build}"
    result = ImageRecord(history[0].id, history[1].id, history[0].created_ns, (name,), history=history)
    tagged = event("image", "tag", history[0].id, lives[-1].destroyed + 1, name=name)
    return [*pairs, (tagged, {ImageQuestion(result.id): result})]


def event(kind: str, action: str, subject: str, at_ms: int, **attributes: str) -> EngineEvent:
    return EngineEvent(at_ns=START_NS + at_ms * MS, type=kind, action=action, id=subject, attributes=attributes)


def fold(*builds: Pairs) -> list[Build]:
    tracker = ClassicTracker("default", Engine("docker", "test"))
    pairs = sorted((pair for pairs in builds for pair in pairs), key=lambda pair: pair[0].at_ns)
    found = [build for one, answers in pairs for build in tracker.fold(one, answers)]
    found += tracker.expire(1 << 62)
    return list({build.ref: build for build in found}.values())


def outcomes(build: Build) -> str:
    return " ".join(f"{step.instruction}:{step.outcome.value}" for step in build.steps if step.cacheable)


def test_a_wrong_guess_of_a_container_is_undone_when_a_later_image_shows_it():
    """The second build's image is seen first, and the first one's container was removed next after its commit."""
    first = events(0, ("WORKDIR", "RUN"), (Life(0, 10, 50), Life(90, 200, 210)))
    second = events(1, ("WORKDIR", "RUN"), (Life(20, 40, 60), Life(70, 190, 200)))
    builds = fold(first, second)
    assert [outcomes(build) for build in builds] == ["WORKDIR:miss RUN:miss"] * 2
    assert sorted(build.image.tags for build in builds if build.image) == [("app:0",), ("app:1",)]
    for build in builds:
        number = 0 if build.image and build.image.tags == ("app:0",) else 1
        step = next(step for step in build.steps if step.instruction == "WORKDIR")
        assert step.started_ns == START_NS + (0, 20)[number] * MS


def test_a_wrong_guess_is_undone_through_several_builds():
    first = events(0, ("WORKDIR", "RUN"), (Life(0, 10, 50), Life(190, 300, 310)))
    second = events(1, ("WORKDIR", "RUN"), (Life(20, 40, 80), Life(150, 310, 320)))
    third = events(2, ("WORKDIR", "RUN"), (Life(45, 70, 100), Life(120, 330, 340)))
    builds = fold(first, second, third)
    assert [outcomes(build) for build in builds] == ["WORKDIR:miss RUN:miss"] * 3


@st.composite
def parallel_builds(draw: st.DrawFn) -> tuple[tuple[str, ...], list[list[Life]]]:
    keywords = ("WORKDIR", *draw(st.lists(st.sampled_from(["WORKDIR", "RUN", "COPY"]), max_size=4)), "RUN")
    gap = st.integers(1, 400)
    builds = []
    for _ in range(draw(st.integers(2, 5))):
        at, lives = draw(st.integers(0, 300)), []
        for _ in keywords:
            created = at + draw(gap)
            committed = created + draw(gap)
            at = committed + draw(gap)
            lives.append(Life(created, committed, at))
        builds.append(lives)
    return keywords, builds


@settings(max_examples=300, deadline=None)
@given(parallel_builds())
def test_builds_of_one_dockerfile_at_once_come_out_one_by_one_with_all_steps_missed(
    drawn: tuple[tuple[str, ...], list[list[Life]]],
):
    keywords, lives = drawn
    builds = fold(*(events(number, keywords, one) for number, one in enumerate(lives)))
    assert len(builds) == len(lives)
    for build in builds:
        assert build.status is Status.COMPLETED
        assert outcomes(build) == " ".join(f"{keyword}:miss" for keyword in keywords)
    assert {build.image.tags[0] for build in builds if build.image} == {f"app:{one}" for one in range(len(lives))}
