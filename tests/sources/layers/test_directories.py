from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from buildprof.sources.layers.directories import chain_ids, layer_directories
from tests.engines.engine import Engine
from tests.nobody import as_nobody, public_directory
from tests.sources.layers.test_bolt import BoltFile

DIGESTS = [f"sha256:{letter * 64}" for letter in "abc"]
SNAPSHOTTER = "io.containerd.snapshotter.v1.overlayfs"
NOWHERE = "/nowhere"


def overlay2(root: Path, names: list[str]) -> dict[str, Any]:
    """What an engine answers of an image whose layers have these directories, the lowest first."""
    paths = [f"{root}/overlay2/{name}/diff" for name in names]
    for path in paths:
        Path(path).mkdir(parents=True, exist_ok=True)
    data = {"UpperDir": paths[-1]} | ({"LowerDir": ":".join(reversed(paths[:-1]))} if paths[1:] else {})
    return {"GraphDriver": {"Name": "overlay2", "Data": data}, "RootFS": {"Layers": DIGESTS[: len(names)]}}


def snapshotter(home: Path, snapshots: dict[str, tuple[int, int]]) -> None:
    """The records and directories of snapshots, each by its key a number and a kind."""
    records = {}
    for key, (number, kind) in snapshots.items():
        (home / SNAPSHOTTER / "snapshots" / str(number) / "fs").mkdir(parents=True)
        records[key.encode()] = {b"id": varint(number), b"kind": bytes([kind]), b"createdat": b"x" * 15}
    tree = {b"v1": {b"parents": {}, b"snapshots": records}}
    (home / SNAPSHOTTER / "metadata.db").write_bytes(BoltFile(tree, 4096).content())


def varint(number: int) -> bytes:
    digits = []
    while number >= 0x80:
        digits.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*digits, number])


def of_snapshotter(digests: list[str]) -> dict[str, Any]:
    return {"GraphDriver": {"Name": "overlayfs", "Data": None}, "RootFS": {"Type": "layers", "Layers": digests}}


@pytest.mark.parametrize("names", [["0a"], ["0a", "1b"], ["0a", "25charactersofbuildkitname", "2c"]])
def test_overlay2_names_the_directories_from_the_top_down(tmp_path: Path, names: list[str]):
    found = layer_directories(overlay2(tmp_path, names), str(tmp_path))
    assert found == {
        digest: os.fsencode(f"{tmp_path}/overlay2/{name}/diff") for digest, name in zip(DIGESTS, names, strict=False)
    }


def test_the_root_s_name_may_end_in_a_slash(tmp_path: Path):
    assert layer_directories(overlay2(tmp_path, ["0a"]), f"{tmp_path}/") is not None


def test_a_layer_that_is_there_twice_has_one_of_its_directories(tmp_path: Path):
    inspect = overlay2(tmp_path, ["0a", "1b"])
    inspect["RootFS"]["Layers"] = [DIGESTS[0], DIGESTS[0]]
    found = layer_directories(inspect, str(tmp_path))
    assert found is not None
    assert found.keys() == {DIGESTS[0]}


@pytest.mark.parametrize(
    "upper",
    [
        "/etc",
        "{root}/overlay2/../../etc/diff",
        "{root}/overlay2/a/b/diff",
        "{root}/overlay2/./diff",
        "{root}/overlay2//diff",
        "{root}/overlay2/0a",
        "{root}/overlay2/0a/diff/",
        "{root}/overlay2/0a/diff\0",
        "{root}/overlay2/0a/merged",
        "{root}/other/0a/diff",
        "overlay2/0a/diff",
        "",
        None,
        7,
        ["{root}/overlay2/0a/diff"],
    ],
)
def test_a_directory_that_lies_elsewhere_is_not_believed(tmp_path: Path, upper: object):
    inspect = overlay2(tmp_path, ["0a"])
    inspect["GraphDriver"]["Data"]["UpperDir"] = upper.format(root=tmp_path) if isinstance(upper, str) else upper
    assert layer_directories(inspect, str(tmp_path)) is None


def test_a_directory_that_is_a_link_is_not_believed(tmp_path: Path):
    inspect = overlay2(tmp_path, ["0a"])
    (tmp_path / "overlay2/0a/diff").rmdir()
    (tmp_path / "overlay2/0a/diff").symlink_to("/etc")
    assert layer_directories(inspect, str(tmp_path)) is None


