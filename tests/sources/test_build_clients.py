"""What a client's command says about the directory that is built, and which of this machine's processes are asked."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from buildprof.model.events import BuildCommand
from buildprof.sources.build_clients import build_clients, client_of


@pytest.mark.parametrize(
    ("command", "context", "dockerfile"),
    [
        ("docker build .", "/home/me/shop", "/home/me/shop/Dockerfile"),
        ("docker build -t shop:1 --no-cache api", "/home/me/shop/api", "/home/me/shop/api/Dockerfile"),
        ("docker build -f docker/web.Dockerfile ..", "/home/me", "/home/me/shop/docker/web.Dockerfile"),
        ("docker build -fweb.Dockerfile -tshop /src", "/src", "/home/me/shop/web.Dockerfile"),
        ("docker build --file=/d/Dockerfile --build-arg A=b -q -- .", "/home/me/shop", "/d/Dockerfile"),
        ("docker image build --rm=false --label a=b .", "/home/me/shop", "/home/me/shop/Dockerfile"),
        ("docker builder build .", "/home/me/shop", "/home/me/shop/Dockerfile"),
        ("docker -H unix:///run/d.sock --context other -D build .", "/home/me/shop", "/home/me/shop/Dockerfile"),
    ],
)
def test_a_command_names_its_context_and_its_dockerfile(command: str, context: str, dockerfile: str):
    found = client_of(command.split(), "/home/me/shop", 1000)
    assert found is not None
    place = found.place
    assert (place.context_path, place.dockerfile_path, place.owner_uid) == (context, dockerfile, 1000)


def test_a_command_names_its_target():
    found = client_of(["docker", "build", "--target", "builder", "."], "/shop", 0)
    assert found is not None
    assert found.place.target == "builder"


def test_a_command_names_its_image():
    found = client_of(["docker", "build", "-t", "shop:1", "-tshop:2", "--tag=registry:5000/shop", "."], "/shop", 0)
    assert found is not None
    assert found.tags == ("shop:1", "shop:2", "registry:5000/shop")


@pytest.mark.parametrize(
    "command",
    [
        "docker run build .",
        "docker compose build",
        "docker build",
        "docker build -",
        "docker build -f - .",
        "docker build . more",
        "docker build https://example.org/repo.git",
        "docker build git@example.org:repo",
        "docker build --target",
        "docker build a\x1b[2J",
        "docker",
    ],
)
def test_what_builds_no_directory_of_this_machine_names_none(command: str):
    assert client_of(command.split(" "), "/home/me/shop", 1000) is None


@contextmanager
def running_client(directory: Path, context: str, *, wait: bool = True, **environment: str) -> Iterator[BuildCommand]:
    """A process that has the command of a docker client; it sleeps."""
    script = directory / "docker"
    script.symlink_to("/bin/sh")
    (directory / "build").write_text("read never\n")
    running = subprocess.Popen(["./docker", "build", context], cwd=directory, stdin=subprocess.PIPE, env=environment)
    try:
        deadline = time.monotonic() + 30
        while wait and not (found := _of(directory)):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield found[0] if wait else client_of(["docker", "build", "."], "/", 0)
    finally:
        running.kill()
        running.communicate()


def _of(directory: Path) -> list[BuildCommand]:
    places = {str(directory.resolve()), str(directory.parent)}
    return [one for one in build_clients() if one.place.context_path in places]


def test_a_running_client_is_found_with_its_directory(tmp_path: Path):
    with running_client(tmp_path, ".", DOCKER_HOST="unix:///run/d.sock") as found:
        assert found.place.dockerfile_path.lower() == f"{tmp_path}/dockerfile"
        assert found.place.owner_uid == os.getuid()
        assert found.host == "unix:///run/d.sock"
    assert not _of(tmp_path)


def test_a_directory_reached_by_a_link_has_the_link_s_parent(tmp_path: Path):
    (tmp_path / "real/sub").mkdir(parents=True)
    (tmp_path / "seen").mkdir()
    (tmp_path / "seen/link").symlink_to(tmp_path / "real/sub")
    with running_client(tmp_path / "seen/link", "..", PWD=str(tmp_path / "seen/link")) as found:
        assert found.place.context_path == f"{tmp_path}/seen"
        assert abs(found.started_ns - time.time_ns()) < 60e9


def test_a_dockerfile_may_be_spelt_small(tmp_path: Path):
    (tmp_path / "dockerfile").write_text("FROM base\n")
    with running_client(tmp_path, ".") as found:
        assert found.place.dockerfile_path == f"{tmp_path}/dockerfile"


def test_a_client_of_buildkit_is_none_of_the_classic_builder(tmp_path: Path):
    with running_client(tmp_path, ".", DOCKER_BUILDKIT="1", wait=False):
        time.sleep(0.3)
        assert not [one for one in build_clients() if one.place.context_path == str(tmp_path)]
