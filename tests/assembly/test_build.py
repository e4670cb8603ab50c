import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildprof.assembly.build import BuildInputs, ImageFacts, assemble, build_arguments, text_digest
from buildprof.assembly.facts import BuildFacts
from buildprof.assembly.projects import Placement
from buildprof.assembly.redact import make_redactor
from buildprof.model.build import Engine, Image, Status, Vcs
from buildprof.model.events import BuildRecord, HistoryEntry, RecordState, StatusUpdate, Vertex, VertexLog
from tests.assembly.events import facts_of, vertex
from tests.recordings.replay import DIRECTORY, EXPECTED, NAMES, document_text, load, replay, replay_name

SECOND = 1_000_000_000
RECORD = BuildRecord("ref", RecordState.COMPLETE, 3, SECOND, 9 * SECOND)


def assembled(facts=None, image=None, text="", placement=None, **fields):
    record = replace(RECORD, **fields)
    return assemble(
        BuildInputs(
            builder="default",
            engine=Engine("docker", "1"),
            record=record,
            facts=facts or BuildFacts(),
            placement=placement or Placement(project="app"),
            redactor=make_redactor(b"key").for_build(build_arguments(record)),
            dockerfile_text=text,
            image=image,
        )
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_recording_gives_the_build_that_is_expected(name):
    assert document_text(replay_name(name)) == (EXPECTED / f"{name}.json").read_text()


def test_every_recording_has_an_expectation_and_every_expectation_a_recording():
    assert sorted(path.stem for path in EXPECTED.iterdir()) == sorted(path.stem for path in DIRECTORY.glob("*.jsonl"))


@pytest.mark.parametrize("name", NAMES)
def test_a_recording_that_is_replayed_twice_gives_the_same_build(name):
    assert replay_name(name) == replay_name(name)
    assert repr(replay_name(name)) == repr(replay_name(name))


def test_no_value_of_a_build_argument_is_anywhere_in_a_build():
    with_arguments = [name for name in NAMES if "correct-horse" in (DIRECTORY / f"{name}.jsonl").read_text()]

    assert len(with_arguments) == 7
    for name in with_arguments:
        build = replay_name(name)
        assert "correct-horse" not in repr(build)
        assert build.options.build_args == {"TOKEN": None}
        assert build.options.build_arg_hashes["TOKEN"]


def test_no_value_that_a_dockerfile_assigns_to_a_secret_is_anywhere_in_a_build_and_every_step_has_its_lines():
    with_mounts = [name for name in NAMES if "-mounts" in name]

    assert len(with_mounts) == 5
    for name in with_mounts:
        assert "sesame9" in (DIRECTORY / f"{name}.jsonl").read_text()
        build = replay_name(name)
        assert "sesame9" not in repr(build)
        # A recipe has the Dockerfile's own words.
        assert "open1envvalue" not in repr([replace(step, recipe=None) for step in build.steps])
        assert all(step.lines for step in build.steps if step.position)


@pytest.mark.parametrize("name", NAMES)
def test_the_order_in_which_vertices_were_reported_does_not_matter(name):
    recording = load(name)
    seen = recording.facts.vertices.values()
    backwards = StatusUpdate(vertices=tuple(Vertex(one.digest, one.name, one.inputs) for one in reversed(seen)))
    turned = replace(recording, updates=(backwards, *recording.updates))

    assert list(turned.facts.vertices) == list(recording.facts.vertices)[::-1]
    assert replay(turned) == replay(recording)


def test_what_a_dockerfile_assigns_to_a_secret_is_not_in_the_log_of_a_failure():
    facts = facts_of(
        vertex("a", (SECOND, 2 * SECOND, "echo sesame9: exit code: 1"), name="[other 7/9] RUN echo sesame9")
    )
    facts.observe(StatusUpdate(logs=(VertexLog("a", b"+ echo sesame9\n"),)))
    text = "FROM base\nENV DB_PASS=sesame9\nRUN x\n"
    build = assembled(facts, text=text, error_code=2, error_message="failed: sesame9")

    assert "sesame9" not in repr(build)
    assert "sesame9" in repr(assembled(facts, error_code=2))  # nothing tells that it is a secret


def test_builds_of_no_known_project_share_a_history_only_if_their_dockerfiles_are_equal():
    facts = facts_of(vertex("a", (SECOND, 2 * SECOND), name="[2/2] RUN x"))

    def identity(text, **placement):
        return assembled(facts, text=text, placement=Placement(**placement)).steps[0].identity

    one, other = "FROM base\nRUN x\n", "FROM base\nRUN x\nCMD y\n"
    assert identity(one) == identity(one) != ""
    assert identity(one) != identity(other)
    assert identity("") == ""
    assert identity(one, project="app") == identity(other, project="app")
    assert identity("", project="app") != ""


def test_the_lines_of_a_completed_build_are_those_of_its_dockerfile():
    for name in ("docker-26-cold", "docker-28-warm", "docker-28-containerd-cold"):
        lines = load(name).files["Dockerfile"].splitlines()
        for step in replay_name(name).steps:
            if step.position:
                assert lines[step.lines[0] - 1].startswith(step.instruction)


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({}, Status.COMPLETED),
        ({"state": RecordState.STARTED, "completed_ns": None}, Status.RUNNING),
        ({"completed_ns": None}, Status.RUNNING),
        ({"error_code": 1}, Status.CANCELED),
        ({"error_code": 2}, Status.FAILED),
        ({"error_code": 0}, Status.FAILED),
    ],
)
def test_the_status_follows_from_the_record(fields, status):
    assert assembled(**fields).status is status


