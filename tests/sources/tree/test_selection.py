import fnmatch
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildprof.model.recipe import ContextUse
from buildprof.sources.tree.compare import Moment
from buildprof.sources.tree.entry import Entry, Listing, State, make_listing
from buildprof.sources.tree.selection import select
from tests.engines.engine import Engine
from tests.sources.tree.trees import build, index_of, make

FILES = {
    "a.txt": "a",
    "b.txt": "b",
    "src/one.py": "1",
    "src/two.md": "2",
    "src/deep/three.py": "3",
    "src/deep/four.md": "4",
    "lib/one.py": "5",
    "lib/empty/": "",
    "link.txt": "-> a.txt",
    "way": "-> src/deep",
    "src/inner": "-> ../a.txt",
}

# The Dockerfile's line, what it takes, and the directory that the engine makes for it besides.
FORMS = [
    ("COPY a.txt /", [ContextUse(path="a.txt")], ""),
    ("COPY a.txt b.txt /", [ContextUse(path="a.txt"), ContextUse(path="b.txt")], ""),
    ("COPY src /src/", [ContextUse(path="src")], ""),
    ("COPY src/deep /src/deep/", [ContextUse(path="src/deep")], "src/"),
    ("COPY *.txt /", [ContextUse(path="*.txt", wildcard=True)], ""),
    ("COPY [ab].tx? /", [ContextUse(path="[ab].tx?", wildcard=True)], ""),
    ("COPY nothing* a.txt /", [ContextUse(path="nothing*", wildcard=True), ContextUse(path="a.txt")], ""),
    ("COPY link.txt /", [ContextUse(path="link.txt")], ""),
    ("COPY way /way/", [ContextUse(path="way")], ""),
    ("COPY way/three.py /way/", [ContextUse(path="way/three.py")], "way/"),
    ("COPY --exclude=*.md src /src/", [ContextUse(path="src", exclude=("*.md",))], ""),
    ("COPY --exclude=**/*.md src /src/", [ContextUse(path="src", exclude=("**/*.md",))], ""),
    ("COPY --exclude=deep src /src/", [ContextUse(path="src", exclude=("deep",))], ""),
    ("COPY --exclude=deep/three.py src /src/", [ContextUse(path="src", exclude=("deep/three.py",))], ""),
]


@pytest.mark.parametrize(("line", "uses", "made"), FORMS, ids=[form[0] for form in FORMS])
def test_what_a_copy_takes_is_what_a_real_engine_s_image_gets(
    engine_28: Engine, tmp_path: Path, line: str, uses: list[ContextUse], made: str
):
    context = make(tmp_path / "context", FILES)
    copied = build(engine_28, context, f"FROM scratch\n{line}\n")
    with index_of(context, tmp_path / "own") as (database, index):
        number, _ = index.take_snapshot(0)
        taken = select(Moment(database, 1, number), uses)
    ours = {one.name.decode() + "/" * one.entry.is_directory for one in taken.values()}
    assert ours == set(copied) - {made}


@pytest.mark.parametrize("path", ["none", "round", "a.txt/below", "link.txt/below"])
def test_a_source_that_is_not_there_takes_nothing(tmp_path: Path, path: str):
    context = make(tmp_path / "context", {**FILES, "round": "-> round"})
    with index_of(context, tmp_path / "own") as (database, index):
        number, _ = index.take_snapshot(0)
        assert select(Moment(database, 1, number), [ContextUse(path=path)]) == {}


class Paths:
    """A tree of files by their paths."""

    def __init__(self, files: set[str]) -> None:
        self.files = files

    def listing(self, directory: bytes) -> Listing | None:
        prefix = directory.decode() + "/" if directory else ""
        below = [path[len(prefix) :] for path in self.files if path.startswith(prefix)]
        names = {path.partition("/")[0]: "/" in path for path in below}
        if not names:
            return None
        return make_listing(
            Entry(name.encode(), 0o40755 if is_directory else 0o100644, 0, 0, 0, 0, 0, 0, State.HASHED)
            for name, is_directory in names.items()
        )


NAMES = st.sampled_from(["a", "b", "ab", "a.c"])
TREES = st.sets(st.lists(NAMES, min_size=1, max_size=3).map("/".join), min_size=1, max_size=12).map(
    lambda paths: {path for path in paths if not any(other.startswith(path + "/") for other in paths)}
)


@given(TREES, st.lists(st.sampled_from(["a", "b", "*", "a*", "?", "*.c"]), max_size=3))
def test_wildcards_are_matched_part_by_part_as_a_naive_look_at_every_path_does(files: set[str], parts: list[str]):
    taken = select(Paths(files), [ContextUse(path="/".join(parts), wildcard=True)])
    naive = {
        path
        for path in files
        if len(split := path.split("/")) >= len(parts)
        and all(fnmatch.fnmatchcase(name, part) for name, part in zip(split, parts, strict=False))
    }
    assert {one.path.decode() for one in taken.values() if one.entry.is_file} == naive
