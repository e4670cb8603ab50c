"""Records what the events stream says of builds, with the engine's answers: one file for each kind of engine.

Run `python -m tests.recordings.record_classic` as root: it starts an engine of each kind, plays every scenario on it
and writes `tests/recordings/classic/<kind>.jsonl`.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

from buildprof.assembly.classic import ClassicTracker
from buildprof.assembly.classic_facts import (
    Answers,
    ContainerQuestion,
    ContainerRecord,
    ImageQuestion,
    ImageRecord,
    Question,
)
from buildprof.assembly.redact import make_redactor
from buildprof.model.build import Build
from buildprof.model.build import Engine as EngineName
from buildprof.model.events import EngineEvent, HistoryEntry
from buildprof.sources.docker_api import DockerApi
from buildprof.sources.docker_events import EventCursor, docker_events
from buildprof.sources.endpoint import parse_endpoint
from tests.engines.engine import Engine, running_engine
from tests.engines.fixtures import KINDS
from tests.engines.images import import_base

DIRECTORY = Path(__file__).parent / "classic"
ENGINE = EngineName("docker", "test")
REDACTOR = make_redactor(b"key")

TWO_STAGES = """FROM base:latest AS one
ARG SECRET=x
ENV A=b
WORKDIR /app
COPY a.txt .
RUN sleep 1 && echo $SECRET > s
FROM base:latest
LABEL l=1
WORKDIR /w/x
RUN sleep 0.5; echo hi > hi
COPY --from=one /app /app
ADD a.txt /q/
EXPOSE 80
CMD ["sh", "-c", "echo hi"]
"""
FAILING = "FROM base:latest\nENV Q=1\nRUN sleep 0.3\nRUN echo boo; exit 3\nRUN sleep 1\n"
SLOW = "FROM base:latest\nENV Q=3\nRUN sleep 0.3\nRUN sleep 30\nRUN sleep 1\n"
COPIES = "FROM base:latest\nCOPY a.txt /a\nCOPY a.txt /b\n"
BUILDKIT = "FROM base:latest\nRUN echo buildkit > /x\nENV Y=2\n"


@dataclasses.dataclass(slots=True)
class Observation:
    """What came while an engine was observed; `builds` as the tracker gave them."""

    tracker: ClassicTracker
    lines: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    events: list[EngineEvent] = dataclasses.field(default_factory=list)
    builds: list[Build] = dataclasses.field(default_factory=list)

    def latest(self) -> list[Build]:
        """Each build once, as it was last amended."""
        return list({build.ref: build for build in self.builds}.values())


def track(observation: Observation, event: EngineEvent, answers: Answers) -> None:
    observation.events.append(event)
    observation.lines.append(
        {"event": dataclasses.asdict(event), "answers": [_to_json(one) for one in answers.items()]}
    )
    observation.builds += observation.tracker.fold(event, answers)


@contextlib.asynccontextmanager
async def observed(host: str, *, buildkit_images: bool = False) -> AsyncIterator[Observation]:
    """Follow an engine's events for the time of the block, and a little longer."""
    endpoint = parse_endpoint(host)
    api, cursor = DockerApi(endpoint), EventCursor()
    observation = Observation(ClassicTracker("default", ENGINE, buildkit_images=buildkit_images, redactor=REDACTOR))
    is_up = asyncio.Event()

    async def follow() -> None:
        async for event in docker_events(endpoint, cursor, is_up.set):
            track(observation, event, await api.answer(observation.tracker.questions(event)))

    task = asyncio.create_task(follow())
    try:
        await asyncio.wait_for(asyncio.shield(is_up.wait()), 10)
        yield observation
        await settled(observation)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await api.close()


async def settled(observation: Observation, quiet_seconds: float = 0.6) -> None:
    """Wait until no event has come for a while."""
    count = -1
    while count != len(observation.lines):
        count = len(observation.lines)
        await asyncio.sleep(quiet_seconds)


