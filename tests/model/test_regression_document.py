from __future__ import annotations

import json
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from buildprof.model.regression import Changes, NewMiss, Regression, Signal, StepGrowth
from buildprof.model.regression_document import regression_document, regression_from, stored_document
from tests.strategies import seconds, texts, times_ns

SLOWER = Regression(
    Signal.DURATION_SECONDS,
    "default",
    "Dockerfile",
    "",
    False,
    "k6g3ggdn",
    1_790_000_000_123_456_789,
    "zz",
    3,
    41.8,
    12.0,
    15.5,
    Changes(
        (StepGrowth("sha256:1", "RUN make (Dockerfile:3)", None, 38.0),),
        (NewMiss("sha256:0", "source_changed", "COPY . . missed."),),
        "RUN make (Dockerfile:3) is new and takes 38.0 s.",
    ),
)


def test_a_regression_as_a_document():
    assert regression_document(SLOWER) == {
        "signal": "duration_seconds",
        "builder": "default",
        "dockerfile": "Dockerfile",
        "platform": None,
        "cold": False,
        "since": {"ref": "k6g3ggdn", "started_at": "2026-09-21T14:13:20.123456789Z"},
        "last_ref": "zz",
        "builds": 3,
        "value": 41.8,
        "baseline_median": 12.0,
        "baseline_threshold": 15.5,
        "text": "RUN make (Dockerfile:3) is new and takes 38.0 s.",
        "steps": [{"step_id": "sha256:1", "name": "RUN make (Dockerfile:3)", "before": None, "now": 38.0}],
        "misses": [{"step_id": "sha256:0", "cause": "source_changed", "text": "COPY . . missed."}],
    }


def test_what_is_not_known_is_null():
    document = regression_document(replace(SLOWER, value=None, median=None, threshold=None, changes=Changes()))
    assert [document[key] for key in ("value", "baseline_median", "baseline_threshold")] == [None] * 3
    assert (document["text"], document["steps"], document["misses"]) == ("", [], [])


figures = st.none() | st.integers(0, 10**15).map(float) | seconds().map(lambda one: round(one, 9))
changes = st.builds(
    Changes,
    st.lists(st.builds(StepGrowth, texts(), texts(), figures, seconds().map(lambda one: round(one, 9)))).map(tuple),
    st.lists(st.builds(NewMiss, texts(), texts(), texts())).map(tuple),
    texts(),
)


@given(
    st.builds(
        Regression, st.sampled_from(Signal), texts(), texts(), texts(), st.booleans(), texts(), times_ns(), texts(),
        st.integers(1, 100), figures, figures, figures, changes,
    )
)  # fmt: skip
def test_a_stored_document_is_read_again_as_it_was(regression):
    assert regression_from(json.loads(json.dumps(stored_document(regression)))) == regression
