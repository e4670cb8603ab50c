"""Recorded progress streams, whole and cut off, on a real store."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from buildprof.capture.imported import NoBuildError, import_file
from buildprof.config import Settings
from buildprof.model.build import UNKNOWN_PROJECT, Build, Status
from buildprof.store.connect import open_store
from buildprof.store.queries import list_builds
from tests.sources.recordings import PROGRESS

COLD = (PROGRESS / "docker-28-cold.json").read_bytes()
BAKE_FILE = {"digest": "sha256:b", "name": "[internal] load local bake definitions", "started": "2026-11-24T04:24:11Z"}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data", docker_host="unix:///none")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "progress.json"


def imported(settings: Settings, file: Path, content: bytes) -> tuple[Build, ...]:
    file.write_bytes(content)
    return import_file(settings, file, "shop", None)


def stored(settings: Settings) -> list[Build]:
    store = open_store(settings.store_url)
    try:
        return list_builds(store)
    finally:
        store.dispose()


@pytest.mark.parametrize("part", [0.2, 0.5, 0.8, 0.95])
@pytest.mark.parametrize("at_a_line", [True, False])
def test_a_stream_that_is_cut_off_stores_nothing_and_the_whole_of_it_is_one_build(
    settings: Settings, file: Path, part: float, at_a_line: bool
) -> None:
    cut = COLD[: int(len(COLD) * part)]
    cut = cut[: cut.rindex(b"\n") + 1] if at_a_line else cut[: cut.rindex(b"\n") + 20]
    with pytest.raises(NoBuildError, match=r"^the stream is cut off after \d+ steps?; nothing was stored") as refusal:
        imported(settings, file, cut)
    assert "\n" not in str(refusal.value)
    assert stored(settings) == []

    (build,) = imported(settings, file, COLD)
    assert build.status is Status.COMPLETED
    assert [one.ref for one in imported(settings, file, COLD)] == [build.ref]
    assert [one.ref for one in stored(settings)] == [build.ref]


@pytest.mark.parametrize("path", sorted(PROGRESS.glob("*.json")), ids=lambda path: path.stem)
def test_every_whole_stream_is_imported(settings: Settings, file: Path, path: Path) -> None:
    builds = imported(settings, file, path.read_bytes())
    assert {one.ref for one in builds} == {one.ref for one in stored(settings)}
    assert len(builds) == (2 if "bake" in path.stem else 1)


@pytest.mark.parametrize("ends", [{"completed": "2026-11-24T04:24:12Z"}, {}])
def test_a_bake_call_that_built_nothing_is_no_build(settings: Settings, file: Path, ends: dict[str, str]) -> None:
    lines = [{"vertexes": [BAKE_FILE]}, {"vertexes": [BAKE_FILE | ends]}]
    text = "".join(json.dumps(line) + "\n" for line in lines) + "ERROR: docker-bake.hcl:1,14-21: Argument required\n"
    with pytest.raises(NoBuildError, match=r"no build in it.*the client said docker-bake.hcl:1,14-21: Argument"):
        imported(settings, file, text.encode())
    assert stored(settings) == []


@pytest.mark.parametrize(
    ("given", "stored_as"),
    [("a\u202eb\t c", "ab c"), ("..", UNKNOWN_PROJECT), ("\x1b[2J", UNKNOWN_PROJECT), ("x" * 400, "x" * 99 + "…")],
)
def test_a_project_that_is_given_gets_a_name_that_a_page_can_have(
    settings: Settings, file: Path, given: str, stored_as: str
) -> None:
    file.write_bytes(COLD)
    (build,) = import_file(settings, file, given, "t\x00\u202e")
    assert (build.project, build.target) == (stored_as, "t")
