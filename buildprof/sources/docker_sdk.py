"""The docker SDK: how a client of it is made for an endpoint, and its errors in one line."""

from __future__ import annotations

import contextlib
import re
import socket
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import docker
import requests
from docker.constants import DEFAULT_DOCKER_API_VERSION
from docker.errors import DockerException
from docker.tls import TLSConfig
from docker.transport.unixconn import UnixHTTPAdapter, UnixHTTPConnection, UnixHTTPConnectionPool

from buildprof.model.text import clean
from buildprof.sources.endpoint import (
    CONNECT_TIMEOUT_SECONDS,
    Endpoint,
    EndpointError,
    dial_ssh,
    explain_os_error,
)

TIMEOUT_SECONDS = 30

_API_VERSION = re.compile(r"\d{1,3}\.\d{1,4}")


class _SshConnection(UnixHTTPConnection):
    """A connection through `docker system dial-stdio`; the SDK's own needs a library for ssh, or cannot be ended."""

    def __init__(self, endpoint: Endpoint, timeout_seconds: int) -> None:
        super().__init__("", "", timeout_seconds)
        self._endpoint = endpoint

    def connect(self) -> None:
        self.sock = dial_ssh(self._endpoint)
        self.sock.settimeout(self.timeout)


class _SshPool(UnixHTTPConnectionPool):
    def __init__(self, endpoint: Endpoint, timeout_seconds: int) -> None:
        super().__init__("", "", timeout_seconds)
        self._endpoint, self._timeout_seconds = endpoint, timeout_seconds

    def _new_conn(self) -> Any:  # the stubs' supertypes disagree
        return _SshConnection(self._endpoint, self._timeout_seconds)


class _SshAdapter(UnixHTTPAdapter):
    def __init__(self, endpoint: Endpoint, timeout_seconds: int) -> None:
        super().__init__("http+unix://ssh", timeout_seconds)
        self._pool = _SshPool(endpoint, timeout_seconds)

    def get_connection(self, url: str | bytes, proxies: object = None) -> UnixHTTPConnectionPool:  # noqa: ARG002  the SDK's signature
        return self._pool

    def close(self) -> None:
        self._pool.close()
        super().close()


def connect_sdk(endpoint: Endpoint, timeout_seconds: int = TIMEOUT_SECONDS) -> docker.APIClient:
    """A client of the SDK that speaks the engine's version of the API.

    Raises whatever the SDK raises; `as_endpoint_error` makes one line of it.
    """
    tls: TLSConfig | bool = False
    if endpoint.cert_dir is not None:
        endpoint.tls_context()  # says in one line what is wrong with the files
        tls = TLSConfig(
            client_cert=(str(endpoint.cert_dir / "cert.pem"), str(endpoint.cert_dir / "key.pem")),
            ca_cert=str(endpoint.cert_dir / "ca.pem"),
            verify=True,
        )
    _try_to_connect(endpoint)

    def client(version: str) -> docker.APIClient:
        if endpoint.scheme != "ssh":
            return docker.APIClient(endpoint.url, version, timeout_seconds, tls=tls)
        made = docker.APIClient("unix:///ssh", version, timeout_seconds)
        made.mount("http+docker://", _SshAdapter(endpoint, timeout_seconds))
        return made

    # Not version="auto": the SDK then asks while it is being made, and leaves the connection open if that fails.
    with contextlib.closing(client(DEFAULT_DOCKER_API_VERSION)) as first:
        found = first.version(api_version=False)
    version = found.get("ApiVersion") if isinstance(found, Mapping) else None
    if not isinstance(version, str) or not _API_VERSION.fullmatch(version):
        raise EndpointError(f"{endpoint.url} does not answer as a Docker Engine: it names no version of its API")
    return client(version)


def _try_to_connect(endpoint: Endpoint) -> None:
    """Raise the system's error early: the SDK wraps it many times, and leaves its socket to the garbage collector."""
    parts = urlsplit(endpoint.url)
    if endpoint.scheme == "unix":
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(CONNECT_TIMEOUT_SECONDS)
            probe.connect(endpoint.socket_path)
    elif endpoint.scheme == "tcp":
        port = parts.port or (2376 if endpoint.cert_dir else 2375)
        socket.create_connection((parts.hostname or "", port), CONNECT_TIMEOUT_SECONDS).close()


def as_endpoint_error(endpoint: Endpoint, error: Exception) -> EndpointError:
    """One line for people on whatever the SDK raised; a bug of ours is raised as it is."""
    if isinstance(error, EndpointError):
        return error
    cause = _system_error(error)
    if cause is not None:
        return EndpointError(explain_os_error(endpoint, cause))
    if isinstance(error, requests.exceptions.Timeout | TimeoutError):
        return EndpointError(f"{endpoint.url} did not answer within {TIMEOUT_SECONDS} s")
    if isinstance(
        error, DockerException | requests.exceptions.RequestException | OSError | ValueError | TypeError | KeyError
    ):
        return EndpointError(f"{endpoint.url} does not answer as a Docker Engine: {clean(error, 300)}")
    raise error


def _system_error(error: BaseException) -> OSError | None:
    """The system's own error that the SDK's layers wrapped, as a cause or as an argument."""
    waiting: list[object] = [error]
    for _ in range(32):
        if not waiting:
            return None
        one = waiting.pop(0)
        if isinstance(
            one, FileNotFoundError | PermissionError | ConnectionRefusedError | ConnectionResetError | BrokenPipeError
        ):
            return one
        if isinstance(one, BaseException):
            waiting += [*one.args, getattr(one, "reason", None), one.__cause__, one.__context__]
    return None
