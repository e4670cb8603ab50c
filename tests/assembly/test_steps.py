import pytest

from buildprof.assembly.dockerfile import parse
from buildprof.assembly.outcomes import as_neighbour
from buildprof.assembly.provenance import Provenance, StepFacts
from buildprof.assembly.steps import StepContext, make_steps
from buildprof.model.cache import CacheRecord, CacheUsage
from buildprof.model.events import StatusUpdate, VertexStatus
from buildprof.model.step import CACHEABLE_KINDS, Kind, Layer, Outcome
from tests.assembly.events import facts_of, vertex
from tests.recordings.replay import NAMES, load, replay_name

SECOND = 1_000_000_000
DOCKERFILE = """\
FROM base AS deps
ARG TOKEN
RUN echo $TOKEN
COPY a b \\
  /dst/
FROM deps
RUN echo $TOKEN
RUN echo $TOKEN
"""


def context(dockerfile=DOCKERFILE, **fields):
    given = {"started_ns": 0, "completed_ns": 100 * SECOND, "identity_prefix": "app"}
    same = {"redact": lambda text: text, "redact_written": lambda text: text}
    return StepContext(**(given | same | {"dockerfile": parse(dockerfile)} | fields))


def steps_of(*vertices, **fields):
    """The steps by their id."""
    return {step.id: step for step in make_steps(facts_of(*vertices).vertices, context(**fields))}


def run(digest, name, *runs, **fields):
    return vertex(digest, *(runs or [(SECOND, 2 * SECOND)]), name=name, **fields)


def test_a_step_says_what_the_dockerfile_says_and_not_what_its_name_has_filled_in():
    step = steps_of(run("a", "[deps 2/3] RUN echo hunter2"))["a"]

    assert (step.name, step.command) == ("[deps 2/3] RUN echo $TOKEN", "echo $TOKEN")
    assert step.lines == (3, 3)


def test_continued_lines_are_all_told():
    assert steps_of(run("a", "[deps 3/3] COPY a b   /dst/"))["a"].lines == (4, 5)


def test_a_step_has_the_same_identity_whatever_its_arguments_and_its_digest():
    one = steps_of(run("a", "[deps 2/3] RUN echo 1"))["a"].identity
    other = steps_of(run("b", "[deps 2/3] RUN echo 2"))["b"].identity

    assert one == other != ""


def test_steps_of_equal_text_differ_by_their_occurrence():
    steps = steps_of(
        run("a", "[stage-1 1/2] RUN echo 1"), run("b", "[stage-1 2/2] RUN echo 1"), run("c", "[deps 2/3] RUN echo 1")
    )

    assert len({step.identity for step in steps.values()}) == 3


def test_without_a_dockerfile_position_and_name_are_the_identity():
    def identity(name, **fields):
        return steps_of(run("a", name), dockerfile="", **fields)["a"].identity

    assert identity("[2/3] RUN echo 1") == identity("[2/3] RUN  echo 1")
    others = [identity(name) for name in ("[3/3] RUN echo 1", "[2/4] RUN echo 1", "[2/3] RUN sleep 3")]
    assert identity("[2/3] RUN echo 1") not in others
    hidden = [identity(f"[2/3] RUN echo {one}", redact=lambda text: text.replace("1", "2")) for one in (1, 2)]
    assert hidden[0] == hidden[1]


def test_without_a_prefix_no_step_has_an_identity():
    assert steps_of(run("a", "[deps 2/3] RUN echo 1"), identity_prefix="")["a"].identity == ""


def test_a_lone_stage_keeps_its_identities_when_its_steps_begin_to_show_a_name():
    def identity(name, text):
        return steps_of(run("a", name), dockerfile=text)["a"].identity

    plain = "FROM base\nRUN x\n"
    with_mount = plain + "RUN --mount=type=cache,target=/c y\n"
    assert identity("[2/2] RUN x", plain) == identity("[stage-0 2/3] RUN x", with_mount)


def test_a_step_that_shows_another_builds_stage_is_found_by_its_lines():
    provenance = Provenance(steps={"a": StepFacts(locations=((3, 3),))})
    step = steps_of(run("a", "[other 5/9] RUN echo 1"), provenance=provenance)["a"]

    assert (step.stage, step.position, step.of, step.lines) == ("deps", 2, 3, (3, 3))
    assert step.name == "[deps 2/3] RUN echo $TOKEN"
    alone = steps_of(run("a", "[other 2/2] RUN x"), dockerfile="FROM base\n\nRUN x\n", provenance=provenance)["a"]
    assert alone.stage == ""


def test_a_name_that_the_dockerfile_does_not_have_is_kept_as_it_is():
    step = steps_of(run("a", "[deps 2/3] COPY x y"))["a"]

    assert (step.name, step.command, step.lines) == ("[deps 2/3] COPY x y", "x y", None)


