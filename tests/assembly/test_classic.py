from __future__ import annotations

import pytest

from buildprof.assembly.classic import ClassicTracker
from buildprof.assembly.classic_facts import Answers
from buildprof.model.build import Build, Source, Status
from buildprof.model.events import EngineEvent
from buildprof.model.step import Kind, Outcome
from tests.recordings.record_classic import ENGINE, recorded

KINDS = ("bookworm", "trixie", "forky", "forky-containerd")

Pairs = list[tuple[EngineEvent, Answers]]


def replay(kind: str, *, buildkit_images: bool = False, until: str = "") -> dict[str, list[Build]]:
    """The builds that each scenario of a recording gave; "" has those that ended in silence."""
    tracker = ClassicTracker("default", ENGINE, buildkit_images=buildkit_images)
    found: dict[str, list[Build]] = {}
    for scenario, pairs in recorded(kind).items():
        found[scenario] = [build for event, answers in pairs for build in tracker.fold(event, answers)]
        if scenario == until:
            break
    found[""] = tracker.expire(1 << 62)
    return found


def outcomes(build: Build) -> list[tuple[str, str]]:
    return [(step.instruction, step.outcome.value) for step in build.steps if step.kind is not Kind.FROM]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


FIRST_STAGE = [("ARG", "none"), ("ENV", "none"), ("WORKDIR", "miss"), ("COPY", "miss"), ("RUN", "miss")]
LAST_STAGE = ["LABEL", "WORKDIR", "RUN", "COPY", "ADD", "EXPOSE", "CMD"]


def test_a_cold_build_has_all_steps_in_order_and_each_ran(kind: str):
    (build,) = replay(kind)["cold"]
    assert build.status is Status.COMPLETED
    assert build.source is Source.CLASSIC
    last = ["none", "miss", "miss", "miss", "miss", "none", "none"]
    assert outcomes(build) == FIRST_STAGE + list(zip(LAST_STAGE, last, strict=True))
    assert [step.command for step in build.steps if step.kind is Kind.FROM] == ["base:latest"] * 2
    assert build.image is not None
    assert build.image.tags == ("rec:two",)
    assert build.image.layers == 5


def test_executed_steps_last_as_long_as_they_slept(kind: str):
    (build,) = replay(kind)["cold"]
    one, two = (step for step in build.steps if step.kind is Kind.RUN)
    assert one.duration_seconds is not None
    assert two.duration_seconds is not None
    assert 1.0 <= one.duration_seconds < 2.5
    assert 0.5 <= two.duration_seconds < 2.0


def test_steps_of_one_build_follow_each_other_in_time(kind: str):
    (build,) = replay(kind)["cold"]
    times = [at for step in build.steps for at in (step.started_ns, step.completed_ns) if at is not None]
    assert times == sorted(times)
    assert build.started_ns == times[0]
    assert build.completed_ns is not None
    assert times[-1] <= build.completed_ns


def test_an_unchanged_build_hits_everywhere(kind: str):
    (build,) = replay(kind)["unchanged"]
    last = ["none", "hit", "hit", "hit", "hit", "none", "none"]
    assert outcomes(build) == list(zip(LAST_STAGE, last, strict=True))
    assert all(step.started_ns is None for step in build.steps)


def test_an_edited_file_misses_from_its_copy_on(kind: str):
    (build,) = replay(kind)["edited"]
    last = ["none", "hit", "hit", "miss", "miss", "none", "none"]
    first = [("ARG", "none"), ("ENV", "none"), ("WORKDIR", "hit"), ("COPY", "miss"), ("RUN", "miss")]
    assert outcomes(build) == first + list(zip(LAST_STAGE, last, strict=True))


def test_a_step_keeps_its_identity_whether_it_ran_or_hit(kind: str):
    found = replay(kind)
    cold = {step.identity: step.name for step in found["cold"][0].steps if step.cacheable}
    for scenario in ("unchanged", "edited"):
        steps = [step for step in found[scenario][0].steps if step.cacheable]
        assert {step.identity for step in steps} <= set(cold)
    assert len(cold) == len([step for step in found["cold"][0].steps if step.cacheable])


def test_a_failed_build_ends_with_the_step_that_failed(kind: str):
    (build,) = replay(kind)["failing"]
    assert build.status is Status.FAILED
    assert outcomes(build) == [("ENV", "none"), ("RUN", "miss"), ("RUN", "failed")]
    assert build.error is not None
    assert build.error.step_id == build.steps[-1].id
    assert build.error.message == "RUN echo boo; exit 3 returned the exit code 3"


