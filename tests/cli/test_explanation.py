from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from buildprof.cli.explanation import explanation_lines
from buildprof.cli.lines import plain
from buildprof.model.build import Build
from buildprof.model.explanation import Cause, Confidence, Explanation, Finding, Loss, Miss
from tests.cli.sample_builds import HOSTILE, NOW, hostile
from tests.cli.sample_explanations import ALL, LOSSES
from tests.cli.test_profile import is_harmless

GOLDEN = Path(__file__).parent / "golden"


def shown(build: Build, explanation: Explanation, width: int = 80, losses: tuple[Loss, ...] = LOSSES) -> list[str]:
    return [
        plain(line)
        for line in explanation_lines(explanation, build, losses, NOW, width, ref="k6g3ggdn", compared_ref="")
    ]


@pytest.mark.parametrize("name", sorted(ALL))
def test_what_explain_prints_in_80_columns(name: str) -> None:
    """UPDATE_GOLDEN=1 writes the files anew: read what git says has changed in them."""
    text = "".join(f"{line}\n" for line in shown(*ALL[name]()))
    file = GOLDEN / f"explain_{name}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        file.write_text(text)
    assert text == file.read_text()


@settings(deadline=None)
@given(st.sampled_from(sorted(ALL)), st.integers(60, 160))
def test_no_line_is_wider_than_the_paper(name: str, width: int) -> None:
    assert all(cell_len(line) <= width for line in shown(*ALL[name](), width=width))


def test_a_build_without_misses_says_so() -> None:
    assert "misses    none: no step missed the cache" in shown(*ALL["none"]())


def test_a_first_build_is_called_so_once() -> None:
    text = "\n".join(shown(*ALL["first"]()))
    assert "This is the first build of shop/web that is known on builder default" in text
    assert "COPY" not in text


def test_without_losses_the_week_is_not_told_of() -> None:
    assert not any("7 days" in line for line in shown(*ALL["readme"](), losses=()))


@pytest.mark.parametrize("cause", Cause)
def test_nothing_hostile_reaches_the_terminal(cause: Cause) -> None:
    build = hostile()
    evidence = {
        key: [HOSTILE] if key in {"changed", "added", "names", "checked", "missing"} else HOSTILE
        for key in ("changed", "added", "names", "checked", "missing", "before", "after", "url", "image", "option")
    } | {"builder": HOSTILE, "ref": HOSTILE, "lost_at": [HOSTILE, HOSTILE], "by": "gc", "lines": [HOSTILE]}
    misses = tuple(
        Miss(id_, Finding(cause, sure, evidence), (Finding(cause, sure, evidence),), build.steps[1].id, 1.0, (), 1.0)
        for id_ in (build.steps[2].id, HOSTILE)
        for sure in Confidence
    )
    explanation = Explanation(build.ref, build.project, build.target, HOSTILE, misses, 1.0)
    lines = shown(build, explanation, losses=(Loss(cause, HOSTILE, 1.0),))
    assert all(is_harmless(line) and cell_len(line) <= 80 for line in lines)
    assert sum(map(len, lines)) < 10_000


def test_a_miss_whose_cost_is_not_known_has_none() -> None:
    build, explanation = ALL["readme"]()
    (miss,) = explanation.misses
    bare = replace(explanation, misses=(replace(miss, collateral=(), blamed_seconds=None, executed_seconds=None),))
    assert not any("It cost" in line or "It took" in line for line in shown(build, bare))