def test_a_trigger_of_a_base_stage_is_found_in_the_dockerfile():
    dockerfile = "FROM base AS one\nONBUILD RUN echo on\nFROM one\nRUN echo off\n"
    step = steps_of(run("a", "[stage-1 1/2] ONBUILD RUN echo on"), dockerfile=dockerfile)["a"]

    assert (step.kind, step.outcome, step.lines) == (Kind.RUN, Outcome.MISS, (2, 2))


def test_a_clients_prefix_is_no_part_of_a_name():
    step = steps_of(run("a", "[web deps 2/3] RUN echo 1"), client_prefix="web")["a"]

    assert (step.name, step.stage) == ("[deps 2/3] RUN echo $TOKEN", "deps")


def test_a_duration_is_the_union_of_all_runs():
    step = steps_of(run("a", "x", (SECOND, 3 * SECOND), (2 * SECOND, 5 * SECOND), (8 * SECOND, 9 * SECOND)))["a"]

    assert (step.started_ns, step.completed_ns, step.duration_seconds) == (SECOND, 9 * SECOND, 5.0)


def test_what_ran_before_or_after_the_build_is_not_counted():
    steps = steps_of(
        run("a", "x", (SECOND, 20 * SECOND)),
        run("b", "y", (SECOND, 2 * SECOND)),
        started_ns=10 * SECOND,
        completed_ns=15 * SECOND,
    )

    assert (steps["a"].started_ns, steps["a"].completed_ns, steps["a"].duration_seconds) == (
        10 * SECOND,
        15 * SECOND,
        5.0,
    )
    assert steps["b"].duration_seconds is None


def test_a_step_that_runs_has_no_end_until_the_build_ends():
    vertices = run("a", "[deps 2/3] RUN x", (SECOND, None))

    running, ended = (steps_of(vertices, completed_ns=end)["a"] for end in (None, 9 * SECOND))
    assert (running.outcome, running.completed_ns, running.duration_seconds) == (Outcome.MISS, None, 0.0)
    assert (ended.outcome, ended.completed_ns, ended.duration_seconds) == (Outcome.CANCELED, 9 * SECOND, 8.0)


def test_steps_stand_in_the_order_of_their_start_and_those_that_never_ran_last():
    vertices = facts_of(vertex("never", name="z"), run("b", "y", (5, 6)), run("a", "x", (2, 3))).vertices

    assert [step.id for step in make_steps(vertices, context())] == ["a", "b", "never"]


def test_what_started_at_once_stands_in_the_order_of_the_dockerfile():
    vertices = [run("b", "[deps 3/3] COPY a b", (2, 2)), run("a", "[deps 2/3] RUN x", (2, 2)), vertex("c", name="z")]

    for order in (vertices, vertices[::-1]):
        assert [step.id for step in make_steps(facts_of(*order).vertices, context())] == ["a", "b", "c"]


def test_inputs_that_were_never_reported_are_left_out():
    assert steps_of(run("a", "x", inputs=["b", "c"]), run("b", "y"))["a"].inputs == ("b",)


def test_a_step_that_a_neighbour_started_is_shared():
    neighbour = as_neighbour("b", 0, facts_of(run("a", "[1/1] RUN x")).vertices)
    this = as_neighbour("a", 1, facts_of(run("a", "[1/1] RUN x")).vertices)

    assert steps_of(run("a", "[1/1] RUN x"), this=this, neighbours=[neighbour])["a"].outcome is Outcome.SHARED


def test_errors_are_redacted_and_bounded():
    step = steps_of(run("a", "[1/1] RUN x", error="secret " * 1000), redact=lambda text: text.replace("secret", "*"))[
        "a"
    ]

    assert step.error.startswith("* * ")
    assert len(step.error) <= 4000


def test_a_run_without_a_result_has_stored_nothing():
    record = CacheRecord("1", 7, "mount / from exec /bin/sh -c x", "regular", False, False, created_ns=SECOND)
    name, usage = "[1/1] RUN x", CacheUsage("default", 0, (record,))

    assert steps_of(run("a", name), usage=usage)["a"].stored_bytes == 7
    assert steps_of(vertex("a", name=name), usage=usage)["a"].stored_bytes is None
    for error in ("exit code: 1", "x: context canceled"):
        assert steps_of(run("a", name, (SECOND, 2 * SECOND, error)), usage=usage)["a"].stored_bytes is None


def test_what_a_run_stored_is_found_in_exec_form_and_under_another_shell():
    for engine in ("docker-26", "docker-28", "docker-28-containerd"):
        runs = [step for step in replay_name(f"{engine}-mounts").steps if step.kind is Kind.RUN]
        assert len(runs) == 4
        assert None not in [step.stored_bytes for step in runs]


def transferred(kind_name, *transfers, **fields):
    facts = facts_of(run("a", kind_name))
    for id_, name, current in transfers:
        facts.observe(StatusUpdate(statuses=(VertexStatus(id_, "a", name, current, 0),)))
    return make_steps(facts.vertices, context(**fields))[0].transferred_bytes