def test_all_directories_must_be_there(tmp_path: Path):
    inspect = overlay2(tmp_path, ["0a", "1b"])
    (tmp_path / "overlay2/0a/diff").rmdir()
    assert layer_directories(inspect, str(tmp_path)) is None


@pytest.mark.parametrize("count", [0, 1, 3])
def test_there_must_be_as_many_directories_as_layers(tmp_path: Path, count: int):
    inspect = overlay2(tmp_path, ["0a", "1b"])
    inspect["RootFS"]["Layers"] = DIGESTS[:count]
    assert layer_directories(inspect, str(tmp_path)) == ({} if count == 0 else None)


@pytest.mark.parametrize(
    "inspect",
    [
        {},
        {"RootFS": None, "GraphDriver": None},
        {"RootFS": {"Layers": "sha256:"}},
        {"RootFS": {"Layers": [1]}, "GraphDriver": {"Name": "overlay2", "Data": {}}},
        {"RootFS": {"Layers": ["sha256:../.."]}, "GraphDriver": {"Name": "overlayfs"}},
        {"RootFS": {"Layers": DIGESTS}, "GraphDriver": {"Name": ["overlay2"], "Data": []}},
        {"RootFS": {"Layers": DIGESTS}, "GraphDriver": {"Name": "overlay2", "Data": None}},
        {"RootFS": {"Layers": DIGESTS}, "GraphDriver": {"Name": "overlayfs", "Data": None}},
        {"RootFS": {"Layers": DIGESTS}, "GraphDriver": {"Name": "zfs", "Data": {"Mountpoint": "/"}}},
    ],
)
def test_other_answers_name_no_directories(tmp_path: Path, inspect: dict[str, Any]):
    assert not layer_directories(inspect, str(tmp_path), system_containerd=NOWHERE)


@pytest.mark.parametrize("root_dir", ["", "relative", "/\0", "/\ud800", "/nowhere"])
def test_a_root_that_can_be_none_has_no_directories(root_dir: str):
    for name in ("overlay2", "overlayfs"):
        data = {"UpperDir": f"{root_dir}/overlay2/0a/diff"}
        inspect = {"GraphDriver": {"Name": name, "Data": data}, "RootFS": {"Layers": DIGESTS[:1]}}
        assert layer_directories(inspect, root_dir, system_containerd=NOWHERE) is None


def test_a_chain_id_is_that_of_the_layers_below_and_the_layer_s_own():
    first, second, third = chain_ids(DIGESTS)
    assert first == DIGESTS[0]
    assert second == "sha256:" + hashlib.sha256(f"{first} {DIGESTS[1]}".encode()).hexdigest()
    assert third == "sha256:" + hashlib.sha256(f"{second} {DIGESTS[2]}".encode()).hexdigest()


@pytest.mark.parametrize("has_own_containerd", [True, False])
def test_a_snapshotter_s_directories_are_found_by_chain_id(tmp_path: Path, has_own_containerd: bool):
    root, system = tmp_path / "docker", tmp_path / "containerd"
    home = root / "containerd/daemon" if has_own_containerd else system
    chain = chain_ids(DIGESTS)
    snapshots = {f"moby/{number}/{name}": (number, 3) for number, name in enumerate(chain, 300)}
    snapshotter(home, snapshots | {f"moby/{number}/buildkit-{number}": (number, 3) for number in range(50)})
    found = layer_directories(of_snapshotter(DIGESTS), str(root), system_containerd=str(system))
    assert found == {
        digest: os.fsencode(home / SNAPSHOTTER / f"snapshots/{number}/fs") for number, digest in enumerate(DIGESTS, 300)
    }


def test_what_an_engine_s_earlier_containerd_left_hides_nothing(tmp_path: Path):
    snapshotter(tmp_path / "docker/containerd/daemon", {f"moby/1/{DIGESTS[1]}": (1, 3)})
    snapshotter(tmp_path / "containerd", {f"moby/2/{DIGESTS[0]}": (2, 3)})
    found = layer_directories(
        of_snapshotter(DIGESTS[:1]), str(tmp_path / "docker"), system_containerd=str(tmp_path / "containerd")
    )
    assert found == {DIGESTS[0]: os.fsencode(tmp_path / "containerd" / SNAPSHOTTER / "snapshots/2/fs")}


