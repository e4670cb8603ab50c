import json
import os
from pathlib import Path

import pytest

from buildprof.model.events import LocalState
from buildprof.sources.buildx_state import (
    MAX_STATE_BYTES,
    BuilderNode,
    list_instances,
    read_local_state,
)

REF = "gy7taeg9w1f5fijqbkim2ngl3"
GROUP = "b24nzlrgg00npitrwl0zon15q"
STATE = {"Target": "web", "LocalPath": "/srv/shop", "DockerfilePath": "/srv/shop/web.Dockerfile", "GroupRef": GROUP}


@pytest.fixture
def node_dir(tmp_path: Path) -> Path:
    directory = tmp_path / "refs" / "default" / "default"
    directory.mkdir(parents=True)
    return directory


def write(path: Path, document: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))


def test_a_ref_leads_to_the_directory_that_was_built(tmp_path: Path, node_dir: Path):
    write(node_dir / REF, STATE)
    assert read_local_state([tmp_path], REF) == LocalState(
        REF, "web", "/srv/shop", "/srv/shop/web.Dockerfile", GROUP, "default", os.geteuid()
    )


def test_a_build_without_a_path_of_a_dockerfile_has_the_one_of_its_context(tmp_path: Path, node_dir: Path):
    write(node_dir / REF, {"Target": "default", "LocalPath": "/srv/shop", "DockerfilePath": ""})
    state = read_local_state([tmp_path], REF)
    assert state is not None
    assert (state.dockerfile_path, state.group_id) == ("/srv/shop/Dockerfile", "")


def test_every_directory_builder_and_node_is_looked_at(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    write(tmp_path / "other/refs/mybuilder/mybuilder0" / REF, STATE)
    state = read_local_state([tmp_path / "absent", tmp_path / "empty", tmp_path / "other"], REF)
    assert state is not None
    assert state.builder == "mybuilder"


def test_an_unknown_ref_is_none(tmp_path: Path, node_dir: Path):
    write(node_dir / REF, STATE)
    assert read_local_state([tmp_path], "other") is None


@pytest.mark.parametrize("ref", ["", ".", "..", "../x", "a/b", "a\0b", "a" * 300, "__group__/x"])
def test_a_ref_that_is_no_plain_name_reads_nothing(tmp_path: Path, node_dir: Path, ref: str):
    write(node_dir.parent / "x", STATE)
    assert read_local_state([tmp_path], ref) is None


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "7",
        "{",
        "[" * 100_000,
        json.dumps(STATE | {"LocalPath": 7}),
        json.dumps(STATE | {"LocalPath": ""}),
        json.dumps(STATE | {"LocalPath": "/srv/\x1b[2Jshop"}),
        json.dumps(STATE | {"LocalPath": "/" + "x" * 5000}),
        json.dumps(STATE) + " " * MAX_STATE_BYTES,
    ],
)
def test_what_is_no_state_is_passed_over(tmp_path: Path, node_dir: Path, content: str):
    (node_dir / REF).write_text(content)
    assert read_local_state([tmp_path], REF) is None


def test_fifos_directories_and_links_are_passed_over(tmp_path: Path, node_dir: Path):
    outside = tmp_path / "outside"
    write(outside / "node" / REF, STATE)
    os.mkfifo(node_dir / "fifo")
    (node_dir / "directory").mkdir()
    (node_dir / "link").symlink_to(outside / "node" / REF)
    (tmp_path / "refs" / "linked").symlink_to(outside)
    for ref in ("fifo", "directory", "link", REF):
        assert read_local_state([tmp_path], ref) is None


def test_builders_that_were_created_are_listed(tmp_path: Path):
    node = {
        "Name": "mine0",
        "Endpoint": "unix:///var/run/docker.sock",
        "DriverOpts": {"network": "host"},
        "Platforms": None,
    }
    write(
        tmp_path / "instances" / "mine",
        {"Name": "mine", "Driver": "docker-container", "Nodes": [node], "Dynamic": False},
    )
    write(tmp_path / "instances" / "broken", {"Name": "../x"})
    (instance,) = list_instances(tmp_path)
    assert (instance.name, instance.driver) == ("mine", "docker-container")
    assert instance.nodes == (BuilderNode("mine0", "unix:///var/run/docker.sock", {"network": "host"}),)
    assert list_instances(tmp_path / "absent") == ()
