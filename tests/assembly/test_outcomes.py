from hypothesis import given
from hypothesis import strategies as st

from buildprof.assembly.outcomes import as_neighbour, input_order, outcomes, started_elsewhere
from buildprof.model.step import Kind, Outcome
from tests.assembly.events import facts_of, vertex
from tests.recordings.replay import load, replay, replay_name

CANCELED = "did not complete: context canceled"


def outcomes_of(*vertices, ended=True, **kinds):
    found = facts_of(*vertices).vertices
    return outcomes(found, {digest: kinds.get(digest, Kind.RUN) for digest in found}, ended=ended)


def words(build):
    """The outcomes of the cacheable steps by their text."""
    return {
        f"{step.stage} {step.instruction} {step.command}".strip(): step.outcome.value
        for step in build.steps
        if step.cacheable
    }


def of_every_engine(scenario):
    return [replay_name(f"{engine}-{scenario}") for engine in ("docker-26", "docker-28", "docker-28-containerd")]


def test_every_step_of_a_cold_build_misses():
    for build in of_every_engine("cold"):
        assert set(words(build).values()) == {"miss"}
        assert len(words(build)) >= 8


def test_every_step_of_an_unchanged_build_hits():
    for build in of_every_engine("warm"):
        assert set(words(build).values()) == {"hit"}
        assert len(words(build)) >= 8


def test_no_cache_makes_every_step_miss():
    assert set(words(replay_name("docker-28-no-cache")).values()) == {"miss"}


def test_a_failure_cancels_what_runs_and_leaves_out_what_follows():
    for build in of_every_engine("failed"):
        assert words(build) == {
            "left RUN sleep 0.2; echo left": "miss",
            "left RUN echo about to fail; exit 3": "failed",
            "left RUN echo never": "skipped",
            "right RUN sleep 5": "canceled",
            "stage-2 COPY --from=left / /left": "skipped",
            "stage-2 COPY --from=right / /right": "skipped",
        }


def test_what_a_failing_cache_key_makes_look_cached_is_not_a_hit():
    for engine in ("docker-26", "docker-28"):
        assert words(replay_name(f"{engine}-cache-key-failed")) == {
            "slow RUN sleep 5": "canceled",
            "slow RUN echo after": "skipped",
            "stage-1 RUN sleep 0.1; echo hit": "canceled",
            "stage-1 COPY missing.txt /": "failed",
            "stage-1 COPY --from=slow / /slow": "skipped",
        }


def test_cancelling_a_build_cancels_what_runs_and_leaves_out_the_rest():
    for build in of_every_engine("canceled"):
        assert words(build) == {
            "RUN sleep 0.1": "miss",
            "RUN sleep 60": "canceled",
            "RUN echo never": "skipped",
        }


def test_a_step_of_several_builds_is_a_miss_in_the_one_that_started_it_and_shared_in_the_others():
    for engine in ("docker-28", "docker-28-containerd"):
        builds = [replay_name(f"{engine}-bake-shared-{number}") for number in (1, 2, 3)]
        common = [words(build)["common RUN sleep 0.5; echo common"] for build in builds]
        assert sorted(common) == ["miss", "shared", "shared"]
        assert all(list(words(build).values()).count("miss") >= 1 for build in builds)


def test_adding_from_a_url_that_did_not_change_hits():
    cold, warm = (replay_name(f"docker-28-remote-{one}") for one in ("cold", "warm"))
    url = "ADD http://127.0.0.1:18735/package.json /remote/"

    assert words(cold) == {url: "miss", "RUN cat /remote/package.json > /seen": "miss"}
    assert words(warm) == dict.fromkeys(words(cold), "hit")
    assert (warm.summary.cacheable_steps, warm.summary.hit_ratio) == (2, 1.0)
    sources = [step for build in (cold, warm) for step in build.steps if step.kind is Kind.ADD and not step.inputs]
    assert [(step.outcome, step.cacheable) for step in sources] == [(Outcome.NONE, False)] * 2


def test_the_source_of_an_add_is_looked_up_nowhere_and_its_copy_is():
    git = "[2/2] ADD https://example.com/app.git /app"

    assert outcomes_of(
        vertex("source", (1, 2), name=git), vertex("copy", (2, 3), inputs=["source"], name=git),
        source=Kind.ADD, copy=Kind.ADD,
    ) == {"source": Outcome.NONE, "copy": Outcome.MISS}  # fmt: skip
    gone = vertex("source", (1, 2, "404"), name=git)
    assert outcomes_of(gone, source=Kind.ADD) == {"source": Outcome.FAILED}


