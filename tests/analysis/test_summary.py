from hypothesis import given

from buildprof.analysis.summary import summarize
from buildprof.model.build import Summary
from buildprof.model.step import Kind, Outcome, Step
from tests import strategies


def step(kind=Kind.RUN, outcome=Outcome.MISS, seconds=1.0, **fields):
    cacheable = kind in (Kind.RUN, Kind.COPY)
    return Step("id", "name", kind, outcome, cacheable=cacheable, duration_seconds=seconds, **fields)


def test_a_build_without_steps_has_no_figures():
    assert summarize([], 0.0) == Summary()
    assert summarize([]).hit_ratio is None


def test_outcomes_are_counted_and_only_misses_executed():
    every = [step(outcome=outcome, seconds=2.0**n) for n, outcome in enumerate(Outcome)]
    summary = summarize([*every, step(Kind.FROM, Outcome.NONE)], 7.5)

    assert (summary.steps, summary.cacheable_steps, summary.cache_hits, summary.cache_misses) == (8, 7, 1, 1)
    assert summary.executed_seconds == next(one.duration_seconds for one in every if one.outcome is Outcome.MISS)
    assert summary.critical_path_seconds == 7.5
    assert summary.hit_ratio == 0.5


def test_saved_seconds_are_the_sum_of_those_that_are_known():
    def saved(*seconds):
        return summarize([step(outcome=Outcome.HIT, saved_seconds=one) for one in seconds]).saved_seconds

    assert summarize([step()]).saved_seconds == 0
    assert saved(None) is None
    assert saved(None, 2.0, 0.0) == 2.0


def test_each_kind_of_the_builders_own_work_has_its_seconds():
    kinds = (Kind.CONTEXT, Kind.EXPORT, Kind.CACHE_IMPORT, Kind.CACHE_EXPORT)
    steps = [step(kind, Outcome.NONE, 2.0**n) for n, kind in enumerate(kinds)]
    summary = summarize([*steps, step(Kind.EXPORT, Outcome.NONE, 8.0), step(Kind.CONTEXT, Outcome.SKIPPED, None)])

    assert summary.context_seconds == 1.0
    assert summary.export_seconds == 10.0
    assert summary.cache_import_seconds == 4.0
    assert summary.cache_export_seconds == 8.0


def test_what_never_ran_has_no_seconds():
    assert summarize([step(Kind.EXPORT, Outcome.SKIPPED, None)]).export_seconds is None


def test_the_context_is_what_the_context_steps_transferred():
    steps = [
        step(Kind.CONTEXT, transferred_bytes=40),
        step(Kind.CONTEXT, transferred_bytes=2),
        step(transferred_bytes=9),
    ]

    assert summarize(steps).context_bytes == 42
    assert summarize([step(Kind.CONTEXT)]).context_bytes is None


def test_a_pull_is_a_base_that_was_fetched():
    fetched = step(Kind.FROM, seconds=3.0, transferred_bytes=100)
    present = step(Kind.FROM, seconds=1.0, transferred_bytes=0)

    assert summarize([fetched, present]).base_pull_seconds == 3.0
    assert summarize([present]).base_pull_seconds == 0.0
    assert summarize([step()]).base_pull_seconds is None


@given(strategies.builds())
def test_every_build_has_a_summary(build):
    summary = summarize(build.steps)

    assert summary.steps == len(build.steps)
    assert (summary.looked_up or 0) <= summary.steps
    assert (summary.looked_up is None) == (not build.steps)
    assert summary.hit_ratio is None or 0 <= summary.hit_ratio <= 1
