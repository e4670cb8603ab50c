"""What is said of a build as a whole."""

from __future__ import annotations

from dataclasses import replace

from buildprof.analysis.build_words import (
    asked,
    build_label,
    image_name_said,
    revision_said,
    size_change_said,
    status_phrase,
)
from buildprof.model.build import DEFAULT_TARGET, Image, Options, Vcs
from tests.cli.sample_builds import NOW, failed, shop


def test_a_target_that_nobody_named_is_not_said() -> None:
    assert build_label(shop()) == "shop/web"
    assert build_label(replace(shop(), target=DEFAULT_TARGET)) == "shop"


def test_a_build_is_said_to_have_ended_with_its_time_as_far_as_it_is_known() -> None:
    assert status_phrase(shop(), NOW) == "completed in 41.8 s"
    assert status_phrase(failed(), NOW).startswith("FAILED after ")
    assert status_phrase(replace(shop(), completed_ns=None), NOW) == "completed, time not known"


def test_a_value_that_is_not_stored_is_not_said() -> None:
    options = Options(no_cache=True, build_args={"A": "1", "TOKEN": None}, cache_to=("type=inline",))
    assert asked(options) == ["--no-cache", "--cache-to type=inline", "A=1", "TOKEN=[redacted]"]


def test_an_image_has_its_first_name_and_a_revision_its_beginning() -> None:
    assert image_name_said(Image("sha256:i", ("a:1", "b:1", "c:1"))) == "a:1 and 2 more"
    assert image_name_said(Image("sha256:i")) == "sha256:i"
    assert revision_said(Vcs("https://git.example/shop", "0123456789abcdef0123")).startswith(
        "https://git.example/shop at 0123456789"
    )
    assert revision_said(None) == ""


def test_a_change_of_size_has_its_sign() -> None:
    assert [size_change_said(one) for one in (1_200_000, -3000, 0)] == ["+1.2 MB", "-3 kB", "unchanged"]
