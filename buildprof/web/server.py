"""Listening: uvicorn inside the event loop that follows the builds."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from starlette.types import ASGIApp
from uvicorn import Config, Server

MAX_CONNECTIONS = 64
KEEP_ALIVE_SECONDS = 75
"""Longer than the usual interval between two scrapes, so that Prometheus keeps its connection."""

STALLED_MILLISECONDS = 30_000
"""When the kernel gives up a connection whose client reads nothing or is gone."""


_NO_SUCH_FAMILY = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL})


class ListenError(Exception):
    """The address cannot be listened on. `address` is as configured, `reason` says why; the text is one line."""

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(f"cannot listen on {address}: {reason}")
        self.address = address
        self.reason = reason


def parse_listen(listen: str) -> tuple[str, int]:
    """Give host and port of `host:port`, `[ipv6]:port` or `:port` (all addresses, host ""). Raises ListenError."""
    host, colon, port = listen.strip().rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ListenError(listen, "an IPv6 address stands in brackets, as in [::1]:19323")
    if not colon or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise ListenError(listen, "use host:port, as in 127.0.0.1:19323")
    return host, int(port)


def is_loopback(listen: str) -> bool:
    """Whether only this machine can reach the address. Raises ListenError."""
    host, _ = parse_listen(listen)
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


async def serve(
    app: ASGIApp,
    listen: str,
    *,
    on_listening: Callable[[str], None] = lambda _url: None,
    on_stopping: Callable[[], None] = lambda: None,
) -> None:
    """Serve until cancelled, then lets requests end for a second at most, and raises the CancelledError.

    `on_listening` is told the URL, with the real port where 0 was asked for. `on_stopping` is called before requests
    are waited for: it must end streams that would not end by themselves. Raises ListenError.
    """
    with ExitStack() as stack:
        sockets = await _bind(listen, stack)
        config = Config(
            app,
            loop="none",
            http="h11",
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            log_level="error",  # what a client does wrong is no news for the log
            access_log=False,
            proxy_headers=False,
            server_header=False,
            limit_concurrency=MAX_CONNECTIONS,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=1,
            h11_max_incomplete_event_size=16_384,
        )
        server = _Server(config, on_stopping)
        host, port = sockets[0].getsockname()[:2]
        on_listening(f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/")
        await server.serve(sockets)
        if server.canceled is not None:
            raise server.canceled


class _Server(Server):
    """A uvicorn server that is stopped by cancelling its task, and leaves signals to the agent."""

    def __init__(self, config: Config, on_stopping: Callable[[], None]) -> None:
        super().__init__(config)
        self.canceled: asyncio.CancelledError | None = None
        self._on_stopping = on_stopping

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Do nothing: uvicorn would put its own handlers in the place of the agent's."""
        yield

    async def main_loop(self) -> None:
        """Do as uvicorn's does, but wake up once a second, for the Date header, and not ten times."""
        try:
            while not await self.on_tick(0):  # noqa: ASYNC110 - there is nothing to wait for but the next second
                await asyncio.sleep(1)
        except asyncio.CancelledError as canceled:
            self.canceled = canceled
        self._on_stopping()


async def _bind(listen: str, stack: ExitStack) -> list[socket.socket]:
    """Open sockets for all addresses of the host, with the same port; a family that the machine lacks is left out."""
    host, port = parse_listen(listen)
    try:
        found = await asyncio.get_running_loop().getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (socket.gaierror, UnicodeError):
        raise ListenError(listen, "no such host") from None
    sockets: list[socket.socket] = []
    failure = "no such host"
    for family, kind, protocol, _, address in found:
        try:
            listener = stack.enter_context(socket.socket(family, kind, protocol))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, STALLED_MILLISECONDS)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind((address[0], port, *address[2:]))
            listener.listen(128)
            listener.setblocking(False)
        except OSError as error:
            failure = os.strerror(error.errno or 0).lower()
            if error.errno in _NO_SUCH_FAMILY:
                continue
            raise ListenError(listen, failure) from None
        port = listener.getsockname()[1]
        sockets.append(listener)
    if not sockets:
        raise ListenError(listen, failure)
    return sockets
