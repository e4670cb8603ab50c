"""Questions to a Docker Engine at a local socket, for a command that must answer at once.

To load the docker SDK takes a fifth of what a rebuilt image may take in all; these are four plain requests.
"""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from buildprof.model.text import clean

MAX_ANSWER_BYTES = 64 * 1024 * 1024
_CHUNK_BYTES = 1024 * 1024


class NoAnswerError(Exception):
    """The engine refuses, or is none; one line."""


class NotThereError(Exception):
    """The engine has no such thing."""


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout_seconds: float) -> None:
        super().__init__("docker", timeout=timeout_seconds)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class LocalEngine:
    """The engine at the socket `path`; the calls are named as the SDK's, and give what the Engine API does.

    All raise OSError if nobody answers, NoAnswerError for what is no answer of an engine, and NotThereError.
    """

    def __init__(self, path: str, timeout_seconds: float) -> None:
        self._path, self._timeout_seconds = path, timeout_seconds

    def inspect_image(self, image: str) -> dict[str, Any]:
        """`GET /images/{name}/json`."""
        return _object(self._ask(f"/images/{quote(image, safe='/:@')}/json"))

    def info(self) -> dict[str, Any]:
        """`GET /info`."""
        return _object(self._ask("/info"))

    def history(self, image: str) -> object:
        """`GET /images/{name}/history`."""
        return self._ask(f"/images/{quote(image, safe='/:@')}/history")

    def get_image(self, image: str) -> Iterator[bytes]:
        """`GET /images/{name}/get`: the archive in parts."""
        connection = _Connection(self._path, self._timeout_seconds)
        try:
            response = _request(connection, f"/images/{quote(image, safe='/:@')}/get")
            while part := response.read(_CHUNK_BYTES):
                yield part
        except http.client.HTTPException as error:
            raise NoAnswerError("broke off") from error
        finally:
            connection.close()

    def close(self) -> None:
        """Nothing stays open."""

    def _ask(self, path: str) -> object:
        connection = _Connection(self._path, self._timeout_seconds)
        try:
            response = _request(connection, path)
            answer = response.read(MAX_ANSWER_BYTES + 1)
            if len(answer) > MAX_ANSWER_BYTES:
                raise NoAnswerError("answers without end")
            if response.length:  # what is still to come
                raise NoAnswerError("broke off")
            return json.loads(answer)
        except (http.client.HTTPException, ValueError, RecursionError) as error:
            raise NoAnswerError("does not answer as a Docker Engine") from error
        finally:
            connection.close()


def _request(connection: _Connection, path: str) -> http.client.HTTPResponse:
    connection.request("GET", path)
    response = connection.getresponse()
    if response.status in {HTTPStatus.NOT_FOUND, HTTPStatus.BAD_REQUEST}:  # the second: no name that an image can have
        raise NotThereError(path)
    if response.status != HTTPStatus.OK:
        said = clean(response.read(2000).decode("utf-8", "replace"), 200)
        raise NoAnswerError(f"refuses with {response.status}: {said}")
    return response


def _object(answer: object) -> dict[str, Any]:
    if not isinstance(answer, dict):
        raise NoAnswerError("does not answer as a Docker Engine")
    return answer
