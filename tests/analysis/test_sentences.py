from __future__ import annotations

import unicodedata
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from buildprof.analysis.advice import advice
from buildprof.analysis.sentences import (
    CAUSE_NAMES,
    MAX_PARAGRAPH,
    followed,
    how_known,
    loss_name,
    miss_sentence,
    others,
    paragraph,
    told,
)
from buildprof.analysis.words import MAX_SENTENCE
from buildprof.model.build import Build
from buildprof.model.explanation import Cause, Confidence, Explanation, Finding, Loss, Miss
from buildprof.model.step import Outcome
from tests.cli.sample_builds import build, linked, step
from tests.cli.sample_explanations import ALL, files
from tests.strategies import builds, hostile_texts

CERTAIN, LIKELY = Confidence.CERTAIN, Confidence.LIKELY
BASE = step("FROM node:20", begin=0.0, end=0.1, place=("app", 1, 4), lines=(1, 1))
COPY = step("COPY . .", Outcome.MISS, 0.1, 0.5, place=("app", 2, 4), lines=(4, 4))
INSTALL = step("RUN npm ci", Outcome.MISS, 0.5, 20.5, place=("app", 3, 4), lines=(5, 5))


def a_build(*steps, **changes) -> Build:
    return build(linked(*(steps or (BASE, COPY, INSTALL))), **changes)


def a_miss(cause: Cause, evidence=None, confidence=CERTAIN, of=COPY, **changes) -> Miss:
    return Miss(of.id, Finding(cause, confidence, evidence or {}), **changes)


def said(cause: Cause, evidence=None, confidence=CERTAIN, of=COPY, **changes) -> str:
    return miss_sentence(a_miss(cause, evidence, confidence, of), a_build(**changes))


@pytest.mark.parametrize(
    ("cause", "evidence", "reason"),
    [
        (Cause.FIRST_BUILD, {}, "no earlier build of it is known"),
        (Cause.FIRST_BUILD, {"reason": "new_step"}, "it is new in the Dockerfile"),
        (Cause.FIRST_BUILD, {"reason": "never_succeeded"}, "it never ran to its end in an earlier build"),
        (
            Cause.INSTRUCTION_CHANGED,
            {"before": "COPY src .", "after": "COPY . .", "lines": [4, 4]},
            "the instruction changed from `COPY src .` to `COPY . .`",
        ),
        (
            Cause.INSTRUCTION_CHANGED,
            {"before": "USER a", "after": "USER b", "lines": [3, 3]},
            "an instruction before it (Dockerfile:3) changed from `USER a` to `USER b`",
        ),
        (
            Cause.INSTRUCTION_CHANGED,
            {"before": "USER a", "after": None, "lines": None},
            "`USER a` before it was removed",
        ),
        (
            Cause.INSTRUCTION_CHANGED,
            {"before": None, "after": "USER b", "lines": [3, 3]},
            "`USER b` was added before it (Dockerfile:3)",
        ),
        (Cause.SOURCE_CHANGED, files("a.py"), "a.py changed (1 file, 3.1 kB)"),
        (Cause.SOURCE_CHANGED, files("a", "b", "c", "d"), "a, b, c and 1 more changed (4 files, 3.1 kB)"),
        (
            Cause.SOURCE_CHANGED,
            files(size=0, removed=["a"], removed_count=1, added=["b", "c"], added_count=2),
            "b and c were added and a was removed (3 files)",
        ),
        (Cause.SOURCE_CHANGED, files(changed_count=7), "7 files changed (7 files, 3.1 kB)"),
        (Cause.SOURCE_CHANGED, {"changed": None, "changed_count": None}, "a file that it takes changed"),
        (
            Cause.BASE_CHANGED,
            {
                "image": "docker.io/library/node:20",
                "before": "sha256:" + "a" * 64,
                "after": "sha256:" + "b" * 64,
            },
            "the base image node:20 changed (aaaaaaaaaaaa before, bbbbbbbbbbbb now)",
        ),
        (Cause.BASE_CHANGED, {}, "the base image changed"),
        (
            Cause.BUILD_ARG_CHANGED,
            {"names": ["V"]},
            "the value of V changed (build argument or environment)",
        ),
        (
            Cause.BUILD_ARG_CHANGED,
            {"names": ["A", "B"]},
            "the values of A and B changed (build arguments or environment)",
        ),
        (
            Cause.REMOTE_CHANGED,
            {"url": "https://x.example/a", "before": None, "after": None},
            "what it fetches from https://x.example/a changed",
        ),
        (
            Cause.NO_CACHE,
            {"option": "--no-cache-filter=app"},
            "the build was asked not to use the cache (--no-cache-filter=app)",
        ),
        (
            Cause.EVICTED,
            {"lost_at": ["2026-01-31T10:00:00.5Z", "2026-01-31T10:05:00Z"], "by": "prune"},
            "somebody pruned it from the cache between 2026-01-31 10:00 and 2026-01-31 10:05 UTC",
        ),
        (
            Cause.EVICTED,
            {"lost_at": [None, None], "by": None},
            "it is the same as before, but was lost from the cache",
        ),
        (
            Cause.COLD_BUILDER,
            {"builder": "remote", "ref": "k6g3ggdnq2v0"},
            "only builder remote has built it before (build k6g3ggdnq2v0)",
        ),
    ],
)
def test_a_sentence_says_why_in_plain_words(cause, evidence, reason):
    assert said(cause, evidence) == f"COPY . . (Dockerfile:4) missed because {reason}."
    assert said(cause, evidence, LIKELY) == f"COPY . . (Dockerfile:4) missed, probably because {reason}."


