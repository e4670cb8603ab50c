"""What is wrong, missing or hostile: one clear line, the right exit code, nothing lost and nothing broken."""

import http.server
import json
import re
import shutil
import socket
import socketserver
import sqlite3
import subprocess
import threading
from contextlib import closing, contextmanager
from types import SimpleNamespace

import pytest
from prometheus_client.parser import text_string_to_metric_families as parse_text

from benchmarks.harness import stop_agent
from tests.e2e.agents import build, buildprof, builds, ended, eventually, named, project, whole

CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\ud800-\udfff]")


def lines(output):
    return output.decode().splitlines()


class Nothing(http.server.BaseHTTPRequestHandler):
    """An HTTP server that is no Docker Engine."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"hello")

    do_POST = do_GET  # noqa: N815 - http.server looks for this name

    def address_string(self):
        return "somebody"

    def log_message(self, *_):
        pass


@contextmanager
def endpoint(kind, path):
    """Something at the path of a socket that is no engine."""
    if kind == "missing":
        yield
    elif kind == "a file":
        path.write_text("hello")
        yield
    elif kind == "refusing":
        with closing(socket.socket(socket.AF_UNIX)) as unheard:
            unheard.bind(str(path))
            yield
    else:
        with socketserver.ThreadingUnixStreamServer(str(path), Nothing) as server:
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            yield
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("kind", ["missing", "a file", "refusing", "another server"])
def test_without_an_engine_the_agent_says_so_once_and_waits_for_one(kind, agent_on, engine_28, short_path):
    path = short_path / "docker.sock"
    nowhere = SimpleNamespace(host=f"unix://{path}", config_dir=engine_28.config_dir)
    with endpoint(kind, path):
        agent = agent_on(nowhere, wait_until_ready=False)
        eventually(lambda: agent.log.count("source down") == 2)
        assert agent.get("/-/healthy")[0] == 200
        check = buildprof("doctor", "--docker-host", nowhere.host, "--data-dir", agent.data_dir, check=False)
        assert check.returncode == 1
        assert b"missing" in check.stdout
        assert check.stderr == b""
        assert agent.log.count("source down") == 2
        if kind == "missing":
            status, body = agent.get("/-/ready")
            assert status == 503
            assert "the socket does not exist" in json.loads(body)["reason"]
    if kind == "missing":
        path.symlink_to(engine_28.socket)
        eventually(lambda: agent.metric("buildprof_source_up") == 2)
        eventually(lambda: agent.get("/-/ready")[0] == 200)

    assert stop_agent(agent) == 0
    assert "Traceback" not in agent.log


@pytest.fixture
def short_path(tmp_path_factory):
    """A directory whose sockets have paths that are short enough."""
    directory = tmp_path_factory.mktemp("s")
    yield directory
    shutil.rmtree(directory)


def refused(*arguments, code, says, stdin=b""):
    """The command ends with this code and one line that says this."""
    result = buildprof(*arguments, stdin=stdin, check=False)
    assert result.returncode == code, result
    assert len(lines(result.stderr)) == 1, result.stderr
    assert says in result.stderr.decode()
    assert not CONTROL.search(lines(result.stderr)[0])
    return result


def test_a_directory_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    refused(
        "agent", "--data-dir", tmp_path / "file" / "data", "--listen", "127.0.0.1:0", code=3, says="cannot be written"
    )


def test_what_is_no_setting_and_no_address_is_one_line(tmp_path):
    refused("agent", "--docker-host", "http://nowhere", "--data-dir", tmp_path, code=2, says="--docker-host")
    refused("agent", "--listen", "0.0.0.0:1", "--data-dir", tmp_path, code=2, says="--insecure-listen")
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        refused(
            "agent", "--listen", f"127.0.0.1:{taken.getsockname()[1]}", "--data-dir", tmp_path, code=2, says="in use"
        )  # fmt: skip


@pytest.fixture
def stored(engine_28, agent_on, tmp_path):
    """A data directory with a build in it, of which no agent runs."""
    agent = agent_on(engine_28)
    ended(agent, build(engine_28, project(tmp_path / "stored", "FROM base\nRUN echo stored\n")))
    stop_agent(agent)
    return agent.data_dir


def test_one_agent_only_uses_a_directory(engine_28, agent_on):
    agent = agent_on(engine_28)
    refused(
        "agent", "--docker-host", engine_28.host, "--data-dir", agent.data_dir, "--listen", "127.0.0.1:0",
        code=3, says="another agent runs on",
    )  # fmt: skip


def test_a_store_of_a_newer_version_is_left_alone(stored):
    with closing(sqlite3.connect(stored / "buildprof.db")) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()
    before = (stored / "buildprof.db").read_bytes()

    for command in (("agent", "--listen", "127.0.0.1:0"), ("builds",), ("show", "last"), ("projects",)):
        refused(*command, "--data-dir", stored, code=3, says="newer version")

    assert (stored / "buildprof.db").read_bytes() == before


@pytest.mark.parametrize("content", [b"no database at all" * 1000, b"SQLite format 3\0" + b"\xff" * 8000])
def test_a_file_that_is_no_store_is_left_alone(content, tmp_path):
    (tmp_path / "buildprof.db").write_bytes(content)

    for command in (("agent", "--listen", "127.0.0.1:0"), ("builds",)):
        refused(*command, "--data-dir", tmp_path, code=3, says="buildprof.db")

    assert (tmp_path / "buildprof.db").read_bytes() == content


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 1000,
        b"hello\n",
        b"[]\n",
        b"{}\n" * 3,
        b"\x1f\x8b" + b"x" * 100,
        b"PK\3\4zip",
        b"\x1b[31mred\n" * 50,
    ],
    ids=["nothing", "zeros", "text", "a list", "objects", "gzip", "zip", "escapes"],
)
def test_a_foreign_file_is_not_imported(content, tmp_path):
    file = tmp_path / "foreign"
    file.write_bytes(content)

    refused("import", file, "--data-dir", tmp_path / "data", code=2, says="")
    refused("import", "-", "--data-dir", tmp_path / "data", code=2, says="", stdin=content)

    assert buildprof("builds", "--data-dir", tmp_path / "data", check=False).returncode == 1


def test_a_file_that_is_not_there_is_not_imported(tmp_path):
    refused("import", tmp_path / "absent", "--data-dir", tmp_path / "data", code=2, says="cannot be read")


def test_a_truncated_archive_is_not_imported(engine_28, tmp_path):
    ref = build(engine_28, project(tmp_path / "archived", f"FROM base\nRUN echo {tmp_path.name}\n"))
    archive = tmp_path / "a.dockerbuild"
    engine_28.docker("buildx", "history", "export", ref, "--output", str(archive))
    data = archive.read_bytes()
    for size in (len(data) // 4, len(data) // 2, len(data) - 700):
        archive.write_bytes(data[:size])
        refused("import", archive, "--data-dir", tmp_path / "data", code=2, says="")

    archive.write_bytes(data)
    found = json.loads(buildprof("import", archive, "--json", "--data-dir", tmp_path / "data").stdout)["builds"]
    assert [one["ref"] for one in found] == [ref]


def test_a_truncated_stream_is_not_imported(engine_28, tmp_path):
    context = project(tmp_path / "streamed", f"FROM base\nRUN echo {tmp_path.name}\nRUN true\n")
    stream = subprocess.run(
        ["docker", "build", "--network=host", "--progress=rawjson", "."],
        cwd=context, env=engine_28.environment, capture_output=True, check=True,
    ).stderr  # fmt: skip
    store = ("--data-dir", tmp_path / "data")
    for size in (len(stream) // 2, len(stream) - 10):
        refused("import", "-", *store, code=1, says="the stream is cut off after", stdin=stream[:size])
    assert buildprof("builds", *store, check=False).returncode == 1

    for _ in range(2):
        result = buildprof("import", "-", *store, stdin=stream)
        assert result.stderr == b""
    assert len(json.loads(buildprof("builds", "--json", *store).stdout)["builds"]) == 1


def test_a_bake_call_whose_file_cannot_be_read_is_no_build(engine_28, tmp_path):
    (tmp_path / "docker-bake.hcl").write_text('target "x" { garbage')
    stream = engine_28.docker("buildx", "bake", "--progress=rawjson", cwd=tmp_path, check=False).stderr.encode()
    refused("import", "-", "--data-dir", tmp_path / "data", code=1, says="there is no build in it", stdin=stream)


HOSTILE = r"""FROM base AS one
COPY ["<img src=x onerror=alert(1)>", "/a"]
RUN echo '<script>alert("run")</script>' && echo "\"; DROP TABLE builds; --"
RUN printf '\033]0;title\007\033[2J\033[31m%s\n' 'ESC]0;pwnedBEL' && echo 'E2E'
RUN echo '"""
LONG = "x" * 60_000


