from __future__ import annotations

import pytest
from sqlalchemy import Engine

from buildprof.store.short_ref import short_ref
from buildprof.store.writer import Writer
from tests.store.samples import make_build


@pytest.mark.parametrize(
    ("others", "short"),
    [
        ([], "k6g3ggdn"),
        (["k6g3xxxx", "a", "z"], "k6g3ggdn"),
        (["k6g3ggdnq1"], "k6g3ggdnq2"),
        (["k6g3ggdnq3", "k6g3ggdnq2v1", "k6g3"], "k6g3ggdnq2v0"),
        (["k6g3ggdnq2v0m"], "k6g3ggdnq2v0"),
    ],
)
def test_a_short_ref_is_eight_characters_or_as_many_as_tell_it_apart(
    others: list[str], short: str, engine: Engine, writer: Writer
) -> None:
    for ref in ("k6g3ggdnq2v0", *others):
        writer.save_build(make_build(ref), scope="agent")
    assert short_ref(engine, "k6g3ggdnq2v0") == short


def test_one_ref_on_two_builders_is_as_short(engine: Engine, writer: Writer) -> None:
    for builder in ("default", "remote"):
        writer.save_build(make_build("k6g3ggdnq2v0", builder=builder), scope="agent")
    assert short_ref(engine, "k6g3ggdnq2v0") == "k6g3ggdn"
