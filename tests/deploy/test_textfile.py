"""The recipe for runners that live for one job, on a real engine, read by what it is meant for."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.harness import free_port, sum_samples
from tests.e2e.agents import eventually, project
from tests.engines.engine import Engine

SCRIPT = Path(__file__).parents[2] / "deploy/textfile/write-metrics"
BUILDS = "buildprof_builds_total"
EXPORTER, GATEWAY = "prometheus-node-exporter", "prometheus-pushgateway"

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


def needs(*programs: str) -> pytest.MarkDecorator:
    missing = [program for program in programs if shutil.which(program) is None]
    return pytest.mark.skipif(bool(missing), reason=f"{' and '.join(missing)} not installed")


def write_metrics(
    engine: Engine, file: Path, *command: str, cwd: Path, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run the script with the engine's docker client and this Python's buildprof."""
    settings = engine.environment | {
        "BUILDPROF_DOCKER_HOST": engine.host,
        "BUILDPROF_LISTEN": f"127.0.0.1:{free_port()}",
        "METRICS_SETTLE_SECONDS": "2",
        "DOCKER_BUILDKIT": "1",
    }
    settings["PATH"] = f"{Path(sys.executable).parent}:{settings['PATH']}"
    return subprocess.run(
        [SCRIPT, file, *command], cwd=cwd, env=settings | environment, capture_output=True, text=True, check=False
    )


@contextlib.contextmanager
def serving(*command: str | Path) -> Iterator[None]:
    """A server for the time of a `with` block."""
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def body(port: int) -> str | None:
    with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as response:
        return response.read().decode()
    return None


def built(text: str, name: str) -> float:
    return sum_samples(text, BUILDS, {"project": name})


@pytest.fixture
def job(tmp_path: Path) -> Path:
    return project(tmp_path / "one-job", f"FROM base\nRUN echo {tmp_path}\n")


DOCKER_BUILD = ("docker", "build", "--network=host", "--tag=e2e-one-job", ".")


@needs("promtool", EXPORTER)
def test_builds_of_a_job_reach_the_textfile_collector_and_counters_go_on(history_engine, job, tmp_path):
    file, kept = tmp_path / "collected/buildprof.prom", {"BUILDPROF_DATA_DIR": str(tmp_path / "data")}
    file.parent.mkdir()
    done = write_metrics(history_engine, file, *DOCKER_BUILD, cwd=job, **kept)
    assert (done.returncode, [line for line in done.stderr.splitlines() if "write-metrics" in line]) == (0, [])
    first = built(file.read_text(), "one-job")
    write_metrics(history_engine, file, *DOCKER_BUILD, cwd=job, **kept)

    assert built(file.read_text(), "one-job") == first + 1
    assert list(file.parent.iterdir()) == [file]
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=file.read_bytes(), capture_output=True, check=False
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")
    port = free_port()
    with serving(
        EXPORTER,
        "--collector.disable-defaults",
        "--collector.textfile",
        f"--collector.textfile.directory={file.parent}",
        f"--web.listen-address=127.0.0.1:{port}",
    ):
        collected = eventually(lambda: body(port))
    assert built(collected, "one-job") == first + 1
    assert sum_samples(collected, "node_textfile_scrape_error", {}) == 0


@needs(GATEWAY)
def test_metrics_are_pushed_under_the_name_of_a_pool(engine_28, job, tmp_path):
    port = free_port()
    with serving(GATEWAY, f"--web.listen-address=127.0.0.1:{port}"):
        eventually(lambda: body(port))
        done = write_metrics(
            engine_28,
            tmp_path / "buildprof.prom",
            *DOCKER_BUILD,
            cwd=job,
            METRICS_PUSHGATEWAY=f"http://127.0.0.1:{port}/",
            METRICS_INSTANCE="linux-amd64",
        )
        assert done.returncode == 0, done.stderr
        pushed = body(port) or ""
    assert sum_samples(pushed, BUILDS, {"project": "one-job", "job": "buildprof", "instance": "linux-amd64"}) >= 1


def test_without_a_command_the_engines_history_is_written(engine_28, job, tmp_path):
    subprocess.run(DOCKER_BUILD, cwd=job, env=engine_28.environment | {"DOCKER_BUILDKIT": "1"}, check=True)
    done = write_metrics(engine_28, tmp_path / "buildprof.prom", cwd=job)
    assert (done.returncode, done.stderr) == (0, "")
    assert built((tmp_path / "buildprof.prom").read_text(), "one-job") >= 1


def test_a_job_that_fails_fails_and_is_written(engine_28, tmp_path):
    broken = project(tmp_path / "broken-job", "FROM base\nRUN exit 3\n")
    done = write_metrics(engine_28, tmp_path / "buildprof.prom", *DOCKER_BUILD, cwd=broken)
    assert done.returncode == 1
    text = (tmp_path / "buildprof.prom").read_text()
    assert sum_samples(text, "buildprof_build_failures_total", {"project": "broken-job"}) == 1


def test_an_agent_that_cannot_start_is_one_line_and_does_not_fail_the_job(engine_28, tmp_path):
    file = tmp_path / "buildprof.prom"
    done = write_metrics(engine_28, file, "sh", "-c", "exit 7", cwd=tmp_path, BUILDPROF_LISTEN="nowhere")
    assert done.returncode == 7
    assert all(line.startswith("write-metrics: ") for line in done.stderr.splitlines() if not line.startswith("curl: "))
    assert "the agent did not get ready" in done.stderr
    assert not file.exists()


def test_without_a_file_it_says_how_it_is_used(tmp_path):
    done = subprocess.run([SCRIPT], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "write-metrics: usage: write-metrics FILE.prom [COMMAND ...]\n")