def test_what_is_not_known_is_said_with_what_was_compared():
    text = said(Cause.UNKNOWN, {"checked": ["instructions", "files"]})
    assert text.endswith("missed, and none of what was compared explains it: instructions and files.")
    differs = {"checked": ["files"], "differs": "options of the build"}
    assert said(Cause.UNKNOWN, differs).endswith("missed, and only options of the build are known to differ.")
    assert said(Cause.UNKNOWN).endswith("missed, and what made it miss is not known.")


def test_an_edit_in_what_is_redacted_is_told_without_it():
    evidence = {"before": "RUN log in [redacted]", "after": "RUN log in [redacted]", "lines": [4, 4]}
    text = said(Cause.INSTRUCTION_CHANGED, evidence)
    assert text.endswith("missed because what is redacted in the instruction changed: `RUN log in [redacted]`.")


def test_a_long_instruction_is_shown_where_it_differs():
    before = "RUN apt-get update && apt-get install -y --no-install-recommends curl git"
    text = said(Cause.INSTRUCTION_CHANGED, {"before": before, "after": before + " make", "lines": [4, 4]})
    assert "apt-get update" not in text
    assert "curl git` to `…" in text
    assert "curl git make`." in text


def test_an_external_image_that_files_are_taken_from_is_no_base_image():
    copy = replace(COPY, command="--from=docker.io/library/nginx:1 /etc/nginx /etc")
    text = miss_sentence(a_miss(Cause.BASE_CHANGED, {"image": "docker.io/library/nginx:1"}), a_build(BASE, copy))
    assert "because the image nginx:1, from which it takes files, changed." in text


def test_a_difference_in_an_earlier_step_is_told_with_that_step():
    text = miss_sentence(a_miss(Cause.SOURCE_CHANGED, files("a"), of=INSTALL, via=COPY.id), a_build())
    assert text.endswith("; the change lies in COPY . . (Dockerfile:4), which itself came from the cache.")


def test_a_step_without_lines_is_found_by_its_stage_and_of_several_platforms_by_its_own():
    bare = replace(COPY, lines=None)
    assert miss_sentence(a_miss(Cause.NO_CACHE), a_build(bare)).startswith("COPY . . (app 2/4) missed")
    both = a_build(replace(COPY, platform="linux/arm64"), platforms=("linux/amd64", "linux/arm64"))
    assert miss_sentence(a_miss(Cause.NO_CACHE), both).startswith("COPY . . (Dockerfile:4, linux/arm64) missed")


