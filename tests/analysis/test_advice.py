from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildprof.analysis.advice import advice, ignorable
from buildprof.model.explanation import Cause
from buildprof.model.step import Kind
from tests.analysis.test_sentences import BASE, COPY, INSTALL, a_build, a_miss
from tests.cli.sample_explanations import files


@pytest.mark.parametrize(
    ("path", "pattern"),
    [
        *(
            ("README.md", "README.md"),
            ("docs/a/b.rst", "docs"),
            ("pkg/tests/test_a.py", "pkg/tests"),
            (".git/HEAD", ".git"),
        ),
        *(("LICENSE", "LICENSE"), (".dockerignore", ".dockerignore"), ("docker/Dockerfile", "docker/Dockerfile")),
        *((".vscode/x.json", ".vscode"), (".github/workflows/ci.yml", ".github"), ("compose.yaml", "compose.yaml")),
        *(("src/main.py", None), ("package.json", None), ("testing.py", None), ("README", "README"), ("", None)),
    ],
)
def test_files_that_images_do_without_are_told_by_what_to_ignore(path, pattern):
    assert ignorable(path) == pattern


def advised(evidence, *steps, cause=Cause.SOURCE_CHANGED, of=COPY, collateral=(), **changes) -> str:
    return advice(a_miss(cause, evidence, of=of, collateral=collateral), a_build(*steps, **changes))


def test_files_that_no_step_needs_go_to_dockerignore():
    assert advised(files("README.md")) == "Usually no step needs README.md: add it to .dockerignore."
    assert advised(files("docs/a", "docs/b", "LICENSE")) == (
        "Usually no step needs docs and LICENSE: add them to .dockerignore."
    )


def test_a_file_that_a_step_needs_beside_them_or_names_itself_is_no_matter_for_dockerignore():
    assert advised(files("README.md", "main.py")) == ""
    assert advised(files("README.md", changed_count=60)) == ""
    for command in ("README.md /app/", '["./README.md", "/app/"]', "*.md /app/", "--chown=1 README.md LICENSE /"):
        assert advised(files("README.md"), replace(COPY, command=command)) == ""
    assert advised(files("docs/a"), replace(COPY, command="docs/ /app/")) == ""
    assert advised(files("docs/a"), replace(COPY, command=". docs/")) != ""


def slow(command: str, **changes):
    fields = {"id": "slow", "command": command, "name": f"[app 3/4] RUN {command}", "duration_seconds": 6.4, **changes}
    return replace(INSTALL, **fields)


@pytest.mark.parametrize("command", ["sleep 6", "apt-get update && apt-get install -y gcc", "pip install flask"])
def test_a_slow_step_that_seems_to_need_nothing_of_what_was_copied_is_to_stand_above_it(command):
    step = slow(command)
    text = advised(files("app.py"), COPY, step, collateral=("slow",))
    assert text.endswith("ran again for it and took 6.4 s: if it needs nothing of what COPY . . brings, put it above.")
    assert command[:20] in text


@pytest.mark.parametrize(
    ("command", "changes"),
    [
        ("make all", {}),
        ("python app.py", {}),
        ("cat app.py > out", {}),
        ("npm run build", {}),
        ("sleep 6", {"duration_seconds": 0.9}),
        ("sleep 6", {"stage": "another"}),
        ("sleep 6", {"kind": Kind.COPY}),
    ],
)
def test_a_step_that_works_on_the_files_or_is_quick_stays_where_it_is(command, changes):
    assert advised(files("app.py"), COPY, slow(command, **changes), collateral=("slow",)) == ""


def test_what_was_copied_by_its_name_is_wanted_where_it_is():
    named = replace(COPY, command="app.py /app/")
    assert advised(files("app.py"), named, slow("sleep 6"), of=named, collateral=("slow",)) == ""


def test_sources_copied_before_an_install_are_to_be_copied_after_it():
    text = advised(files("src/app.js"), collateral=(INSTALL.id,))
    assert text == (
        "RUN npm ci (Dockerfile:5) ran again for it: "
        "copy package.json and package-lock.json first, then install, then copy the rest."
    )
    assert advised(files("src/app.js", "package.json"), collateral=(INSTALL.id,)) == ""
    assert advised(files("src/app.js")) == ""
    assert (
        advised(files("src/app.js"), BASE, replace(COPY, command="package.json ."), INSTALL, collateral=(INSTALL.id,))
        == ""
    )


def test_an_argument_that_the_step_does_not_name_is_to_be_declared_later():
    dockerfile = "FROM node:20\nARG BUILD\n\nCOPY . .\nRUN npm ci\n"
    text = advised({"names": ["BUILD"]}, cause=Cause.BUILD_ARG_CHANGED, of=INSTALL, dockerfile_text=dockerfile)
    assert text == "The step does not name BUILD: declare it later, after the steps that do without."
    named = dockerfile.replace("npm ci", "npm ci --tag=$BUILD")
    assert advised({"names": ["BUILD"]}, cause=Cause.BUILD_ARG_CHANGED, of=INSTALL, dockerfile_text=named) == ""


@pytest.mark.parametrize(
    ("cause", "evidence", "word"),
    [
        (Cause.BASE_CHANGED, {"image": "docker.io/library/node:20"}, "pin node:20 by its digest"),
        (Cause.NO_CACHE, {"option": "--no-cache"}, "Builds without --no-cache use the cache."),
        (Cause.EVICTED, {"by": "gc"}, "Raise the builder's cache limit"),
        (Cause.EVICTED, {"by": "prune"}, "--filter until="),
        (Cause.COLD_BUILDER, {}, "--cache-to on one and --cache-from on the other"),
        (Cause.SOURCE_CHANGED, {"missing": "/srv/shop"}, "To know which file, let the agent read /srv/shop: mount it"),
    ],
)
def test_where_there_is_something_to_do_it_is_said(cause, evidence, word):
    assert word in advised(evidence, cause=cause)


@pytest.mark.parametrize("cause", [Cause.FIRST_BUILD, Cause.UNKNOWN, Cause.EVICTED, Cause.REMOTE_CHANGED])
def test_where_there_is_nothing_to_do_nothing_is_said(cause):
    assert advised({}, cause=cause) == ""


@given(st.text(max_size=300))
def test_any_path_is_told_to_be_ignorable_or_not(path):
    pattern = ignorable(path)
    assert pattern is None or path == pattern or path.startswith(f"{pattern}/")