def hostile_project(directory):
    """A Dockerfile whose commands and whose heredoc hold what a page, a terminal or a database could fall for."""
    escapes = "\x1b]0;title\x07 \x1b[2J \x9b31m \x7f \u202e \u2028 é {} %s"
    body = HOSTILE + escapes + "'\n"
    body += f"RUN echo '{LONG}' > /long\n"
    body += "COPY <<EOF /megabyte\n" + "".join(f"{number} {'<b>' * 100}\n" for number in range(3_000)) + "EOF\n"
    body += "RUN " + " \\\n".join(["true"] + [f"&& echo '{'y' * 1000}' > /dev/null" for _ in range(100)]) + "\n"
    body += "FROM one\nRUN echo '<script>alert(\"log\")</script>' && printf '\\033[2J\\033]0;log\\007\\n' && false\n"
    context = project(directory, body)
    (context / "<img src=x onerror=alert(1)>").write_text("")
    return context


def test_hostile_text_breaks_no_terminal_page_label_or_document(engine_28, agent_on, tmp_path):
    agent = agent_on(engine_28)
    context = hostile_project(tmp_path / "<script>alert(1) & 'evil'")
    build(engine_28, context, "--tag=e2e-hostile:1", "--target=one")
    build(engine_28, context, "--build-arg=<b>=1", "--label=<i>\x1b[31m=</i>", check=False)
    done = named(agent, "e2e-hostile:1")[0]
    failed = eventually(lambda: next((one for one in builds(agent) if one["status"] == "failed"), None))

    for ref in (done["ref"], failed["ref"]):
        status, body = agent.get(f"/api/v1/builds/{ref}")
        assert status == 200
        document = json.loads(body)
        assert len(body) < 1_000_000
        assert not CONTROL.search(body.decode())  # what is left of them is escaped
        assert max(len(text) for text in texts(document)) <= 10_000
        for extra in ((), ("--all",)):
            shown = buildprof("show", ref, *extra, "--data-dir", agent.data_dir).stdout.decode()
            assert not CONTROL.search(shown)
            assert max(map(len, shown.splitlines())) <= 80
        # Some seconds after its end the engine amends what it tells of a build: both may be asked before or after.
        eventually(lambda ref=ref: whole(agent, ref) == agent.build(ref))
    assert len([step for step in done_steps(agent, done) if step["cacheable"]]) == 7
    for command in (("builds",), ("projects",), ("compare", done["ref"], failed["ref"])):
        assert not CONTROL.search(buildprof(*command, "--data-dir", agent.data_dir).stdout.decode())

    page = agent.get("/")[1].decode()
    assert not re.search(r"<(script(?! defer src=\"/static/)|img|i>)", page)
    assert not CONTROL.search(page)
    assert len(page) < 200_000

    metrics = agent.get("/metrics")[1].decode()
    assert {one.name for one in parse_text(metrics)}
    assert not CONTROL.search(metrics)
    assert max(map(len, metrics.splitlines())) < 1_000
    assert agent.metric("buildprof_builds_total") >= 2


def done_steps(agent, head):
    return agent.build(head["ref"])["steps"]


def texts(document):
    """All texts of a JSON document, keys among them."""
    if isinstance(document, str):
        yield document
    elif isinstance(document, dict):
        for key, value in document.items():
            yield key
            yield from texts(value)
    elif isinstance(document, list):
        for value in document:
            yield from texts(value)
