from dataclasses import astuple, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildprof.assembly.dockerfile import parse
from buildprof.assembly.facts import VertexFacts
from buildprof.assembly.names import parse_name
from buildprof.assembly.operations import parse_operation
from buildprof.assembly.provenance import Provenance, StepFacts
from buildprof.assembly.recipes import (
    MAX_ORIGINS,
    MAX_USES,
    MAX_VARIABLES,
    MAX_WRITTEN_CHARS,
    OTHERS,
    Placed,
    RecipeFacts,
    make_recipes,
)
from buildprof.assembly.redact import make_redactor
from buildprof.model.build import Status
from buildprof.model.recipe import ContextUse, Recipe, Written
from tests.recordings.replay import NAMES, load, replay

REDACTOR = make_redactor(b"key")
SUCCESSFUL = [name for name in NAMES if load(name).provenance.steps]


def as_text_only(name):
    """The build as it would be known if it had no provenance."""
    return replay(replace(load(name), provenance=Provenance()))


def recipes_of(build):
    return {step.id: step.recipe for step in build.steps if step.recipe}


def recipe(name, command):
    (step,) = [one for one in replay(load(name)).steps if one.recipe and command in one.name and "LINK" not in one.name]
    return step.recipe


def from_text(text, build_args=None, attributes=None, redactor=REDACTOR, provenance=None):
    """The recipes of a Dockerfile's steps in order, as if each was a vertex that stands on the one before it."""
    attributes = attributes or {}
    dockerfile = parse(text, build_args)
    vertices, placed, previous = {}, {}, ()
    for stage in dockerfile.stages:
        for one in stage.instructions:
            if one.position:
                digest = str(one.index)
                vertices[digest] = VertexFacts(digest, f"[{one.position}/{one.of}] {one.text}", previous)
                placed[digest] = Placed(parse_name(vertices[digest].name).kind, "", one)
                previous = (digest,)
    facts = RecipeFacts(redactor, redactor.text, dockerfile, provenance or Provenance(), attributes, build_args or {})
    made = make_recipes(vertices, placed, facts)
    return [made[digest] for digest in vertices if digest in made]


@pytest.mark.parametrize("name", SUCCESSFUL)
def test_the_dockerfile_alone_gives_the_recipe_that_the_provenance_gives(name):
    known, read = recipes_of(replay(load(name))), recipes_of(as_text_only(name))

    assert known
    assert known.keys() == read.keys()
    for digest, exact in known.items():
        text = read[digest]
        assert (exact.written, exact.before, exact.takes) == (text.written, text.before, text.takes)
        assert {one: exact.environment[one] for one in text.environment} == text.environment
        assert [image for image, _ in exact.images] == [image for image, _ in text.images]
        assert [url for url, _ in exact.remotes] == [url for url, _ in text.remotes]
        assert (exact.is_exact, text.is_exact) == (True, False)
        assert (bool(exact.operation), text.operation) == (True, "")
        assert all(digest for _, digest in (*exact.images, *exact.remotes))


def test_failed_and_canceled_builds_have_recipes_of_all_cacheable_steps():
    builds = [replay(load(name)) for name in NAMES]
    unlucky = [one for one in builds if one.status in (Status.FAILED, Status.CANCELED)]

    assert len(unlucky) >= 8
    for build in unlucky:
        assert all((step.recipe is not None) == step.cacheable for step in build.steps)


def test_the_same_build_again_has_the_same_recipes_step_by_step():
    def named(name):
        build = replay(load(name))
        return {step.name: step.recipe for step in build.steps if step.recipe}

    for engine in ("docker-26", "docker-28"):
        assert named(f"{engine}-cold") == named(f"{engine}-warm")
    old, new = named("docker-26-cold"), named("docker-28-cold")
    assert {name: one.operation for name, one in old.items()} == {name: one.operation for name, one in new.items()}


def test_what_every_form_of_a_step_takes():
    def takes(command):
        return [astuple(use) for use in recipe("docker-28-sources", command).takes]

    assert takes("COPY *.txt") == [("context", "*.txt", True, (), ())]
    assert takes("COPY $DIR/ /dir/") == [("context", "src", False, (), ())]
    assert [path for _, path, *_ in takes("COPY --chown")][:2] == ["a.txt", "package.json"]
    assert takes('COPY ["with space.txt"') == [("context", "with space.txt", False, (), ())]
    assert takes("ADD ./$DIR/../a.txt") == [("context", "a.txt", False, (), ())]
    assert takes("COPY <<one.txt") == takes("COPY --from=0") == takes("COPY --from=base:latest") == []
    assert [(context, path) for context, path, *_ in takes("RUN --mount=type=bind,target=/m")] == [
        ("context", ""), ("context", "src"), ("other", "one.txt"),
    ]  # fmt: skip
    assert takes("COPY --from=other one.txt") == [("other", "one.txt", False, (), ())]
    assert takes("COPY $DIR/x.txt /triggered") == [("context", "src/x.txt", False, (), ())]


