"""What `doctor` finds, on real engines and where there is none."""

from __future__ import annotations

import json
import socket
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingUnixStreamServer
from typing import Any

import pytest

from buildprof.config import Settings
from buildprof.doctor import run_checks
from buildprof.model.check import Check, CheckStatus
from buildprof.sources.tree.database import Database, TreeNote
from tests.engines.engine import Engine
from tests.nobody import as_nobody, public_directory
from tests.postgres import postgres_url

__all__ = ["postgres_url"]


def checks_of(tmp_path: Path, **settings: Any) -> dict[str, Check]:
    defaults = {"docker_host": f"unix://{tmp_path}/none.sock", "data_dir": tmp_path / "data", "buildx_dirs": ()}
    return {check.name: check for check in run_checks(Settings(**defaults | settings))}


def create_builder(buildx_dir: Path, name: str, driver: str, endpoint: str) -> None:
    (buildx_dir / "instances").mkdir(parents=True, exist_ok=True)
    document = {"Name": name, "Driver": driver, "Nodes": [{"Name": f"{name}0", "Endpoint": endpoint}]}
    (buildx_dir / "instances" / name).write_text(json.dumps(document))


def test_an_engine_is_seen_by_its_events_and_its_builds(any_engine: Engine, tmp_path: Path) -> None:
    checks = checks_of(tmp_path, docker_host=any_engine.host)
    assert checks["docker engine"].status is CheckStatus.OK
    assert checks["docker events"].status is CheckStatus.OK
    if any_engine.has_build_history:
        assert checks["buildkit"].status is CheckStatus.OK
    else:
        assert checks["buildkit"].status is CheckStatus.DEGRADED
        assert "buildx 0.13" in checks["buildkit"].remedy
        assert "docker buildx build --progress=rawjson . 2>&1 | buildprof import -" in checks["buildkit"].remedy


@contextmanager
def without_events(engine: Engine, path: Path):
    """A socket that passes an engine's answers on, and refuses its events, as some proxies do."""

    class Proxy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if "/events" in self.path:
                self.answer(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
                return
            with socket.socket(socket.AF_UNIX) as upstream:
                upstream.connect(str(engine.socket))
                upstream.sendall(f"GET {self.path} HTTP/1.0\r\nHost: docker\r\n\r\n".encode())
                self.answer(b"".join(iter(lambda: upstream.recv(65536), b"")))

        do_POST = do_GET  # noqa: N815 - http.server looks for this name

        def answer(self, answer: bytes) -> None:
            self.wfile.write(answer)
            self.close_connection = True

        def address_string(self) -> str:
            return "somebody"

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingUnixStreamServer(str(path), Proxy) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"unix://{path}"
        finally:
            server.shutdown()
            thread.join()


def test_events_that_are_refused_are_not_called_seen(engine_28: Engine, tmp_path_factory: Any, tmp_path: Path) -> None:
    with without_events(engine_28, tmp_path_factory.mktemp("d") / "s") as host:
        checks = checks_of(tmp_path, docker_host=host)
    assert checks["docker engine"].status is CheckStatus.OK
    assert checks["docker events"].status is CheckStatus.MISSING
    assert "403" in checks["docker events"].detail


def test_without_an_engine_nothing_is_seen(tmp_path: Path) -> None:
    checks = checks_of(tmp_path)
    assert not [name for name, one in checks.items() if one.observes and one.status is not CheckStatus.MISSING]
    assert "does not exist" in checks["docker engine"].detail


def test_a_socket_of_others_is_opened_by_root_or_by_its_group(tmp_path: Path) -> None:
    with public_directory() as directory, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(directory / "docker.sock"))
        (directory / "docker.sock").chmod(0o600)
        host = f"unix://{directory}/docker.sock"
        remedy = as_nobody(lambda: checks_of(directory, docker_host=host)["docker engine"].remedy)
    assert remedy == "run as root, or: usermod -aG docker $USER and log in again"


def test_an_address_at_which_nothing_answers_is_to_be_checked(tmp_path: Path) -> None:
    check = checks_of(tmp_path, docker_host="tcp://127.0.0.1:1")["docker engine"]
    assert check.remedy.startswith("check the address tcp://127.0.0.1:1")


def test_where_buildx_keeps_its_state_can_be_said_in_a_line_to_copy(tmp_path: Path) -> None:
    remedy = checks_of(tmp_path)["project directories"].remedy
    assert remedy.endswith("""BUILDPROF_BUILDX_DIRS='["/home/me/.docker/buildx"]'""")


