"""A web server with one page: GET /?top=…&bottom=… answers with the picture, and the database keeps what was asked."""

from __future__ import annotations

import os
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import psycopg
from picture import meme

DATABASE_URL = os.environ.get("DATABASE_URL")
PORT = 8080


def remember(top: str, bottom: str) -> None:
    """Add the two lines to the table of memes, where there is a database."""
    if DATABASE_URL is None:
        return
    with psycopg.connect(DATABASE_URL) as connection:
        connection.execute(
            "CREATE TABLE IF NOT EXISTS memes (made_at timestamptz DEFAULT now(), top text, bottom text)"
        )
        connection.execute("INSERT INTO memes (top, bottom) VALUES (%s, %s)", (top, bottom))


class Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if url.path != "/":
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        query = parse_qs(url.query)
        top, bottom = query.get("top", ["one does not simply"])[0], query.get("bottom", ["cache a build"])[0]
        remember(top, bottom)
        picture = meme(top, bottom)
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "image/png")
        self.send_header("Content-Length", str(len(picture)))
        self.end_headers()
        self.wfile.write(picture)


if __name__ == "__main__":
    ThreadingHTTPServer(("", PORT), Page).serve_forever()
