from __future__ import annotations

import os
import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from buildprof.cli.lines import plain
from buildprof.cli.profile import profile
from buildprof.model.build import Build, BuildError, Image, Status
from buildprof.model.step import Kind
from tests.cli.sample_builds import ALL, HOSTILE, NOW, at, failed, hostile, multi_platform, running, shop
from tests.cli.sample_explanations import first, none, readme, several

GOLDEN = Path(__file__).parent / "golden"


def shown(build: Build, **options: object) -> list[str]:
    previous = None
    if build.image is not None and build.image.size_bytes is not None:
        previous = replace(build, image=replace(build.image, size_bytes=build.image.size_bytes - 1_200_000))
    now_ns = at(12.3) if build.status is Status.RUNNING else NOW
    width = options.pop("width", 80)
    options.setdefault("ref", build.ref[:8])
    options.setdefault("previous_ref", "9f8e7d6c" if previous else "")
    return [plain(line) for line in profile(build, previous, now_ns, width, **options)]  # type: ignore[arg-type]


@pytest.mark.parametrize("name", sorted(ALL))
def test_what_show_prints_in_80_columns(name: str) -> None:
    """UPDATE_GOLDEN=1 writes the files anew: read what git says has changed in them."""
    text = "".join(f"{line}\n" for line in shown(ALL[name]()))
    file = GOLDEN / f"{name}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.mkdir(exist_ok=True)
        file.write_text(text)
    assert text == file.read_text()


@settings(deadline=None)
@given(st.sampled_from(sorted(ALL)), st.integers(60, 160), st.booleans())
def test_no_line_is_wider_than_the_paper(name: str, width: int, fold: bool) -> None:
    assert all(cell_len(line) <= width for line in shown(ALL[name](), width=width, fold=fold))


def is_harmless(text: str) -> bool:
    return not any(unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for character in text)


def test_nothing_hostile_reaches_the_terminal() -> None:
    assert all(map(is_harmless, shown(hostile(), fold=False)))


@settings(deadline=None)
@given(st.text(), st.text(), st.text())
def test_no_name_message_or_log_line_puts_a_control_character_out(name: str, message: str, line: str) -> None:
    sample = failed()
    steps = tuple(replace(one, name=name, command=name, stage=name, platform=name) for one in sample.steps)
    build = replace(
        sample,
        steps=steps,
        ref=name,
        builder=name,
        project=name,
        target=message,
        error=BuildError(message, steps[2].id, (line,)),
        image=Image(name, (message,), 1, 1),
    )
    lines = shown(build, fold=False)
    assert all(map(is_harmless, lines))
    assert all(cell_len(one) <= 80 for one in lines)


def test_markup_is_text() -> None:
    assert any("[bold red]markup[/]" in line for line in shown(hostile()))


def test_a_megabyte_in_every_name_takes_no_room() -> None:
    assert len(HOSTILE) > 1_000_000
    assert sum(map(len, shown(hostile()))) < 5_000


def test_a_build_of_milliseconds_is_not_said_to_take_none() -> None:
    build = replace(shop(), completed_ns=at(0.018))
    lines = shown(build)
    assert lines[0].startswith("shop/web  completed in 18 ms  ")
    assert any(line.endswith(" 18 ms") for line in lines if line.startswith("   step"))


def test_savings_that_are_not_known_are_not_called_zero() -> None:
    build = shop()
    text = shown(replace(build, summary=replace(build.summary, saved_seconds=None)))[1]
    assert text == "cache     3 of 6 steps hit · savings not known yet · misses cost 38.9 s"


def test_savings_that_are_known_in_part_are_called_so() -> None:
    build = shop()
    steps = tuple(replace(one, saved_seconds=None) if one.kind is Kind.COPY else one for one in build.steps)
    assert "saved at least 2 m 10 s (1 hit not known yet)" in shown(replace(build, steps=steps))[1]


@pytest.mark.parametrize(
    ("status", "phrase"),
    [
        (Status.COMPLETED, "completed, time not known"),
        (Status.FAILED, "FAILED, time not known"),
        (Status.CANCELED, "canceled, time not known"),
    ],
)
def test_a_build_of_which_only_the_end_is_known_has_no_time_that_grows(status: Status, phrase: str) -> None:
    steps = tuple(replace(one, started_ns=None, completed_ns=None, duration_seconds=None) for one in shop().steps)
    build = replace(shop(), status=status, completed_ns=shop().started_ns, steps=steps)
    for now_ns in (NOW, NOW + 60_000_000_000):
        lines = [plain(line) for line in profile(build, None, now_ns, 80)]
        assert f"shop/web  {phrase}  " in lines[0]
        headings = next(line for line in lines if line.lstrip().startswith("step "))
        assert headings.endswith("size")


def test_an_image_as_large_as_before_is_unchanged() -> None:
    build = shop()
    lines = [plain(line) for line in profile(build, build, NOW, 80)]
    assert "image     shop-web:latest  214 MB in 9 layers (unchanged since the last build)" in lines


def test_a_build_without_steps_says_so() -> None:
    assert shown(replace(shop(), steps=()))[-1].strip() == "no steps are known of this build"


def test_a_running_build_fits_the_screen() -> None:
    steps = tuple(replace(one, id=f"{n}{one.id}") for n in range(20) for one in multi_platform().steps)
    build = replace(running(), steps=steps)
    assert len(shown(build, max_lines=24)) <= 24


def test_why_the_dearest_miss_missed_stands_below_the_steps() -> None:
    build, explanation = readme()
    lines = shown(build, explanation=explanation)
    assert lines[-3:] == [
        "why  COPY . . (Dockerfile:7) missed because README.md changed (1 file, 3.1 kB).",
        "     It took 2 steps with it: 38.9 s. Usually no step needs README.md: add it to",
        "     .dockerignore.",
    ]
    assert lines[-4] == ""
    assert not any(line.startswith("why") for line in shown(build))


def test_the_other_misses_are_counted_with_the_command_that_tells_of_them() -> None:
    build, explanation = several()
    lines = shown(build, explanation=explanation)
    assert lines[-1] == "     … and 3 more: buildprof explain k6g3ggdn"
    assert lines[-4].startswith("why  RUN pip install -r requirements.txt")
    assert all(cell_len(line) <= 80 for line in lines)


def test_a_first_build_and_one_without_misses_have_no_others() -> None:
    build, explanation = first()
    lines = shown(build, explanation=explanation)
    assert lines[-2].startswith("why  This is the first build of shop/web")
    build, explanation = none()
    assert not any(line.startswith("why") for line in shown(build, explanation=explanation))


def test_all_log_lines_are_shown_when_all_is_asked_for() -> None:
    assert "the last 10 lines of 3/4 RUN make test" in shown(failed())
    assert "the last 21 lines of 3/4 RUN make test" in shown(failed(), fold=False)
