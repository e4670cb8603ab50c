"""Where an engine listens, and how to open a byte stream to it."""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import asyncio

CONNECT_TIMEOUT_SECONDS = 10.0
MAX_URL_CHARS = 1_000


class EndpointError(Exception):
    """The engine cannot be reached; the message is one line that says why and what to do."""


class UnsupportedError(EndpointError):
    """The endpoint answers, but does not offer what was asked of it."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The address of a Docker Engine or a buildkitd.

    `url` is `unix:///path`, `tcp://host:port` or `ssh://[user@]host[:port]`. `cert_dir` holds `ca.pem`, `cert.pem`
    and `key.pem`, as docker's DOCKER_CERT_PATH does; None means no TLS.
    """

    url: str
    cert_dir: Path | None = None

    @property
    def scheme(self) -> str:
        """Any of unix, tcp, ssh."""
        return urlsplit(self.url).scheme

    @property
    def socket_path(self) -> str:
        """The path of a unix socket."""
        return self.url.removeprefix("unix://")

    def tls_context(self) -> ssl.SSLContext | None:
        """A client context with the engine's authority and our certificate, or None."""
        if self.cert_dir is None:
            return None
        try:
            context = ssl.create_default_context(cafile=self.cert_dir / "ca.pem")
            context.load_cert_chain(self.cert_dir / "cert.pem", self.cert_dir / "key.pem")
        except (OSError, ssl.SSLError) as error:
            raise EndpointError(f"cannot use the TLS files in {self.cert_dir}: {error}") from error
        return context


def parse_endpoint(url: str, cert_dir: Path | None = None) -> Endpoint:
    """Check an engine's URL.

    Raises:
        EndpointError: the scheme is none of unix, tcp, ssh, or the address is empty.
    """
    if url.isprintable() and len(url) <= MAX_URL_CHARS:
        if url.startswith("unix:///"):
            return Endpoint(url)
        with contextlib.suppress(ValueError):  # of a port that is none, or brackets that do not match
            parts = urlsplit(url)
            if parts.scheme in ("tcp", "ssh") and parts.hostname and parts.port != 0:
                return Endpoint(url, cert_dir if parts.scheme == "tcp" else None)
    shown = url[:MAX_URL_CHARS]
    raise EndpointError(f"not an engine's address: {shown!r}; use unix:///path, tcp://host:port or ssh://user@host")


async def open_transport(endpoint: Endpoint, protocol_factory: Callable[[], asyncio.Protocol]) -> None:
    """Connect, and hand the connection to a protocol of the factory.

    Raises:
        EndpointError: nothing listens there, or it may not be opened.
    """
    import asyncio  # noqa: PLC0415 - 20 ms for those who only ask where an engine is

    loop = asyncio.get_running_loop()
    parts = urlsplit(endpoint.url)
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_SECONDS):
            if parts.scheme == "unix":
                await loop.create_unix_connection(protocol_factory, endpoint.socket_path)
            elif parts.scheme == "tcp":
                context = endpoint.tls_context()
                port = parts.port or (2376 if context else 2375)
                await loop.create_connection(protocol_factory, parts.hostname or "", port, ssl=context)
            else:
                await loop.create_unix_connection(protocol_factory, sock=dial_ssh(endpoint))
    except TimeoutError as error:
        raise EndpointError(f"{endpoint.url} did not answer within {CONNECT_TIMEOUT_SECONDS:.0f} s") from error
    except OSError as error:
        raise EndpointError(explain_os_error(endpoint, error)) from error
    except UnicodeError as error:
        raise EndpointError(f"{endpoint.url} has no valid host name") from error


def explain_os_error(endpoint: Endpoint, error: OSError) -> str:
    """One line for people: what failed, and what to do about it."""
    if isinstance(error, FileNotFoundError):
        return f"no engine at {endpoint.url}: the socket does not exist; is docker running?"
    if isinstance(error, PermissionError):
        return f"no access to {endpoint.url}: run as root or as a member of the socket's group (often docker)"
    if isinstance(error, ConnectionRefusedError):
        return f"{endpoint.url} refuses connections: nothing listens there; is docker running?"
    return f"cannot reach {endpoint.url}: {error.strerror or error}"


def dial_ssh(endpoint: Endpoint) -> socket.socket:
    """The docker client's own way: `docker system dial-stdio` at the far end of an ssh session."""
    parts = urlsplit(endpoint.url)
    ours, theirs = socket.socketpair()
    command = ["ssh", "-o", "BatchMode=yes", "-T"]
    command += ["-p", str(parts.port)] if parts.port else []
    command += ["-l", parts.username] if parts.username else []
    command += ["--", parts.hostname or "", "docker", "system", "dial-stdio"]
    try:
        with theirs:
            process = subprocess.Popen(
                command, stdin=theirs.fileno(), stdout=theirs.fileno(), stderr=subprocess.DEVNULL
            )
    except OSError as error:
        ours.close()
        raise EndpointError(f"cannot start ssh, which {endpoint.url} needs: {error.strerror}") from error
    # It ends when the connection is closed; somebody must wait for it, or it stays as a zombie.
    threading.Thread(target=process.wait, name="ssh", daemon=True).start()
    return ours
