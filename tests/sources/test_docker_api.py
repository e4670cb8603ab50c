import asyncio
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildprof.assembly.classic_facts import ContainerQuestion, ImageQuestion
from buildprof.sources.docker_api import DockerApi, parse_time_ns
from buildprof.sources.endpoint import EndpointError, parse_endpoint
from tests.engines.engine import Engine


@pytest.mark.parametrize(
    ("text", "time_ns"),
    [
        ("1970-01-01T00:00:01Z", 1_000_000_000),
        ("1970-01-01T00:00:01.5Z", 1_500_000_000),
        ("2026-11-24T02:57:04.028117783Z", 1_795_489_024_028_117_783),
        ("1970-01-01T01:00:00.000000001+01:00", 1),
        ("0001-01-01T00:00:00Z", -62_135_596_800_000_000_000),
    ],
)
def test_times_of_the_api_keep_nine_digits(text: str, time_ns: int):
    assert parse_time_ns(text) == time_ns


@given(st.none() | st.integers() | st.text(max_size=40))
def test_any_other_value_is_no_time(value: object):
    assert parse_time_ns(value) is None


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("unix:///nowhere/docker.sock", "the socket does not exist; is docker running"),
        ("unix:///etc/hostname", "refuses connections|cannot reach"),
        ("tcp://127.0.0.1:1", "refuses connections"),
    ],
)
async def test_an_engine_that_is_not_there_is_one_line(url: str, message: str):
    with pytest.raises(EndpointError, match=message) as caught:
        await DockerApi(parse_endpoint(url)).engine_info()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
        b"HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n",
        b'HTTP/1.1 200 OK\r\nContent-Length: 21\r\n\r\n{"ApiVersion": "1.41"',
    ],
)
async def test_an_answer_of_something_else_is_one_line(tmp_path: Path, answer: bytes):
    async def speak(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await writer.drain()
        writer.close()

    path = tmp_path / "other.sock"
    async with await asyncio.start_unix_server(speak, path):
        with pytest.raises(EndpointError) as caught:
            await DockerApi(parse_endpoint(f"unix://{path}")).engine_info()
    assert "\n" not in str(caught.value)


async def test_tls_files_that_are_missing_are_one_line(tmp_path: Path):
    with pytest.raises(EndpointError, match="cannot use the TLS files"):
        await DockerApi(parse_endpoint("tcp://127.0.0.1:2376", tmp_path)).engine_info()


async def test_an_engine_that_came_back_is_asked_again(tmp_path: Path):
    path = tmp_path / "late.sock"
    api = DockerApi(parse_endpoint(f"unix://{path}"))
    with pytest.raises(EndpointError, match="does not exist"):
        await api.engine_info()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
    with pytest.raises(EndpointError, match="refuses"):
        await api.engine_info()


async def test_an_engine_describes_itself(any_engine: Engine):
    api = DockerApi(parse_endpoint(any_engine.host))
    info = await api.engine_info()
    await api.close()
    version = any_engine.docker("version", "--format", "{{.Server.Version}} {{.Server.APIVersion}}").stdout.split()
    assert [info.version, info.api_version] == version
    assert info.id
    assert info.containerd_store == ("containerd" in any_engine.name)


async def test_an_image_is_told_with_its_history(any_engine: Engine):
    api = DockerApi(parse_endpoint(any_engine.host))
    record = await api.inspect_image("base:latest")
    facts = await api.image_facts("base:latest")
    history = await api.image_history("base:latest")
    await api.close()
    assert record is not None
    assert facts is not None
    assert "base:latest" in record.tags  # others may have given this engine's base more names
    assert (record.layers, record.parent, record.is_buildkit) == (1, "", False)
    assert record.history == history == facts.history
    assert [entry.id for entry in record.history] == [record.id]
    assert record.history[0].created_ns == record.created_ns
    assert record.created_ns % 1_000_000_000 != 0


async def test_what_is_gone_has_no_answer(any_engine: Engine):
    api = DockerApi(parse_endpoint(any_engine.host))
    questions = [ContainerQuestion("none"), ImageQuestion(f"sha256:{'0' * 64}")]
    answers = await api.answer(questions)
    await api.close()
    assert answers == dict.fromkeys(questions)
