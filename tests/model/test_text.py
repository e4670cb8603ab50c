from __future__ import annotations

import unicodedata
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buildprof.model.text import (
    clean,
    clean_lines,
    human_age,
    human_duration,
    human_size,
    parse_since,
    rfc3339,
    said_duration,
    short_age,
    short_duration,
    short_size,
)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("RUN npm ci", "RUN npm ci"),
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x9b31mred", "red"),
        ("a\x1b]0;title\x07b\x1b]8;;http://x\x1b\\c", "abc"),
        ("a\x1b(Bb\x1bMc", "abc"),
        ("\u202egnp.exe\u2066", "gnp.exe"),
        ("a\r\n\tb\u2028c\x00\x7f", "a b c"),
        ("zero\u200bwidth\ufeff", "zerowidth"),
        ("half \ud800 pair", "half pair"),
        ("ünï çödé 漢字 🚀", "ünï çödé 漢字 🚀"),
    ],
)
def test_what_is_not_text_is_taken_out(text: str, shown: str) -> None:
    assert clean(text) == shown


@settings(deadline=None)
@given(st.text(), st.integers(1, 40))
def test_clean_text_is_one_bounded_line_of_harmless_characters(text: str, limit: int) -> None:
    shown = clean(text, limit)
    assert len(shown) <= limit
    assert not any(unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for character in shown)
    assert clean(shown, limit) == shown


def test_a_megabyte_is_cut() -> None:
    assert clean("x" * 1_000_000, 10) == "xxxxxxxxx…"
    assert clean("\x1b[m" * 1_000_000 + "y", 10) == "…"


def test_lines_keep_their_indent_and_the_last_form_of_a_progress_bar() -> None:
    assert clean_lines("a\n\tindented\n 10%\r 20%\r100%\r\nend") == ["a", "    indented", "100%", "end"]


@pytest.mark.parametrize(
    ("seconds", "short", "human"),
    [
        (0, "0.0", "0.0 s"),
        (37.84, "37.8", "37.8 s"),
        (59.94, "59.9", "59.9 s"),
        (59.96, "1 m 0 s", "1 m 0 s"),
        (130, "2 m 10 s", "2 m 10 s"),
        (3599.6, "1 h 00 m", "1 h 00 m"),
        (3900, "1 h 05 m", "1 h 05 m"),
        (-1.25, "-1.2", "-1.2 s"),
    ],
)
def test_durations(seconds: float, short: str, human: str) -> None:
    assert short_duration(seconds) == short
    assert human_duration(seconds) == human


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0 s"), (0.0009, "<1 ms"), (0.001, "1 ms"), (0.018, "18 ms"), (0.0996, "0.1 s"), (41.8, "41.8 s")],
)
def test_short_times_in_sentences_are_milliseconds_and_none_is_said_as_zero_of_them(seconds: float, said: str) -> None:
    assert said_duration(seconds) == said


@pytest.mark.parametrize(
    ("size", "short", "human"),
    [
        (0, "0", "0 B"),
        (999, "999", "999 B"),
        (1000, "1k", "1 kB"),
        (48_200, "48k", "48 kB"),
        (999_499, "999k", "999 kB"),
        (999_500, "1M", "1 MB"),
        (1_200_000, "1.2M", "1.2 MB"),
        (-1_200_000, "-1.2M", "-1.2 MB"),
        (214_000_000, "214M", "214 MB"),
        (3 * 10**12, "3T", "3 TB"),
    ],
)
def test_sizes(size: int, short: str, human: str) -> None:
    assert short_size(size) == short
    assert human_size(size) == human


@settings(deadline=None)
@given(st.integers(0, 999 * 10**12))
def test_a_short_size_fits_its_column(size: int) -> None:
    assert len(short_size(size)) <= 4


@pytest.mark.parametrize(
    ("seconds", "human", "short"),
    [
        (-5, "just now", "just now"),
        (0.5, "just now", "just now"),
        (1, "1 second ago", "1 sec ago"),
        (180, "3 minutes ago", "3 min ago"),
        (7200, "2 hours ago", "2 hours ago"),
        (3600, "1 hour ago", "1 hour ago"),
        (86_400, "1 day ago", "1 day ago"),
        (900_000, "10 days ago", "10 days ago"),
    ],
)
def test_ages(seconds: float, human: str, short: str) -> None:
    assert human_age(seconds) == human
    assert short_age(seconds) == short


@settings(deadline=None)
@given(st.integers(0, 2**62))
def test_times_keep_their_nanoseconds(time_ns: int) -> None:
    text = rfc3339(time_ns)
    assert len(text) == len("2026-01-01T00:00:00.000000000Z")
    whole = datetime.fromisoformat(text[:19]).replace(tzinfo=UTC)
    assert int(whole.timestamp()) * 10**9 + int(text[20:29]) == time_ns


NOW = 1_790_000_000 * 10**9


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30s", 30), ("5m", 300), ("12h", 43_200), ("7d", 604_800), ("2w", 1_209_600), ("999999999w", NOW // 10**9)],
)
def test_since_takes_a_length(text: str, seconds: int) -> None:
    assert parse_since(text, NOW) == NOW - seconds * 10**9


@pytest.mark.parametrize("text", ["2026-01-31T12:00:00Z", "2026-01-31T13:00:00+01:00", "2026-01-31 12:00:00"])
def test_since_takes_a_time(text: str) -> None:
    assert parse_since(text, NOW) == 1_769_860_800 * 10**9


@pytest.mark.parametrize(
    "text", ["", "7", "7y", "-7d", "d", "7 d", "yesterday", "2026-13-01", "2026-01-31T99:00", "20260131"]
)
def test_since_refuses_the_rest(text: str) -> None:
    with pytest.raises(ValueError, match=r"\d"):
        parse_since(text, NOW)