def test_what_followed_is_counted_with_its_cost():
    assert followed(a_miss(Cause.NO_CACHE, collateral=("a", "b"), blamed_seconds=38.9)) == (
        "It took 2 steps with it: 38.9 s."
    )
    assert followed(a_miss(Cause.NO_CACHE, blamed_seconds=0.018)) == "It cost 18 ms."
    assert followed(a_miss(Cause.NO_CACHE, collateral=("a",))) == "It took 1 step with it."
    assert followed(a_miss(Cause.NO_CACHE)) == ""


def test_what_is_certain_is_told_apart_from_what_is_probable():
    assert how_known(a_miss(Cause.NO_CACHE)) == "Certain: the builder was asked for it."
    assert how_known(a_miss(Cause.NO_CACHE, confidence=LIKELY)).startswith("Probable: ")
    assert how_known(a_miss(Cause.UNKNOWN)) == ""
    never = a_miss(Cause.FIRST_BUILD, {"reason": "never_succeeded"})
    assert how_known(never) == "Certain: the earlier builds that have this step ended without it."


def test_the_paragraph_tells_of_the_dearest_and_counts_the_rest():
    build_, explanation = ALL["several"]()
    text = paragraph(explanation, build_)
    assert text.startswith("RUN pip install")
    assert "1 more step missed for other reasons. In all, misses cost 1 m 40 s." in text
    assert paragraph(*reversed(ALL["none"]())) == "No step missed the cache."
    assert paragraph(*reversed(ALL["first"]())).startswith("This is the first build of shop/web")


def test_a_new_step_alone_makes_no_first_build():
    explanation = Explanation("r", "shop", "web", "b", (a_miss(Cause.FIRST_BUILD, {"reason": "new_step"}),), 1.0)
    assert "it is new in the Dockerfile" in paragraph(explanation, a_build())


def test_every_cause_has_a_name_for_people_and_every_loss_too():
    assert CAUSE_NAMES.keys() == set(Cause)
    assert loss_name(Loss(Cause.SOURCE_CHANGED, "package.json", 1.0)) == "package.json"
    assert loss_name(Loss(Cause.BASE_CHANGED, "node:20", 1.0)) == "image node:20"
    assert all("_" not in loss_name(Loss(cause, "", 1.0)) for cause in Cause)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | hostile_texts() | st.text(min_size=3000, max_size=5000),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=6,
)
KEYS = [
    *("changed", "added", "removed", "changed_count", "added_count", "removed_count", "bytes", "missing", "before"),
    *("after", "lines", "image", "names", "url", "option", "lost_at", "by", "builder", "ref", "checked", "reason"),
]
findings = st.builds(
    Finding,
    st.sampled_from(Cause),
    st.sampled_from(Confidence),
    st.dictionaries(st.sampled_from(KEYS), values, max_size=8),
)


def is_harmless(text: str) -> bool:
    return not any(unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for character in text)


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.data_too_large])
@given(builds(), st.data())
def test_whatever_the_evidence_holds_a_sentence_is_one_short_harmless_line(build_, data):
    ids = st.sampled_from([*(one.id for one in build_.steps), "nobody"])
    misses = tuple(
        Miss(data.draw(ids), data.draw(findings), (data.draw(findings),), data.draw(ids), 1.0, (data.draw(ids),), 1.0)
        for _ in range(2)
    )
    for miss in misses:
        for text in (miss_sentence(miss, build_), others(miss, build_), followed(miss), advice(miss, build_)):
            assert len(text) <= MAX_SENTENCE
            assert is_harmless(text)
    document = told(Explanation("r", "p", "t", None, misses, 2.0), build_)
    assert len(document["text"]) <= MAX_PARAGRAPH
    assert is_harmless(document["text"])


@given(st.sampled_from(Cause), hostile_texts())
def test_whatever_was_lost_to_its_name_is_one_short_harmless_line(cause, subject):
    name = loss_name(Loss(cause, subject, 1.0))
    assert name
    assert is_harmless(name)
    assert len(name) <= 80