def test_a_build_of_which_nothing_was_told_is_a_build_without_steps():
    build = assembled()

    assert (build.steps, build.duration_seconds, build.error, build.image) == ((), 8.0, None, None)


def test_an_error_names_the_first_step_that_failed_and_what_it_said_last():
    facts = facts_of(
        vertex("late", (SECOND, 5 * SECOND, "exit code: 1")),
        vertex("early", (SECOND, 4 * SECOND, "exit code: 2")),
        vertex("canceled", (SECOND, 3 * SECOND, "x: context canceled")),
    )
    facts.observe(StatusUpdate(logs=(VertexLog("early", b"one\ntwo\n"), VertexLog("late", b"three\n"))))
    error = assembled(facts, error_code=2, error_message="failed to solve").error

    assert (error.message, error.step_id, error.log_tail) == ("failed to solve", "early", ("one", "two"))


def test_an_error_of_no_step_has_no_log():
    error = assembled(error_code=2, error_message="").error

    assert (error.message, error.step_id, error.log_tail) == ("no message", None, ())


@pytest.mark.parametrize("padding", range(960, 1001))
def test_a_secret_that_stands_where_a_log_line_is_cut_is_not_cut_in_half(padding):
    facts = facts_of(vertex("a", (SECOND, 2 * SECOND, "exit code: 1")))
    facts.observe(StatusUpdate(logs=(VertexLog("a", b"." * padding + b" correct-horse-battery\n"),)))
    error = assembled(facts, error_code=2, frontend_attrs={"build-arg:TOKEN": "correct-horse-battery"}).error

    assert "corr" not in error.log_tail[0]
    assert len(error.log_tail[0]) <= 1000


@pytest.mark.parametrize("length", [10, 985, 2000])
def test_credentials_in_a_contexts_url_are_redacted_wherever_it_is_cut(length):
    url = f"https://user:{'p' * length}@example.com/app.git"
    build = assembled(frontend_attrs={"context": url, "filename": url, "vcs:source": url, "vcs:revision": "abc"})

    for text in (build.context, build.dockerfile, build.vcs.source):
        assert text == "https://[redacted]@example.com/app.git"
    assert build.vcs.revision == "abc"
    assert assembled().vcs is None
    assert assembled(frontend_attrs={"vcs:revision": "abc"}).vcs == Vcs("", "abc")


@pytest.mark.parametrize(
    ("fields", "image"),
    [
        ({}, None),
        ({"exporters": (("local", {"dest": "out"}),)}, None),
        ({"result_digest": "sha256:1"}, Image("sha256:1")),
        ({"exporter_response": {"containerimage.digest": "sha256:2"}}, Image("sha256:2")),
        ({"result_digest": "sha256:1", "exporters": (("image", {"name": "app:1, app:2,app:1"}),)}, Image("sha256:1", ("app:1", "app:2"))),
        ({"result_digest": "sha256:1", "exporters": (("image", {"name": ""}),), "exporter_response": {"image.name": "app:3"}}, Image("sha256:1", ("app:3",))),
        ({"exporters": (("image", {"name": "app:1"}),)}, Image("", ("app:1",))),
        ({"exporters": (("image", {"name": "app:1"}),), "error_code": 2}, None),
        ({"exporters": (("image", {"name": "app:1"}),), "completed_ns": None}, None),
    ],
)  # fmt: skip
def test_an_image_is_what_was_exported(fields, image):
    assert assembled(**fields).image == image


