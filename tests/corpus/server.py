"""A web server on loopback whose answers scenarios change: what `ADD` of a URL fetches."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True, slots=True)
class Server:
    """Serves texts by (scenario, path), without validators: a client that wants to know if one changed must fetch it."""

    port: int
    texts: dict[str, str] = field(default_factory=dict)

    def url(self, scenario: str) -> str:
        return f"http://127.0.0.1:{self.port}/{scenario}/"

    def serve(self, scenario: str, path: str, text: str | None) -> None:
        if text is None:
            self.texts.pop(f"/{scenario}/{path}", None)
        else:
            self.texts[f"/{scenario}/{path}"] = text


@contextlib.contextmanager
def running_server() -> Iterator[Server]:
    """A server for the time of a `with` block."""
    texts: dict[str, str] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            text = texts.get(self.path)
            body = (text or "").encode()
            self.send_response(200 if text is not None else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET  # noqa: N815  # http.server's name

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, daemon=True)
        thread.start()
        try:
            yield Server(listening.server_address[1], texts)
        finally:
            listening.shutdown()
            thread.join()