def test_a_step_that_outlived_the_build_in_which_it_began_is_a_miss_of_the_one_in_which_it_ended():
    first, second = (replay_name(f"docker-28-twins-{number}") for number in (1, 2))

    assert words(first) == {"RUN sleep 5; echo twins > /twins": "canceled", "RUN echo after > /after": "skipped"}
    assert words(second) == {"RUN sleep 5; echo twins > /twins": "miss", "RUN echo after > /after": "miss"}
    assert 3 < second.summary.executed_seconds < 5


def test_without_its_neighbours_a_build_has_all_that_it_shows():
    assert set(words(replay(load("docker-28-bake-shared-2"))).values()) == {"miss"}


def test_a_read_of_the_cache_is_a_hit_and_what_it_stands_for_too():
    found = outcomes_of(vertex("base", (5, 5, "cached")), vertex("step", (5, 8, "cached"), inputs=["base"]))

    assert found == {"base": Outcome.HIT, "step": Outcome.HIT}


def test_an_inferred_hit_whose_input_failed_never_ran():
    assert outcomes_of(
        vertex("failed", (1, 9, "broken")),
        vertex("canceled", (1, 9, CANCELED)),
        vertex("one", (4, 4, "cached"), inputs=["failed"]),
        vertex("two", (4, 4, "cached"), inputs=["canceled"]),
        vertex("three", (4, 4, "cached"), inputs=["one"]),
        vertex("read", (3, 4, "cached"), inputs=["failed"]),
        vertex("key", (4, 5, "no such file"), inputs=["one", "two", "three", "read"]),
    ) == {
        "failed": Outcome.FAILED,
        "canceled": Outcome.CANCELED,
        "one": Outcome.SKIPPED,
        "two": Outcome.SKIPPED,
        "three": Outcome.SKIPPED,
        "read": Outcome.HIT,
        "key": Outcome.FAILED,
    }


def test_a_step_that_was_read_from_the_cache_and_then_run_is_a_miss():
    assert outcomes_of(vertex("a", (1, 1, "cached"), (1 + 1, 9)))["a"] is Outcome.MISS


def test_a_cache_that_cannot_be_read_is_a_failure():
    assert outcomes_of(vertex("a", (1, 2, "cached"), error="lost"))["a"] is Outcome.FAILED


def test_a_run_that_never_ended_is_canceled_once_the_build_has_ended():
    started = vertex("a", (1, None), (5, 5, "cached"))

    assert outcomes_of(started)["a"] is Outcome.CANCELED
    assert outcomes_of(started, ended=False)["a"] is Outcome.MISS


def test_steps_that_cannot_be_cached_have_no_outcome_unless_they_fail():
    kinds = {"a": Kind.FROM, "b": Kind.METADATA, "c": Kind.EXPORT, "d": Kind.CONTEXT}

    assert outcomes_of(
        vertex("a", (1, 2, "cached")),
        vertex("b", (1, 2, "not found")),
        vertex("c"),
        vertex("d", (1, 2, CANCELED)),
        **kinds,
    ) == {"a": Outcome.NONE, "b": Outcome.FAILED, "c": Outcome.SKIPPED, "d": Outcome.CANCELED}


def test_a_circle_of_inputs_is_read_in_the_order_of_report():
    circle = [vertex("a", (1, 2), inputs="c"), vertex("b", (2, 3), inputs="a"), vertex("c", (3, 4), inputs="bc")]

    assert set(outcomes_of(*circle).values()) == {Outcome.MISS}
    assert input_order(facts_of(*circle).vertices) == ["a", "b", "c"]


def test_a_chain_of_five_thousand_steps_is_followed_to_its_end():
    chain = [vertex("0", (1, 2, "broken"))]
    chain += [vertex(str(n), (2, 2, "cached"), inputs=[str(n - 1)]) for n in range(1, 5000)]

    found = outcomes_of(*reversed(chain))

    assert found["0"] is Outcome.FAILED
    assert {outcome for digest, outcome in found.items() if digest != "0"} == {Outcome.SKIPPED}


