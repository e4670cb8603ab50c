from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from sqlalchemy import Engine

from buildprof.exporters.prometheus.collector import StoredSeries
from buildprof.ingest import Ingest
from buildprof.model.build import UNKNOWN_PROJECT, Build, Status
from buildprof.model.regression import Signal
from buildprof.store.baselines import active_regressions
from buildprof.store.connect import open_store
from buildprof.store.queries import changed_series
from tests.store.samples import SECOND, T0, make_build, make_step

HOUR = 3600 * SECOND
SCOPE = "agent"


@pytest.fixture
def store(tmp_path) -> Iterator[Engine]:
    engine = open_store(f"sqlite:///{tmp_path}/store.db")
    yield engine
    engine.dispose()


@pytest.fixture
def ingest(store) -> Iterator[Ingest]:
    made = Ingest(store, scope=SCOPE, max_projects=2, max_targets=10)
    yield made
    made.close()


def a_build(number: int, seconds: float = 10.0, **changes) -> Build:
    """One of four builds a day, of one step, that took so long."""
    started_ns = T0 + number * 6 * HOUR
    step = make_step(
        "a", duration_seconds=seconds, started_ns=started_ns, lines=(2, 2), instruction="RUN", command="make"
    )
    build = make_build(f"ref{number}", started_ns=started_ns, completed_ns=started_ns + int(seconds * SECOND))
    return replace(build, steps=(step,), dockerfile="Dockerfile", **changes)


def save(ingest: Ingest, *builds: Build) -> None:
    for build in builds:
        ingest.save(build)


def exported(store: Engine, scope: str = SCOPE) -> dict[tuple[str, str], float]:
    """The exported figures of shop/web by metric and signal."""
    stored = StoredSeries(lambda since: changed_series(store, scope, since))
    stored.refresh()
    lines = [line for line in stored.render(openmetrics=False).splitlines() if 'signal="' in line]
    return {
        (line.partition("{")[0].removeprefix("buildprof_"), line.partition('signal="')[2].partition('"')[0]): float(
            line.rpartition(" ")[2]
        )
        for line in lines
        if 'project="shop"' in line
    }


def signals(store: Engine) -> list[Signal]:
    return [one.signal for one in active_regressions(store).get(("shop", "web"), [])]


USUAL = [a_build(number) for number in range(40)]
SLOWER = [a_build(number, 30.0) for number in range(40, 43)]


def test_a_regression_is_stored_and_exported_with_the_build_that_makes_it_sure(store, ingest):
    save(ingest, *USUAL, *SLOWER[:2])
    assert signals(store) == []
    assert exported(store)["regression_active", "duration_seconds"] == 0
    ingest.save(SLOWER[2])
    slower = active_regressions(store)["shop", "web"][0]
    assert (slower.signal, slower.since_ref, slower.value) == (Signal.DURATION_SECONDS, "ref40", 30.0)
    assert slower.changes.sentence == "RUN make (Dockerfile:2) takes 30.0 s, 10.0 s before."
    now = exported(store)
    assert now["regression_active", "duration_seconds"] == now["regression_active", "executed_seconds"] == 1
    assert now["regression_active", "hit_ratio"] == 0
    assert (now["baseline_median", "duration_seconds"], now["baseline_threshold", "duration_seconds"]) == (10.0, 11.0)


def test_it_is_over_when_builds_are_as_usual_again(store, ingest):
    save(ingest, *USUAL, *SLOWER, *(a_build(number) for number in range(43, 45)))
    assert signals(store) == []
    assert exported(store)["regression_active", "duration_seconds"] == 0


def test_a_build_that_comes_late_is_put_in_its_place(store, ingest):
    save(ingest, *USUAL, *SLOWER)
    before, regressions = exported(store), active_regressions(store)
    ingest.save(replace(a_build(7, 500.0), ref="late", started_ns=T0 + 37 * HOUR))
    assert exported(store) == before
    assert active_regressions(store) == regressions


def test_an_imported_build_of_long_ago_disturbs_nothing(store, ingest):
    save(ingest, *USUAL, *SLOWER)
    before = exported(store)
    save(ingest, *(replace(a_build(number, 1.0), builder="import", ref=f"old{number}") for number in range(20)))
    assert exported(store) == before


def test_what_is_exported_outlives_the_agent(store, ingest):
    save(ingest, *USUAL, *SLOWER)
    before = exported(store)
    ingest.close()
    again = Ingest(store, scope=SCOPE, max_projects=2, max_targets=10)
    again.save(SLOWER[2])
    assert exported(store) == before
    again.close()


def test_a_build_that_is_stored_again_changes_nothing(store, ingest):
    save(ingest, *USUAL, *SLOWER, *SLOWER)
    assert active_regressions(store)["shop", "web"][0].builds == 3


@pytest.mark.parametrize("changes", [{"status": Status.FAILED}, {"project": UNKNOWN_PROJECT}])
def test_builds_that_cannot_be_compared_are_left_out(store, ingest, changes):
    save(ingest, *USUAL, *(replace(one, **changes) for one in SLOWER))
    assert signals(store) == []


def test_a_signal_of_which_no_more_is_known_has_no_baseline(store, ingest):
    save(ingest, *USUAL)
    assert ("baseline_median", "duration_seconds") in exported(store)
    unknown = [replace(a_build(number), platforms=("linux/arm64",)) for number in range(40, 61)]
    save(ingest, *(replace(one, completed_ns=one.started_ns) for one in unknown))
    assert ("baseline_median", "duration_seconds") not in exported(store)


def test_projects_beyond_the_label_budget_are_compared_but_not_exported(store, ingest):
    save(ingest, *(replace(a_build(number), ref=f"{name}{number}", project=name) for number, name in enumerate("ab")))
    save(ingest, *USUAL, *SLOWER)
    assert exported(store) == {}
    assert Signal.DURATION_SECONDS in signals(store)
