from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from buildprof.model.build import Build
from buildprof.model.explanation import Explanation
from buildprof.store.connect import open_store
from buildprof.store.writer import Writer
from tests.cli.sample_builds import ALL, shop

REPOSITORY = Path(__file__).parents[2]
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run `buildprof` in a process of its own, with an empty home and nothing but what is given in the environment."""

    def run_buildprof(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "buildprof", *arguments],
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="surrogateescape",
            check=False,
            cwd=tmp_path,
            env=clean_environment(tmp_path) | environment,
            timeout=60,
        )

    return run_buildprof


def clean_environment(home: Path) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL") if name in os.environ}
    return kept | {"HOME": str(home), "PYTHONPATH": str(REPOSITORY), "PYTHONIOENCODING": "utf-8"}


@pytest.fixture(scope="module")
def filled_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A data directory whose store holds every sample, one of them twice; started in the last hours."""
    data_dir = tmp_path_factory.mktemp("data")
    save(data_dir, *stored_samples())
    return data_dir


def stored_samples() -> list[Build]:
    now_ns = time.time_ns()
    samples = [
        moved(replace(make(), ref=f"{name}{make().ref}"), now_ns - 10**9 * 3600 * at)
        for at, (name, make) in enumerate(sorted(ALL.items()), 1)
    ]
    return [*samples, moved(replace(shop(), ref="earlier0000"), now_ns - 10**9 * 86_400)]


def save(data_dir: Path, *builds: Build, explanation: Explanation | None = None) -> None:
    """Store builds; an explanation goes with each whose ref it has."""
    engine = open_store(f"sqlite:///{data_dir}/buildprof.db")
    writer = Writer(engine)
    for build in builds:
        told = explanation if explanation and explanation.ref == build.ref else None
        writer.save_build(build, scope="", explanation=told)
    writer.close()
    engine.dispose()


def moved(build: Build, started_ns: int) -> Build:
    """The same build at another time."""
    by = started_ns - build.started_ns

    def later(time_ns: int | None) -> int | None:
        return None if time_ns is None else time_ns + by

    steps = tuple(
        replace(step, started_ns=later(step.started_ns), completed_ns=later(step.completed_ns)) for step in build.steps
    )
    return replace(build, started_ns=started_ns, completed_ns=later(build.completed_ns), steps=steps)
