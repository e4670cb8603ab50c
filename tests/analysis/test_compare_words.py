"""What is said of two builds that are compared."""

from __future__ import annotations

import pytest

from buildprof.analysis.bases import BaseChange
from buildprof.analysis.compare_words import (
    file_difference_bytes,
    file_note,
    other_base_said,
    signed_duration,
    signed_size,
)
from buildprof.model.image import FileGrowth


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(7.0, "+7.0 s"), (-7.0, "-7.0 s"), (-0.053, "-53 ms"), (0.04, "0 s"), (-0.04, "0 s"), (0.0, "0 s")],
)
def test_a_difference_has_its_sign_and_chance_has_none(seconds: float, said: str) -> None:
    assert signed_duration(seconds) == said


def test_a_size_has_its_sign() -> None:
    assert [signed_size(one) for one in (1_200_000, -3000, 0)] == ["+1.2 MB", "-3 kB", "0 B"]


@pytest.mark.parametrize(
    ("before", "after", "difference", "note"),
    [
        (None, 5, 5, "new"),
        (5, None, -5, "gone"),
        (5, 5, 0, "as large, other bytes"),
        (5, 7, 2, ""),
    ],
)
def test_a_file_that_came_went_or_changed_is_said_to_have(
    before: int | None, after: int | None, difference: int, note: str
) -> None:
    file = FileGrowth("a", before, after, 0)
    assert (file_difference_bytes(file), file_note(file)) == (difference, note)


def test_another_base_is_told_by_the_beginning_of_its_digests_where_they_are_known() -> None:
    change = BaseChange("node:20", "sha256:" + "a" * 64, "sha256:" + "b" * 64)
    assert other_base_said(change) == f"node:20 is another image: {'b' * 12} now, {'a' * 12} before"
    assert other_base_said(BaseChange("node:20")) == "node:20 is another image now"
