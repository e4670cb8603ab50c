"""What breaks while the agent runs: nothing that the engine still knows is lost, nothing is there twice.

`benchmarks/faults.py` does the same, more often.
"""

import pytest

from benchmarks.faults import (
    MeasurementError,
    damage,
    fake_clock,
    fill_the_disk,
    kill_the_agent,
    restart_the_engine,
    scene,
    small_disk,
    step_the_clock,
    take_the_store_away,
)


def test_killed_agents_and_restarted_engines_lose_and_double_nothing(fresh_engine, tmp_path):
    with scene(fresh_engine("forky"), tmp_path / "faults") as stage:
        kill_the_agent(stage, rounds=3)
        assert damage(stage) == []

        restart_the_engine(stage, rounds=2)
        assert damage(stage) == []
        assert stage.agent.metric("buildprof_build_cancellations_total") >= 1
        assert "Traceback" not in stage.agent.log


def test_an_agent_whose_store_was_deleted_makes_another_and_reads_the_history_again(fresh_engine, tmp_path):
    with scene(fresh_engine("trixie"), tmp_path / "deleted") as stage:
        stage.build()
        take_the_store_away(stage)

        assert damage(stage) == []
        assert stage.agent.metric("buildprof_builds_total") == 2
        assert "Traceback" not in stage.agent.log


def test_an_agent_whose_disk_is_full_says_so_once_and_catches_up(fresh_engine, tmp_path):
    # An engine of its own: the history of one that others build on may alone be more than the disk holds.
    with small_disk(tmp_path / "full", 16 * 1024 * 1024) as full, scene(fresh_engine("forky"), full) as stage:
        fill_the_disk(stage)

        assert damage(stage) == []
        assert stage.agent.log.count("the store cannot be written") == 1
        assert "Traceback" not in stage.agent.log


def test_a_clock_that_is_put_forward_and_back_loses_and_doubles_nothing(fresh_engine, tmp_path):
    clock_file = tmp_path / "clock"
    try:
        environment = fake_clock(clock_file)
    except MeasurementError as error:
        pytest.skip(str(error))
    with scene(fresh_engine("forky"), tmp_path / "clock-stepped", environment) as stage:
        step_the_clock(stage, clock_file, days=(-40,))

        assert damage(stage) == []
        assert "Traceback" not in stage.agent.log