def test_an_engine_that_names_no_driver_with_its_images_names_it_of_itself(tmp_path: Path):
    snapshotter(tmp_path / "containerd/daemon", {f"moby/1/{DIGESTS[0]}": (1, 3)})
    inspect = {"RootFS": {"Layers": DIGESTS[:1]}}
    assert layer_directories(inspect, str(tmp_path), "overlayfs", NOWHERE)
    assert layer_directories(inspect, str(tmp_path), "btrfs", NOWHERE) is None


@pytest.mark.parametrize(
    "snapshots",
    [
        {f"moby/1/{DIGESTS[0]}": (1, 2)},
        {f"moby/1/{DIGESTS[0]}": (1, 1)},
        {f"moby/1/{DIGESTS[0]}-view": (1, 3)},
        {f"moby/1/extract-1-x {DIGESTS[0]}": (1, 3)},
        {f"moby/1/{DIGESTS[1]}": (1, 3)},
        {},
    ],
)
def test_a_snapshot_that_is_not_finished_or_another_is_not_taken(tmp_path: Path, snapshots: dict[str, tuple[int, int]]):
    (tmp_path / "containerd/daemon" / SNAPSHOTTER).mkdir(parents=True)
    snapshotter(tmp_path / "containerd/daemon", snapshots)
    assert layer_directories(of_snapshotter(DIGESTS[:1]), str(tmp_path), system_containerd=NOWHERE) is None


def test_records_of_a_snapshotter_that_are_damaged_name_no_directories(tmp_path: Path):
    home = tmp_path / "containerd/daemon" / SNAPSHOTTER
    home.mkdir(parents=True)
    for record in ({b"id": b"\xff" * 12, b"kind": b"\3"}, {b"kind": b"\3"}, {b"id": {}, b"kind": b"\3"}, b"text"):
        tree = {b"v1": {b"snapshots": {f"moby/1/{DIGESTS[0]}".encode(): record}}}
        (home / "metadata.db").write_bytes(BoltFile(tree, 4096).content())
        assert layer_directories(of_snapshotter(DIGESTS[:1]), str(tmp_path), system_containerd=NOWHERE) is None
    (home / "metadata.db").write_bytes(b"nothing")
    assert layer_directories(of_snapshotter(DIGESTS[:1]), str(tmp_path), system_containerd=NOWHERE) is None


@pytest.mark.parametrize("closed", ["overlay2", "overlay2/0a/diff", "containerd", "containerd/daemon/{}/metadata.db"])
def test_one_who_may_not_read_them_is_told_of_none(closed: str):
    with public_directory() as root:
        named = overlay2(root, ["0a"])
        snapshotter(root / "containerd/daemon", {f"moby/1/{DIGESTS[0]}": (1, 3)})
        recorded = of_snapshotter(DIGESTS[:1])

        def look() -> list[bool]:
            return [
                layer_directories(one, str(root), system_containerd=NOWHERE) is not None for one in (named, recorded)
            ]

        assert as_nobody(look) == [True, True]
        (root / closed.format(SNAPSHOTTER)).chmod(0o600)
        assert as_nobody(look) == [not closed.startswith("overlay2"), not closed.startswith("containerd")]


def test_every_engine_s_layers_are_found(any_engine: Engine, tmp_path: Path):
    dockerfile = "FROM base\nRUN mkdir /first\nRUN mkdir /second\nRUN rm -r /first\n"
    (tmp_path / "Dockerfile").write_text(dockerfile)
    any_engine.docker("build", "--network=host", "-t", "directories:1", ".", cwd=tmp_path)
    inspect = json.loads(any_engine.docker("image", "inspect", "directories:1").stdout)[0]
    info = json.loads(any_engine.docker("info", "--format", "{{json .}}").stdout)
    found = layer_directories(inspect, info["DockerRootDir"], info["Driver"])
    assert found is not None
    assert list(found) == inspect["RootFS"]["Layers"]
    names = [{one.name for one in Path(os.fsdecode(directory)).iterdir()} for directory in found.values()]
    own = [one & {"bin", "first", "second"} for one in names]
    assert own == [{"bin"}, {"first"}, {"second"}, {"first"}]