def test_what_the_engine_knows_of_the_image_completes_it():
    facts = ImageFacts("sha256:1", ("app:old",), 100, 2, (HistoryEntry("", 0, "", 100),))

    assert assembled(image=facts, result_digest="sha256:1").image == Image("sha256:1", ("app:old",), 100, 2)
    named = assembled(image=facts, result_digest="sha256:1", exporters=(("image", {"name": "app:new"}),))
    assert named.image.tags == ("app:new",)


def test_tags_are_bounded():
    name = ",".join(f"app:{number}" + "x" * 2000 for number in range(5000))
    tags = assembled(exporters=(("image", {"name": name}),)).image.tags

    assert len(tags) == 100
    assert max(map(len, tags)) == 1000


def test_options_tell_what_was_asked_of_the_builder():
    imports = [
        {"Type": "registry", "Attrs": {"ref": "localhost:5000/cache", "token": "hunter2secret"}},
        {"Type": "gha"},
        5,
    ]
    attrs = {
        "no-cache": "",
        "cache-imports": json.dumps(imports),
        "cache-from": "app:cache,",
        "build-arg:A": "value-of-a",
        "target": "web",
    }
    facts = facts_of(vertex("a", (SECOND, 2 * SECOND), name="exporting cache to registry"))
    options = assembled(facts, frontend_attrs=attrs).options

    assert options.no_cache
    assert options.cache_from == ("type=registry,ref=localhost:5000/cache,token=[redacted]", "type=gha", "app:cache")
    assert options.cache_to == ("registry",)
    assert options.build_args == {"A": None}
    assert not assembled().options.no_cache


def test_platforms_are_those_asked_for_else_those_made_else_those_seen():
    made = json.dumps({"Platforms": [{"ID": "linux/arm64"}]})
    seen = facts_of(vertex("a", (SECOND, 2 * SECOND), name="[linux/s390x 1/1] RUN x"))

    asked = assembled(
        seen, frontend_attrs={"platform": "linux/amd64,linux/arm64"}, exporter_response={"refs.platforms": made}
    )
    assert asked.platforms == ("linux/amd64", "linux/arm64")
    assert assembled(seen, exporter_response={"refs.platforms": made}).platforms == ("linux/arm64",)
    assert assembled(seen).platforms == ("linux/s390x",)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["Platforms", "ID", "Type", "Attrs", "history"]), inner)
    ),
)


@given(JSON.map(json.dumps) | st.text(max_size=20) | st.just("[" * 100_000), st.text(max_size=20))
def test_any_attribute_is_read(document, text):
    attrs = {"cache-imports": document, "cache-from": text, "platform": text, "filename": text, "build-arg:": text}
    response = {"refs.platforms": document, "containerimage.config": document, "image.name": text}

    assembled(
        image=ImageFacts("", history=(HistoryEntry("", 0, "", 1),)), frontend_attrs=attrs, exporter_response=response
    )
    assembled(frontend_attrs=attrs, exporter_response=response, text=text)


def test_the_dockerfile_is_stored_redacted_with_the_digest_of_what_was_built():
    text = "FROM base\nENV PASSWORD=hunter2secret\n"
    build = assembled(text=text)

    assert build.dockerfile_digest == text_digest(text)
    assert "hunter2secret" not in build.dockerfile_text
    assert build.dockerfile_text.startswith("FROM base\nENV PASSWORD=")
    assert assembled().dockerfile_digest == ""
    assert len(text_digest("\ud800")) == 64


def test_a_placement_says_where_a_build_belongs():
    placement = Placement(
        project="shop", target="web", group="g", directory="/src/shop", dockerfile="web.Dockerfile", context="."
    )
    build = assembled(placement=placement)

    assert (build.project, build.target, build.group, build.directory) == ("shop", "web", "g", "/src/shop")
    assert (build.dockerfile, build.context) == ("web.Dockerfile", ".")
    assert assembled(placement=placement, frontend_attrs={"filename": "D"}).dockerfile == "D"
