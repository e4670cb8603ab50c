"""Records what real engines say of builds: `python -m tests.recordings.record_buildkit` makes tests/recordings/buildkit.

A recording is a file of JSON lines in the order in which the engine spoke: `{"record"}` of the build history,
`{"status"}` messages of its progress, `{"provenance"}` blobs, `{"usage"}` of the cache, `{"history"}` of the image;
all in protobuf's JSON, with the text of the build files first, as `{"scenario"}`.
"""

from __future__ import annotations

import asyncio
import base64
import functools
import io
import json
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from google.protobuf.json_format import MessageToDict

from buildprof.sources.buildkit.connection import BuildkitChannel, connect
from buildprof.sources.buildkit.history import read_blob
from buildprof.sources.buildkit.wire.control_grpc import ControlStub
from buildprof.sources.buildkit.wire.control_pb2 import BuildHistoryRequest, DiskUsageRequest, StatusRequest
from buildprof.sources.endpoint import parse_endpoint
from tests.engines.engine import Engine, running_engine
from tests.engines.images import import_base
from tests.engines.registry import running_registry

DIRECTORY = Path(__file__).parent / "buildkit"
FILES_PORT = 18735
"""Where the context's files are served, for ADD of a URL: the same in every recording, as a Dockerfile's text is."""

STAGES = """\
ARG BASE=base
FROM ${BASE} AS deps
ARG TOKEN=none
WORKDIR /src
COPY package.json .
RUN sleep 0.2; echo $TOKEN > /token
FROM deps AS build
COPY . .
RUN <<EOF
echo built
sleep 0.1
EOF
FROM base
COPY --link package.json /package.json
COPY --from=build /src /dist
RUN --mount=type=bind,from=build,source=/src,target=/in ls /in \\
    && echo done
CMD ["sh"]
"""
FAILED = """\
FROM base AS left
RUN sleep 0.2; echo left
RUN echo about to fail; exit 3
RUN echo never
FROM base AS right
RUN sleep 5
FROM base
COPY --from=left / /left
COPY --from=right / /right
"""
KEY_FAILED = """\
FROM base AS slow
RUN sleep 5
RUN echo after
FROM base
RUN sleep 0.1; echo hit
COPY missing.txt /
COPY --from=slow / /slow
"""
SLOW = "FROM base\nRUN sleep 0.1\nRUN sleep 60\nRUN echo never\n"
PLATFORMS = "FROM scratch AS files\nCOPY a.txt /a\nFROM scratch\nCOPY --from=files /a /b\nCOPY package.json /\n"
MOUNTS = """\
FROM base AS only
ARG DB_PASS=sesame9
ENV PLACE=open1envvalue
RUN echo $DB_PASS > /db
RUN --mount=type=cache,target=/c --mount=type=tmpfs,target=/t sleep 0.1; echo $DB_PASS > /c/db
COPY a.txt /x/$PLACE
RUN ["sh", "-c", "echo exec form > /exec"]
SHELL ["/bin/sh", "-ec"]
RUN echo other shell > /shell
"""
MOUNTS_FAILED = MOUNTS.replace(" AS only", "") + "RUN set -x; : $DB_PASS; exit 3\n"
SOURCES = """\
# every way of taking something
ARG BASE=base
ARG DIR=src
FROM ${BASE}:latest AS files
ARG DIR
ARG MODE=640 UNSET
ENV NAME=one PLACE=/x/${DIR}
ENV PATH=/opt:$PATH
COPY *.txt /texts/
COPY $DIR/ /dir/
COPY --chown=1:2 --chmod=$MODE a.txt package.json /several/
COPY ["with space.txt", "/space/"]
ADD archive.tar /unpacked/
ADD ./$DIR/../a.txt ${UNSET:-$PLACE}/
COPY <<one.txt <<"two.txt" /inline/
$NAME
one.txt
two $NAME
two.txt
WORKDIR $PLACE
RUN --mount=type=bind,target=/m --mount=type=bind,source=$DIR,target=/s \\
    # the parser takes this line out
    --mount=type=bind,from=other,source=one.txt,target=/n --mount=type=bind,from=base,source=/bin,target=/b ls /m /s /n
RUN --mount=type=cache,target=/c,uid=5 --mount=type=secret,id=none --mount=type=tmpfs,target=/t ls
RUN <<EOF
#!/bin/sh
echo script
EOF
COPY --from=other one.txt /named/
COPY --from=base:latest /bin/sh /image/
COPY --from=other-image /bin/sh /other-image/
ONBUILD ARG LATE=late
ONBUILD COPY $DIR/x.txt /triggered/$LATE
FROM files AS below
COPY --from=0 /dir /again
FROM other-image AS last
USER 0:0
SHELL ["/bin/sh", "-ec"]
COPY --link --from=below /dir /dir
COPY --link --chown=7 a.txt /dir
RUN ls /dir
FROM scratch AS unused
COPY a.txt /unused
"""
SOURCES_FILES = {
    "Dockerfile": SOURCES,
    **dict.fromkeys(
        ("a.txt", "b.txt", "with space.txt", "src/x.txt", "src/deep/y.md", "other/one.txt", "package.json"), "{}\n"
    ),
}
EXCLUDE = "FROM base\nCOPY --exclude=*.md --exclude=deep/z src /some/\nADD --exclude=*.txt . /rest/\n"
ARCHITECTURES = """\
FROM --platform=$TARGETPLATFORM scratch AS files
ARG TARGETARCH
ARG TARGETPLATFORM
COPY src/$TARGETARCH /program
FROM scratch
COPY --from=files /program /program
"""
REMOTE = f"FROM base\nADD http://127.0.0.1:{FILES_PORT}/package.json /remote/\nRUN cat /remote/package.json > /seen\n"
TWINS = "FROM base\nRUN sleep 5; echo twins > /twins\nRUN echo after > /after\n"
PULLED = "FROM base\nRUN seq 1 100000 > /large\nRUN cat /large > /twice\nCOPY a.txt /\nRUN sleep 1\n"
SHARED = "FROM base AS common\nRUN sleep 0.5; echo common\nFROM common AS {0}\nRUN echo {0}\n"
BAKE = """\
group "default" { targets = ["one", "two", "three"] }
target "one" {
  dockerfile = "Dockerfile.one"
  network = "host"
}
target "two" {
  dockerfile = "Dockerfile.two"
  network = "host"
}
target "three" {
  dockerfile = "Dockerfile.three"
  network = "host"
}
"""


