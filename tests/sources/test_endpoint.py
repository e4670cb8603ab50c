import asyncio
import contextlib
import os
import shutil
import socket
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildprof.sources import endpoint as module
from buildprof.sources.endpoint import Endpoint, EndpointError, UnsupportedError, open_transport, parse_endpoint


class Greeted(asyncio.Protocol):
    """Keeps its transport and what comes first."""

    def __init__(self):
        self.said = asyncio.get_running_loop().create_future()
        self.closed = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        if not self.said.done():
            self.said.set_result(data)

    def connection_lost(self, exc):  # noqa: ARG002  # asyncio's signature
        self.closed.set_result(None)
        if not self.said.done():
            self.said.set_result(b"")


async def greet(_reader, writer):
    """Say hello, and close when the other side does."""
    writer.write(b"hello")
    await _reader.read()
    writer.close()


async def greeting(endpoint):
    protocols = []

    def factory():
        protocols.append(Greeted())
        return protocols[0]

    await open_transport(endpoint, factory)
    async with asyncio.timeout(10):
        said = await protocols[0].said
        protocols[0].transport.close()
        await protocols[0].closed
    return said


async def refusal(endpoint):
    with pytest.raises(EndpointError) as caught:
        await greeting(endpoint)
    message = str(caught.value)
    assert "\n" not in message
    assert message.isprintable()
    return message


@pytest.mark.parametrize(
    "url",
    ["unix:///var/run/docker.sock", "unix:///tmp/with space?#.sock", "tcp://host:2375", "tcp://host", "tcp://[::1]:2376",
     "ssh://user@host:22", "ssh://host"],
)  # fmt: skip
def test_an_engines_address_is_taken_as_it_is(url):
    assert parse_endpoint(url).url == url


@pytest.mark.parametrize(
    "url",
    ["", "docker.sock", "/var/run/docker.sock", "unix://", "unix://relative/path", "http://host", "tcp://", "tcp://:2375",
     "tcp://host:port", "tcp://host:99999", "tcp://host:-1", "tcp://host:0", "tcp://[::1", "ssh://", "unix:///a\0b",
     "unix:///a\nb", "tcp://host\x1b[31m", "fd://", "unix:///" + "x" * 5000],
)  # fmt: skip
def test_what_is_no_address_is_refused_in_one_line_that_says_what_would_be(url):
    with pytest.raises(EndpointError, match="use unix:///path, tcp://host:port or ssh://user@host") as caught:
        parse_endpoint(url)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 2000


@given(
    st.text()
    | st.sampled_from(["unix", "tcp", "ssh"]).flatmap(lambda scheme: st.text().map(lambda rest: f"{scheme}://{rest}"))
)
def test_any_text_is_an_address_or_refused(url):
    with contextlib.suppress(EndpointError):
        endpoint = parse_endpoint(url)
        assert endpoint.scheme in ("unix", "tcp", "ssh")
        assert endpoint.socket_path


def test_only_tcp_has_certificates():
    directory = Path("/certs")

    assert parse_endpoint("tcp://host", directory).cert_dir == directory
    assert parse_endpoint("ssh://host", directory).cert_dir is None
    assert parse_endpoint("unix:///x", directory).cert_dir is None


async def test_a_unix_socket_is_opened_whatever_its_path_looks_like(tmp_path):
    path = tmp_path / "with space?#%41.sock"
    async with await asyncio.start_unix_server(greet, path):
        assert await greeting(parse_endpoint(f"unix://{path}")) == b"hello"


async def test_a_tcp_port_is_opened():
    async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        assert await greeting(parse_endpoint(f"tcp://127.0.0.1:{port}")) == b"hello"


async def test_a_socket_that_does_not_exist_is_told_so(tmp_path):
    assert "the socket does not exist" in await refusal(parse_endpoint(f"unix://{tmp_path}/none.sock"))


async def test_a_file_that_is_no_socket_refuses(tmp_path):
    (tmp_path / "file").write_text("x")

    assert "refuses connections" in await refusal(parse_endpoint(f"unix://{tmp_path}/file"))
    assert await refusal(parse_endpoint(f"unix://{tmp_path}"))


async def test_a_socket_that_nobody_listens_on_refuses(tmp_path):
    async with await asyncio.start_unix_server(greet, tmp_path / "s"):
        pass

    assert "refuses connections" in await refusal(parse_endpoint(f"unix://{tmp_path}/s"))
    assert "refuses connections" in await refusal(parse_endpoint("tcp://127.0.0.1:1"))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody who may not")
async def test_a_socket_without_permission_says_who_may(tmp_path):
    async with await asyncio.start_unix_server(greet, tmp_path / "s"):
        (tmp_path / "s").chmod(0o600)
        os.seteuid(65534)
        try:
            message = await refusal(parse_endpoint(f"unix://{tmp_path}/s"))
        finally:
            os.seteuid(0)
    assert "run as root or as a member of the socket's group" in message


