from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from buildprof.analysis.reading_order import reading_order
from tests.cli.sample_builds import ALL, multi_platform, shop, step

EXPECTED = [
    "[internal] load build definition from Dockerfile",
    "[internal] load metadata for docker.io/library/node:20",
    "[internal] load .dockerignore",
    "[internal] load build context",
    "FROM",
    "WORKDIR /app",
    "COPY package.json .",
    "RUN npm ci",
    "COPY . .",
    "RUN npm run build",
    "COPY --from=build /dist .",
    "exporting to image",
]


def test_preparation_comes_first_then_stages_then_exports() -> None:
    ordered = reading_order(shop().steps)
    assert [one.name.partition("] ")[2] if one.position else one.name for one in ordered][5:] == EXPECTED[5:]
    assert [one.name for one in ordered][:4] == EXPECTED[:4]


@settings(deadline=None)
@given(st.sampled_from(sorted(ALL)), st.randoms(use_true_random=False))
def test_the_order_in_which_steps_were_reported_does_not_matter(name: str, chance: random.Random) -> None:
    steps = list(ALL[name]().steps)
    expected = reading_order(steps)
    assert sorted(one.id for one in expected) == sorted(one.id for one in steps)
    chance.shuffle(steps)
    assert reading_order(steps) == expected


def test_stages_stand_as_in_the_dockerfile_where_its_lines_are_known() -> None:
    late = step("RUN a", begin=5, end=6, place=("first", 2, 2), lines=(2, 2))
    early = step("RUN b", begin=1, end=2, place=("second", 2, 2), lines=(5, 5))
    assert reading_order([early, late]) == [late, early]


def test_a_stage_stands_after_those_that_it_takes_from() -> None:
    source = step("RUN a", begin=5, end=6, place=("zz", 2, 2))
    user = step("COPY --from=zz /a /", begin=1, end=7, place=("aa", 1, 1), inputs=(source.id,))
    assert reading_order([user, source]) == [source, user]


def test_platforms_are_kept_together() -> None:
    platforms = [one.platform for one in reading_order(multi_platform().steps)]
    assert platforms == ["linux/amd64"] * 3 + ["linux/arm64"] * 3


def test_stages_that_take_from_each_other_in_a_ring_get_some_order() -> None:
    one = step("RUN a", begin=1, end=2, place=("a", 1, 1), id="1", inputs=("2",))
    two = step("RUN b", begin=2, end=3, place=("b", 1, 1), id="2", inputs=("1",))
    assert reading_order([two, one]) == [one, two]


def test_a_chain_of_thousands_of_stages_is_put_in_order_at_once() -> None:
    """Each takes from the one before, and began after the one that takes from it: only the chain tells the order."""
    count = 4000
    names = [f"s{number:04}" for number in range(count)]
    steps = [
        step(
            "RUN a", begin=count - at, end=count - at + 1, place=(name, 1, 1), id=name, inputs=tuple(names[at - 1 : at])
        )
        for at, name in enumerate(names)
    ]
    assert [one.id for one in reading_order(reversed(steps))] == names
