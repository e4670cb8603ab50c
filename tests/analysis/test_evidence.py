"""What a cause rests on, taken apart."""

from __future__ import annotations

import pytest

from buildprof.analysis.evidence import MAX_EXCERPT, Shown, shown_evidence
from buildprof.model.explanation import Cause, Confidence, Finding


def shown(cause: Cause, **evidence: object) -> Shown:
    return shown_evidence(Finding(cause, Confidence.CERTAIN, evidence))


def test_files_are_grouped_by_what_happened_to_them_and_the_rest_is_counted() -> None:
    found = shown(Cause.SOURCE_CHANGED, changed=["a", "b"], changed_count=52, removed=["c"], bytes=3100)
    assert [(group.what, group.paths, group.rest) for group in found.files] == [
        ("changed", ("a", "b"), 50),
        ("removed", ("c",), 0),
    ]
    assert found.facts == (("size of these files", "3.1 kB"),)


def test_an_edited_instruction_has_its_texts_bounded() -> None:
    found = shown(Cause.INSTRUCTION_CHANGED, before="RUN a", after="RUN b" + "x" * 10_000)
    assert found.before == "RUN a"
    assert len(found.after) <= MAX_EXCERPT
    assert found.files == ()


@pytest.mark.parametrize(
    ("cause", "evidence", "facts"),
    [
        (Cause.NO_CACHE, {"option": "--no-cache"}, (("option", "--no-cache"),)),
        (Cause.BUILD_ARG_CHANGED, {"names": ["A", "B"]}, (("arguments", "A, B"),)),
        (Cause.REMOTE_CHANGED, {"url": "https://x.example"}, (("from", "https://x.example"),)),
        (Cause.UNKNOWN, {"checked": ["files", "arguments"]}, (("compared", "files, arguments"),)),
        (Cause.EVICTED, {"by": "prune"}, (("by", "somebody's prune"),)),
        (Cause.FIRST_BUILD, {}, ()),
    ],
)
def test_each_cause_has_its_facts(
    cause: Cause, evidence: dict[str, object], facts: tuple[tuple[str, str], ...]
) -> None:
    assert shown(cause, **evidence).facts == facts


@pytest.mark.parametrize("cause", list(Cause))
@pytest.mark.parametrize("odd", [None, 7, "text", [1, None], {"a": 1}, True, -1])
def test_evidence_of_another_shape_is_left_out(cause: Cause, odd: object) -> None:
    keys = ("changed", "added", "removed", "bytes", "changed_count", "image", "before", "after", "names", "url",
            "option", "lost_at", "by", "checked")  # fmt: skip
    found = shown(cause, **dict.fromkeys(keys, odd))
    assert all(group.count > 0 for group in found.files)
    assert all(value for _, value in found.facts)
