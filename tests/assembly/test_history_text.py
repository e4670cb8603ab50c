import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildprof.assembly.history_text import command_text, layer_command, parse_history_text
from buildprof.model.step import Kind


@pytest.mark.parametrize(
    ("text", "instruction", "command", "kind"),
    [
        ("/bin/sh -c apt-get update && true", "RUN", "apt-get update && true", Kind.RUN),
        ("/bin/bash -o pipefail -c a | b", "RUN", "a | b", Kind.RUN),
        ("/bin/sh -e -c echo 1", "RUN", "echo 1", Kind.RUN),
        ("echo hi", "RUN", "echo hi", Kind.RUN),
        ("/bin/sh -c #(nop) WORKDIR /w/x", "WORKDIR", "/w/x", Kind.WORKDIR),
        ("/bin/sh -c #(nop)  ENV A=b", "ENV", "A=b", Kind.METADATA),
        ('/bin/sh -e -c #(nop)  CMD ["sh" "-c"]', "CMD", '["sh" "-c"]', Kind.METADATA),
        ("/bin/sh -c #(nop)  ARG T=1 2", "ARG", "T=[redacted]", Kind.METADATA),
        ("/bin/sh -c #(nop)  ARG T", "ARG", "T", Kind.METADATA),
    ],
)
def test_an_entry_is_an_instruction_and_its_command(text: str, instruction: str, command: str, kind: Kind):
    found = parse_history_text(text)
    assert found is not None
    assert (found.instruction, found.command, found.kind) == (instruction, command, kind)


def test_the_content_of_a_copy_is_apart_from_its_command():
    digest = "0646b7b769776f22a1f92520ddf7590b215ec37370ddde538a3683e1889e51fa"
    found = parse_history_text(f"/bin/sh -c #(nop) COPY file:{digest} in /app ")
    assert found is not None
    assert (found.command, found.content) == ("file in /app", digest)


def test_what_others_wrote_is_no_entry_of_the_classic_builder():
    assert parse_history_text("") is None
    assert parse_history_text("RUN /bin/sh -c echo 1 # buildkit") is None
    assert command_text(()) is None


@pytest.mark.parametrize(
    ("text", "names", "command"),
    [
        ("|1 T=a b c /bin/sh -c echo 1", ("T",), "echo 1"),
        ("|2 A=x B=y /bin/bash -o pipefail -c make", ("A", "B"), "make"),
        ("|1 T=x /bin/sh -c sh -c secret", ("T",), "secret"),
        ("|1 T=a b c echo hi", ("T",), "[redacted]"),
    ],
)
def test_values_of_build_arguments_are_left_out(text: str, names: tuple[str, ...], command: str):
    found = parse_history_text(text)
    assert found is not None
    assert (found.arguments, found.command) == (names, command)


@given(st.text(max_size=60))
def test_no_value_of_a_build_argument_comes_out(value: str):
    found = parse_history_text(f"|1 TOKEN=<<{value}>> /bin/sh -c make")
    assert found is not None
    assert found.command == "make"


@given(st.text(max_size=300))
def test_any_text_is_taken(text: str):
    parse_history_text(text)


@pytest.mark.parametrize(
    ("created_by", "command"),
    [
        ("RUN /bin/sh -c apt-get update # buildkit", "RUN apt-get update"),
        ("RUN |1 TOKEN=swan99 /bin/sh -c make # buildkit", "RUN make"),
        ("COPY . . # buildkit", "COPY . ."),
        ("WORKDIR /srv", "WORKDIR /srv"),
        ('CMD ["sh"]', 'CMD ["sh"]'),
        ("/bin/sh -c make", "RUN make"),
        ("/bin/sh -c #(nop) COPY dir:0123456789 in . ", "COPY dir in ."),
        ("", ""),
    ],
)
def test_what_made_a_layer_is_told_as_an_instruction(created_by: str, command: str):
    assert layer_command(created_by) == command
