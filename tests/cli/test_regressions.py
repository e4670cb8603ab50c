from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from buildprof.analysis.regression_words import figure_text
from buildprof.cli.lines import plain
from buildprof.cli.regressions import regression_lines
from buildprof.model.regression import Changes, Regression, Signal
from buildprof.store.connect import open_store
from buildprof.store.writer import Writer
from tests.cli.conftest import Run, save
from tests.cli.sample_builds import shop

SLOWER = Regression(
    Signal.DURATION_SECONDS, "default", "Dockerfile", "linux/amd64", False, "k6g3ggdnq2v0mdv2fv3k0a1bz", 1, "zz", 3,
    41.8, 12.0, 15.5, Changes(sentence="RUN npm ci (Dockerfile:4) takes 38.0 s, 0.1 s before."),
)  # fmt: skip


def shown(*regressions: Regression, width: int = 80) -> list[str]:
    return [plain(line) for line in regression_lines([("shop/web", one) for one in regressions], width)]


def test_a_regression_tells_figures_then_since_when_and_what_changed():
    assert shown(SLOWER) == [
        "",
        "worse than usual",
        "shop/web  build time 41.8 s, usually 12.0 s and at most 15.5 s",
        "   Since build k6g3ggdnq2v0, 3 builds (Dockerfile, linux/amd64). RUN npm ci",
        "   (Dockerfile:4) takes 38.0 s, 0.1 s before.",
    ]


def test_without_a_regression_nothing_is_shown():
    assert shown() == []


def test_a_hit_ratio_has_a_least_and_lost_steps_have_no_figures():
    ratio = replace(SLOWER, signal=Signal.HIT_RATIO, value=0.2, median=0.9, threshold=0.8, is_cold=True, platform="")
    assert shown(ratio)[2:4] == [
        "shop/web  cache hits 20%, usually 90% and at least 80%",
        "   Since build k6g3ggdnq2v0, 3 builds (cold, Dockerfile). RUN npm ci",
    ]
    lost = replace(SLOWER, signal=Signal.CACHED_STEPS, value=None, median=None, threshold=None, builds=1)
    assert shown(lost)[2] == "shop/web  a step is lost from the cache"


@pytest.mark.parametrize(
    ("signal", "figure", "text"),
    [
        (Signal.EXECUTED_SECONDS, 130.0, "2 m 10 s"),
        (Signal.IMAGE_SIZE_BYTES, 214e6, "214 MB"),
        (Signal.CONTEXT_BYTES, 48e3, "48 kB"),
        (Signal.HIT_RATIO, 0.666, "67%"),
    ],
)
def test_figures_have_the_unit_of_their_signal(signal, figure, text):
    assert figure_text(signal, figure) == text


def test_hostile_names_stay_on_their_line():
    nasty = replace(SLOWER, since_ref="\x1b[31m\nref", dockerfile="a\nb", changes=Changes(sentence="x\n\x1b[2Jy"))
    lines = regression_lines([("shop\n\x1b[31m", nasty)], 80)
    assert all(text.isprintable() for line in lines for text, _ in line)


@pytest.fixture
def regressed(tmp_path: Path) -> Path:
    save(tmp_path, shop())
    engine = open_store(f"sqlite:///{tmp_path}/buildprof.db")
    writer = Writer(engine)
    writer.save_regressions(shop().project, shop().target, [SLOWER], [], scope="")
    writer.close()
    engine.dispose()
    return tmp_path


def test_projects_show_what_got_worse(run: Run, regressed: Path) -> None:
    lines = run("projects", "--data-dir", str(regressed)).stdout.splitlines()
    at = lines.index("worse than usual")
    assert lines[at + 1].startswith("shop/web  build time 41.8 s")
    (project,) = json.loads(run("projects", "--json", "--data-dir", str(regressed)).stdout)["projects"]
    assert [one["signal"] for one in project["regressions"]] == ["duration_seconds"]
    assert project["regressions"][0]["since"]["ref"] == SLOWER.since_ref


def test_a_project_that_is_as_usual_has_an_empty_list(run: Run, tmp_path: Path) -> None:
    save(tmp_path, shop())
    (project,) = json.loads(run("projects", "--json", "--data-dir", str(tmp_path)).stdout)["projects"]
    assert project["regressions"] == []
    assert "worse than usual" not in run("projects", "--data-dir", str(tmp_path)).stdout
