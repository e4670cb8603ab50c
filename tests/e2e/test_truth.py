"""What is stored of a build is what its client saw, step by step, on every engine that keeps a history."""

from dataclasses import replace

from benchmarks.client_stream import read_stream
from benchmarks.harness import running_agent
from benchmarks.truth import LIMIT_MS, Scenario, compare, compare_on

STREAM = """\
{"vertexes":[{"digest":"sha256:a","name":"[one 1/2] RUN a","started":"2026-11-24T03:00:00.1Z"}]}
some other line
{"vertexes":[{"digest":"sha256:a","name":"[one 1/2] RUN a","started":"2026-11-24T03:00:00.1Z","completed":"2026-11-24T03:00:00.4Z"}]}
{"vertexes":[{"digest":"sha256:b","inputs":["sha256:a"],"name":"[one 2/2] RUN b"}]}
"""
STEPS = [
    {"id": "sha256:a", "name": "a", "outcome": "miss", "started_at": "2026-11-24T03:00:00Z", "duration_seconds": 0.3},
    {"id": "sha256:b", "name": "b", "outcome": "skipped", "started_at": None, "duration_seconds": None},
]
BUILD = {"target": "default", "started_at": "2026-11-24T02:59:59Z", "completed_at": "2026-11-24T03:00:01Z"}


def test_every_step_is_stored_as_the_client_saw_it(history_engine):
    with running_agent(history_engine) as agent:
        pairs = list(compare_on(history_engine, agent))

    assert [str(pair) for pair in pairs if not pair.agrees] == []
    assert max(pair.difference_ms for pair in pairs) <= LIMIT_MS
    assert {pair.client[0] for pair in pairs} == {"hit", "miss", "failed", "canceled", "skipped", "shared", "none"}


def pairs_of(*steps):
    scenario = Scenario("one", ("build",))
    return {pair.name: pair for pair in compare(scenario, read_stream(STREAM), [BUILD | {"steps": list(steps)}])}


def test_equal_views_agree_whatever_the_clients_clock():
    assert all(pair.agrees for pair in pairs_of(*STEPS).values())


def test_another_outcome_or_duration_is_told():
    assert not pairs_of(STEPS[0] | {"outcome": "hit"}, STEPS[1])["a"].agrees
    assert not pairs_of(STEPS[0] | {"duration_seconds": 0.306}, STEPS[1])["a"].agrees
    assert not pairs_of(STEPS[0], STEPS[1] | {"duration_seconds": 0.0})["b"].agrees


def test_a_step_that_only_one_side_has_is_told():
    pair = pairs_of(STEPS[0])["[one 2/2] RUN b"]

    assert (pair.stored, pair.client) == (("absent", None), ("skipped", None))
    assert "absent" in str(replace(pair, build="web"))
