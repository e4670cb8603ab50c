from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from buildprof.analysis.compare import compare_builds
from buildprof.cli.difference import difference
from buildprof.cli.lines import plain
from buildprof.model.build import Build
from buildprof.model.recipe import Recipe
from buildprof.model.step import Layer, Outcome, Step
from tests.cli.sample_builds import ALL, NOW, at, shop, step


def shown(before: Build, after: Build, **options: object) -> list[str]:
    return [plain(line) for line in difference(compare_builds(before, after), NOW, 80, **options)]  # type: ignore[arg-type]


def test_steps_that_differ_are_shown_with_both_sides() -> None:
    before = shop()
    steps = tuple(
        replace(
            one,
            outcome=Outcome.MISS,
            duration_seconds=12.0,
            completed_ns=at(12.4),
            layer=Layer("d", 97_000_000),
        )
        if one.command == "npm ci"
        else one
        for one in before.steps
    )
    lines = shown(before, replace(before, ref="zzzzzzzzzz", steps=steps, completed_ns=at(53.8)))
    assert lines == [
        "before    k6g3ggdnq2v0  shop/web  completed in 41.8 s  3 minutes ago",
        "after     zzzzzzzzzz  shop/web  completed in 53.8 s  3 minutes ago",
        "differs   +12.0 s in all · +12.0 s of work in the steps · 0 B of image",
        "",
        "   stage  step            before  time  after  time  change  size",
        "!  deps   4/4 RUN npm ci  hit      0.0  miss   12.0   +12.0   +1M",
        "   11 steps as before",
    ]


def test_an_edited_step_is_shown_with_its_old_and_its_new_text() -> None:
    def edited(text: str) -> Build:
        steps = tuple(replace(one, command=text) if one.command == "npm ci" else one for one in shop().steps)
        return replace(shop(), steps=steps)

    assert shown(shop(), edited("npm install"))[5:8] == [
        "~  deps   4/4 RUN npm install  hit      0.0  hit     0.0",
        "   edited  - RUN npm ci",
        "           + RUN npm install",
    ]
    old, new = shown(edited("x " * 200 + "1"), edited("x " * 200 + "2"))[6:8]
    assert (old[-1], new[-1]) == ("1", "2")


def test_a_build_and_itself_differ_in_nothing() -> None:
    assert shown(shop(), shop())[-1].strip() == "every step is as it was"
    assert len(shown(shop(), shop(), show_all=True)) == 5 + len(shop().steps)


def on_base(*steps: Step, digest: str) -> Build:
    made = replace(step(f"FROM node:20@sha256:{digest * 64}", place=("", 1, 2)), id="from")
    return replace(shop(), steps=(made, *steps))


def test_where_only_the_base_differs_that_is_what_is_said() -> None:
    *_, base, empty, titles, only = shown(on_base(digest="a"), on_base(digest="b"))
    assert base == "base      node:20 is another image: bbbbbbbbbbbb now, aaaaaaaaaaaa before"
    assert (empty, titles.split()[:2]) == ("", ["stage", "step"])
    assert only.startswith("~         1/2 FROM node:20 ")


def test_a_base_that_no_step_names_is_said_of_steps_that_are_as_they_were() -> None:
    def made(digest: str) -> Build:
        recipe = Recipe(images=(("python:3", f"sha256:{digest * 64}"),))
        return replace(shop(), steps=tuple(replace(one, recipe=recipe) for one in shop().steps if one.command))

    assert shown(made("a"), made("b"))[3:] == [
        "base      python:3 is another image: bbbbbbbbbbbb now, aaaaaaaaaaaa before",
        "",
        "   every step is as it was, on another base",
    ]


def test_a_build_without_steps_is_not_one_that_lost_all_of_them() -> None:
    bare = replace(shop(), steps=(), completed_ns=shop().started_ns, image=None)
    lines = shown(shop(), bare)
    assert lines[1].startswith("after     k6g3ggdnq2v0  shop/web  completed, time not known")
    assert [line.strip() for line in lines[2:]] == ["", "no steps are known of the later build"]


@settings(deadline=None)
@given(st.sampled_from(sorted(ALL)), st.sampled_from(sorted(ALL)), st.booleans())
def test_no_line_is_wider_than_the_paper(before: str, after: str, show_all: bool) -> None:
    assert all(cell_len(line) <= 80 for line in shown(ALL[before](), ALL[after](), show_all=show_all))
