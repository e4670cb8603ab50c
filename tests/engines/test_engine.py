import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.engines.compose import bake, compose
from tests.engines.engine import _processes_of, remove_leftovers
from tests.engines.images import import_python

DOCKERFILE = "FROM base\nCOPY word /word\nRUN cat /word > /copy\n"


def make_context(directory: Path) -> Path:
    (directory / "Dockerfile").write_text(DOCKERFILE)
    (directory / "word").write_text("hello\n")
    return directory


def test_every_engine_builds_and_says_its_version(any_engine, tmp_path):
    any_engine.docker("build", "--network=host", "-t", "harness-build", ".", cwd=make_context(tmp_path))

    assert "harness-build" in any_engine.docker("images", "harness-build").stdout
    versions = {"bookworm": "20.", "trixie": "26.", "forky": "28."}
    assert any_engine.docker("version", "--format", "{{.Server.Version}}").stdout.startswith(
        versions.get(any_engine.suite, "")
    )


def test_the_two_image_stores_of_the_newest_engine_differ(engine_28, engine_28_containerd):
    drivers = [e.docker("info", "--format", "{{.DriverStatus}}").stdout for e in (engine_28, engine_28_containerd)]

    assert "io.containerd.snapshotter" not in drivers[0]
    assert "io.containerd.snapshotter" in drivers[1]


def test_a_restarted_engine_keeps_its_images(fresh_engine):
    engine = fresh_engine("trixie")
    engine.restart(signal.SIGKILL)

    assert "base" in engine.docker("images").stdout


def test_an_engine_leaves_no_process_mount_or_file(fresh_engine):
    engine = fresh_engine("forky")
    assert engine.process.pid in _processes_of(engine.run_dir)

    engine.remove()

    assert _processes_of(engine.run_dir) == []
    assert str(engine.run_dir) not in Path("/proc/mounts").read_text()
    assert not engine.run_dir.exists()
    assert not (engine.rootfs / engine.run_dir.relative_to("/")).exists()


def test_engines_of_a_killed_process_are_removed_and_those_of_a_living_one_are_not(fresh_engine):
    engine = fresh_engine("forky")
    program = (
        "import time\nfrom tests.engines.engine import running_engine\n"
        "with running_engine('trixie') as engine:\n    print(engine.run_dir, flush=True)\n    time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as owner:
        abandoned = Path(owner.stdout.readline().strip())
        owner.kill()
    assert _processes_of(abandoned)

    assert abandoned in remove_leftovers()

    assert _processes_of(abandoned) == []
    assert not abandoned.exists()
    assert engine.docker("info").returncode == 0


def test_an_interrupted_owner_takes_its_engine_with_it(fresh_engine):
    fresh_engine("forky")  # or skip, where none can be made
    program = (
        "import time\nfrom tests.engines.engine import running_engine\n"
        "with running_engine('forky') as engine:\n    print(engine.run_dir, flush=True)\n    time.sleep(600)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as owner:
        run_dir = Path(owner.stdout.readline().strip())
        os.kill(owner.pid, signal.SIGINT)

    assert _processes_of(run_dir) == []
    assert not run_dir.exists()


def test_compose_and_bake_build_several_targets_at_once(history_engine, tmp_path):
    make_context(tmp_path)
    for tool in ("compose", "bake"):
        services = [f"  {n}: {{image: harness-{tool}-{n}, build: {{context: ., network: host}}}}\n" for n in "ab"]
        (tmp_path / f"{tool}.yaml").write_text(f"services:\n{''.join(services)}")

    compose(history_engine, "build", cwd=tmp_path)
    bake(history_engine, "--file", "bake.yaml", cwd=tmp_path)

    images = history_engine.docker("images", "--format", "{{.Repository}}").stdout.split()
    assert {"harness-compose-a", "harness-compose-b", "harness-bake-a", "harness-bake-b"} <= set(images)


@pytest.mark.timeout(300)
def test_the_python_stand_in_installs_wheels_without_a_network(engine_28, tmp_path):
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    (tmp_path / "hello.py").write_text("")
    (tmp_path / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
        '[project]\nname = "hello"\nversion = "1"\n[tool.hatch.build]\ninclude = ["hello.py"]\n'
    )
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", wheels]
    subprocess.run([*pip, "."], cwd=tmp_path, check=True)
    import_python(engine_28, "python:harness", wheels)
    context = tmp_path / "context"
    context.mkdir()
    (context / "Dockerfile").write_text("FROM python:harness\nRUN pip install hello && python -c 'import hello'\n")

    engine_28.docker("build", "--network=host", "-t", "harness-python", ".", cwd=context)
