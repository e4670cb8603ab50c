import asyncio
import contextlib
import json
import subprocess
from dataclasses import replace

import pytest
from grpclib.exceptions import GRPCError

from buildprof.assembly.facts import BuildFacts
from buildprof.assembly.provenance import parse_provenance
from buildprof.model.events import RecordState
from buildprof.sources.buildkit import history as module
from buildprof.sources.buildkit.connection import connect
from buildprof.sources.buildkit.history import disk_usage, follow, listen, read_blob
from buildprof.sources.endpoint import UnsupportedError, parse_endpoint

DOCKERFILE = "FROM base\nCOPY word /word\nRUN echo $0 one; sleep 0.5; echo two\nRUN cat /word\n"


@contextlib.asynccontextmanager
async def connected(engine):
    channel, _ = await connect(parse_endpoint(engine.host))
    try:
        yield channel
    finally:
        channel.close()


@pytest.fixture
def context(tmp_path):
    """A context that no other test has built, with a Dockerfile of a name of its own."""
    directory = tmp_path / "context"
    directory.mkdir()
    (directory / "word").write_text(f"{tmp_path}\n")
    (directory / f"{tmp_path.name}.Dockerfile").write_text(DOCKERFILE)
    return directory


async def build(engine, context):
    file = next(context.glob("*.Dockerfile")).name
    await asyncio.to_thread(engine.docker, "build", "--network=host", "--no-cache", "-f", file, ".", cwd=context)
    return file


async def facts_of(channel, ref):
    facts = BuildFacts()
    async for update in follow(channel, ref):
        facts.observe(update)
    return facts


def without_progress(facts):
    return {digest: replace(vertex, transfers={}, log_tail=bytearray()) for digest, vertex in facts.vertices.items()}


async def stored(channel, file):
    """The latest record of the build of that file."""
    found = [one async for one in listen(channel, early_exit=True) if one.frontend_attrs.get("filename") == file]
    return max(found, key=lambda one: one.generation)


async def test_a_build_that_nobody_watched_is_told_afterwards(history_engine, context):
    file = await build(history_engine, context)
    async with connected(history_engine) as channel:
        record = await stored(channel, file)
        facts = await facts_of(channel, record.ref)

    assert record.state is RecordState.COMPLETE
    assert record.error_code is None
    assert record.completed_ns > record.created_ns
    names = [vertex.name for vertex in facts.vertices.values()]
    assert "[4/4] RUN cat /word" in names
    assert not facts.dropped


async def test_the_log_of_a_step_that_failed_is_told_afterwards(history_engine, context):
    file = next(context.glob("*.Dockerfile"))
    file.write_text("FROM base\nRUN echo one; echo two; exit 3\n")
    with pytest.raises(subprocess.CalledProcessError):
        await build(history_engine, context)
    async with connected(history_engine) as channel:
        record = await stored(channel, file.name)
        facts = await facts_of(channel, record.ref)

    assert record.error_code is not None
    failed = next(vertex for vertex in facts.vertices.values() if vertex.error())
    assert failed.error().endswith("exit code: 3")
    assert failed.log_lines()[-2:] == ("one", "two")


async def test_a_build_that_is_followed_tells_the_same_as_when_it_has_ended(history_engine, context):
    async with connected(history_engine) as channel, asyncio.timeout(60):
        file = next(context.glob("*.Dockerfile")).name
        building = asyncio.create_task(build(history_engine, context))
        async with contextlib.aclosing(listen(channel)) as records:
            async for record in records:
                if record.frontend_attrs.get("filename") == file:
                    break
        assert record.state is RecordState.STARTED
        assert record.completed_ns is None
        live = await facts_of(channel, record.ref)
        await building
        assert (await stored(channel, file)).ref == record.ref
        replayed = await facts_of(channel, record.ref)

    assert without_progress(live) == without_progress(replayed)
    for digest, vertex in live.vertices.items():
        # Each reader of a build's progress sees but the latest of what has the same id at the same time, as the
        # transfers of .dockerignore and of the context have (moby/buildkit util/progress).
        told = replayed.vertices[digest].transfers
        assert all(told.get(id_, transfer) == transfer for id_, transfer in vertex.transfers.items())
    assert any("sleep 0.5" in vertex.name and vertex.executed_runs() for vertex in live.vertices.values())


async def test_a_blob_that_a_record_names_can_be_read(history_engine, context):
    file = await build(history_engine, context)
    async with connected(history_engine) as channel:
        record = await stored(channel, file)
        blob = await read_blob(channel, record.attestations[0][1])

    assert json.loads(blob)
    assert parse_provenance(blob).dockerfile_text == DOCKERFILE


async def test_a_blob_that_is_gone_or_too_large_is_refused(history_engine, context, monkeypatch):
    file = await build(history_engine, context)
    async with connected(history_engine) as channel:
        record = await stored(channel, file)
        with pytest.raises(GRPCError):
            await read_blob(channel, "sha256:" + "0" * 64)
        with pytest.raises(GRPCError):
            await read_blob(channel, "no digest")
        monkeypatch.setattr(module, "MAX_BLOB_BYTES", 1000)
        with pytest.raises(ValueError, match="larger than 1000 bytes"):
            await read_blob(channel, record.attestations[0][1])
        assert await stored(channel, file) == record  # the connection goes on


async def test_the_cache_tells_what_each_step_stored(history_engine, context):
    await build(history_engine, context)
    async with connected(history_engine) as channel:
        usage = await disk_usage(channel, "default", 5)

    assert (usage.builder, usage.at_ns) == ("default", 5)
    descriptions = {record.description for record in usage.records}
    assert "mount / from exec /bin/sh -c cat /word" in descriptions
    assert "[2/4] COPY word /word" in descriptions
    assert all(record.created_ns and record.size_bytes >= 0 for record in usage.records)


async def test_a_build_that_the_engine_does_not_know_has_no_progress(engine_28):
    async with connected(engine_28) as channel:
        with pytest.raises(GRPCError):
            await facts_of(channel, "nosuchbuild")


async def test_an_engine_without_history_says_what_it_would_take(engine_20):
    async with connected(engine_20) as channel:
        for early_exit in (True, False):
            with pytest.raises(UnsupportedError, match="needs Engine 24 or later"):
                [one async for one in listen(channel, early_exit=early_exit)]
