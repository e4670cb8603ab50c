import pytest

from buildprof.assembly.facts import BuildFacts
from buildprof.assembly.progress import is_cut_off, record_of, split_by_build
from buildprof.model.events import RecordState, StatusUpdate, Vertex, VertexStatus
from tests.assembly.events import facts_of, vertex
from tests.recordings.replay import load

DEFINITION = "load build definition from"


BAKE = "[internal] load local bake definitions"


def stream(*names):
    facts = BuildFacts()
    for name in names:
        facts.observe(StatusUpdate(vertices=(Vertex(name, name, (), False, 1, 2),)))
    return facts


def names(facts):
    return {prefix: [vertex.name for vertex in one.vertices.values()] for prefix, one in facts.items()}


def test_a_stream_of_one_build_is_one_build():
    said = [f"[internal] {DEFINITION} Dockerfile", "[1/2] FROM base", "exporting to image"]

    assert names(split_by_build(stream(*said))) == {"": said}


def test_a_stream_without_a_definition_is_one_build():
    assert names(split_by_build(stream("[1/2] FROM base"))) == {"": ["[1/2] FROM base"]}


def test_a_stream_of_several_builds_is_split_by_the_name_that_stands_first():
    said = [
        f"[web internal] {DEFINITION} Dockerfile",
        f"[api internal] {DEFINITION} api/Dockerfile",
        "[web build 1/2] RUN x",
        "[api 1/2] RUN x",
        "[web] exporting to image",
        "[auth] base:pull token",
    ]

    assert names(split_by_build(stream(*said))) == {"api": [said[1], said[3]], "web": [said[0], said[2], said[4]]}


def test_builds_of_one_call_that_share_their_dockerfile_are_two():
    said = [f"[api internal] {DEFINITION} Dockerfile", "[web internal] load build context", "[web] exporting to image"]

    assert names(split_by_build(stream(*said))) == {"api": said[:1], "web": said[1:]}


def test_a_build_without_a_name_keeps_what_no_other_build_claims():
    said = [f"[web internal] {DEFINITION} Dockerfile", f"[internal] {DEFINITION} Dockerfile", "[1/2] RUN x"]

    assert names(split_by_build(stream(*said))) == {"": said[1:], "web": said[:1]}


def test_what_bake_does_first_is_part_of_no_build():
    said = [f"[internal] {DEFINITION} Dockerfile", "[1/2] RUN x"]

    assert names(split_by_build(stream(BAKE, *said))) == {"": said}
    assert split_by_build(stream(BAKE)) == {}


@pytest.mark.parametrize(
    ("vertices", "is_cut"),
    [
        ([("[1/2] FROM base", (1, 2)), ("[2/2] RUN x", (2, 3))], False),
        ([("[1/2] FROM base", (1, 2)), ("[2/2] RUN x", (2, None))], True),
        ([("[1/2] FROM base", (1, 2)), ("[2/2] RUN x", None)], True),
        ([("[1/2] FROM base", (1, 2)), ("[2/2] RUN x", None), ("exporting to image", (3, 4))], False),
        ([("[1/2] FROM base", (1, 2)), ("[2/2] RUN x", None), ("exporting to image", (3, None))], True),
        ([("[1/2] FROM base", (1, 2, "no such image")), ("[2/2] RUN x", None)], False),
    ],
)
def test_a_stream_is_cut_off_where_nothing_failed_and_something_is_not_done(vertices, is_cut):
    facts = facts_of(*(vertex(name, *([run] if run else []), name=name) for name, run in vertices))

    assert is_cut_off(facts, "", "") == is_cut
    assert not is_cut_off(facts, "", "failed to solve: Canceled")


def test_the_record_of_a_stream_says_what_the_record_of_the_engine_says():
    recording = load("docker-28-cold")
    record = record_of(recording.facts, "", "")

    assert record.state is RecordState.COMPLETE
    assert record.error_code is None
    assert record.frontend_attrs == {"filename": "Dockerfile"}
    assert record.exporters == (("image", {"name": "docker.io/library/app:stages"}),)
    assert 0 <= record.created_ns - recording.record.created_ns < 10_000_000
    assert 0 <= recording.record.completed_ns - record.completed_ns < 10_000_000


@pytest.mark.parametrize(("name", "code"), [("docker-28-failed", 2), ("docker-28-canceled", 1)])
def test_the_record_of_a_stream_tells_failed_from_canceled(name, code):
    recording = load(name)
    record = record_of(recording.facts, "", "")

    assert record.error_code == code
    assert record.error_message.startswith("process ")
    assert record_of(recording.facts, "", "ERROR: no").error_message == "ERROR: no"


def test_the_client_may_tell_of_an_error_that_no_vertex_has():
    facts = facts_of(vertex("a", (1, 2)))

    assert record_of(facts, "", "ERROR: failed to push").error_code == 2
    assert record_of(facts, "", "ERROR: failed to solve: Canceled: context canceled").error_code == 1


def test_a_failed_step_counts_more_than_those_that_were_canceled_for_it():
    record = record_of(facts_of(vertex("a", (1, 2, "x: context canceled")), vertex("b", (1, 2, "broken"))), "", "")

    assert (record.error_code, record.error_message) == (2, "broken")


def test_the_same_stream_has_the_same_ref_and_another_has_another():
    def ref(*vertices, prefix=""):
        return record_of(facts_of(*vertices), prefix, "").ref

    assert ref(vertex("a", (1, 2))) == ref(vertex("a", (1, 2), (3, 4)))
    assert ref(vertex("a", (1, 2))) == ref(vertex("a", (1, 2)), vertex("b", (3, 4)))
    assert (
        len(
            {
                ref(vertex("a", (1, 2))),
                ref(vertex("a", (2, 2))),
                ref(vertex("b", (1, 2))),
                ref(vertex("a", (1, 2)), prefix="web"),
            }
        )
        == 4
    )


def test_a_stream_in_which_nothing_ran_has_no_record():
    assert record_of(facts_of(vertex("a")), "", "") is None
    assert record_of(facts_of(), "", "ERROR: no such file") is None


def test_a_name_that_is_given_twice_is_one_tag():
    facts = facts_of(vertex("a", (1, 2)))
    for id_ in ("naming to app:1", "naming to app:1 done", "naming to app:2", "unpacking to app:3"):
        facts.observe(StatusUpdate(statuses=(VertexStatus(id_, "a", "", 0, 0),)))

    assert [attrs["name"] for _, attrs in record_of(facts, "", "").exporters] == ["app:1", "app:2"]
