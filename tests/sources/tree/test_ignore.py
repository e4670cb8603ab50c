from pathlib import Path

import pytest
from e2b_dockerfile_utils import PatternMatcher
from hypothesis import given, settings
from hypothesis import strategies as st

from buildprof.model.recipe import ContextUse
from buildprof.sources.tree import ignore as module
from buildprof.sources.tree.compare import Moment
from buildprof.sources.tree.ignore import NOTHING, Patterns, ignore_file, read_ignore_file, read_patterns
from buildprof.sources.tree.selection import select
from tests.engines.engine import Engine
from tests.sources.tree.trees import build, index_of, make

FILES = {
    "a.txt": "1",
    "b.md": "1",
    "B.MD": "1",
    "#odd": "1",
    "with space": "1",
    "dir/keep": "1",
    "dir/drop": "1",
    "dir/sub/deep.md": "1",
    "dir/sub/deep.txt": "1",
    "other/sub/x.md": "1",
    "other/empty/": "",
    "x/y/z/file": "1",
}

TRICKY = [
    "",
    "*",
    "dir",
    "dir/",
    "/dir",
    "./dir/sub",
    "dir/*\n!dir/keep",
    "dir\n!dir/keep",
    "!dir/keep\ndir",
    "*\n!dir/sub",
    "*\n!dir/sub/*.md",
    "**\n!**/*.md",
    "**/*.md",
    "**/sub\n!**/sub/deep.md",
    "dir/**",
    "dir/**\n!dir/sub/**",
    "**/z",
    "*/sub",
    "#odd\nb.md",
    "\\#odd",
    "\ufeffa.txt",
    "  a.txt  \r\nwith space",
    "../a.txt\ndir/../b.md",
    "b.*\n!B.MD",
    "[ab].*",
    "[^a].*",
    "?.txt",
    "x/y\n!x/y/z/file",
    "other/**/*.md\n!other/sub",
]


@pytest.mark.parametrize("text", TRICKY)
def test_the_context_is_what_a_real_engine_copies(engine_28: Engine, tmp_path: Path, text: str):
    context = make(tmp_path / "context", FILES)
    (context / ".dockerignore").write_bytes(text.encode())
    copied = build(engine_28, context, "FROM scratch\nCOPY . /\n")
    with index_of(context, tmp_path / "own") as (database, index):
        number, _ = index.take_snapshot(0)
        taken = select(Moment(database, 1, number), [ContextUse()])
    ours = {one.path.decode() + "/" * one.entry.is_directory for one in taken.values()}
    assert ours == set(copied)


PARTS = st.sampled_from(["a", "b", "ab", "*", "**", "a*", "?", "*b"])
LINES = st.builds(
    lambda negated, parts: "!" * negated + "/".join(parts), st.booleans(), st.lists(PARTS, min_size=1, max_size=3)
)


@given(st.lists(LINES, max_size=6), st.lists(st.sampled_from(["a", "b", "ab", "ba"]), min_size=1, max_size=4))
def test_asked_from_the_top_down_patterns_say_what_they_say_of_the_whole_path(lines: list[str], parts: list[str]):
    patterns = read_patterns("\n".join(lines).encode())
    verdict = NOTHING
    pruned = False
    for depth in range(1, len(parts) + 1):
        path = "/".join(parts[:depth])
        verdict = patterns.match(path, verdict)
        assert not (pruned and not verdict[0])
        pruned = pruned or (verdict[0] and not patterns.may_return_below(path))
    assert verdict[0] == PatternMatcher(lines).matches("/".join(parts))


def test_the_dockerfile_s_own_ignore_file_wins_where_there_is_one(tmp_path: Path):
    root = bytes(tmp_path)
    assert ignore_file(root, "web.Dockerfile") == root + b"/.dockerignore"
    (tmp_path / "web.Dockerfile.dockerignore").write_text("x")
    assert ignore_file(root, "web.Dockerfile") == root + b"/web.Dockerfile.dockerignore"
    assert ignore_file(root, str(tmp_path / "web.Dockerfile")) == root + b"/web.Dockerfile.dockerignore"
    assert ignore_file(root, None) == root + b"/.dockerignore"


def test_bad_lines_are_left_out_and_bad_files_are_none(tmp_path: Path):
    patterns = read_patterns(b"[\n!\n*.log\n" + b"*a" * 40 + b"\n[[a]\n\xff\n")
    assert patterns.match("x.log", NOTHING)[0]
    assert not patterns.match("a" * 250, NOTHING)[0]
    assert patterns.match("\udcff", NOTHING)[0]
    assert read_ignore_file(bytes(tmp_path)) == b""
    assert read_ignore_file(bytes(tmp_path / "none")) == b""


@settings(max_examples=2000)
@given(st.text("ab*?/.$+(", min_size=1, max_size=10), st.text("ab/.$+(\n", min_size=1, max_size=12))
def test_names_with_several_stars_match_as_the_library_has_it(line: str, path: str):
    try:
        (compiled,) = PatternMatcher([line])._patterns
    except (ValueError, IndexError):
        return
    linear = module._linear(PatternMatcher([line]).patterns[0])
    assert linear is None or compiled.exclusion or linear(path) == compiled.match(path)


def test_patterns_made_to_take_hours_take_no_time():
    patterns = Patterns([f"*a*a*a*b{number}" for number in range(1900)])
    assert patterns.match("a" * 245 + "1", NOTHING) == NOTHING
    assert patterns.match("xaxaxabxb7", NOTHING)[0]
