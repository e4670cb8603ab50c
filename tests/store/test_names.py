from __future__ import annotations

from itertools import islice

from hypothesis import given
from hypothesis import strategies as st

from buildprof.store.names import NAME_CHARACTERS, candidate_names


def test_names_grow_by_the_directory_above() -> None:
    assert list(islice(candidate_names("/work/shop/web", "web"), 3)) == ["web", "shop/web", "work/shop/web"]


def test_words_with_a_meaning_of_their_own_are_no_names() -> None:
    assert next(candidate_names("/work/unknown", "unknown")) == "work/unknown"
    assert next(candidate_names("/work/other", "other")) == "work/other"


@given(directory=st.text(), preferred=st.text())
def test_names_never_end_are_bounded_and_differ(directory: str, preferred: str) -> None:
    names = list(islice(candidate_names(directory, preferred), 300))
    assert len(set(names)) == 300
    assert all(0 < len(name) <= NAME_CHARACTERS for name in names)
