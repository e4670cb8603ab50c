from __future__ import annotations

from dataclasses import replace

import pytest

from buildprof.analysis.readings import reading
from buildprof.model.build import UNKNOWN_PROJECT, Image, Status, Summary
from buildprof.model.explanation import Cause, Confidence, Explanation, Finding, Miss
from buildprof.model.regression import Signal
from tests.analysis.recipes import a_build, stage

TEXTS = ("COPY a /a", "RUN one", "RUN two")


def built(outcomes: str, **changes):
    steps = [replace(one, identity=f"identity {one.command}") for one in stage(*TEXTS, outcomes=outcomes)]
    hits = outcomes.count("h")
    summary = Summary(len(steps), len(steps), hits, outcomes.count("m"), 2.5, context_bytes=100)
    return a_build("ref1", *steps, summary=summary, image=Image("sha256:i", (), 5000), **changes)


def explained(**causes: Cause | tuple[Cause, str]) -> Explanation:
    """Root misses by the steps' ids; with a cause its `reason`."""
    misses = []
    for step_id, cause in causes.items():
        kind, reason = cause if isinstance(cause, tuple) else (cause, "")
        evidence = {"reason": reason} if reason else {}
        misses.append(Miss(step_id.removeprefix("_"), Finding(kind, Confidence.CERTAIN, evidence)))
    return Explanation("ref1", "shop", "default", None, tuple(misses))


def test_a_completed_build_has_all_figures():
    one = reading(built("hhm"), explained(_3=Cause.SOURCE_CHANGED))
    assert one is not None
    assert one.figures == {
        Signal.DURATION_SECONDS: 50.0,
        Signal.EXECUTED_SECONDS: 2.5,
        Signal.HIT_RATIO: pytest.approx(2 / 3),
        Signal.IMAGE_SIZE_BYTES: 5000.0,
        Signal.CONTEXT_BYTES: 100.0,
    }
    assert (one.is_cold, one.steps_lost) == (False, ())


def test_what_is_not_known_is_left_out():
    build = replace(built("hhh"), image=None, summary=Summary())
    one = reading(replace(build, completed_ns=build.started_ns), None)
    assert one is not None
    assert one.figures == {}


@pytest.mark.parametrize(
    "changes",
    [
        {"status": Status.FAILED},
        {"status": Status.CANCELED},
        {"status": Status.RUNNING, "completed_ns": None},
        {"project": UNKNOWN_PROJECT},
    ],
)
def test_a_build_that_failed_runs_or_fits_nowhere_is_compared_with_nothing(changes):
    assert reading(replace(built("hhh"), **changes), None) is None


@pytest.mark.parametrize(
    ("outcomes", "causes", "is_cold"),
    [
        ("mmm", {"_1": Cause.COLD_BUILDER}, True),
        ("mmm", {"_1": Cause.EVICTED}, True),
        ("mmm", {"_1": Cause.NO_CACHE}, True),
        ("mmm", {"_1": Cause.FIRST_BUILD}, True),
        ("mmm", {"_1": Cause.SOURCE_CHANGED}, False),
        ("hmm", {"_2": Cause.EVICTED}, False),
        ("mmm", {"_1": (Cause.FIRST_BUILD, "new_step")}, False),
        ("mmm", {"_1": (Cause.FIRST_BUILD, "new_step"), "_2": Cause.EVICTED}, True),
        ("smm", {"_2": Cause.COLD_BUILDER}, True),
        ("hhh", {}, False),
    ],
)
def test_a_build_is_cold_if_its_first_step_that_is_not_new_had_no_cache_to_use(outcomes, causes, is_cold):
    one = reading(built(outcomes), explained(**causes))
    assert one is not None
    assert one.is_cold is is_cold


@pytest.mark.parametrize(("outcomes", "is_cold"), [("mmm", True), ("hmm", False), ("sss", False)])
def test_a_build_that_is_not_explained_is_cold_if_nothing_came_from_the_cache(outcomes, is_cold):
    one = reading(built(outcomes), None)
    assert one is not None
    assert one.is_cold is is_cold


def test_steps_are_lost_that_were_built_before_and_are_not_there():
    one = reading(built("mmm"), explained(_1=Cause.SOURCE_CHANGED, _2=Cause.EVICTED, _3=Cause.COLD_BUILDER))
    assert one is not None
    assert one.steps_lost == ("identity one", "identity two")


@pytest.mark.parametrize(
    ("directory", "context", "dockerfile", "path"),
    [
        ("/src/shop", "/src/shop", "Dockerfile", "Dockerfile"),
        ("/src/shop", "/src/shop/api", "Dockerfile", "api/Dockerfile"),
        ("/src/shop", "/src/shop/api", "/src/shop/docker/api.Dockerfile", "docker/api.Dockerfile"),
        ("/tmp/checkout-17", "/tmp/checkout-17", "/tmp/checkout-17/Dockerfile", "Dockerfile"),
        ("", "https://example.com/shop.git#4f2a", "Dockerfile", "Dockerfile"),
        ("", "http://buildkit-session/0lnhe8ezzzh6", "Dockerfile", "Dockerfile"),
        ("", "/tmp/other", "/tmp/other/Dockerfile", "Dockerfile"),
        ("/src/shop", "/src/shop-2", "Dockerfile", "Dockerfile"),
        ("/src/shop", "", "", ""),
    ],
)
def test_a_dockerfile_is_known_by_its_path_in_the_project(directory, context, dockerfile, path):
    one = reading(replace(built("hhh"), directory=directory, context=context, dockerfile=dockerfile), None)
    assert one is not None
    assert one.dockerfile == path
