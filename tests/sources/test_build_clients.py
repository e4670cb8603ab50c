"""What a client's command says about the directory that is built, and which of this machine's processes are asked."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

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


def test_a_running_client_is_found_with_its_directory(tmp_path: Path):
    script = tmp_path / "docker"
    script.symlink_to("/bin/sh")
    (tmp_path / "build").write_text("sleep 60\n")
    running = subprocess.Popen([str(script), "build", "shop"], cwd=tmp_path)
    try:
        deadline = time.monotonic() + 30
        while not (found := [one for one in build_clients() if one.place.context_path == f"{tmp_path}/shop"]):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert found[0].place.dockerfile_path == f"{tmp_path}/shop/Dockerfile"
        assert found[0].place.owner_uid == os.getuid()
    finally:
        subprocess.run(["pkill", "-P", str(running.pid)], check=False)
        running.kill()
        running.wait()
    assert not [one for one in build_clients() if one.place.context_path == f"{tmp_path}/shop"]
