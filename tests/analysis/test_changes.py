from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from buildprof.analysis.changes import KEPT, what_changed
from buildprof.model.explanation import Cause, Confidence, Explanation, Finding, Miss
from buildprof.model.regression import Changes, Regression, Signal
from buildprof.model.step import Kind, Layer, Outcome, Step
from tests import strategies
from tests.analysis.recipes import a_build, stage

TEXTS = ("COPY app /app", "RUN make", "RUN test")


def regressed(signal=Signal.DURATION_SECONDS, value=40.0, median=10.0) -> Regression:
    return Regression(
        signal, "default", "Dockerfile", "", False, "x", 1, "z", 3, value=value, median=median, threshold=median * 1.1
    )


def built(ref: str, outcomes="hhh", seconds=(0.0, 0.0, 0.0), texts=TEXTS, sizes=(None, None, None), **changes):
    steps = [
        replace(step, duration_seconds=taken, layer=None if size is None else Layer(f"sha256:{ref}", size))
        for step, taken, size in zip(stage(*texts, outcomes=outcomes), seconds, sizes, strict=True)
    ]
    return a_build(ref, *steps, dockerfile="Dockerfile", **changes)


def explained(ref: str, step_id: str, *paths: str) -> dict[str, Explanation]:
    evidence = {"changed": list(paths), "changed_count": len(paths)}
    miss = Miss(step_id, Finding(Cause.SOURCE_CHANGED, Confidence.CERTAIN, evidence))
    return {ref: Explanation(ref, "shop", "default", None, (miss,))}


GOOD = [built(ref) for ref in "abcde"]


def test_the_step_that_grew_most_stands_first_with_what_it_took_before():
    since = [built(ref, "mmm", (0.5, 30.0, 8.0)) for ref in "xyz"]
    changes = what_changed(regressed(), GOOD, since, {})
    assert [(one.name, one.before, one.now) for one in changes.steps] == [
        ("RUN make (Dockerfile:3)", 0.0, 30.0),
        ("RUN test (Dockerfile:4)", 0.0, 8.0),
    ]
    assert changes.sentence == "RUN make (Dockerfile:3) takes 30.0 s, 0 s before."


def test_figures_are_medians_so_that_one_odd_build_changes_nothing():
    odd = built("f", "hmh", (0.0, 100.0, 0.0))
    since = [
        built("x", "hmh", (0.0, 90.0, 0.0)),
        built("y", "hmh", (0.0, 30.0, 0.0)),
        built("z", "hmh", (0.0, 31.0, 0.0)),
    ]
    (grown,) = what_changed(regressed(), [*GOOD, odd], since, {}).steps
    assert (grown.before, grown.now) == (0.0, 31.0)


def test_an_edited_step_is_compared_with_its_earlier_form():
    good = [built(ref, "hmh", (0.0, 3.0, 0.0)) for ref in "abc"]
    since = [built("x", "hmh", (0.0, 30.0, 0.0), ("COPY app /app", "RUN make --slow", "RUN test"))]
    (grown,) = what_changed(regressed(), good, since, {}).steps
    assert (grown.name, grown.before) == ("RUN make --slow (Dockerfile:3)", 3.0)


def test_a_step_that_came_is_new():
    since = [
        a_build("x", *stage(*TEXTS[:2], "RUN lint", "RUN test", outcomes="hhmh"), dockerfile="Dockerfile"),
    ]
    since = [
        replace(one, steps=tuple(replace(s, duration_seconds=30.0 if s.command == "lint" else 0.0) for s in one.steps))
        for one in since
    ]
    changes = what_changed(regressed(), GOOD, since, {})
    assert [(one.before, one.now) for one in changes.steps] == [(None, 30.0)]
    assert changes.sentence == "RUN lint (Dockerfile:4) is new and takes 30.0 s."


def test_misses_that_came_are_told_with_their_cause():
    since = [built(ref, "mmm", (0.5, 30.0, 8.0)) for ref in "xyz"]
    changes = what_changed(regressed(), GOOD, since, explained("z", "1", "README.md"))
    (miss,) = changes.misses
    assert miss.cause == "source_changed"
    assert miss.sentence.startswith("COPY app /app (Dockerfile:2) missed because README.md changed")
    assert changes.sentence == f"RUN make (Dockerfile:3) takes 30.0 s, 0 s before. {miss.sentence}"


def test_a_miss_that_was_usual_is_no_news():
    good = [built(ref, "mmm", (0.5, 3.0, 0.8)) for ref in "abc"]
    since = [built("z", "mmm", (0.5, 30.0, 0.8))]
    assert what_changed(regressed(), good, since, explained("z", "1", "app")).misses == ()


def test_of_a_hit_ratio_the_miss_that_came_is_told():
    since = [built("z", "mmm", (0.5, 3.0, 0.8))]
    changes = what_changed(regressed(Signal.HIT_RATIO, 0.0, 1.0), GOOD, since, explained("z", "1", "app"))
    assert changes.sentence.startswith("COPY app /app (Dockerfile:2) missed because app")


def test_of_lost_steps_those_are_told_that_the_cache_lost():
    since = [built("z", "mmm", (0.5, 3.0, 0.8))]
    told = explained("z", "1", "app")["z"]
    lost = Miss("2", Finding(Cause.EVICTED, Confidence.CERTAIN, {"by": "gc"}))
    both = {"z": replace(told, misses=(*told.misses, lost))}
    changes = what_changed(regressed(Signal.CACHED_STEPS), GOOD, since, both)
    assert [one.cause for one in changes.misses] == ["evicted"]
    assert changes.sentence.startswith("RUN make (Dockerfile:3) missed because the builder removed it from its cache")


def test_of_an_image_the_layer_that_grew_is_told():
    good = [built(ref, sizes=(1000, 2_000_000, None)) for ref in "abc"]
    since = [built("z", "hmm", sizes=(1000, 90_000_000, None))]
    changes = what_changed(regressed(Signal.IMAGE_SIZE_BYTES, 90e6, 2e6), good, since, {})
    assert changes.sentence == "RUN make (Dockerfile:3) makes 90 MB, 2 MB before."


def test_of_a_context_what_is_sent_is_told():
    def sent(ref: str, size: int):
        step = Step("c", "[internal] load build context", Kind.CONTEXT, Outcome.NONE, transferred_bytes=size)
        return a_build(ref, step)

    since = [sent("z", 90_000_000)]
    changes = what_changed(
        regressed(Signal.CONTEXT_BYTES, 90e6, 2e6), [sent(ref, 2_000_000) for ref in "abc"], since, {}
    )
    assert changes.sentence == "[internal] load build context sends 90 MB, 2 MB before."


def test_without_steps_nothing_is_said():
    assert what_changed(regressed(), [], [], {}) == Changes()
    assert what_changed(regressed(), GOOD, [a_build("z")], {}) == Changes()


def test_a_growth_that_is_a_small_part_of_the_whole_is_not_told():
    since = [built("z", "mmm", (1.0, 30.0, 1.0))]
    assert len(what_changed(regressed(), GOOD, since, {}).steps) == 1


@given(st.lists(strategies.builds(), max_size=3), st.lists(strategies.builds(), max_size=3), st.sampled_from(Signal))
def test_whatever_builds_hold_a_sentence_is_one_bounded_line(good, since, signal):
    changes = what_changed(regressed(signal), good, since, {})
    assert len(changes.sentence) <= 1000
    assert changes.sentence.isprintable()
    assert len(changes.steps) <= KEPT
