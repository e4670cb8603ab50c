"""Classic builds on real engines, told from their events as they come."""

import asyncio
from pathlib import Path

import docker

from buildprof.assembly.classic_dockerfile import Fit, fit, with_dockerfile
from buildprof.assembly.dockerfile import parse
from buildprof.model.build import Build, Status
from buildprof.model.step import Kind
from tests.engines.engine import Engine
from tests.recordings.record_classic import REDACTOR, Observation, classic_build, observed

DOCKERFILE = """FROM base:latest
WORKDIR /{name}
COPY package .
RUN sleep 1.2 && cat package > installed # {name}
COPY source .
RUN sleep 0.4 && cat source > built
CMD ["cat", "built"]
"""

EVERYTHING = """ARG BASE=base
FROM ${BASE}:latest AS one
RUN echo $NAME > /one
FROM one
ARG V=1
ARG W
ENV A=b C="d e" F=$V
ENV OLD style  value
LABEL x=1 "y z"="q r"
MAINTAINER Me <a@b.c>
EXPOSE 80 443/udp 8000-8001
USER 0:0
VOLUME /data /data2
VOLUME ["/d3"]
STOPSIGNAL SIGTERM
WORKDIR /w/$V
WORKDIR rel
COPY f .
COPY f g ./many/
COPY --chown=1:1 f /owned
COPY sub /sub/
COPY ["f*", "/w x/"]
ADD f /q/
COPY --from=one /etc /etc1
RUN echo "a   b" && \\
   # comment
   echo $V \\
   tail
SHELL ["/bin/sh", "-ec"]
RUN echo shell
HEALTHCHECK --interval=5s CMD true
ONBUILD RUN echo   hi
CMD echo "hi  there"
ENTRYPOINT ["a", "b c\\"d"]
"""


def write_context(directory: Path, name: str) -> Path:
    (directory / "Dockerfile").write_text(DOCKERFILE.format(name=name))
    (directory / "package").write_text(name)
    (directory / "source").write_text(name)
    return directory


async def build(engine: Engine, context: Path, *arguments: str) -> str:
    return (await asyncio.to_thread(classic_build, engine, context, *arguments)).decode()


def built(observation: Observation, tag: str) -> list[Build]:
    """The builds of one tag: other tests may share the engine."""
    return [one for one in observation.latest() if one.image and tag in one.image.tags]


def outcomes(build: Build) -> str:
    return " ".join(f"{step.instruction}:{step.outcome.value}" for step in build.steps if step.cacheable)


async def test_cold_unchanged_and_edited_builds(any_engine: Engine, tmp_path: Path):
    context = write_context(tmp_path, f"edited-{any_engine.name}")
    async with observed(any_engine.host) as observation:
        for source in ("1", "1", "2"):
            (context / "source").write_text(source)
            assert "Successfully tagged" in await build(any_engine, context, "-t", "classic-edited:1")
            await asyncio.sleep(0.2)
    cold, unchanged, edited = built(observation, "classic-edited:1")
    assert outcomes(cold) == "WORKDIR:miss COPY:miss RUN:miss COPY:miss RUN:miss"
    assert outcomes(unchanged) == "WORKDIR:hit COPY:hit RUN:hit COPY:hit RUN:hit"
    assert outcomes(edited) == "WORKDIR:hit COPY:hit RUN:hit COPY:miss RUN:miss"
    assert [step.instruction for step in cold.steps] == ["FROM", "WORKDIR", "COPY", "RUN", "COPY", "RUN", "CMD"]
    for step, slept_seconds in zip((one for one in cold.steps if one.kind is Kind.RUN), (1.2, 0.4), strict=True):
        assert step.duration_seconds is not None
        assert slept_seconds <= step.duration_seconds < slept_seconds + 2
    assert [one.identity for one in cold.steps] == [one.identity for one in edited.steps]


async def test_outcomes_agree_with_what_the_client_printed(any_engine: Engine, tmp_path: Path):
    context = write_context(tmp_path, f"agree-{any_engine.name}")
    async with observed(any_engine.host) as observation:
        for number, (source, options) in enumerate(
            (
                ("1", ()),
                ("2", ()),
                ("2", ("--no-cache",)),
                ("2", ("--rm=false",)),
                ("3", ("--rm=false",)),
            ),
            1,
        ):
            (context / "source").write_text(source)
            output = await build(any_engine, context, "-t", "classic-agree:1", *options)
            async with asyncio.timeout(60):
                while len(built(observation, "classic-agree:1")) < number:
                    await asyncio.sleep(0.1)
            latest = built(observation, "classic-agree:1")[-1]
            printed = [part.splitlines() for part in output.split("\nStep ")[1:]]
            hits = [" ---> Using cache" in lines for lines in printed]
            steps = [step.outcome.value == "hit" for step in latest.steps]
            cacheable = [step.cacheable for step in latest.steps]
            assert [hit for hit, counts in zip(hits, cacheable, strict=True) if counts] == [
                hit for hit, counts in zip(steps, cacheable, strict=True) if counts
            ]
    assert len(built(observation, "classic-agree:1")) == 5


