from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from buildprof.analysis.step_words import step_name, step_place
from buildprof.cli.lines import plain
from buildprof.cli.waterfall import draw_bar, waterfall
from buildprof.model.step import Kind, Outcome
from tests.cli.sample_builds import ALL, NOW, at, build, failed, multi_platform, running, shop, step


@pytest.mark.parametrize(
    ("start", "end", "bar"),
    [
        (0.0, 1.0, "██████████"),
        (0.0, 0.5, "█████"),
        (0.5, 1.0, "     █████"),
        (0.0, 0.0, "▏"),
        (1.0, 1.0, "         ▕"),
        (0.05, 0.05, "▕"),
        (0.06, 0.1, "▐"),
        (0.25, 0.5, "  ▐██"),
        (0.0, 0.2625, "██▋"),
        (-3.0, 9.0, "██████████"),
    ],
)
def test_a_bar_starts_on_halves_and_ends_on_eighths(start: float, end: float, bar: str) -> None:
    assert draw_bar(start, end, 10) == bar


@settings(deadline=None)
@given(st.floats(0, 1), st.floats(0, 1), st.integers(1, 60))
def test_a_bar_is_never_invisible_nor_too_long(start: float, length: float, width: int) -> None:
    bar = draw_bar(start, start + length, width)
    assert 1 <= len(bar) <= width
    assert bar.strip()


@settings(deadline=None)
@given(st.sampled_from(sorted(ALL)), st.integers(60, 160), st.booleans())
def test_no_row_is_wider_than_the_paper(name: str, width: int, fold: bool) -> None:
    for line in waterfall(ALL[name](), NOW, width, fold=fold):
        assert cell_len(plain(line)) <= width


def rows(*args: object, **options: object) -> list[str]:
    return [plain(line) for line in waterfall(*args, **options)]  # type: ignore[arg-type]


def test_quick_internal_steps_are_one_row_unless_all_are_asked_for() -> None:
    folded, unfolded = rows(shop(), NOW, 100), rows(shop(), NOW, 100, fold=False)
    assert folded[1].startswith("   3 internal steps, 0.1 s")
    assert len(unfolded) == len(folded) + 2
    assert "[internal] load .dockerignore" in unfolded[3]


def test_an_internal_step_on_the_critical_path_is_not_folded() -> None:
    whole = shop()
    steps = tuple(replace(one, on_critical_path=True) if one.position is None else one for one in whole.steps)
    assert not any("internal steps" in row for row in rows(replace(whole, steps=steps), NOW, 80))


def test_only_what_decided_is_marked_and_something_always_is() -> None:
    def marked(*seconds: float) -> list[bool]:
        steps = tuple(
            step(f"RUN {n}", Outcome.MISS, n, n + took, place=("", n + 1, 9), on_critical_path=True)
            for n, took in enumerate(seconds)
        )
        return [row.startswith(" *") for row in rows(build(steps, completed_ns=at(10)), NOW, 80)[1:]]

    assert marked(0.09, 0.2, 0.9) == [False, True, True]
    assert marked(0.01, 0.02) == [False, True]


def test_the_bar_of_a_step_is_as_long_as_it_ran_and_not_as_long_as_it_waited() -> None:
    base = step("FROM a", begin=0.0, end=10.0, place=("", 1, 1))
    (row,) = rows(build((replace(base, duration_seconds=0.1),), completed_ns=at(10)), NOW, 80)[1:]
    assert row.endswith(("▎", "▏", "▍"))


def test_with_all_a_long_name_goes_on_below() -> None:
    text = " ".join(f"word{n}" for n in range(200))
    shown = rows(build((step(f"RUN {text}", Outcome.MISS, 0.0, 1.0, place=("", 1, 1)),)), NOW, 80, fold=False)
    assert text in " ".join(" ".join(row[:45].split()) for row in shown).replace("MISS", "")


def test_a_miss_is_in_capitals_where_the_cause_is() -> None:
    text = "\n".join(rows(shop(), NOW, 80))
    assert text.count("MISS") == 1
    assert text.count("miss ") == 2


def test_a_failed_build_shows_what_failed_what_was_stopped_and_what_never_ran() -> None:
    text = rows(failed(), NOW, 80)
    assert "FAIL" in text[3]
    assert "skip" in text[4]
    assert "canc" in text[5]


def test_a_step_that_runs_has_its_time_so_far_and_a_bar_up_to_now() -> None:
    last = rows(running(), at(10.5), 80)[-2]
    assert "…      10.0" in last
    assert last.endswith("█")
    assert cell_len(last) == 80


def test_what_has_not_begun_waits_and_no_path_is_critical_while_a_build_runs() -> None:
    text = rows(running(), at(10.5), 80)
    assert text[-1].endswith("wait")
    assert not any(row.startswith(" *") for row in text)


def test_each_of_several_platforms_has_a_heading() -> None:
    text = rows(multi_platform(), NOW, 80)
    assert [row.strip() for row in text if row.strip().startswith("linux/")] == ["linux/amd64", "linux/arm64"]


def test_rows_that_are_over_longest_give_way_when_there_is_no_room() -> None:
    steps = tuple(step(f"RUN {n}", Outcome.MISS, n, n + 1, place=("", n + 1, 30)) for n in range(30))
    shown = rows(build(steps, completed_ns=at(30)), NOW, 80, max_rows=6)
    assert len(shown) == 7
    assert shown[1].strip() == "… 25 earlier rows"
    assert "30/30 RUN 29" in shown[-1]


def test_names_leave_out_what_nobody_reads() -> None:
    base = step("FROM docker.io/library/node:20@sha256:" + "0" * 64, place=("deps", 1, 4))
    assert step_name(base) == "FROM node:20"
    assert step_name(step("COPY --link a b", place=("", 2, 2), kind=Kind.MERGE)) == "LINK COPY --link a b"
    assert step_place(step("RUN x", place=("", 2, 12))) == " 2/12"