BLOB = "sha256:" + "0" * 64


def test_the_bytes_of_a_context_are_those_that_the_client_sent():
    name = "[internal] load build context"

    assert transferred(name, ("transferring context: ", "transferring", 472), ("other", "other", 9)) == 472
    assert transferred(name) is None


def test_the_bytes_of_a_base_are_those_of_its_blobs_and_none_if_it_was_there():
    assert transferred("[1/2] FROM base", (BLOB, "downloading", 30), ("extracting " + BLOB, "extract", 99)) == 30
    assert transferred("[1/2] FROM base") == 0
    assert transferred("[1/2] RUN x") is None


def test_layers_of_a_hit_that_came_uncounted_are_of_the_size_that_the_provenance_tells():
    other, unknown = "sha256:" + "1" * 64, "sha256:" + "2" * 64
    provenance = Provenance(steps={"a": StepFacts(layer_chain=((BLOB, 30), (other, 12), (unknown, None)))})
    pulls = [(f"pulling {BLOB}", "", 0), (f"pulling {other}", "", 0)]

    assert transferred("[1/2] RUN x", *pulls, provenance=provenance) == 42
    assert transferred("[1/2] RUN x", *pulls, (BLOB, "downloading", 31), provenance=provenance) == 43
    assert transferred("[1/2] RUN x", (f"pulling {BLOB}", "", 29), provenance=provenance) == 29
    assert transferred("[1/2] RUN x", *pulls, (f"pulling {unknown}", "", 0), provenance=provenance) is None
    assert transferred("[1/2] RUN x", *pulls) is None


def test_a_blob_is_counted_once_in_a_build():
    facts = facts_of(run("b", "[2/2] RUN y", (3, 4)), run("a", "[1/2] FROM base", (1, 2)))
    blobs = [VertexStatus(BLOB, one, "downloading", 30, 30) for one in "ab"]
    facts.observe(StatusUpdate(statuses=(*blobs, VertexStatus("sha256:" + "1" * 64, "b", "downloading", 5, 5))))

    assert [step.transferred_bytes for step in make_steps(facts.vertices, context())] == [30, 5]


@pytest.mark.parametrize(("engine", "bytes_"), [("docker-26", 419105), ("docker-28", 427729)])
def test_a_hit_from_a_registry_moved_its_layers(engine, bytes_):
    moved = {step.command: step.transferred_bytes for step in replay_name(f"{engine}-pulled-2").steps}

    assert moved["cat /large > /twice"] == bytes_
    assert moved["seq 1 100000 > /large"] is None


def test_the_layer_of_a_step_is_the_last_of_its_chain():
    provenance = Provenance(steps={"a": StepFacts(layer_chain=(("sha256:base", 5), ("sha256:own", None)))})

    assert steps_of(run("a", "x"), provenance=provenance, layer_sizes=[100, 7])["a"].layer == Layer(
        "sha256:own", 7, None
    )
    assert steps_of(run("a", "x"), provenance=provenance)["a"].layer == Layer("sha256:own")
    assert steps_of(run("a", "x"))["a"].layer is None


def test_what_a_run_stored_is_found_by_its_command_without_flags():
    def record(description):
        return CacheRecord(description, 7, description, "regular", False, False, created_ns=SECOND)

    usage = CacheUsage("default", 0, (record("mount / from exec /bin/sh -c make"), record("[2/2] COPY a b")))
    steps = steps_of(
        run("a", "[1/2] RUN --network=none --mount=type=cache,target=/c make"), run("b", "[2/2] COPY a b"), usage=usage
    )

    assert [steps["a"].stored_bytes, steps["b"].stored_bytes] == [7, 7]


@pytest.mark.parametrize("name", NAMES)
def test_every_vertex_of_a_recording_is_one_step(name):
    steps = replay_name(name).steps

    assert {step.id for step in steps} == set(load(name).facts.vertices)
    assert all(step.cacheable == bool(step.identity) for step in steps)
    of_a_source = [step for step in steps if step.kind is Kind.ADD and not step.inputs]
    assert all(step.cacheable == (step.kind in CACHEABLE_KINDS and step not in of_a_source) for step in steps)
    assert len({step.identity for step in steps if step.identity}) == sum(step.cacheable for step in steps)
    assert all(step.lines for step in steps if step.position)


def test_a_step_keeps_its_identity_over_builds_engines_and_outcomes():
    def identities(name):
        return {
            step.command: step.identity
            for step in replay_name(name).steps
            if step.cacheable and step.kind is not Kind.MERGE
        }

    cold = identities("docker-28-cold")
    for other in ("docker-26-cold", "docker-28-warm", "docker-28-no-cache", "docker-28-containerd-warm"):
        assert identities(other) == cold
