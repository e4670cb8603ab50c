"""Questions at a local socket: what an engine answers, and what those say who are none."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from buildprof.sources import docker_socket
from buildprof.sources.docker_socket import LocalEngine, NoAnswerError, NotThereError
from tests.engines.engine import Engine


@contextmanager
def answering(path: Path, answer: bytes) -> Iterator[LocalEngine]:
    """A server that says the same to everyone, and hangs up."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()

        def serve() -> None:
            while True:
                try:
                    client, _ = server.accept()
                except OSError:
                    return
                with client:
                    client.recv(65536)
                    client.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield LocalEngine(str(path), 5)
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join(5)


def http(body: bytes, status: str = "200 OK", length: int | None = None) -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body) if length is None else length}\r\n\r\n".encode() + body


def test_an_engine_answers_as_it_does_to_the_sdk(any_engine: Engine):
    engine = LocalEngine(str(any_engine.socket), 30)
    image = engine.inspect_image("base:latest")
    assert image["RootFS"]["Layers"]
    assert engine.info()["DockerRootDir"].startswith("/")
    assert engine.history(image["Id"])
    assert sum(map(len, engine.get_image("base"))) > 1_000_000
    for ask in (engine.inspect_image, engine.history, lambda name: next(engine.get_image(name))):
        with pytest.raises(NotThereError):
            ask("nobody/has:this")


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH\r\n",
        http(b"no json"),
        http(b"[]"),
        http(b"[" * 100_000),
        http(b"{}", length=100),
        http(b"no", "403 Forbidden"),
    ],
)
def test_what_is_no_answer_of_an_engine_is_one_error(tmp_path: Path, answer: bytes):
    with answering(tmp_path / "socket", answer) as engine, pytest.raises((NoAnswerError, OSError)):
        engine.info()


def test_an_answer_without_end_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(docker_socket, "MAX_ANSWER_BYTES", 1000)
    with (
        answering(tmp_path / "socket", http(b"{" + b" " * 2000 + b"}")) as engine,
        pytest.raises(NoAnswerError, match="without end"),
    ):
        engine.info()


def test_an_image_that_breaks_off_is_told(tmp_path: Path):
    broken = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nff"
    with answering(tmp_path / "socket", broken) as engine, pytest.raises((NoAnswerError, OSError)):
        list(engine.get_image("x"))


def test_a_name_stays_a_name(tmp_path: Path):
    with answering(tmp_path / "socket", http(b"{}")) as engine:
        assert engine.inspect_image("a\r\nHost: evil ?#%/../x") == {}
