"""`buildprof explain`, and what the other commands tell of explanations, in processes of their own on a real store."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest
from rich.cells import cell_len

from buildprof.analysis.sentences import told
from buildprof.model.build import UNKNOWN_PROJECT
from tests.cli.conftest import Run, moved, save
from tests.cli.sample_builds import running, shop
from tests.cli.sample_explanations import readme, several
from tests.cli.test_profile import is_harmless


@pytest.fixture
def explained(tmp_path: Path) -> Path:
    """A store with one explained build of today, one that is not explained, and one that runs."""
    build, explanation = readme()
    now_ns = time.time_ns()
    others = [replace(shop(), ref="bare-build"), replace(running(), ref="running-build")]
    save(tmp_path, moved(build, now_ns - 10**12), explanation=explanation)
    save(tmp_path, *(moved(one, now_ns - 10**11) for one in others))
    return tmp_path


def test_people_are_told_why_with_what_it_cost_lately(run: Run, explained: Path) -> None:
    done = run("explain", "k6g3", "--data-dir", str(explained))
    assert (done.returncode, done.stderr) == (0, "")
    assert "\n1  COPY . . (Dockerfile:7) missed because README.md changed (1 file, 3.1 kB).\n" in done.stdout
    assert done.stdout.endswith("lost      in the last 7 days, most was lost to: README.md 38.9 s in 1 miss\n")
    assert all(is_harmless(line) and cell_len(line) <= 80 for line in done.stdout.splitlines())


def test_scripts_get_the_document_in_ascii(run: Run, explained: Path) -> None:
    done = run("explain", "k6g3", "--json", "--data-dir", str(explained))
    build, explanation = readme()
    assert json.loads(done.stdout) == json.loads(json.dumps(told(explanation, build)))
    assert done.stdout.isascii()


@pytest.mark.parametrize(
    ("ref", "said"),
    [
        ("nope", "no build has the ref 'nope'"),
        (
            "bare",
            "the build bare-build is known, but not explained; only builds that the agent follows to their end are",
        ),
        ("running", "the build running-build still runs; it is explained when it has ended"),
    ],
)
def test_what_is_not_explained_is_exit_code_1_and_says_why(ref: str, said: str, run: Run, explained: Path) -> None:
    for more in ((), ("--json",)):
        done = run("explain", ref, *more, "--data-dir", str(explained))
        assert (done.returncode, done.stderr, done.stdout) == (1, f"buildprof: {said}\n", "")


def test_show_ends_in_why(run: Run, explained: Path) -> None:
    text = run("show", "k6g3", "--data-dir", str(explained)).stdout
    assert "\nwhy  COPY . . (Dockerfile:7) missed because README.md changed" in text
    assert "\nwhy" not in run("show", "bare", "--data-dir", str(explained)).stdout


def test_what_builds_lost_that_could_not_be_placed_is_not_added_up(run: Run, tmp_path: Path) -> None:
    build, explanation = readme()
    unplaced = replace(explanation, project=UNKNOWN_PROJECT)
    save(tmp_path, moved(replace(build, project=UNKNOWN_PROJECT), time.time_ns()), explanation=unplaced)
    assert "7 days" not in run("explain", "last", "--data-dir", str(tmp_path)).stdout


def test_projects_tell_what_time_was_lost_to(run: Run, explained: Path) -> None:
    build, explanation = several()
    other = replace(build, ref="other-build", project="api")
    save(
        explained,
        moved(other, time.time_ns() - 10**12),
        explanation=replace(explanation, ref="other-build", project="api"),
    )
    lines = [line.split() for line in run("projects", "--data-dir", str(explained)).stdout.splitlines()]
    assert ["lost", "since", "7", "days", "ago,", "by", "cause"] in lines
    assert ["api", "1", "m", "19", "s", "4", "files", "changed"] in lines
    assert ["shop", "38.9", "s", "1", "README.md", "usually", "no", "step", "needs", "it"] in lines
    only = run("projects", "--project", "shop", "--since", "1h", "--data-dir", str(explained)).stdout
    assert "api" not in only
    assert all(is_harmless(line) and cell_len(line) <= 80 for line in only.splitlines())
    losses = json.loads(run("projects", "--project", "shop", "--json", "--data-dir", str(explained)).stdout)["losses"]
    assert losses == [
        {"project": "shop", "cause": "source_changed", "subject": "README.md", "seconds": 38.9, "misses": 1}
    ]


def test_a_project_that_is_not_known_is_exit_code_1(run: Run, explained: Path) -> None:
    done = run("projects", "--project", "nope", "--data-dir", str(explained))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "buildprof: no builds with --project nope; see `buildprof projects`\n"
