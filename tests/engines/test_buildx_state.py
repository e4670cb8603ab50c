"""buildx's local state as real clients write it."""

import json
from pathlib import Path

import pytest

from buildprof.assembly.projects import How, place
from buildprof.model.events import BuildRecord, LocalState, RecordState
from buildprof.sources.buildx_state import list_instances, read_local_state
from buildprof.sources.working_tree import tree_facts
from tests.engines.engine import Engine


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    directory = tmp_path / "Corner Shop"
    directory.mkdir()
    (directory / "Dockerfile").write_text("FROM base AS web\nCOPY file .\nFROM base AS api\nCOPY file /api\n")
    (directory / "file").write_text("x")
    return directory


def states(engine: Engine, directory: Path) -> list[LocalState]:
    """What is known of the refs that were built from a directory."""
    buildx_dir = engine.config_dir / "buildx"
    refs = [path.name for path in buildx_dir.glob("refs/default/default/*") if str(directory) in path.read_text()]
    return [state for ref in refs if (state := read_local_state([buildx_dir], ref))]


def test_a_build_leads_to_its_directory(history_engine: Engine, shop: Path):
    history_engine.docker("buildx", "build", "--target", "web", ".", cwd=shop)
    (state,) = states(history_engine, shop)
    assert (state.target, state.context_path, state.builder) == ("default", str(shop), "default")
    assert Path(state.dockerfile_path).read_text().startswith("FROM base AS web")
    record = BuildRecord(state.ref, RecordState.STARTED, 0, 1, frontend_attrs={"target": "web"})
    placement = place(record, state, tree_facts(Path(state.context_path)))
    assert (placement.project, placement.target, placement.how) == ("Corner Shop", "web", How.LOCAL_STATE)


def test_the_builds_of_a_bake_know_their_targets_and_their_group(history_engine: Engine, shop: Path):
    targets = {name: {"target": name} for name in ("web", "api")}
    (shop / "docker-bake.json").write_text(
        json.dumps({"group": {"default": {"targets": list(targets)}}, "target": targets})
    )
    history_engine.docker("buildx", "bake", cwd=shop)
    found = states(history_engine, shop)
    assert sorted(state.target for state in found) == ["api", "web"]
    assert len({state.group_id for state in found}) == 1


def test_a_builder_that_was_created_is_listed(engine_28: Engine):
    buildx_dir = engine_28.config_dir / "buildx"
    engine_28.docker(
        "buildx", "create", "--name", "state-test", "--driver", "docker-container", "--driver-opt", "network=host"
    )
    try:
        (instance,) = [one for one in list_instances(buildx_dir) if one.name == "state-test"]
        assert (instance.driver, instance.nodes[0].name) == ("docker-container", "state-test0")
        assert instance.nodes[0].driver_options == {"network": "host"}
    finally:
        engine_28.docker("buildx", "rm", "state-test", check=False)
