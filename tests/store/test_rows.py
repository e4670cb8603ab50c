from __future__ import annotations

import uuid
from dataclasses import replace

from hypothesis import HealthCheck, given, settings
from sqlalchemy import Engine

from buildprof.model.build import BuildError
from buildprof.store.queries import find_build, list_builds, overlapping_builds
from buildprof.store.rows import clean, dump_labels, load_labels
from buildprof.store.writer import Writer
from tests.store.samples import make_build, make_step
from tests.strategies import builds, hostile_texts

many = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@many
@given(build=builds())
def test_a_build_comes_back_as_it_was_saved(engine: Engine, writer: Writer, build) -> None:
    build = replace(build, ref=str(uuid.uuid4()))  # of a build saved before, the later generation would stay
    writer.save_build(build, scope="agent")
    assert find_build(engine, build.ref, builder=build.builder) == build


def test_a_build_comes_back_whole_from_among_others(engine: Engine, writer: Writer) -> None:
    first = make_build("one", dockerfile_digest="sha256:1", dockerfile_text="FROM a")
    second = make_build("two", steps=(make_step("x"), make_step("y", inputs=("x", "elsewhere"))))
    writer.save_builds([(first, ()), (second, ())], scope="agent")
    assert overlapping_builds(engine, "default", first.started_ns, first.started_ns) == [first, second]


@many
@given(text=hostile_texts())
def test_hostile_text_is_stored_without_what_databases_refuse(engine: Engine, writer: Writer, text) -> None:
    step = make_step(text, name=text, command=text, error=text, identity=text)
    build = make_build(
        "hostile",
        project=text,
        target=text,
        context=text,
        platforms=(text,),
        steps=(step,),
        error=BuildError(text, text, (text,)),
    )
    writer.save_build(build, scope=text)
    kept = find_build(engine, "hostile")
    expected = clean(text)
    assert (kept.project, kept.target, kept.context, kept.platforms) == (expected, expected, expected, (expected,))
    assert kept.error == BuildError(expected, expected, (expected,))
    assert (kept.steps[0].name, kept.steps[0].command, kept.steps[0].error) == (expected, expected, expected)


def test_clean_text_has_no_nul_and_no_lone_surrogate() -> None:
    assert clean("a\0b\ud800c\N{GRINNING FACE}é") == "abc\N{GRINNING FACE}é"


def test_a_text_that_stands_in_an_index_is_bounded(engine: Engine, writer: Writer) -> None:
    long = "é" * 1_000_000
    writer.save_build(make_build("r" * 100_000, project=long, target=long, builder="b" * 5000), scope=long)
    kept = list_builds(engine)[0]
    assert len(kept.project) == len(kept.target) == len(kept.ref) == len(kept.builder) == 255


def test_labels_have_one_canonical_text() -> None:
    assert dump_labels((("b", "2"), ("a", "1"))) == dump_labels((("a", "1"), ("b", "2"))) == '{"a":"1","b":"2"}'
    assert load_labels(['{"a":"1","b":"2"}', "{}"]) == [(("a", "1"), ("b", "2")), ()]
