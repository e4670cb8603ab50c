"""What real clients print and export can be imported."""

import io
import shutil
import subprocess
from pathlib import Path

import pytest

from buildprof.sources.build_archive import read_build_archive
from buildprof.sources.progress_log import ProgressLog
from tests.engines.engine import Engine
from tests.engines.rootfs import engine_rootfs

DOCKERFILE = """\
FROM base AS import-one
ARG WORD
WORKDIR /app
COPY file .
RUN echo $WORD; sleep 0.1
FROM base
COPY --from=import-one /app /app
RUN echo last
"""


@pytest.fixture
def context(tmp_path: Path) -> Path:
    directory = tmp_path / "imported"
    directory.mkdir()
    (directory / "Dockerfile").write_text(DOCKERFILE)
    (directory / "file").write_text("x")
    return directory


def progress_of(engine: Engine, context: Path, *options: str, **extra_env: str) -> tuple[ProgressLog, list[str]]:
    """Build with --progress=rawjson; the stream's log, and the names that it tells."""
    arguments = ["buildx", "build", "--progress=rawjson", "--network=host", "--no-cache", *options, "."]
    result = engine.docker(*arguments, cwd=context, check=False, **extra_env)
    log = ProgressLog(io.BytesIO(result.stderr.encode()))
    return log, [vertex.name for update in log for vertex in update.vertices if vertex.completed_ns]


def test_the_progress_of_every_client_with_rawjson_is_read(history_engine: Engine, context: Path):
    log, names = progress_of(history_engine, context, "--build-arg", "WORD=hi")
    assert (log.skipped_lines, log.truncated, log.client_error) == (0, False, "")
    assert {"[import-one 4/4] RUN echo hi; sleep 0.1", "[stage-1 3/3] RUN echo last"} <= set(names)


def test_an_engine_without_history_gives_its_progress_to_a_newer_buildx(
    engine_20: Engine, context: Path, tmp_path: Path
):
    plugins = tmp_path / "docker/cli-plugins"
    plugins.mkdir(parents=True)
    shutil.copy2(engine_rootfs("forky") / "usr/libexec/docker/cli-plugins/docker-buildx", plugins)
    _, names = progress_of(engine_20, context, DOCKER_CONFIG=str(plugins.parent))
    assert "[stage-1 3/3] RUN echo last" in names


def test_a_build_that_failed_ends_with_the_client_s_error(history_engine: Engine, context: Path):
    (context / "Dockerfile").write_text("FROM base\nRUN exit 3\n")
    log, _ = progress_of(history_engine, context)
    assert log.client_error.endswith("did not complete successfully: exit code: 3")


@pytest.mark.parametrize("fixture", ["engine_28", "engine_28_containerd"])
def test_an_exported_archive_is_read_from_a_pipe(fixture: str, context: Path, request: pytest.FixtureRequest):
    engine: Engine = request.getfixturevalue(fixture)
    engine.docker("buildx", "build", "--network=host", "--build-arg", "WORD=hi", "--iidfile", "id", ".", cwd=context)
    refs = [
        path.name
        for path in engine.config_dir.glob("buildx/refs/default/default/*")
        if str(context) in path.read_text()
    ]
    command = ["docker", "buildx", "history", "export", *refs]
    with subprocess.Popen(command, env=engine.environment, stdout=subprocess.PIPE) as export:
        assert export.stdout is not None
        (build,) = read_build_archive(export.stdout)
    assert build.record.ref == refs[0]
    assert build.record.frontend_attrs["build-arg:WORD"] == "hi"
    assert build.local_state is not None
    assert build.local_state.context_path == str(context)
    assert len(build.provenance) == 1