async def test_a_build_by_the_docker_sdk(any_engine: Engine, tmp_path: Path):
    context = write_context(tmp_path, f"sdk-{any_engine.name}")

    def sdk_build() -> None:
        client = docker.DockerClient(base_url=any_engine.host)
        client.images.build(path=str(context), tag="classic-sdk:1", network_mode="host", rm=True)
        client.close()

    async with observed(any_engine.host) as observation:
        await asyncio.to_thread(sdk_build)
    (one,) = built(observation, "classic-sdk:1")
    assert outcomes(one) == "WORKDIR:miss COPY:miss RUN:miss COPY:miss RUN:miss"


async def test_a_failed_step_ends_its_build(any_engine: Engine, tmp_path: Path):
    (tmp_path / "Dockerfile").write_text(
        f"FROM base:latest\nRUN echo {any_engine.name} > /failed\nRUN exit 7\nRUN true\n"
    )
    async with observed(any_engine.host) as observation:
        await build(any_engine, tmp_path, "-t", "classic-failed:1")
    (one,) = [build for build in observation.latest() if build.status is Status.FAILED]
    assert outcomes(one) == "RUN:miss RUN:failed"
    assert one.error is not None
    assert one.error.message == "RUN exit 7 returned the exit code 7"


async def test_builds_at_the_same_time_are_told_apart(any_engine: Engine, tmp_path: Path):
    contexts = []
    for number in range(3):
        directory = tmp_path / str(number)
        directory.mkdir()
        contexts.append(write_context(directory, f"together-{number}-{any_engine.name}"))
    async with observed(any_engine.host) as observation:
        await asyncio.gather(
            *(
                build(any_engine, one, "--no-cache", "-t", f"classic-together:{number}")
                for number, one in enumerate(contexts)
            )
        )
    for number in range(3):
        (one,) = built(observation, f"classic-together:{number}")
        assert outcomes(one) == "WORKDIR:miss COPY:miss RUN:miss COPY:miss RUN:miss"
        assert f"together-{number}-" in next(step.command for step in one.steps if step.kind is Kind.RUN)


async def test_two_tags_of_one_build_are_one_build(any_engine: Engine, tmp_path: Path):
    context = write_context(tmp_path, f"tags-{any_engine.name}")
    async with observed(any_engine.host) as observation:
        await build(any_engine, context, "-t", "classic-tags:1", "-t", "classic-tags:2")
    (one,) = built(observation, "classic-tags:1")
    assert one.image is not None
    assert one.image.tags == ("classic-tags:1", "classic-tags:2")


async def test_a_later_stage_from_the_cache_belongs_to_the_build_whose_earlier_stage_ran(
    any_engine: Engine, tmp_path: Path
):
    (tmp_path / "Dockerfile").write_text(
        "FROM base:latest AS one\nARG NONCE\nRUN echo $NONCE > /ignored; echo same > /out\n"
        "RUN touch -d @0 /out\nFROM base:latest\nCOPY --from=one /out /out\nRUN true\n"
    )
    async with observed(any_engine.host) as observation:
        for nonce in ("1", "2"):
            await build(
                any_engine, tmp_path, "-t", "classic-stages:1", "--build-arg", f"NONCE={nonce}{any_engine.name}"
            )
            await asyncio.sleep(1.2)
    cold, again = built(observation, "classic-stages:1")
    assert outcomes(cold) == "RUN:miss RUN:miss COPY:miss RUN:miss"
    assert outcomes(again) == "RUN:miss RUN:miss COPY:hit RUN:hit"
    assert cold.options.build_args == {"NONCE": None}


async def test_a_build_with_buildkit_is_no_classic_build(any_engine: Engine, tmp_path: Path):
    context = write_context(tmp_path, f"buildkit-{any_engine.name}")
    async with observed(any_engine.host) as observation:
        await asyncio.to_thread(
            any_engine.docker, "build", "--network=host", "-t", "classic-not:1", str(context), DOCKER_BUILDKIT="1"
        )
    assert built(observation, "classic-not:1") == []


async def test_a_build_fits_its_dockerfile_whatever_instructions_that_has(any_engine: Engine, tmp_path: Path):
    (tmp_path / "Dockerfile").write_text(EVERYTHING.replace("$NAME", any_engine.name))
    (tmp_path / "sub").mkdir()
    for name in ("f", "g", "sub/h"):
        (tmp_path / name).write_text(any_engine.name)
    async with observed(any_engine.host) as observation:
        for number, value in enumerate(("2 x", "3 y"), 1):
            arguments = ("--label", "z=1", "--build-arg", f"V={value}")
            assert "Successfully tagged" in await build(any_engine, tmp_path, "-t", "classic-all:1", *arguments)
            async with asyncio.timeout(60):
                while len(built(observation, "classic-all:1")) < number:
                    await asyncio.sleep(0.1)
    dockerfile = parse((tmp_path / "Dockerfile").read_text())
    other = parse((tmp_path / "Dockerfile").read_text().replace("echo shell", "echo shells"))
    assert dockerfile is not None
    assert other is not None
    for one in built(observation, "classic-all:1"):
        assert fit(one, dockerfile, redact=REDACTOR.text) is not Fit.NONE
        assert fit(one, other, redact=REDACTOR.text) is Fit.NONE
        located = with_dockerfile(one, dockerfile, redact=REDACTOR.text)
        copies = [step.recipe for step in located.steps if step.kind is Kind.COPY and step.recipe]
        assert [use.path for recipe in copies for use in recipe.takes] == ["f", "f", "g", "f", "sub", "f*"]
        assert all(recipe.content for recipe in copies)
        assert next(step.lines for step in located.steps if step.kind is Kind.ADD) == (23, 23)
