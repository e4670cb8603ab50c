from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from buildprof.docker_context import ContextError, DockerHost, active_docker_host


def make_context(home: Path, name: str, host: str | None, *, tls: bool = False) -> Path:
    key = hashlib.sha256(name.encode()).hexdigest()
    meta = home / ".docker/contexts/meta" / key
    meta.mkdir(parents=True)
    endpoints = {} if host is None else {"docker": {"Host": host, "SkipTLSVerify": False}}
    (meta / "meta.json").write_text(json.dumps({"Name": name, "Metadata": {}, "Endpoints": endpoints}))
    cert_dir = home / ".docker/contexts/tls" / key / "docker"
    if tls:
        cert_dir.mkdir(parents=True)
    return cert_dir


def choose(home: Path, name: object) -> None:
    (home / ".docker").mkdir(exist_ok=True)
    (home / ".docker/config.json").write_text(json.dumps({"currentContext": name}))


def test_without_anything_it_is_the_default_socket(tmp_path: Path) -> None:
    assert active_docker_host({}, tmp_path) == DockerHost("unix:///var/run/docker.sock")
    choose(tmp_path, "default")
    assert active_docker_host({}, tmp_path) == DockerHost("unix:///var/run/docker.sock")


def test_the_current_context_gives_address_and_certificates(tmp_path: Path) -> None:
    cert_dir = make_context(tmp_path, "far", "tcp://far:2376", tls=True)
    choose(tmp_path, "far")
    assert active_docker_host({}, tmp_path) == DockerHost("tcp://far:2376", cert_dir)


def test_docker_host_wins_over_docker_context_over_the_current_one(tmp_path: Path) -> None:
    make_context(tmp_path, "one", "unix:///one")
    make_context(tmp_path, "two", "unix:///two")
    choose(tmp_path, "one")
    assert active_docker_host({}, tmp_path).url == "unix:///one"
    assert active_docker_host({"DOCKER_CONTEXT": "two"}, tmp_path).url == "unix:///two"
    environment = {"DOCKER_CONTEXT": "two", "DOCKER_HOST": "unix:///three"}
    assert active_docker_host(environment, tmp_path).url == "unix:///three"


def test_the_clients_directory_can_be_elsewhere(tmp_path: Path) -> None:
    make_context(tmp_path, "one", "unix:///one")
    environment = {"DOCKER_CONTEXT": "one", "DOCKER_CONFIG": str(tmp_path / ".docker")}
    assert active_docker_host(environment, Path("/nowhere")).url == "unix:///one"


def test_tls_of_docker_host_comes_from_the_environment(tmp_path: Path) -> None:
    environment = {"DOCKER_HOST": "tcp://h:2376", "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": "/certs"}
    assert active_docker_host(environment, tmp_path).cert_dir == Path("/certs")
    del environment["DOCKER_CERT_PATH"]
    assert active_docker_host(environment, tmp_path).cert_dir == tmp_path / ".docker"


def test_a_context_that_is_missing_or_has_no_engine_is_an_error(tmp_path: Path) -> None:
    make_context(tmp_path, "cluster", None)
    for name in ("gone", "cluster"):
        with pytest.raises(ContextError, match=name):
            active_docker_host({"DOCKER_CONTEXT": name}, tmp_path)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"currentContext": 3}', b"\xff", b" " * 2_000_000])
def test_a_damaged_client_configuration_is_as_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / ".docker").mkdir()
    (tmp_path / ".docker/config.json").write_bytes(content)
    assert active_docker_host({}, tmp_path) == DockerHost("unix:///var/run/docker.sock")