async def test_a_path_that_is_too_long_for_a_socket_is_told_so(tmp_path):
    assert "cannot reach" in await refusal(parse_endpoint(f"unix://{tmp_path}/{'x' * 200}"))


@pytest.mark.parametrize("host", ["no-such-host.invalid", "x" * 64 + ".invalid", "a..b"])
async def test_a_host_that_is_none_is_told_so(host):
    assert f"tcp://{host}" in await refusal(parse_endpoint(f"tcp://{host}:1"))


async def test_a_host_that_never_answers_is_given_up(monkeypatch):
    monkeypatch.setattr(module, "CONNECT_TIMEOUT_SECONDS", 0.05)
    with contextlib.closing(socket.socket()) as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        blocked = [asyncio.create_task(asyncio.open_connection("127.0.0.1", port)) for _ in range(4)]
        await asyncio.sleep(0.05)
        try:
            assert "did not answer within" in await refusal(parse_endpoint(f"tcp://127.0.0.1:{port}"))
        finally:
            for one in blocked:
                one.cancel()
            for result in await asyncio.gather(*blocked, return_exceptions=True):
                if isinstance(result, tuple):
                    result[1].transport.abort()
                    with contextlib.suppress(ConnectionError):
                        await result[1].wait_closed()


def make_certificates(directory):
    """An authority's and a server's certificate for localhost, in the files that docker's clients expect."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-days", "2"]
    command += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", "key.pem", "-out", "cert.pem"]
    subprocess.run(command, cwd=directory, check=True, capture_output=True)
    shutil.copy(directory / "cert.pem", directory / "ca.pem")
    return directory


@pytest.fixture(scope="session")
def certificates(tmp_path_factory):
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def other_certificates(tmp_path_factory):
    return make_certificates(tmp_path_factory.mktemp("certificates"))


async def tls_server(directory):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=directory / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(directory / "cert.pem", directory / "key.pem")
    return await asyncio.start_server(greet, "127.0.0.1", 0, ssl=context)


async def test_tls_proves_both_sides(certificates):
    async with await tls_server(certificates) as server:
        port = server.sockets[0].getsockname()[1]
        assert await greeting(parse_endpoint(f"tcp://localhost:{port}", certificates)) == b"hello"


async def test_an_engine_with_another_certificate_is_refused(certificates, other_certificates):
    async with await tls_server(certificates) as server:
        port = server.sockets[0].getsockname()[1]
        assert "cannot reach" in await refusal(parse_endpoint(f"tcp://localhost:{port}", other_certificates))


async def test_certificates_that_are_missing_or_none_are_told_so(tmp_path):
    assert f"cannot use the TLS files in {tmp_path}" in await refusal(parse_endpoint("tcp://localhost:1", tmp_path))
    (tmp_path / "ca.pem").write_text("no certificate")
    assert f"cannot use the TLS files in {tmp_path}" in await refusal(parse_endpoint("tcp://localhost:1", tmp_path))
    assert parse_endpoint("tcp://localhost:1").tls_context() is None


@pytest.fixture
def far_end(tmp_path, monkeypatch):
    """An `ssh` that writes down how it was called and says hello: no ssh server is needed to see what we ask of it."""
    program = tmp_path / "ssh"
    program.write_text(
        f"#!{sys.executable}\nimport os, sys\n"
        f"open({str(tmp_path / 'called')!r}, 'w').write('\\n'.join(sys.argv[1:]))\n"
        "os.write(1, b'hello')\nwhile os.read(0, 100): pass\n"
        f"open({str(tmp_path / 'ended')!r}, 'w').close()\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return tmp_path


async def test_ssh_runs_dockers_dial_at_the_far_end_and_ends_with_the_connection(far_end):
    assert await greeting(parse_endpoint("ssh://me@host:2222")) == b"hello"

    called = (far_end / "called").read_text().split("\n")
    assert called == [
        "-o",
        "BatchMode=yes",
        "-T",
        "-p",
        "2222",
        "-l",
        "me",
        "--",
        "host",
        "docker",
        "system",
        "dial-stdio",
    ]
    async with asyncio.timeout(10):
        while not (far_end / "ended").exists():
            await asyncio.sleep(0.01)


async def test_a_host_that_looks_like_an_option_is_a_host(far_end):
    await greeting(Endpoint("ssh://-oProxyCommand=evil"))

    called = (far_end / "called").read_text().split("\n")
    assert called[called.index("--") + 1] == "-oproxycommand=evil"


async def test_without_an_ssh_client_that_is_said(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))

    assert "cannot start ssh" in await refusal(parse_endpoint("ssh://host"))


def test_an_unsupported_endpoint_is_an_endpoint_error():
    assert issubclass(UnsupportedError, EndpointError)
