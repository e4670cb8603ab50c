from dataclasses import replace

from hypothesis import given

from buildprof.analysis.profile import profiled
from buildprof.analysis.summary import summarize
from buildprof.model.build import UNKNOWN_PROJECT
from tests import strategies
from tests.recordings.replay import replay_name


def test_a_warm_build_tells_what_it_saved_by_what_the_cold_one_took():
    cold, warm = replay_name("docker-28-cold"), replay_name("docker-28-warm")
    history = {step.identity: [step.duration_seconds] for step in cold.steps if step.cacheable}

    saved = profiled(warm, history).summary.saved_seconds

    assert 0.95 * cold.summary.executed_seconds < saved <= cold.summary.executed_seconds
    assert warm.summary.saved_seconds is None


def test_builds_that_could_not_be_placed_are_no_history_of_each_other():
    warm = replay_name("docker-28-warm")
    history = {step.identity: [10.0] for step in warm.steps if step.cacheable}

    assert profiled(warm, history).summary.saved_seconds > 0
    assert profiled(replace(warm, project=UNKNOWN_PROJECT), history).summary.saved_seconds is None


@given(strategies.builds())
def test_a_profile_follows_from_the_steps_alone_and_is_the_same_each_time(build):
    profile = profiled(build, {})

    assert profiled(profile, {}) == profile
    assert [step.id for step in profile.steps] == [step.id for step in build.steps]
    assert profile.summary == summarize(profile.steps, profile.summary.critical_path_seconds)
