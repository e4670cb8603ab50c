import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildprof.assembly.variables import (
    MAX_VALUE_CHARS,
    MAX_VARIABLES,
    MAX_WORD_CHARS,
    UNKNOWN,
    Filled,
    StageScope,
    argument_scope,
    fill_in,
    platform_variables,
)

SCOPE = {"A": "one", "NONE": None}
EMPTY = StageScope({}, {})


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("plain", Filled("plain")),
        ("x$A/${NONE:-d}", Filled("xone/d", frozenset({"A", "NONE"}))),
        ("$BASE/x", Filled(f"{UNKNOWN}/x", frozenset({"BASE"}), is_known=False)),
        ("${BASE:+x}", Filled("x", frozenset({"BASE"}), is_known=False)),
        (r"'$A'\$A", Filled("$A$A")),
        ("${A", Filled(UNKNOWN, is_known=False)),
        ("$A" * MAX_WORD_CHARS, Filled(UNKNOWN, is_known=False)),
    ],
)
def test_a_word_is_filled_in_as_far_as_anybody_knows(word, expected):
    assert fill_in(word, "\\", SCOPE) == expected


def test_an_argument_before_from_reaches_a_stage_only_where_it_is_declared():
    given_ = argument_scope([("A=1", "B=$A"), ("C",)], "\\", {"A": "2"}, platform_variables("linux/arm/v7"))
    scope = EMPTY.after("ARG", ("B", "C", "TARGETVARIANT"), "\\", {}, given_)

    assert scope.seen == {"B": "2", "C": None, "TARGETVARIANT": "v7"}
    assert scope.image == {}


def test_all_values_of_one_env_see_what_was_before_it():
    scope = EMPTY.after("ARG", ("A=1",), "\\", {}, {}).after("ENV", ("A", "2", "=", "B", "$A", "="), "\\", {}, {})

    assert scope.seen == {"A": "2", "B": "1"}


def test_a_value_that_only_the_base_image_knows_is_known_no_more():
    scope = EMPTY.after("ARG", ("A=1",), "\\", {}, {}).after("ENV", ("A", "$HOME", "="), "\\", {}, {})

    assert scope.seen == {}


def test_in_the_stage_above_the_image_goes_before_arguments():
    scope = EMPTY.after("ENV", ("A", "1", "="), "\\", {}, {}).after("ARG", ("A=2", "B=3"), "\\", {}, {})

    assert scope.seen == {"A": "2", "B": "3"}
    assert scope.below().seen == {"A": "1", "B": "3"}


def test_values_and_their_number_are_bounded():
    many = tuple(f"V{n}=x" for n in range(MAX_VARIABLES + 1))

    assert EMPTY.after("ARG", many, "\\", {}, {}) == EMPTY
    assert EMPTY.after("ARG", ("A=" + "x" * (MAX_VALUE_CHARS + 1),), "\\", {}, {}).seen == {}


@given(st.text(alphabet="$ABC{}:-+?#%/'\"\\`\0 x", max_size=30), st.sampled_from("\\`"))
def test_any_word_can_be_filled_in(word, escape_token):
    filled = fill_in(word, escape_token, SCOPE)
    assert filled.is_known or filled.names or filled.text == UNKNOWN
    assert filled.is_known == (filled.names <= SCOPE.keys()) or filled.text == UNKNOWN