@st.composite
def groups(draw):
    """Builds that ran at once: each shows some of the runs of some vertices, with inputs of its own."""
    digests = "abcd"
    runs = {digest: draw(st.integers(0, 20)) for digest in digests}
    builds = []
    for number in range(draw(st.integers(1, 4))):
        shown = draw(st.lists(st.sampled_from(digests), unique=True, min_size=1))
        vertices = [
            vertex(
                digest,
                (runs[digest] + 1, runs[digest] + 1 + draw(st.sampled_from([0, 5, 5_000_000]))),
                inputs=draw(st.lists(st.sampled_from(digests), max_size=2, unique=True)),
            )
            for digest in shown
        ]
        found = facts_of(*vertices).vertices
        builds.append((found, as_neighbour(f"ref-{number}", draw(st.integers(0, 25)), found)))
    return builds


@given(groups())
def test_exactly_one_build_of_a_group_has_started_each_step_that_ran(builds):
    shown = {digest for found, _ in builds for digest in found}
    for digest in shown:
        owners = [
            this.ref
            for found, this in builds
            if digest in found
            and not started_elsewhere(digest, found[digest], this, [one for _, one in builds if one is not this])
        ]
        assert len(owners) == 1


def test_the_build_whose_inputs_were_ready_started_the_step_though_another_is_older():
    at_ns = 10_000_000
    run = (at_ns, at_ns + 5)
    waiting = facts_of(vertex("base", (1, at_ns * 2)), vertex("step", run, inputs=["base"])).vertices
    ready = facts_of(vertex("base", (1, 2)), vertex("step", run, inputs=["base"])).vertices
    older, younger = as_neighbour("older", 1, waiting), as_neighbour("younger", 2, ready)

    assert started_elsewhere("step", waiting["step"], older, [younger])
    assert not started_elsewhere("step", ready["step"], younger, [older])


def test_a_step_that_ran_before_a_build_was_asked_for_was_not_started_by_it():
    found = facts_of(vertex("step", (5, 9))).vertices
    early, late = as_neighbour("b", 4, found), as_neighbour("a", 6, found)

    assert started_elsewhere("step", found["step"], late, [early])
    assert not started_elsewhere("step", found["step"], late, [])


def test_a_build_in_which_a_step_did_not_end_well_is_not_its_owner():
    ended = facts_of(vertex("step", (5, 9))).vertices
    this = as_neighbour("younger", 7, ended)
    for end in ((8, CANCELED), (8, "broken"), (None,)):
        older = facts_of(vertex("step", (5, *end)), vertex("other", (6, 8, CANCELED))).vertices
        assert not started_elsewhere("step", ended["step"], this, [as_neighbour("older", 1, older)])
    assert started_elsewhere("step", ended["step"], this, [as_neighbour("older", 1, ended)])


def test_a_step_whose_end_its_owner_has_not_been_told_yet_is_still_its_owners():
    ended, running = facts_of(vertex("step", (5, 9))).vertices, facts_of(vertex("step", (5, None))).vertices

    assert started_elsewhere("step", ended["step"], as_neighbour("b", 7, ended), [as_neighbour("a", 1, running)])


def test_as_long_as_a_step_runs_it_is_that_of_the_build_that_started_it():
    running = facts_of(vertex("step", (5, None))).vertices
    older, younger = as_neighbour("older", 1, running), as_neighbour("younger", 7, running)

    assert started_elsewhere("step", running["step"], younger, [older])
    assert not started_elsewhere("step", running["step"], older, [younger])


def test_a_step_that_never_ran_was_started_by_nobody():
    found = facts_of(vertex("step", (5, 9, "cached"))).vertices
    this = as_neighbour("a", 1, found)

    assert not started_elsewhere("step", found["step"], this, [this])


def test_an_inferred_hit_of_a_failed_build_whose_input_was_still_at_work_never_ran():
    at_work, step = (
        vertex("at work", (1_000_000, 9_000_000)),
        vertex("step", (4_000_000, 4_000_000, "cached"), inputs=["at work"]),
    )
    failed = vertex("failed", (1_000_000, 9_500_000, "broken"))
    assert outcomes_of(at_work, step, failed)["step"] is Outcome.SKIPPED
    assert outcomes_of(at_work, step)["step"] is Outcome.HIT