def test_patterns_are_of_paths_below_what_is_copied():
    some, rest = recipe("docker-28-exclude", "/some/"), recipe("docker-28-exclude", "/rest/")

    assert some.takes == (ContextUse(path="src", exclude=("*.md", "deep/z")),)
    assert rest.takes == (ContextUse(exclude=("*.txt",)),)


def test_a_context_sent_as_an_archive_is_one_remote_by_its_content():
    copy = recipe("docker-28-archive", "COPY a.txt")

    assert copy.takes == ()
    assert copy.remotes == (("-", "sha256:7297ec2cc16fb6611f2aa9af19751809199b4b9ee422c121e0564a349fcb3631"),)


def test_an_address_is_a_remote_with_the_digest_of_what_came():
    add = recipe("docker-28-remote-cold", "ADD http")

    (remote,) = add.remotes
    assert remote[0] == "http://127.0.0.1:18735/package.json"
    assert remote[1].startswith("sha256:ca3d163b")
    assert recipe("docker-28-remote-cold", "RUN cat").remotes == ()


def test_only_what_stands_on_an_image_has_it():
    assert [name for name, _ in recipe("docker-28-cold", "WORKDIR").images] == ["base:latest"]
    assert recipe("docker-28-cold", "COPY . .").images == recipe("docker-28-cold", "RUN sleep").images == ()
    assert [name for name, _ in recipe("docker-28-sources", "COPY --from=other-image").images] == ["base:latest"]


def test_platforms_of_one_build_see_their_own_arguments():
    copies = [one for one in replay(load("docker-28-containerd-architectures")).steps if "$TARGETARCH" in one.name]

    assert {(step.platform, step.recipe.takes[0].path) for step in copies} == {
        ("linux/amd64", "src/amd64"), ("linux/arm64", "src/arm64"),
    }  # fmt: skip


def test_written_text_has_heredocs_and_no_comments_and_no_secrets():
    text = "FROM base\nARG TOKEN=hunter22\nLABEL a=b\nrun one \\\n # aside\n two\nCOPY <<-E /x\n\tDB_PASS=sesame99\nE\n"
    run, copy = from_text(text)

    assert run.written == Written("RUN one  two", (4, 6))
    token, label = run.before
    assert (token.text, token.lines, label) == ("ARG TOKEN=[redacted]", (2, 2), Written("LABEL a=b", (3, 3)))
    assert (copy.written.text, copy.written.lines) == ("COPY <<-E /x\n\tDB_PASS=[redacted]\nE", (7, 9))
    assert copy.before == ()


def test_an_edit_in_what_is_redacted_is_seen_and_not_told():
    one, same, other = (
        from_text(f"FROM base\nRUN log in --password={word}\n")[0].written for word in ("swan99", "swan99", "duck98")
    )
    assert one == same
    assert one.text == other.text
    assert one.differs_from(other)
    assert "swan99" not in repr(one)


def test_values_stand_in_a_recipe_as_the_hashes_of_build_arguments():
    text = "ARG G=global\nFROM base\nARG A=one G\nENV B=$A-$G C=$FROM_BASE\nARG A\nRUN x\nCOPY f $B\n"
    run, copy = from_text(text, {"A": "given"})

    expected = REDACTOR.build_args({"A": "given", "B": "given-global", "G": "global"})[1]
    assert run.environment == expected
    assert copy.environment == {"B": expected["B"]}
    assert "given" not in repr([replace(one, written=None, before=()) for one in (run, copy)])


def test_a_stage_sees_arguments_and_environment_of_the_stage_below_it():
    (run,) = from_text("FROM base AS a\nARG X=1\nENV Y=2\nFROM a\nENV Z=$X$Y\nRUN x\n")

    assert run.environment == REDACTOR.build_args({"X": "1", "Y": "2", "Z": "12"})[1]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a/$KNOWN/b", ContextUse(path="a/k/b")),
        ("a/b$HOME/c", ContextUse(path="a")),
        ("$HOME", ContextUse()),
        ("${HOME:+a/b}", ContextUse()),
        ("${EMPTY:-d}/x", ContextUse(path="d/x")),
        ("'$KNOWN'", ContextUse(path="$KNOWN")),
        ("../../x", ContextUse(path="x")),
        ("/x/", ContextUse(path="x")),
        ("x[12]*", ContextUse(path="x[12]*", wildcard=True)),
        ("${", ContextUse()),
    ],
)
def test_a_source_is_what_its_variables_make_it_or_more_where_they_are_not_known(source, expected):
    (copy,) = from_text(f"FROM base\nARG KNOWN=k EMPTY\nCOPY {source} /\n")
    assert copy.takes == (expected,)


