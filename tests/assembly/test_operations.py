import json

import pytest

from buildprof.assembly.operations import MAX_NAME_CHARS, Operation, Read, has_wildcards, parse_operation
from tests.recordings.replay import load


def copy_of(**fields):
    action = {"input": 0, "secondaryInput": 1, "Action": {"copy": {"src": "/a", "dest": "/b", "mode": -1, **fields}}}
    return parse_operation({"Op": {"file": {"actions": [action]}}}, ["base", "source"])


def test_a_copy_reads_its_source_with_patterns_and_stands_on_its_first_input():
    operation = copy_of(src="/s/*", allowWildcard=True, include_patterns=["x"], exclude_patterns=["y", "z"])

    assert operation.reads == (Read("source", "s/*", True, ("x",), ("y", "z")), Read("base"))


def test_a_wildcard_is_one_only_where_the_operation_allows_it():
    assert [copy_of(src="/a*", allowWildcard=allowed).reads[0].wildcard for allowed in (True, False)] == [
        True,
        False,
    ]
    assert [has_wildcards(path) for path in ("a*", "a?", "[a", r"a\*", r"a\\*", "a")] == [
        True, True, True, False, True, False,
    ]  # fmt: skip


def test_a_path_or_pattern_that_is_too_long_is_read_as_everything():
    long = "x" * (MAX_NAME_CHARS + 1)

    assert copy_of(src=long, include_patterns=["a", long]).reads[0] == Read("source")


def test_what_is_copied_is_no_part_of_what_is_done_but_for_its_last_name():
    assert copy_of(src="/x/a").definition == copy_of(src="/y/a").definition != copy_of(src="/x/b").definition
    assert len({copy_of(**one).definition for one in ({}, {"dest": "/c"}, {"mode": 1}, {"owner": {"user": 1}})}) == 4


def test_fields_that_are_empty_or_missing_mean_the_same():
    assert copy_of(followSymlink=False, owner=None, modeStr="").definition == copy_of().definition


def test_sources_are_contexts_images_or_addresses():
    def source(identifier, **attrs):
        one = parse_operation({"Op": {"source": {"identifier": identifier, "attrs": attrs}}}, [])
        return one.context, one.image, one.remote

    assert source("local://context") == ("context", "", "")
    assert source("docker-image://docker.io/library/b:1") == ("", "docker.io/library/b:1", "")
    assert source("https://example.com/f") == ("", "", "https://example.com/f")
    repository = source("git://example.com/x.git#main:sub", **{"git.fullurl": "https://example.com/x.git"})
    assert repository == ("", "", "https://example.com/x.git#main:sub")


def test_every_recorded_operation_is_of_a_known_kind():
    operations = [facts.operation for facts in load("docker-28-sources").provenance.steps.values()]

    assert all(isinstance(one, Operation) for one in operations)
    runs = [one for one in operations if one.environment]
    assert len(runs) == 4
    assert all(one.environment["PATH"].endswith(":/bin") and one.platform == "linux/amd64" for one in runs)
    assert not any("PATH" in one.definition for one in operations)
    assert all(json.loads(one.definition) is not None for one in operations)


@pytest.mark.parametrize("op", [None, [], 1, {"Op": []}, {"Op": {"exec": {"mounts": [[], {"input": True}]}}}])
def test_what_is_no_operation_does_nothing(op):
    assert parse_operation(op, ["x"]).reads == ()