def test_a_cancelled_build_ends_with_the_step_that_was_killed(kind: str):
    (build,) = replay(kind)["canceled"]
    assert build.status is Status.CANCELED
    assert outcomes(build) == [("ENV", "none"), ("RUN", "miss"), ("RUN", "canceled")]


def test_a_build_of_copies_alone_is_seen_to_have_run(kind: str):
    (build,) = replay(kind)["copies"]
    assert outcomes(build) == [("COPY", "miss"), ("COPY", "miss")]
    assert build.steps[1].duration_seconds is None
    assert build.steps[1].completed_ns is not None


def test_two_builds_of_the_same_at_once_are_told_apart(kind: str):
    builds = replay(kind)["together"]
    last = ["none", "miss", "miss", "miss", "miss", "none", "none"]
    assert sorted(build.image.tags for build in builds if build.image) == [("rec:p1",), ("rec:p2",)]
    for build in builds:
        assert outcomes(build) == FIRST_STAGE + list(zip(LAST_STAGE, last, strict=True))


def test_tags_runs_commits_loads_and_imports_are_no_builds(kind: str):
    assert replay(kind)["not_classic"] == []


def test_images_of_buildkit_become_builds_without_steps_where_there_is_no_history(kind: str):
    builds = replay(kind, buildkit_images=True)["not_classic"]
    assert {build.ref for build in builds} == {builds[0].ref}
    assert builds[0].source is Source.BUILDKIT
    assert len(builds[0].ref) == 25
    assert builds[0].steps == ()
    assert builds[0].image is not None
    assert builds[0].image.tags == ("bk:1",)


def test_a_build_without_a_tag_is_closed_when_it_has_been_quiet(kind: str):
    found = replay(kind)
    assert found["untagged"] == []
    (build,) = found[""]
    assert build.status is Status.COMPLETED
    assert build.image is None
    assert [step.outcome for step in build.steps if step.kind is Kind.RUN] == [Outcome.MISS, Outcome.HIT]


def test_ids_are_unique_in_a_build_and_inputs_name_earlier_steps(kind: str):
    for builds in replay(kind).values():
        for build in builds:
            seen: set[str] = set()
            for step in build.steps:
                assert step.id not in seen
                assert set(step.inputs) <= seen
                seen.add(step.id)


def test_no_value_of_a_build_argument_is_in_a_build(kind: str):
    for builds in replay(kind).values():
        assert "hunter" not in repr(builds)


def test_a_recording_replayed_gives_the_same_builds(kind: str):
    assert replay(kind) == replay(kind)


def test_events_without_answers_make_no_builds(kind: str):
    tracker = ClassicTracker("default", ENGINE, buildkit_images=True)
    for pairs in recorded(kind).values():
        for event, _ in pairs:
            assert tracker.fold(event, {}) == []
    assert tracker.expire(1 << 62) == []


def test_containers_that_were_gone_when_asked_do_not_change_the_steps(kind: str):
    """A container of a metadata instruction lives for milliseconds: often there is no answer on it."""
    tracker = ClassicTracker("default", ENGINE)
    builds = []
    for event, answers in recorded(kind)["cold"]:
        gone = {
            question: None
            if record and getattr(record, "command", ("", "", "RUN"))[-1].startswith("#(nop)")
            else record
            for question, record in answers.items()
        }
        builds += tracker.fold(event, gone)
    assert [outcomes(build) for build in builds] == [outcomes(replay(kind, until="cold")["cold"][0])]


def test_an_open_build_tells_from_where_to_read_again(kind: str):
    tracker = ClassicTracker("default", ENGINE)
    pairs = recorded(kind)["cold"]
    tracker.fold(*pairs[0])
    assert tracker.open_since_ns == pairs[0][0].at_ns
    for event, answers in pairs[1:]:
        tracker.fold(event, answers)
    assert tracker.open_since_ns is None


def test_an_engine_that_stops_ends_the_builds_on_it(kind: str):
    tracker = ClassicTracker("default", ENGINE)
    pairs = recorded(kind)["canceled"]
    killed = next(number for number, (event, _) in enumerate(pairs) if event.action == "kill")
    for event, answers in pairs[:killed]:
        assert tracker.fold(event, answers) == []
    assert tracker.interrupted(["another container"]) == []
    (build,) = tracker.interrupted(tracker.running_containers(1 << 62))
    assert build.status is Status.CANCELED
    assert outcomes(build) == [("ENV", "none"), ("RUN", "miss"), ("RUN", "canceled")]
    assert tracker.open_since_ns is None
