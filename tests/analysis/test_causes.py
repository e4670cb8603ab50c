from __future__ import annotations

from dataclasses import replace

import pytest

from buildprof.analysis.causes import Evidence, Lost, explain
from buildprof.model.build import Options, Source
from buildprof.model.explanation import Cause, Confidence
from buildprof.model.recipe import Written
from buildprof.model.snapshot import ContextChanges
from tests.analysis.recipes import SECOND_NS, a_build, stage

SAME = ContextChanges()
README = ContextChanges(changed=("README.md",), changed_count=1, bytes=7)


def the_miss(build, *earlier, changes=SAME, elsewhere=(), **evidence):
    found = explain(build, earlier, elsewhere, Evidence(changes=lambda _a, _b, _uses: changes, **evidence))
    (miss,) = found.misses
    return miss


def cause(build, *earlier, **evidence):
    miss = the_miss(build, *earlier, **evidence)
    return miss.finding.cause, miss.finding.confidence, miss.finding.evidence


def test_nothing_earlier_is_a_first_build():
    assert cause(a_build("b", *stage("RUN a", outcomes="m"))) == (Cause.FIRST_BUILD, Confidence.CERTAIN, {})


def test_a_step_that_no_earlier_build_had_is_new():
    build = a_build("b", *stage("RUN a", "RUN new", outcomes="hm"))
    assert cause(build, a_build("a", *stage("RUN a")))[::2] == (Cause.FIRST_BUILD, {"reason": "new_step"})


def test_a_step_that_only_failed_before_has_never_succeeded():
    build = a_build("b", *stage("RUN a", outcomes="m"))
    earlier = a_build("a", *stage("RUN a", outcomes="f"))
    assert cause(build, earlier)[::2] == (Cause.FIRST_BUILD, {"reason": "never_succeeded"})


def test_an_edited_instruction_is_told_with_both_texts_and_its_lines():
    build = a_build("b", *stage("RUN new", outcomes="m"))
    evidence = {"before": "RUN old", "after": "RUN new", "lines": [2, 2]}
    assert cause(build, a_build("a", *stage("RUN old"))) == (
        Cause.INSTRUCTION_CHANGED,
        Confidence.CERTAIN,
        evidence,
    )


def test_another_text_of_the_same_operation_is_no_cause():
    build = a_build("b", *stage("RUN  a", outcomes="m", at_1={"operation": "same"}))
    earlier = a_build("a", *stage("RUN a", at_1={"operation": "same"}))
    assert cause(build, earlier)[0] is Cause.EVICTED


def test_changed_files_are_named_and_as_certain_as_the_snapshots():
    build, earlier = a_build("b", *stage("COPY . /", outcomes="m")), a_build("a", *stage("COPY . /"))
    found, confidence, evidence = cause(build, earlier, changes=README)
    assert (found, confidence, evidence["changed"]) == (Cause.SOURCE_CHANGED, Confidence.CERTAIN, ["README.md"])
    assert cause(build, earlier, changes=replace(README, is_certain=False))[1] is Confidence.LIKELY


def test_files_that_nobody_sees_are_likely_and_what_to_mount_is_told():
    build, earlier = a_build("b", *stage("COPY . /", outcomes="m")), a_build("a", *stage("COPY . /"))
    found, confidence, evidence = cause(build, earlier, changes=None, missing="/src")
    assert (found, confidence, evidence["missing"]) == (Cause.SOURCE_CHANGED, Confidence.LIKELY, "/src")
    assert evidence["changed"] is None


@pytest.mark.parametrize(
    ("now", "then", "expected"),
    [
        ({"images": (("base", "sha256:2"),)}, {"images": (("base", "sha256:1"),)}, Cause.BASE_CHANGED),
        ({"environment": {"V": "2"}}, {"environment": {"V": "1"}}, Cause.BUILD_ARG_CHANGED),
        ({"environment": {"V": "2"}}, {}, Cause.BUILD_ARG_CHANGED),
        ({"remotes": (("http://x", "2"),)}, {"remotes": (("http://x", "1"),)}, Cause.REMOTE_CHANGED),
    ],
)
def test_what_differs_is_the_cause(now, then, expected):
    build, earlier = (a_build(ref, *stage("RUN a", outcomes="m", at_1=one)) for ref, one in (("b", now), ("a", then)))
    assert cause(build, earlier)[:2] == (expected, Confidence.CERTAIN)


def test_other_content_of_which_no_file_is_known_is_probably_a_file_s():
    now, then = ({"content": content} for content in ("2", "1"))
    build, earlier = (a_build(ref, *stage("RUN a", outcomes="m", at_1=one)) for ref, one in (("b", now), ("a", then)))
    assert cause(build, earlier)[:2] == (Cause.SOURCE_CHANGED, Confidence.LIKELY)


def test_an_edit_in_what_is_redacted_is_an_edit():
    now, then = ({"written": Written("RUN a [redacted]", (2, 2), digest), "operation": digest} for digest in ("2", "1"))
    build, earlier = (a_build(ref, *stage("RUN a", outcomes="m", at_1=one)) for ref, one in (("b", now), ("a", then)))
    assert cause(build, earlier)[:2] == (Cause.INSTRUCTION_CHANGED, Confidence.CERTAIN)


def test_a_name_that_only_the_base_image_sets_is_no_cause_where_the_environment_is_not_whole():
    failed = {"environment": {}, "is_exact": False}
    build = a_build("b", *stage("RUN a", outcomes="m", at_1=failed))
    assert cause(build, a_build("a", *stage("RUN a", at_1={"environment": {"PATH": "1"}})))[0] is Cause.EVICTED


