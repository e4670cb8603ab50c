import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildprof.assembly.dockerfile import DEFAULT_SHELL, MAX_TEXT_CHARS, Dockerfile, exec_form, locate, parse
from buildprof.assembly.names import parse_name
from buildprof.sources.progress_log import ProgressLog
from tests.sources.recordings import PROGRESS

EVERY_INSTRUCTION = (PROGRESS / "every-instruction.Dockerfile").read_text()


def read(text: str) -> Dockerfile:
    dockerfile = parse(text)
    assert dockerfile is not None
    return dockerfile


def numbering(text: str) -> list[list[str]]:
    return [
        [f"{stage.name} {one.position}/{one.of} {one.keyword}" for one in stage.instructions if one.position]
        for stage in read(text).stages
    ]


def engine_names(recording: str) -> set[str]:
    with (PROGRESS / recording).open("rb") as file:
        return {vertex.name for update in ProgressLog(file) for vertex in update.vertices}


@pytest.mark.parametrize("recording", ["docker-26-every-instruction.json", "docker-28-every-instruction.json"])
def test_every_step_of_a_real_engine_is_found_at_its_lines(recording: str):
    dockerfile = read(EVERY_INSTRUCTION)
    lines = EVERY_INSTRUCTION.splitlines()
    found = 0
    for text in engine_names(recording):
        name = parse_name(text)
        if name.position is None:
            continue
        one = locate(dockerfile, name.stage, name.position, name.of)
        assert one is not None, text
        command = text.partition("] ")[2].removeprefix("LINK ").partition("] ")[2] or text.partition("] ")[2]
        assert one.keyword == "FROM" or command.removeprefix("ONBUILD ") == one.text
        assert one.keyword in lines[one.lines[0] - 1].upper()
        found += 1
    assert found >= 19


@pytest.mark.parametrize("recording", ["docker-26-every-instruction.json", "docker-28-every-instruction.json"])
def test_every_numbered_instruction_is_a_step_of_the_engine(recording: str):
    # Equal FROMs of two stages are one vertex, with the name of either.
    parsed = [parse_name(text) for text in engine_names(recording)]
    seen = {(name.stage, name.position) for name in parsed if name.position and name.instruction != "FROM"}
    instructions = [one for stage in read(EVERY_INSTRUCTION).stages for one in stage.instructions]
    assert seen == {(one.stage, one.position) for one in instructions if one.position and one.keyword != "FROM"}


def test_a_lone_stage_has_no_name_even_if_it_was_given_one():
    assert numbering("FROM base\nRUN x\n") == [[" 1/2 FROM", " 2/2 RUN"]]
    assert numbering("FROM base AS only\nRUN x\n") == [[" 1/2 FROM", " 2/2 RUN"]]


@pytest.mark.parametrize(
    "line",
    [
        "COPY --from=other /a /a",
        "RUN --mount=type=bind,from=other,target=/m x",
        "RUN --mount=type=cache,target=/c x",
        "RUN --mount=type=tmpfs,target=/t x",
        "RUN --mount=type=secret,id=s x",
        "RUN --network=none --mount=type=bind,target=/m x",
    ],
)
def test_an_image_that_files_are_taken_from_and_any_mount_make_one_stage_more(line: str):
    assert numbering(f"FROM base\n{line}\n") == [["stage-0 1/2 FROM", f"stage-0 2/2 {line.split(maxsplit=1)[0]}"]]


def test_a_lone_stage_is_found_by_any_name_that_a_frontend_gives_it():
    for line in ("RUN x", "RUN --mount=type=cache,target=/c x"):
        dockerfile = read(f"FROM base AS Only\n{line}\n")
        assert {locate(dockerfile, stage, 2).lines for stage in ("", "stage-0", "only")} == {(2, 2)}
        assert locate(dockerfile, "other", 2) is None
    assert locate(read("FROM base\nRUN x\nFROM base\nRUN y\n"), "", 2) is None


def test_assignments_are_those_of_arg_and_env_with_what_is_known_filled_in():
    text = """\
ARG G="a b"
FROM base
ARG A=one B=$G C GIVEN
ENV D='two three' E=${A}-$GIVEN F=\\$x
ENV OLD a value  of old
ONBUILD ENV T=four
FROM base
ARG A=five
"""
    assert parse(text, {"A": "mine", "GIVEN": "yours"}).assignments == (
        ("G", "a b"), ("A", "one"), ("B", "a b"), ("D", "two three"), ("E", "mine-yours"), ("F", "$x"),
        ("OLD", "a value  of old"), ("T", "four"), ("A", "five"),
    )  # fmt: skip


def test_assignments_that_grow_without_end_are_left_out():
    text = "FROM base\nARG A=aaaaaaaa\n" + "ENV A=$A$A\n" * 60
    assert len(read(text).assignments) == 8


