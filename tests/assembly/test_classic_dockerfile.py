"""Which Dockerfile a classic build can be of, on recordings of real engines, and what it adds."""

from __future__ import annotations

from dataclasses import replace

import pytest

from buildprof.assembly.classic_dockerfile import Fit, fit, with_dockerfile
from buildprof.assembly.dockerfile import Dockerfile, parse
from buildprof.model.recipe import ContextUse
from buildprof.model.step import Kind
from tests.assembly.test_classic_recipes import KINDS, Found, replay
from tests.recordings.record_classic import COPIES, FAILING, TWO_STAGES


@pytest.fixture(params=KINDS)
def found(request: pytest.FixtureRequest) -> Found:
    return replay(str(request.param))


def parsed(text: str) -> Dockerfile:
    dockerfile = parse(text)
    assert dockerfile is not None
    return dockerfile


@pytest.mark.parametrize("scenario", ["cold", "unchanged", "edited", "together"])
def test_a_build_matches_the_dockerfile_that_it_was_built_from(found: Found, scenario: str):
    for build, _recipes in found[scenario]:
        assert fit(build, parsed(TWO_STAGES)) is Fit.WHOLE
        assert fit(build, parsed(COPIES)) is Fit.NONE


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("WORKDIR /w/x", "WORKDIR /w/y"),
        ("echo hi > hi", "echo ho > hi"),
        ("ADD a.txt /q/", "COPY a.txt /q/"),
        ("ADD a.txt /q/", "ADD a.txt /r/"),
        ("EXPOSE 80", "EXPOSE 81"),
        ("LABEL l=1", "LABEL l=2"),
        ('"echo hi"]', '"echo ho"]'),
        ("EXPOSE 80\n", ""),
        ("FROM base:latest\n", "FROM one\n"),
        ("CMD ", "RUN true\nCMD "),
    ],
)
def test_a_dockerfile_that_differs_is_not_the_builds(old: str, new: str):
    ((build, _recipes),) = replay("forky")["cold"]
    assert old in TWO_STAGES
    assert fit(build, parsed(TWO_STAGES.replace(old, new))) is Fit.NONE


def test_another_tag_of_the_base_image_fits_less_well():
    ((build, _recipes),) = replay("forky")["cold"]
    assert fit(build, parsed(TWO_STAGES.replace("FROM base:latest\n", "FROM base:other\n"))) is Fit.LIKE


def test_a_failed_build_is_of_a_dockerfile_that_begins_with_its_steps(found: Found):
    ((build, _recipes),) = found["failing"]
    assert fit(build, parsed(FAILING)) is Fit.WHOLE
    assert fit(build, parsed(FAILING.replace("exit 3", "exit 4"))) is Fit.NONE
    located = with_dockerfile(build, parsed(FAILING))
    assert [step.lines for step in located.steps[1:]] == [(2, 2), (3, 3), (4, 4)]


def test_a_target_is_the_stage_of_that_name_or_number():
    ((build, _recipes),) = replay("forky")["cold"]
    text = TWO_STAGES.replace("FROM base:latest\nLABEL", "FROM base:latest AS two\nLABEL") + "FROM two\nRUN last\n"
    assert [fit(build, parsed(text), target) for target in ("two", "TWO", "1")] == [Fit.WHOLE] * 3
    assert [fit(build, parsed(text), target) for target in ("", "one", "2", "3", "three")] == [Fit.NONE] * 5


def test_stages_that_the_result_is_not_built_on_have_lines_too():
    ((build, _recipes),) = replay("forky")["cold"]
    first = [step for step in with_dockerfile(build, parsed(TWO_STAGES)).steps if step.stage == "stage-0"]
    assert [step.lines for step in first[1:]] == [(2, 2), (3, 3), (4, 4), (5, 5), (6, 6)]
    (copied,) = [step.recipe for step in first if step.kind is Kind.COPY]
    assert copied is not None
    assert copied.takes == (ContextUse(path="a.txt"),)


def test_a_copy_from_a_stage_stands_on_what_that_came_to():
    ((build, _recipes),) = replay("forky")["cold"]
    steps = with_dockerfile(build, parsed(TWO_STAGES)).steps
    copied = next(step for step in steps if step.command.startswith("--from=one"))
    made = next(step for step in steps if step.command.startswith("sleep 1"))
    assert copied.inputs[1:] == (made.id,)
    assert copied.name.endswith("COPY --from=one /app /app")


def test_a_stage_that_begins_as_another_does_has_no_lines():
    ((build, _recipes),) = replay("forky")["cold"]
    stage, rest = TWO_STAGES.split("FROM base:latest\n")
    text = f"{stage}{stage.replace('AS one', 'AS other')}FROM base:latest\n{rest}"
    located = with_dockerfile(build, parsed(text))
    assert {step.lines for step in located.steps if step.stage == "stage-0"} == {None}
    assert located.steps[-1].lines is not None


def test_a_label_that_the_command_line_added_is_no_instruction_of_the_dockerfile():
    ((build, _recipes),) = replay("forky")["cold"]
    label = replace(build.steps[-1], id="label", instruction="LABEL", command="a=b", inputs=(build.steps[-1].id,))
    labelled = replace(build, steps=(*build.steps, label))
    assert fit(labelled, parsed(TWO_STAGES)) is Fit.WHOLE


def test_an_instruction_that_is_cut_matches_only_by_its_recipe():
    ((build, _),) = replay("forky")["cold"]
    long = "echo " + "x" * 600
    dockerfile = parsed(TWO_STAGES.replace("sleep 0.5; echo hi > hi", long))
    (step,) = (one for one in build.steps if one.kind is Kind.RUN and "hi" in one.command)
    assert step.recipe is not None
    assert step.recipe.written is not None
    written = replace(step.recipe.written, text=f"RUN {long}")
    for recipe, expected in ((None, Fit.NONE), (replace(step.recipe, written=written), Fit.WHOLE)):
        cut = replace(step, command=long[:500], recipe=recipe)
        steps = tuple(cut if one is step else one for one in build.steps)
        assert fit(replace(build, steps=steps), dockerfile) is expected


def test_the_dockerfile_gives_lines_and_sources():
    ((build, recipes),) = replay("forky")["cold"]
    last = [step for step in with_dockerfile(build, parsed(TWO_STAGES)).steps if step.stage == "stage-1"]
    assert [step.lines for step in last[1:]] == [(line, line) for line in range(8, 15)]
    workdir, copied, added = (step.recipe for step in (last[2], last[4], last[5]))
    assert workdir is not None
    assert copied is not None
    assert added is not None
    assert copied.takes == ()
    assert added.takes == (ContextUse(path="a.txt"),)
    assert workdir.written is not None
    assert workdir.written.lines == (9, 9)
    assert [one.lines for one in workdir.before] == [(8, 8)]
    assert added.content == recipes[last[5].id].content


def test_a_dockerfile_that_does_not_fit_changes_nothing():
    ((build, _),) = replay("forky")["cold"]
    assert with_dockerfile(build, parsed(COPIES)) == build
