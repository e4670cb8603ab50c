"""The Dockerfile with its margin."""

from __future__ import annotations

import pytest

from buildprof.model.build import Build, Source, Status
from buildprof.model.step import Outcome, Step
from buildprof.web.pages.dockerfile import MAX_LINE, MAX_LINES, Dockerfile, Margin, dockerfile
from buildprof.web.pages.waterfall import row_id, why_id
from tests.cli.sample_builds import build, step

TEXT = "FROM node\nRUN make \\\n    all\n"


def with_text(*steps: Step, text: str = TEXT, **more: object) -> Build:
    return build(steps, dockerfile_text=text, **more)


def make(platform: str = "", seconds: float = 2.0, size: int = 9) -> Step:
    return step(
        "RUN make all", Outcome.MISS, 0, seconds, place=("app", 2, 2), lines=(2, 3), size=size, platform=platform
    )


def margin(shown: Dockerfile, line: int) -> Margin:
    found = shown.lines[line - 1].margin
    assert found is not None
    return found


def test_an_instruction_has_its_margin_where_it_begins_and_nowhere_else() -> None:
    shown = dockerfile(with_text(make()), (), ())
    assert [line.number for line in shown.lines if line.margin] == [2]
    assert [str(line.text) for line in shown.lines] == ["FROM node", "RUN make \\", "    all"]
    one = margin(shown, 2)
    assert (one.row, one.state, one.word, one.seconds, one.size_bytes, one.note) == (
        row_id(make().id), "miss", "miss", 2.0, 9, "",
    )  # fmt: skip


def test_a_root_miss_is_written_large_and_leads_to_why() -> None:
    one = margin(dockerfile(with_text(make()), {make().id}, {make().id}), 2)
    assert (one.word, one.is_root, one.why) == ("MISS", True, why_id(make().id))


def test_of_several_platforms_the_longest_is_shown_and_it_is_said() -> None:
    shown = dockerfile(with_text(make("linux/amd64", 2.0, 900), make("linux/arm64", 30.0, 7)), (), ())
    one = margin(shown, 2)
    assert (one.seconds, one.size_bytes, one.note) == (30.0, 7, "longest of 2 platforms")


def test_what_has_not_begun_in_a_running_build_waits() -> None:
    waiting = step("RUN make all", place=("app", 2, 2), lines=(2, 3))
    one = margin(dockerfile(with_text(waiting, status=Status.RUNNING, completed_ns=None), (), ()), 2)
    assert (one.state, one.word, one.seconds) == ("waiting", "waits", None)


def test_text_is_escaped_bounded_and_clean() -> None:
    shown = dockerfile(with_text(text="RUN <b>\u202e\x1b[2J" + "x" * 10_000 + "\n"), (), ())
    line = str(shown.lines[0].text)
    assert line.startswith("RUN &lt;b&gt;")
    assert len(line) <= MAX_LINE + 20
    assert not set(line) & set("\u202e\x1b")


def test_lines_beyond_the_most_are_counted() -> None:
    shown = dockerfile(with_text(text="RUN x\n" * (MAX_LINES + 7)), (), ())
    assert (len(shown.lines), shown.rest) == (MAX_LINES, 7)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"source": Source.IMPORT}, "An imported file"),
        ({"source": Source.CLASSIC}, "The classic builder"),
        ({"status": Status.RUNNING, "completed_ns": None}, "Not known yet"),
        ({}, "The engine hands on"),
    ],
)
def test_a_text_that_is_not_known_has_a_reason(more: dict[str, object], said: str) -> None:
    shown = dockerfile(with_text(text="", **more), (), ())
    assert shown.lines == ()
    assert shown.reason.startswith(said)