def test_parents_are_patterns_below_the_pivot():
    (copy,) = from_text("FROM base\nCOPY --parents --exclude=*.md a/b.txt x/./y/*.c /\n")

    assert copy.takes == (
        ContextUse(include=("a/b.txt",), exclude=("*.md",)),
        ContextUse(path="x", include=("y/*.c",), exclude=("*.md",)),
    )


def test_named_contexts_are_directories_images_or_addresses():
    attributes = {
        "context:dir": "local:dir",
        "context:git": "https://example.com/x.git#main",
        "context:i": "docker-image://b",
    }
    text = "FROM base\nCOPY --from=dir a /\nCOPY --from=git b /\nCOPY --from=i c /\nRUN --mount=from=dir,source=d,target=/d x\n"
    first, second, third, fourth = from_text(text, attributes=attributes)

    assert first.takes == (ContextUse("dir", "a"),)
    assert (second.takes, second.remotes) == ((), (("https://example.com/x.git#main", ""),))
    assert (third.takes, third.remotes) == ((), ())
    assert fourth.takes == (ContextUse("dir", "d"),)


def test_a_remote_context_is_what_copies_take():
    copy, add = from_text(
        "FROM base\nCOPY a /\nADD https://jane:pw@example.com/f /\n",
        attributes={"context": "https://example.com/app.git"},
    )
    assert (copy.takes, copy.remotes) == ((), (("https://example.com/app.git", ""),))
    assert add.remotes == (("https://[redacted]@example.com/f", ""),)


def test_a_secret_in_a_path_is_cut_off_with_what_follows():
    (copy,) = from_text("FROM base\nARG TOKEN\nCOPY a/$TOKEN/b /\n", {"TOKEN": "correct-horse"})

    assert copy.takes == (ContextUse(path="a"),)


def test_every_size_is_bounded():
    sources = " ".join(f"f{n}" for n in range(MAX_USES + 1))
    variables = "".join(f"ENV V{n}={n}\n" for n in range(MAX_VARIABLES + 10))
    urls = " ".join(f"https://example.com/{n}" for n in range(MAX_ORIGINS + 1))
    long = "x" * (MAX_WRITTEN_CHARS + 1)
    text = f"FROM base\nCOPY {sources} /\n{variables}RUN {long}\nRUN {long}y\nADD {urls} /\n"
    copy, first, second, add = from_text(text)

    assert copy.takes == (ContextUse(),)
    assert len(first.environment) == MAX_VARIABLES + 1
    assert OTHERS in first.environment
    assert len(first.written.text) < MAX_WRITTEN_CHARS + 100
    assert first.written.text != second.written.text
    assert len(add.remotes) == MAX_ORIGINS


def test_an_operation_changes_with_what_is_done_and_not_with_what_it_is_done_to():
    def hashed(**changes):
        meta = {"args": ["sh"], "cwd": "/", "env": ["A=1"], "extraHosts": [{"Host": "h", "IP": "1.2.3.4"}]} | changes
        operation = parse_operation({"Op": {"exec": {"meta": meta, "mounts": [{"dest": "/"}]}}}, ["x"])
        provenance = Provenance(steps={"1": StepFacts(operation=operation)})
        return from_text("FROM base\nRUN x\n", provenance=provenance)[0].operation

    assert hashed() == hashed(env=["A=2"]) == hashed(extraHosts=[{"Host": "h", "IP": "4.3.2.1"}]) == hashed(user="")
    assert len({hashed(), hashed(args=["sh", "-c"]), hashed(cwd="/x"), hashed(user="1"), hashed(extraHosts=[])}) == 5


LINES = st.sampled_from(
    ["FROM base", "FROM base AS s", "FROM s", "ARG A", "ARG A=$B", "ENV A=${B:-x}$A", "ENV B $A", "COPY $A/${B} /", "COPY",
     "COPY --from=s a /", "COPY --exclude=a,b --parents ./*/./x /", "ADD https://x/$A y", 'RUN --mount=type=bind,"x x',
     "RUN --mount=from=$A,source=${B x", "ONBUILD COPY $A /", "WORKDIR $A", "COPY <<E /", "E", "RUN x", "USER a"]
)  # fmt: skip


@given(st.lists(LINES | st.text(max_size=20), max_size=14), st.dictionaries(st.sampled_from("AB"), st.text(max_size=9)))
def test_any_dockerfile_gives_recipes(lines, build_args):
    text = "FROM base\n" + "\n".join(lines)
    if parse(text, build_args) is not None:
        assert all(isinstance(one, Recipe) for one in from_text(text, build_args))