def test_a_builder_that_is_not_followed_is_told_with_what_to_do(tmp_path: Path) -> None:
    create_builder(tmp_path, "far", "remote", "tcp://buildkit:1234")
    create_builder(tmp_path, "mine", "docker-container", "unix:///var/run/docker.sock")
    create_builder(tmp_path, "pods", "kubernetes", "kubernetes:///pods?deployment=x")
    checks = checks_of(tmp_path, buildx_dirs=(tmp_path,))
    for name, driver in (("far", "remote"), ("mine", "docker-container"), ("pods", "kubernetes")):
        check = checks[f"builder {name}"]
        assert (check.status, check.observes) == (CheckStatus.MISSING, True)
        assert "is not followed" in check.detail
        assert driver in check.detail
    assert checks["builder far"].remedy == "put tcp://buildkit:1234 into `builders`"
    assert "docker buildx build --builder mine --progress=rawjson ." in checks["builder mine"].remedy


def test_a_builder_whose_address_is_followed_is_asked_and_not_complained_of(tmp_path: Path) -> None:
    create_builder(tmp_path, "far", "remote", f"unix://{tmp_path}/buildkitd.sock")
    create_builder(tmp_path, "same", "docker", "unix:///var/run/docker.sock")
    checks = checks_of(tmp_path, buildx_dirs=(tmp_path,), builders=(f"unix://{tmp_path}/buildkitd.sock",))
    assert "builder far" not in checks
    assert "builder same" not in checks
    assert "does not exist" in checks[f"builder unix://{tmp_path}/buildkitd.sock"].detail


def test_a_builder_that_a_real_client_created_is_told(engine_28: Engine, tmp_path: Path) -> None:
    engine_28.docker("buildx", "create", "--name", "doctor-test", "--driver", "remote", "tcp://127.0.0.1:1")
    try:
        checks = checks_of(tmp_path, buildx_dirs=(engine_28.config_dir / "buildx",))
        assert checks["builder doctor-test"].remedy == "put tcp://127.0.0.1:1 into `builders`"
    finally:
        engine_28.docker("buildx", "rm", "doctor-test", check=False)


def test_a_store_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    check = checks_of(tmp_path)["store"]
    assert (check.status, check.detail) == (
        CheckStatus.OK,
        f"not there yet, will be made: {tmp_path}/data/buildprof.db",
    )
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_cannot_be_made_is_missing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    check = checks_of(tmp_path, data_dir=tmp_path / "file" / "data")["store"]
    assert check.status is CheckStatus.MISSING
    assert f"{tmp_path}/file is not a directory that can be written" in check.detail


def test_a_directory_that_may_not_be_written_is_named() -> None:
    with public_directory() as directory:
        directory.chmod(0o555)
        status, detail = as_nobody(lambda: told(checks_of(directory)["store"]))
        directory.chmod(0o755)
    assert status == "missing"
    assert f"{directory} is not a directory that can be written" in detail


def told(check: Check) -> tuple[str, str]:
    return check.status.value, check.detail


@pytest.mark.postgresql
def test_the_store_is_named_without_credentials(postgres_url: str, tmp_path: Path) -> None:
    check = checks_of(tmp_path, database_url=postgres_url.replace("@/", ":hunter2@/"))["store"]
    assert check.status is CheckStatus.OK
    assert check.detail.startswith("usable: postgresql://")
    assert "hunter2" not in check.detail


def test_a_foreign_file_instead_of_a_store_is_missing(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "buildprof.db").write_text("this is no database, whatever its name" * 100)
    check = checks_of(tmp_path)["store"]
    assert check.status is CheckStatus.MISSING
    assert "is not a database" in check.detail


@pytest.mark.parametrize(
    ("note", "detail"),
    [
        (
            TreeNote(b"/src", "polled: out of inotify watches", 12),
            "12 directories are read again at every build (/src)",
        ),
        (TreeNote(b"/src", "watched", 0, 3), "inotify's queue overflowed 3 times"),
        (TreeNote(b"/src", "refused: more than 1,000,000 files"), "/src: not watched (more than 1,000,000 files)"),
    ],
)
def test_directories_that_the_agent_cannot_watch_as_it_should_are_told(tmp_path: Path, note: TreeNote, detail: str):
    (tmp_path / "data").mkdir()
    database = Database(tmp_path / "data/trees.db")
    tree = database.open_tree(note.directory, b"/src/.dockerignore", time.time_ns())
    assert checks_of(tmp_path)["context directories"].status is CheckStatus.OK
    database.note(tree.id, note)
    check = checks_of(tmp_path)["context directories"]
    assert check.status is CheckStatus.DEGRADED
    assert detail in check.detail
    assert check.remedy
    database.close()