@dataclass(frozen=True, slots=True)
class Scenario:
    """Files of a context, and what is run on it; the builds that the last step made are recorded."""

    name: str
    files: dict[str, str]
    run: Callable[[Engine, Path], None]
    engines: tuple[str, ...] = ("docker-26", "docker-28", "docker-28-containerd")
    before: Callable[[Engine, Path], None] | None = field(default=None)


def build(*options: str, check: bool = True) -> Callable[[Engine, Path], None]:
    """A `docker build` of the context."""

    def run(engine: Engine, context: Path) -> None:
        engine.docker("build", "--network=host", *options, ".", cwd=context, check=check)

    return run


def bake(engine: Engine, context: Path) -> None:
    """A `docker buildx bake` of the context's three targets."""
    engine.docker("buildx", "bake", "--file", "bake.hcl", "--allow", "network.host", cwd=context)


def canceled(engine: Engine, context: Path) -> None:
    """A build that is interrupted while its second RUN sleeps."""
    client = subprocess.Popen(
        ["docker", "buildx", "build", "--network=host", "."],
        cwd=context, env=engine.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    time.sleep(1.5)
    client.send_signal(2)
    client.wait(30)


def remote(engine: Engine, context: Path) -> None:
    """A build that fetches a file of the context by HTTP."""
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(context))
    with ThreadingHTTPServer(("127.0.0.1", FILES_PORT), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        build()(engine, context)
        server.shutdown()


def sources(engine: Engine, context: Path) -> None:
    """A build with named contexts, a directory and an image, and an archive to unpack; not of the last stage."""
    with tarfile.open(context / "archive.tar", "w") as archive:
        archive.add(context / "a.txt", "a.txt")
    contexts = ("--build-context=other=other", "--build-context=other-image=docker-image://base:latest")
    engine.docker("buildx", "build", "--network=host", "--target=last", *contexts, ".", cwd=context)


def archive_as_context(engine: Engine, context: Path) -> None:
    """A build whose context comes as an archive on standard input."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        archive.add(context, ".")
    subprocess.run(
        ["docker", "buildx", "build", "--network=host", "-"],
        env=engine.environment,
        input=buffer.getvalue(),
        check=True,
        capture_output=True,
    )


def twins(engine: Engine, context: Path) -> None:
    """Two equal builds at once, of which the one that began is interrupted while the step that they share runs."""
    command = ["docker", "buildx", "build", "--network=host", "."]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    first = subprocess.Popen(command, cwd=context, env=engine.environment, **quiet)  # type: ignore[call-overload]
    time.sleep(1.5)
    second = subprocess.Popen(command, cwd=context, env=engine.environment, **quiet)  # type: ignore[call-overload]
    time.sleep(1.5)
    first.send_signal(2)
    first.wait(30)
    second.wait(30)


def pulled(engine: Engine, context: Path) -> None:
    """A build whose cache, and the layers of its hits, come from a registry."""
    with running_registry() as registry:
        image = f"{registry.address}/app:cache"
        build("--build-arg=BUILDKIT_INLINE_CACHE=1", f"--tag={image}")(engine, context)
        engine.docker("push", image)
        engine.docker("image", "rm", image)
        engine.docker("builder", "prune", "--all", "--force")
        (context / "a.txt").write_text("changed\n")
        build(f"--cache-from=type=registry,ref={image}", "--tag=app:pulled")(engine, context)


_COMMON = {"package.json": "{}\n", "a.txt": "a\n"}
_BAKE_FILES = {f"Dockerfile.{name}": SHARED.format(name) for name in ("one", "two", "three")} | {"bake.hcl": BAKE}
_ARGUMENT = ("--build-arg", "TOKEN=correct-horse", "--tag", "app:stages")
SCENARIOS = (
    Scenario("cold", {"Dockerfile": STAGES, **_COMMON}, build(*_ARGUMENT)),
    Scenario("warm", {"Dockerfile": STAGES, **_COMMON}, build(*_ARGUMENT), before=build(*_ARGUMENT)),
    Scenario("no-cache", {"Dockerfile": STAGES, **_COMMON}, build("--no-cache", *_ARGUMENT), ("docker-28",)),
    Scenario("failed", {"Dockerfile": FAILED}, build(check=False)),
    Scenario("cache-key-failed", {"Dockerfile": KEY_FAILED}, build(check=False), ("docker-26", "docker-28")),
    Scenario("canceled", {"Dockerfile": SLOW}, canceled),
    Scenario("platforms", {"Dockerfile": PLATFORMS, **_COMMON}, build("--platform=linux/amd64,linux/arm64"), ("docker-28-containerd",)),
    Scenario("mounts", {"Dockerfile": MOUNTS, **_COMMON}, build()),
    Scenario("mounts-failed", {"Dockerfile": MOUNTS_FAILED, **_COMMON}, build(check=False), ("docker-26", "docker-28")),
    Scenario("sources", SOURCES_FILES, sources),
    Scenario("exclude", SOURCES_FILES | {"Dockerfile": EXCLUDE}, build(), ("docker-28",)),
    Scenario("architectures", {"Dockerfile": ARCHITECTURES, "src/amd64": "1", "src/arm64": "2"}, build("--platform=linux/amd64,linux/arm64"), ("docker-28-containerd",)),
    Scenario("archive", {"Dockerfile": PULLED, **_COMMON}, archive_as_context, ("docker-28",)),
    Scenario("remote-cold", {"Dockerfile": REMOTE, **_COMMON}, remote, ("docker-28",)),
    Scenario("remote-warm", {"Dockerfile": REMOTE, **_COMMON}, remote, ("docker-28",), before=remote),
    Scenario("twins", {"Dockerfile": TWINS}, twins, ("docker-28",)),
    Scenario("pulled", {"Dockerfile": PULLED, **_COMMON}, pulled, ("docker-26", "docker-28")),
    Scenario("bake-shared", _BAKE_FILES, bake, ("docker-28", "docker-28-containerd")),
)  # fmt: skip


async def _record(socket: Path, scenario: Scenario, known: set[str]) -> list[list[dict[str, Any]]]:
    """All that the engine says of the builds that were not known before; the amended records, with the trace, too."""
    channel, _ = await connect(parse_endpoint(f"unix://{socket}"))
    try:
        records = [one for one in await _records(channel) if one["record"]["Ref"] not in known]
        usage = MessageToDict(
            await ControlStub(channel).DiskUsage(DiskUsageRequest()), preserving_proto_field_name=True
        )
        recordings = []
        for record in sorted(records, key=lambda one: str(one["record"]["CreatedAt"])):
            lines: list[dict[str, Any]] = [{"scenario": scenario.name, "files": scenario.files}, record]
            async with ControlStub(channel).Status.open() as stream:
                await stream.send_message(StatusRequest(Ref=record["record"]["Ref"]), end=True)
                lines += [{"status": MessageToDict(one, preserving_proto_field_name=True)} async for one in stream]
            for digest in _attestations(record["record"]):
                blob = await read_blob(channel, digest)
                lines.append({"provenance": base64.b64encode(blob).decode()})
            lines.append({"usage": usage})
            recordings.append(lines)
        return recordings
    finally:
        channel.close()


async def _records(channel: BuildkitChannel) -> list[dict[str, Any]]:
    async with ControlStub(channel).ListenBuildHistory.open() as stream:
        await stream.send_message(BuildHistoryRequest(EarlyExit=True), end=True)
        return [
            {"type": event.type, "record": MessageToDict(event.record, preserving_proto_field_name=True)}
            async for event in stream
        ]


def _attestations(record: dict[str, Any]) -> Iterator[str]:
    results = [record.get("Result", {}), *record.get("Results", {}).values()]
    digests = [one["digest"] for result in results for one in result.get("Attestations", ())]
    yield from dict.fromkeys(digests)


@contextmanager
def _engine(name: str) -> Iterator[Engine]:
    suite = "trixie" if name == "docker-26" else "forky"
    options = ("--feature", "containerd-snapshotter=true") if name.endswith("containerd") else ()
    with running_engine(suite, options) as engine:
        import_base(engine)
        yield engine


def main() -> None:
    """Make every recording anew, or those whose names hold one of the arguments."""
    DIRECTORY.mkdir(exist_ok=True)
    for name in ("docker-26", "docker-28", "docker-28-containerd"):
        with _engine(name) as engine:
            for scenario in SCENARIOS:
                wanted = not sys.argv[1:] or any(word in f"{name}-{scenario.name}" for word in sys.argv[1:])
                if name not in scenario.engines or not wanted:
                    continue
                engine.docker("builder", "prune", "--all", "--force")
                with tempfile.TemporaryDirectory() as directory:
                    context = Path(directory) / "app"
                    context.mkdir()
                    for file, text in scenario.files.items():
                        (context / file).parent.mkdir(parents=True, exist_ok=True)
                        (context / file).write_text(text)
                    if scenario.before:
                        scenario.before(engine, context)
                    known = asyncio.run(_refs(engine))
                    scenario.run(engine, context)
                    time.sleep(1)
                    recordings = asyncio.run(_record(engine.socket, scenario, known))
                    _write(f"{name}-{scenario.name}", recordings)


async def _refs(engine: Engine) -> set[str]:
    channel, _ = await connect(parse_endpoint(engine.host))
    try:
        return {one["record"]["Ref"] for one in await _records(channel)}
    finally:
        channel.close()


def _write(name: str, recordings: list[list[dict[str, Any]]]) -> None:
    for number, lines in enumerate(recordings, 1):
        suffix = f"-{number}" if len(recordings) > 1 else ""
        text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
        (DIRECTORY / f"{name}{suffix}.jsonl").write_text(text)
        print(f"{name}{suffix}: {len(lines)} lines, {len(text)} bytes")


if __name__ == "__main__":
    main()
