from __future__ import annotations

from dataclasses import replace

import pytest

from buildprof.assembly.classic import ClassicTracker
from buildprof.assembly.classic_facts import Answers, ContainerRecord
from buildprof.assembly.history_text import parse_history_text
from buildprof.model.build import Build
from buildprof.model.recipe import ContextUse, Recipe
from tests.recordings.record_classic import ENGINE, REDACTOR, recorded

KINDS = ("bookworm", "trixie", "forky", "forky-containerd")

Found = dict[str, list[tuple[Build, dict[str, Recipe]]]]


def recipes_of(build: Build) -> dict[str, Recipe]:
    return {step.id: step.recipe for step in build.steps if step.recipe is not None}


def with_environment(answers: Answers, scenario: str) -> Answers:
    """The answers as if containers had been asked for their environment."""
    secret = "hunter3" if scenario == "untagged" else "hunter2"
    environment = ("PATH=/bin", "A=b", f"SECRET={secret}")
    return {
        question: replace(record, environment=environment) if isinstance(record, ContainerRecord) else record
        for question, record in answers.items()
    }


def replay(kind: str, *, with_environments: bool = False) -> Found:
    """The builds of each scenario with their recipes; "" has those that ended in silence."""
    tracker = ClassicTracker("default", ENGINE, redactor=REDACTOR)
    found: Found = {}
    for scenario, recording in recorded(kind).items():
        pairs = [(one, with_environment(two, scenario) if with_environments else two) for one, two in recording]
        builds = [build for event, answers in pairs for build in tracker.fold(event, answers)]
        found[scenario] = [(build, recipes_of(build)) for build in builds]
    found[""] = [(build, recipes_of(build)) for build in tracker.expire(1 << 62)]
    return found


@pytest.fixture(params=KINDS)
def found(request: pytest.FixtureRequest) -> Found:
    return replay(str(request.param))


def by_instruction(build: Build, recipes: dict[str, Recipe], instruction: str) -> list[Recipe]:
    return [recipes[step.id] for step in build.steps if step.instruction == instruction]


def test_every_cacheable_step_has_a_recipe_and_no_other(found: Found):
    for builds in found.values():
        for build, recipes in builds:
            assert set(recipes) == {step.id for step in build.steps if step.cacheable}
            for step in build.steps:
                if step.cacheable:
                    written = recipes[step.id].written
                    assert written is not None
                    assert written.text == f"{step.instruction} {step.command}"


def test_a_recipe_has_the_metadata_instructions_before_its_step(found: Found):
    ((build, recipes),) = found["cold"]
    first, second = by_instruction(build, recipes, "WORKDIR")
    assert [one.text for one in first.before] == ["ARG SECRET=[redacted]", "ENV A=b"]
    assert [one.text for one in second.before] == ["LABEL l=1"]


def test_the_first_step_of_each_stage_names_the_base_image(found: Found):
    ((build, recipes),) = found["cold"]
    bases = [recipes[step.id].images for step in build.steps if step.cacheable]
    assert [len(images) for images in bases] == [1, 0, 0, 1, 0, 0, 0]
    name, image_id = bases[0][0]
    assert name == "base:latest"
    assert image_id.startswith("sha256:")
    assert bases[3] == bases[0]


def test_copied_content_is_told_by_its_hash_and_changes_with_it(found: Found):
    ((cold, cold_recipes),) = found["cold"]
    ((edited, edited_recipes),) = found["edited"]
    (before, _), (after, _) = (
        by_instruction(build, recipes, "COPY") for build, recipes in ((cold, cold_recipes), (edited, edited_recipes))
    )
    assert before.content
    assert before.content != after.content
    assert before.written == after.written
    assert before.content not in repr(before.written)
    assert before.takes == (ContextUse(),)


@pytest.mark.parametrize("kind", KINDS)
def test_the_environment_of_a_run_is_known_by_hashes_and_tells_a_changed_argument(kind: str):
    """The last RUN of a stage is in no history: its container tells what build arguments it got."""
    found = replay(kind, with_environments=True)
    ((cold, cold_recipes),) = found["cold"]
    ((other, other_recipes),) = found[""]
    (one, two) = by_instruction(cold, cold_recipes, "RUN")
    changed = by_instruction(other, other_recipes, "RUN")[0]
    assert set(one.environment) == {"SECRET", "A"}
    assert two.environment == {}
    assert one.environment["A"] == changed.environment["A"]
    assert one.environment["SECRET"] != changed.environment["SECRET"]
    assert one.environment["SECRET"] == REDACTOR.build_args({"SECRET": "hunter2"})[1]["SECRET"]
    assert "hunter" not in repr(found)


def test_arguments_in_the_history_of_a_run_are_its_environment():
    text = parse_history_text("|2 A=x y B= /bin/sh -c make $A")
    assert text is not None
    assert text.assigned == (("A", "x y"), ("B", ""))
    assert text.command == "make $A"
    assert "x y" not in repr(text)


def test_an_owner_does_not_hide_the_hash_of_what_is_copied():
    for space in ("", " "):  # Engine 20.10 has none there, 28.5 one
        text = parse_history_text(f"/bin/sh -c #(nop) COPY --chown=1:1{space}file:{'0' * 64} in /owned ")
        assert text is not None
        assert (text.command, text.content) == ("--chown=1:1 file in /owned", "0" * 64)


def test_the_step_that_failed_has_the_environment_of_its_stage(found: Found):
    ((build, recipes),) = found["failing"]
    assert [set(one.environment) for one in by_instruction(build, recipes, "RUN")] == [{"Q"}, {"Q"}]


def test_no_value_of_a_build_argument_is_in_a_build_or_a_recipe(found: Found):
    assert "hunter" not in repr(found)
