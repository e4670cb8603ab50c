import pytest

from buildprof.analysis.gates import Gates, Growth, broken_gates, parse_growth, parse_share, parse_size


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


@pytest.mark.parametrize(
    ("text", "share"), [("0.95", 0.95), ("95%", 0.95), (" 95 % ", 0.95), (".5", 0.5), ("1", 1), ("100%", 1), ("0", 0)]
)
def test_an_efficiency_is_a_share_or_a_percentage(text: str, share: float):
    assert parse_share(text) == share


@pytest.mark.parametrize("text", ["", "%", "95", "101%", "1.5", "-1", "nan", "1e-1", "٩%", "9" * 100])
def test_what_is_no_share_is_refused(text: str):
    with pytest.raises(ValueError, match=r"such as 0\.95 or 95%"):
        parse_share(text)


def broken(gates: Gates, before_bytes: int | None = 1000, base_wasted_bytes: int | None = None) -> list[str]:
    return broken_gates(
        gates,
        size_bytes=1100,
        wasted_bytes=100,
        efficiency=0.9,
        base_wasted_bytes=base_wasted_bytes,
        grown_bytes=None if before_bytes is None else 100,
        before_bytes=before_bytes,
    )


def test_a_limit_that_is_kept_says_nothing():
    kept = Gates(1100, 0.9, 100, Growth(share=0.1))
    assert broken(kept) == broken(Gates()) == broken(Gates(max_growth=Growth(bytes=0)), None) == []


def test_each_limit_that_is_not_kept_says_what_it_is():
    assert broken(Gates(1099, 0.91, 99, Growth(bytes=99))) == [
        "size 1,100 B is above 1,099 B",
        "efficiency 0.9000 is below 0.91",
        "wasted 100 B is above 99 B",
        "growth of 100 B from 1 kB is above 99 B",
    ]
    assert broken(Gates(max_growth=Growth(share=0.05))) == ["growth of 100 B from 1 kB is above 5%"]


def test_of_too_much_waste_it_is_said_what_the_base_image_brings_along():
    assert broken(Gates(max_wasted_bytes=50), base_wasted_bytes=70) == [
        "wasted 100 B is above 50 B",
        "70 B of the waste is the base image's",
    ]
    assert broken(Gates(min_efficiency=0.95), base_wasted_bytes=0)[1:] == ["none of the waste is the base image's"]
    assert broken(Gates(max_size_bytes=1000), base_wasted_bytes=70) == ["size 1.1 kB is above 1 kB"]


def test_an_efficiency_below_the_limit_never_reads_as_the_limit():
    (said,) = broken_gates(Gates(min_efficiency=0.95), size_bytes=1, wasted_bytes=1, efficiency=0.949999)
    assert said == "efficiency 0.9499 is below 0.95"
