"""Which engine the docker client would talk to, read from its environment and files without running it.

The order is the docker client's: DOCKER_HOST, DOCKER_CONTEXT, `currentContext` of its config.json, the default socket.
A context lives in `contexts/meta/<sha256 of its name>/meta.json`, its TLS files in `contexts/tls/<same>/docker/`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

DEFAULT_SOCKET = "unix:///var/run/docker.sock"
MAX_FILE_BYTES = 1_000_000


class ContextError(Exception):
    """The docker context that is asked for cannot be used; the message is one line."""


@dataclass(frozen=True, slots=True)
class DockerHost:
    """An engine's URL and the directory of its TLS files (`ca.pem`, `cert.pem`, `key.pem`), None without TLS."""

    url: str
    cert_dir: Path | None = None


def active_docker_host(environ: Mapping[str, str], home: Path) -> DockerHost:
    """The engine that `docker` would use with this environment and home directory.

    Raises:
        ContextError: a context is chosen that does not exist or names no engine.
    """
    if url := environ.get("DOCKER_HOST"):
        return DockerHost(url, cert_dir_from_environment(environ, home))
    config_dir = docker_config_dir(environ, home)
    name = environ.get("DOCKER_CONTEXT") or _text(_read_json(config_dir / "config.json").get("currentContext"))
    if not name or name == "default":
        return DockerHost(DEFAULT_SOCKET)
    return _read_context(config_dir, name)


def docker_config_dir(environ: Mapping[str, str], home: Path) -> Path:
    """Where the docker client keeps its files."""
    return Path(environ.get("DOCKER_CONFIG") or home / ".docker")


def cert_dir_from_environment(environ: Mapping[str, str], home: Path) -> Path | None:
    """DOCKER_CERT_PATH, or the client's directory, if DOCKER_TLS_VERIFY or DOCKER_TLS asks for TLS."""
    if environ.get("DOCKER_TLS_VERIFY") or environ.get("DOCKER_TLS"):
        return Path(environ.get("DOCKER_CERT_PATH") or docker_config_dir(environ, home))
    return None


def _read_context(config_dir: Path, name: str) -> DockerHost:
    key = hashlib.sha256(name.encode(errors="surrogateescape")).hexdigest()
    meta = _read_json(config_dir / "contexts" / "meta" / key / "meta.json")
    endpoints = meta.get("Endpoints")
    docker = endpoints.get("docker") if isinstance(endpoints, dict) else None
    url = _text(docker.get("Host")) if isinstance(docker, dict) else ""
    if not url:
        raise ContextError(f"docker context {name!r} does not exist or names no engine; see `docker context ls`")
    cert_dir = config_dir / "contexts" / "tls" / key / "docker"
    return DockerHost(url, cert_dir if cert_dir.is_dir() else None)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _read_json(path: Path) -> dict[str, object]:
    """The object in a file; {} if there is none, since the docker client too goes on without its files."""
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            return {}
        document = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}
