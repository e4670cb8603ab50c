import pytest

from buildprof.analysis.gates import Gates, Growth, broken_gates, parse_growth, parse_size


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("200MB", 200_000_000),
        ("1.5GiB", 1_610_612_736),
        ("12", 12),
        ("3 kB", 3000),
        ("1K", 1000),
        ("0B", 0),
        ("2T", 2 * 10**12),
    ],
)
def test_sizes_are_as_docker_writes_them(text: str, size_bytes: int):
    assert parse_size(text) == size_bytes


@pytest.mark.parametrize("text", ["", "MB", "-1MB", "1 XB", "1e9", "inf", "٣MB", "1" * 100])
def test_what_is_no_size_is_refused(text: str):
    with pytest.raises(ValueError, match="size such as"):
        parse_size(text)


def test_growth_is_a_share_or_a_size():
    assert parse_growth("5%") == parse_growth("5 %") == Growth(share=0.05)
    assert parse_growth("10MB") == Growth(bytes=10_000_000)
    for text in ("%", "x%", "-5%", "nan%"):
        with pytest.raises(ValueError, match="such as"):
            parse_growth(text)


def broken(gates: Gates, before_bytes: int | None = 1000) -> list[str]:
    return broken_gates(
        gates,
        size_bytes=1100,
        wasted_bytes=100,
        efficiency=0.9,
        grown_bytes=None if before_bytes is None else 100,
        before_bytes=before_bytes,
    )


def test_a_limit_that_is_kept_says_nothing():
    kept = Gates(1100, 0.9, 100, Growth(share=0.1))
    assert broken(kept) == broken(Gates()) == broken(Gates(max_growth=Growth(bytes=0)), None) == []


def test_each_limit_that_is_not_kept_says_what_it_is():
    assert broken(Gates(1099, 0.91, 99, Growth(bytes=99))) == [
        "size 1.1 kB is above 1.1 kB",
        "efficiency 0.9000 is below 0.91",
        "wasted 100 B is above 99 B",
        "growth of 100 B from 1 kB is above 99 B",
    ]
    assert broken(Gates(max_growth=Growth(share=0.05))) == ["growth of 100 B from 1 kB is above 5 %"]