def test_two_differences_are_both_told_the_first_by_rank():
    build = a_build("b", *stage("COPY . /y", outcomes="m"))
    miss = the_miss(build, a_build("a", *stage("COPY . /x")), changes=README)
    assert miss.finding.cause is Cause.INSTRUCTION_CHANGED
    assert [one.cause for one in miss.also] == [Cause.SOURCE_CHANGED]


def test_a_removed_instruction_is_the_cause_of_the_next_step():
    build = a_build("b", *stage("RUN a", "RUN c", outcomes="hm"))
    earlier = a_build("a", *stage("RUN a", "RUN b", "RUN c"))
    found, _, evidence = cause(build, earlier)
    assert (found, evidence["before"], evidence["after"]) == (Cause.INSTRUCTION_CHANGED, "RUN b", None)


def test_a_difference_in_an_earlier_step_that_came_from_the_cache_is_told_via_it():
    build = a_build("b", *stage("COPY . /", "RUN a", outcomes="hm"))
    miss = the_miss(build, a_build("a", *stage("COPY . /", "RUN a")), changes=README)
    assert (miss.finding.cause, miss.via) == (Cause.SOURCE_CHANGED, "1")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (Options(no_cache=True), "--no-cache"),
        (Options(no_cache=True, no_cache_stages=("web",)), "--no-cache-filter=web"),
        (Options(no_cache=True, no_cache_stages=("other",)), None),
    ],
)
def test_an_option_against_the_cache_is_the_cause_where_it_holds(options, expected):
    build = a_build("b", *stage("RUN a", name="web", outcomes="m"), *stage("RUN b", name="api"), options=options)
    found, _, evidence = cause(build, a_build("a", *stage("RUN a", name="web"), *stage("RUN b", name="api")))
    assert (evidence.get("option"), found) == (expected, Cause.NO_CACHE if expected else Cause.EVICTED)


def test_a_workdir_comes_from_the_cache_in_spite_of_no_cache():
    build = a_build("b", *stage("WORKDIR /a", outcomes="m"), options=Options(no_cache=True))
    assert cause(build, a_build("a", *stage("WORKDIR /a")))[0] is Cause.EVICTED


def test_the_same_inputs_as_any_earlier_build_mean_that_the_cache_lost_it():
    def changes(before, _after, _uses):
        return README if before.ref == "b" else SAME

    build = a_build("c", *stage("COPY . /", outcomes="m"))
    earlier = [a_build(ref, *stage("COPY . /", outcomes="m")) for ref in "ba"]
    (miss,) = explain(build, earlier, (), Evidence(changes=changes)).misses
    assert (miss.finding.cause, miss.finding.confidence) == (Cause.EVICTED, Confidence.LIKELY)


def test_a_record_that_was_seen_to_go_makes_it_certain():
    build, earlier = a_build("b", *stage("RUN a", outcomes="m")), a_build("a", *stage("RUN a", outcomes="m"))
    lost = Lost(SECOND_NS, 2 * SECOND_NS, "prune")
    found = cause(build, earlier, lost=lambda _build, _step: lost)
    times = ["1970-01-01T00:00:01.000000000Z", "1970-01-01T00:00:02.000000000Z"]
    assert found == (Cause.EVICTED, Confidence.CERTAIN, {"lost_at": times, "by": "prune"})


def test_a_hit_of_other_content_does_not_make_the_next_miss_a_lost_record():
    def changes(before, _after, _uses):
        return SAME if before.ref == "b" else README

    build = a_build("c", *stage("COPY . /", outcomes="m"))
    earlier = [a_build("b", *stage("COPY . /")), a_build("a", *stage("COPY . /", outcomes="m"))]
    evidence = Evidence(changes=changes, is_poorer=lambda _build: False)
    (miss,) = explain(build, earlier, (), evidence).misses
    assert (miss.finding.cause, miss.finding.confidence) == (Cause.SOURCE_CHANGED, Confidence.LIKELY)


def test_a_classic_build_of_the_same_was_asked_not_to_use_the_cache_unless_its_image_was_deleted():
    build = a_build("b", *stage("RUN a", outcomes="m"), source=Source.CLASSIC)
    earlier = a_build("a", *stage("RUN a", outcomes="m"), source=Source.CLASSIC)
    assert cause(build, earlier)[:2] == (Cause.NO_CACHE, Confidence.LIKELY)
    assert cause(build, earlier, deleted_ns=lambda _build, _step: SECOND_NS)[0] is Cause.EVICTED


def test_what_only_another_builder_has_made_is_cold_here():
    build = a_build("b", *stage("RUN a", outcomes="m"))
    other = a_build("a", *stage("RUN a"), builder="other")
    found = cause(build, elsewhere=[other])
    assert found == (Cause.COLD_BUILDER, Confidence.CERTAIN, {"builder": "other", "ref": "a"})


def test_what_follows_from_a_miss_is_counted_once_and_costs():
    left, right = stage("RUN l", name="l", outcomes="m"), stage("RUN r", name="r", outcomes="m")
    final = stage("COPY --from=l /l /", "RUN f", name="f", outcomes="mm")
    final[0] = replace(final[0], inputs=("l1", "r1"))
    found = explain(a_build("b", *left, *right, *final), [])
    assert {miss.step_id: miss.collateral for miss in found.misses} == {"l1": ("f1", "f2"), "r1": ()}
    assert [miss.blamed_seconds for miss in found.misses] == [3.0, 1.0]
    assert found.blamed_seconds == 4.0


def test_steps_of_which_nothing_is_known_are_unknown_and_say_what_was_compared():
    steps = [replace(one, recipe=None) for one in stage("RUN a", outcomes="m")]
    found, confidence, evidence = cause(a_build("b", *steps), a_build("a", *steps))
    assert (found, confidence) == (Cause.UNKNOWN, Confidence.LIKELY)
    assert "files" not in evidence["checked"]