def test_a_stage_runs_in_the_shell_that_was_said_last_also_by_the_stage_below():
    text = (
        'FROM base AS a\nRUN 1\nSHELL ["/bin/bash", "-o", "pipefail", "-c"]\nRUN 2\nFROM a\nRUN 3\nFROM base\nRUN 4\n'
    )
    shells = [one.shell for stage in read(text).stages for one in stage.instructions if one.keyword == "RUN"]
    assert shells == [DEFAULT_SHELL, *["/bin/bash -o pipefail -c"] * 2, DEFAULT_SHELL]


def test_the_exec_form_is_a_list_of_strings():
    assert exec_form('["a", "b c"]') == ("a", "b c")
    for command in ("a b", "[ -f x ] && y", "[]", '["a", 1]', '{"a": 1}', "[" * 100_000, ""):
        assert exec_form(command) == ()


def test_an_earlier_stage_and_scratch_as_base_are_not_counted():
    text = "ARG B=scratch\nFROM base AS One\nFROM one\nRUN x\nFROM ${B}\nCOPY --from=0 / /\n"
    assert numbering(text) == [["one 1/1 FROM"], ["stage-1 1/1 RUN"], ["stage-2 1/1 COPY"]]
    assert parse(text, {"B": "debian"}).stages[2].base == "debian"


def test_workdir_of_the_root_is_counted_and_makes_no_step():
    assert numbering("FROM base\nWORKDIR /\nRUN x\n") == [[" 1/3 FROM", " 2/3 RUN"]]


def test_a_heredoc_is_shown_as_buildkit_shows_it_and_its_text_is_kept():
    (stage,) = read(
        "FROM base\nRUN <<EOF\n\none\ntwo\nEOF\nRUN --network=none <<-X\n\tone\nX\nRUN cat <<A >b\nx\nA\n"
    ).stages
    assert [one.text for one in stage.instructions[1:]] == [
        "RUN <<EOF (one...)",
        "RUN --network=none <<-X (one)",
        "RUN cat <<A >b",
    ]
    assert stage.instructions[1].body == "\none\ntwo\n"
    assert stage.instructions[1].lines == (2, 6)


def test_triggers_of_the_base_image_are_not_taken_for_instructions_of_the_stage():
    dockerfile = read("FROM with-triggers\nRUN one\nRUN two\n")
    assert locate(dockerfile, "", 1, 3).keyword == "FROM"
    assert locate(dockerfile, "", 2, 6) is None
    assert locate(dockerfile, "", 2, 3, "COPY") is None
    assert locate(dockerfile, "", 2, 3, "run").text == "RUN one"
    assert locate(dockerfile, "", 9) is None
    assert locate(dockerfile, "other", 2) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "RUN x\n",
        "FROM\n",
        "FROM a b\n",
        "FROM a to b\n",
        "FROM a AS b c\n",
        "NONSENSE x\n",
        "FROM a\nRUN <<EOF\n",
        "# escape=x\nFROM a\n",
        "FROM ${a:-" + "${a:-" * 5000 + "\n",
        "FROM a\nRUN " + "[" * 100_000 + "\n",
        "ARG A=aaaaaaaa\n" + "ARG A=$A$A\n" * 60 + "FROM $A\n",
        "FROM b AS s\n" + "ONBUILD RUN x\n" * 1000 + "FROM s\n" * 1000,
        "FROM a\n" + "#" * MAX_TEXT_CHARS,
    ],
)
def test_what_is_no_dockerfile_or_an_unreasonable_one_is_none(text: str):
    dockerfile = parse(text)
    assert dockerfile is None or dockerfile.stages[0].instructions[1].keyword == "RUN"


LINES = st.sampled_from(
    [
        "FROM base",
        "FROM base AS one",
        "FROM one",
        "RUN a \\",
        "  b",
        "# c",
        "RUN <<E",
        "E",
        "COPY --from=one a b",
        "ONBUILD RUN x",
        "ONBUILD",
        "ENV A=b",
        "ENV",
        "ARG A",
        "WORKDIR",
        "WORKDIR /",
        "ADD",
        'RUN ["a"]',
        "\ufeff",
        "",
    ]
)


@given(st.lists(st.one_of(LINES, st.text(max_size=20)), max_size=12))
def test_any_text_is_read_or_is_none_and_positions_are_unique_and_in_order(lines: list[str]):
    dockerfile = parse("\n".join(lines))
    for stage in dockerfile.stages if dockerfile else ():
        positions = [one.position for one in stage.instructions if one.position is not None]
        assert positions == list(range(1, len(positions) + 1))
        assert all(one.lines[0] <= one.lines[1] for one in stage.instructions)