def scenarios(engine: Engine, context: Path) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Name and action of each, in order: later ones rest on what earlier ones left in the cache."""
    (context / "a.txt").write_text("1\n")
    for name, text in (("two", TWO_STAGES), ("fail", FAILING), ("slow", SLOW), ("copies", COPIES), ("bk", BUILDKIT)):
        (context / f"Dockerfile.{name}").write_text(text)

    def build(name: str, *arguments: str) -> None:
        classic_build(engine, context, "-f", str(context / f"Dockerfile.{name}"), *arguments)

    def edited() -> None:
        (context / "a.txt").write_text("2\n")
        build("two", "-t", "rec:two", "--build-arg", "SECRET=hunter2")

    def together() -> None:
        running = [
            start_classic(engine, context, "-f", str(context / "Dockerfile.two"), "--no-cache", "-t", f"rec:p{number}")
            for number in (1, 2)
        ]
        for one in running:
            one.communicate()

    def canceled() -> None:
        running = start_classic(engine, context, "-f", str(context / "Dockerfile.slow"), "-t", "rec:slow")
        time.sleep(3)
        running.terminate()
        running.communicate()

    def not_classic() -> None:
        engine.docker(
            "build",
            "--network=host",
            "-q",
            "-t",
            "bk:1",
            "-f",
            str(context / "Dockerfile.bk"),
            str(context),
            DOCKER_BUILDKIT="1",
        )
        engine.docker("tag", "bk:1", "bk:2")
        image = engine.docker("images", "-q", "--no-trunc", "rec:two").stdout.strip()
        engine.docker("tag", "rec:two", "other:two")
        engine.docker("run", "--rm", "--network=host", image, "/bin/sh", "-c", "exit 1", check=False)
        engine.docker("run", "--name", "r1", "--network=host", image, "/bin/sh", "-c", "echo 1 > /1")
        engine.docker("commit", "r1", "committed:1")
        engine.docker("rm", "r1")
        engine.docker("save", "committed:1", "-o", str(context / "image.tar"))
        engine.docker("rmi", "committed:1")
        engine.docker("load", "-i", str(context / "image.tar"))
        (context / "image.tar").unlink()
        engine.docker("import", "-", "imported:1", check=False)

    yield "cold", lambda: build("two", "-t", "rec:two", "--build-arg", "SECRET=hunter2")
    yield "unchanged", lambda: build("two", "-t", "rec:two", "--build-arg", "SECRET=hunter2")
    yield "edited", edited
    yield "failing", lambda: build("fail", "-t", "rec:fail")
    yield "canceled", canceled
    yield "copies", lambda: build("copies", "-t", "rec:copies")
    yield "together", together
    yield "not_classic", not_classic
    yield "untagged", lambda: build("two", "--build-arg", "SECRET=hunter3")


def start_classic(engine: Engine, context: Path, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        ["docker", "build", "--network=host", *arguments, str(context)],
        env=engine.environment | {"DOCKER_BUILDKIT": "0"}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def classic_build(engine: Engine, context: Path, *arguments: str) -> bytes:
    """Run a build with the classic builder, whatever comes of it; what it printed."""
    return start_classic(engine, context, *arguments).communicate()[0]


def recorded(kind: str) -> dict[str, list[tuple[EngineEvent, Answers]]]:
    """A recording's events with their answers, by scenario."""
    found: dict[str, list[tuple[EngineEvent, Answers]]] = {}
    for line in (DIRECTORY / f"{kind}.jsonl").read_text().splitlines():
        item = json.loads(line)
        answers = dict(_from_json(one) for one in item["answers"])
        found.setdefault(item["scenario"], []).append((EngineEvent(**item["event"]), answers))
    return found


def _to_json(answer: tuple[Question, ContainerRecord | ImageRecord | None]) -> dict[str, Any]:
    question, record = answer
    kind = "container" if isinstance(question, ContainerQuestion) else "image"
    return {"kind": kind, "id": question.id, "record": dataclasses.asdict(record) if record else None}


def _from_json(item: dict[str, Any]) -> tuple[Question, ContainerRecord | ImageRecord | None]:
    record = item["record"]
    if item["kind"] == "container":
        answer = record and ContainerRecord(
            **record | {"command": tuple(record["command"]), "environment": tuple(record.get("environment", ()))}
        )
        return ContainerQuestion(item["id"]), answer
    if record:
        history = tuple(HistoryEntry(**one | {"tags": tuple(one["tags"])}) for one in record["history"])
        record = ImageRecord(**record | {"tags": tuple(record["tags"]), "history": history})
    return ImageQuestion(item["id"]), record


async def record(engine: Engine, context: Path, target: Path) -> None:
    """Play every scenario on an engine that has `base:latest`, and write what was observed."""
    async with observed(engine.host, buildkit_images=True) as observation:
        with target.open("w") as file:
            for name, action in scenarios(engine, context):
                await asyncio.to_thread(action)
                await settled(observation)
                lines, observation.lines = observation.lines, []
                file.writelines(json.dumps({"scenario": name} | line) + "\n" for line in lines)
                print(engine.name, name, len(lines), [build.status.value for build in observation.latest()])


def main() -> None:
    DIRECTORY.mkdir(exist_ok=True)
    for kind, (suite, options) in KINDS.items():
        with running_engine(suite, options, name=kind) as engine, tempfile.TemporaryDirectory() as directory:
            import_base(engine)
            asyncio.run(record(engine, Path(directory), DIRECTORY / f"{kind}.jsonl"))


if __name__ == "__main__":
    main()
