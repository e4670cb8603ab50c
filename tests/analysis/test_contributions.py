from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildprof.analysis.contributions import (
    BUILD_DURATION_BUCKETS,
    LabelBudget,
    bucket_label,
    contributions,
    evictions,
    image_contributions,
    instruction_label,
    label_value,
    layer_sizes,
)
from buildprof.analysis.regressions import Verdict, regression_contributions
from buildprof.analysis.summary import summarize
from buildprof.exporters.prometheus.catalog import CATALOG
from buildprof.model.build import Build, Engine, Image, Source, Status, Summary
from buildprof.model.explanation import Cause, Confidence, Explanation, Finding, Miss
from buildprof.model.regression import Baseline, Signal
from buildprof.model.series import Contribution, Effect
from buildprof.model.step import Kind, Layer, Outcome, Step

START_NS = 1_700_000_000_000_000_000


def a_step(step_id="s", kind=Kind.RUN, outcome=Outcome.MISS, seconds=1.0, **changes) -> Step:
    fields = {"instruction": kind.upper(), "cacheable": True, "duration_seconds": seconds, **changes}
    return Step(id=step_id, name=step_id, kind=kind, outcome=outcome, **fields)


def a_build(*steps: Step, seconds=10.0, **changes) -> Build:
    fields = {
        "ref": "ref1",
        "builder": "default",
        "engine": Engine("docker", "28.5.2"),
        "source": Source.BUILDKIT,
        "project": "shop",
        "target": "web",
        "status": Status.COMPLETED,
        "started_ns": START_NS,
        "completed_ns": START_NS + int(seconds * 1e9),
        **changes,
    }
    return Build(steps=steps, **fields)


def totals(changes: list[Contribution]) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    state: dict = defaultdict(float)
    for change in changes:
        key = (change.metric, change.labels)
        state[key] = change.value if change.effect is Effect.SET else state[key] + change.value
    return dict(state)


def value_of(changes: list[Contribution], metric: str, **labels: str) -> float:
    return totals(changes)[metric, tuple(sorted(labels.items()))]


def catalog_name(change: Contribution) -> str:
    return change.metric.removesuffix("_bucket").removesuffix("_sum")


def test_a_build_that_runs_contributes_nothing_yet():
    with pytest.raises(ValueError, match="has not finished"):
        contributions(a_build(status=Status.RUNNING, completed_ns=None), LabelBudget())


@pytest.mark.parametrize(
    ("status", "failures", "cancellations"),
    [(Status.COMPLETED, 0, 0), (Status.FAILED, 1, 0), (Status.CANCELED, 0, 1)],
)
def test_every_finished_build_counts_and_exposes_zeros(status, failures, cancellations):
    changes = contributions(a_build(status=status), LabelBudget())
    labels = {"builder": "default", "project": "shop", "target": "web"}
    assert value_of(changes, "builds_total", **labels) == 1
    assert value_of(changes, "build_failures_total", **labels) == failures
    assert value_of(changes, "build_cancellations_total", **labels) == cancellations
    success = value_of(changes, "last_build_success", project="shop", target="web")
    assert success == (status is Status.COMPLETED)


def test_shared_steps_are_cacheable_and_no_hits():
    build = a_build(
        a_step("1", outcome=Outcome.HIT),
        a_step("2", outcome=Outcome.SHARED),
        a_step("3", outcome=Outcome.MISS),
        a_step("4", kind=Kind.COPY, outcome=Outcome.MISS),
        a_step("5", kind=Kind.FROM, outcome=Outcome.NONE, cacheable=False),
    )
    changes = contributions(build, LabelBudget())
    run = {"project": "shop", "target": "web", "instruction": "RUN"}
    assert value_of(changes, "cacheable_steps_total", **run) == 3
    assert value_of(changes, "cache_hits_total", **run) == 1
    copy = run | {"instruction": "COPY"}
    assert value_of(changes, "cacheable_steps_total", **copy) == 1
    assert value_of(changes, "cache_hits_total", **copy) == 0
    assert {dict(c.labels)["instruction"] for c in changes if c.metric == "cacheable_steps_total"} == {"RUN", "COPY"}


def a_miss(cause: Cause, blamed_seconds: float | None) -> Miss:
    return Miss("s", Finding(cause, Confidence.CERTAIN), blamed_seconds=blamed_seconds)


def test_misses_and_what_they_cost_are_counted_by_cause_and_every_cause_exists():
    misses = (
        a_miss(Cause.SOURCE_CHANGED, 30.0),
        a_miss(Cause.SOURCE_CHANGED, 8.5),
        a_miss(Cause.EVICTED, None),
        a_miss(Cause.NO_CACHE, math.nan),
    )
    explanation = Explanation("ref1", "shop", "web", None, misses, 38.5)
    for told, counts in ((None, {}), (explanation, {"source_changed": 2, "evicted": 1, "no_cache": 1})):
        changes = contributions(a_build(), LabelBudget(), told)
        for cause in Cause:
            labels = {"project": "shop", "target": "web", "cause": cause.value}
            assert value_of(changes, "cache_misses_total", **labels) == counts.get(cause.value, 0)
            lost = 38.5 if told and cause is Cause.SOURCE_CHANGED else 0.0
            assert value_of(changes, "cache_lost_seconds_total", **labels) == lost


def test_causes_of_a_project_beyond_the_budget_are_counted_under_other():
    explanation = Explanation("ref1", "shop", "web", None, (a_miss(Cause.EVICTED, 1.0),), 1.0)
    changes = contributions(a_build(), LabelBudget(0, 0), explanation)
    assert value_of(changes, "cache_misses_total", project="other", target="other", cause="evicted") == 1


def test_figures_of_the_summary_become_totals_and_unknown_ones_zero():
    summary = Summary(executed_seconds=3.5, context_bytes=1024, export_seconds=0.25, base_pull_seconds=math.nan)
    changes = contributions(a_build(summary=summary), LabelBudget())
    labels = {"project": "shop", "target": "web"}
    assert value_of(changes, "executed_seconds_total", **labels) == 3.5
    assert value_of(changes, "context_transfer_bytes_total", **labels) == 1024
    assert value_of(changes, "image_export_seconds_total", **labels) == 0.25
    assert value_of(changes, "cache_saved_seconds_total", **labels) == 0
    assert value_of(changes, "base_pull_seconds_total", **labels) == 0


def test_what_is_unknown_of_the_last_build_is_not_exported_as_zero():
    bare = a_build(seconds=0.0, summary=summarize([]))  # an image of which only the end is known
    gauges = {c.metric for c in contributions(bare, LabelBudget()) if c.effect is Effect.SET}
    assert gauges == {"last_build_timestamp_seconds", "last_build_success"}


def test_a_clock_that_was_set_back_makes_no_negative_duration():
    build = a_build(seconds=-5.0)
    assert (
        value_of(contributions(build, LabelBudget()), "last_build_duration_seconds", project="shop", target="web") == 0
    )


def test_a_histogram_gets_one_bucket_its_sum_and_an_exemplar():
    changes = contributions(a_build(seconds=10.0), LabelBudget())
    (bucket,) = [c for c in changes if c.metric == "build_duration_seconds_bucket"]
    assert dict(bucket.labels) == {"project": "shop", "target": "web", "le": "10.0"}
    assert (bucket.value, bucket.ref, bucket.exemplar_value) == (1, "ref1", 10.0)
    assert value_of(changes, "build_duration_seconds_sum", project="shop", target="web") == 10.0


def test_steps_that_ran_are_observed_and_hits_are_not():
    build = a_build(
        a_step("1", seconds=0.3),
        a_step("2", seconds=0.4),
        a_step("3", outcome=Outcome.FAILED, seconds=70.0),
        a_step("4", outcome=Outcome.HIT, seconds=0.0),
        a_step("5", outcome=Outcome.SKIPPED, seconds=None),
    )
    changes = [c for c in contributions(build, LabelBudget()) if c.metric == "step_duration_seconds_bucket"]
    assert [(dict(c.labels)["le"], c.value, c.exemplar_value) for c in changes] == [("0.5", 2, 0.4), ("120.0", 1, 70.0)]


def test_a_clock_that_was_set_back_lowers_no_counter():
    changes = contributions(a_build(a_step(seconds=-3.0), seconds=-5.0), LabelBudget())
    assert all(c.value >= 0 for c in changes)


def test_a_bound_belongs_to_its_own_bucket():
    assert bucket_label(BUILD_DURATION_BUCKETS, 0.0) == "0.1"
    assert bucket_label(BUILD_DURATION_BUCKETS, 0.1) == "0.1"
    assert bucket_label(BUILD_DURATION_BUCKETS, 3600.0) == "3600.0"
    assert bucket_label(BUILD_DURATION_BUCKETS, 3600.1) == "+Inf"


def test_new_projects_get_a_label_while_there_is_room():
    budget = LabelBudget(2, 2, {"a": {"x", "y"}, "b": {"x"}, "other": {"other"}})
    assert budget.place("a", "x") == ("a", "x")
    assert budget.place("a", "z") == ("a", "other")
    assert budget.place("b", "z") == ("b", "z")
    assert budget.place("c", "x") == ("other", "other")
    assert LabelBudget(3, 2, budget.known).place("c", "x") == ("c", "x")


def test_a_project_named_other_keeps_its_targets():
    budget = LabelBudget(1, 2, {"a": {"x"}, "other": {"other"}})
    assert budget.place("other", "web") == ("other", "web")
    assert contributions(a_build(project="other"), budget)[-1].metric.startswith(("last_build", "image", "layer"))


def test_builds_beyond_the_budget_are_counted_but_set_no_gauges():
    changes = contributions(a_build(), LabelBudget(1, 2, {"a": {"x"}}))
    assert value_of(changes, "builds_total", builder="default", project="other", target="other") == 1
    assert all(c.effect is Effect.ADD for c in changes)


@given(st.lists(st.tuples(st.text(), st.text()), max_size=60), st.integers(0, 5), st.integers(0, 5))
def test_labels_never_exceed_the_budget(names, max_projects, max_targets):
    known: dict[str, set[str]] = {}
    for project, target in names:
        labels = LabelBudget(max_projects, max_targets, known).place(project, target)
        known.setdefault(labels[0], set()).add(labels[1])
        assert LabelBudget(max_projects, max_targets, known).place(project, target) == labels
    assert len(known.keys() - {"other"}) <= max_projects
    assert all(len(targets - {"other"}) <= max_targets for targets in known.values())


@given(st.text())
def test_a_label_value_is_short_clean_and_stable(text):
    value = label_value(text, "unknown")
    assert 1 <= len(value) <= 100
    assert value.encode().decode() == value
    assert value.isprintable() or " " in value
    assert label_value(value, "unknown") == value


def test_the_instruction_is_from_a_closed_set():
    assert instruction_label(a_step(kind=Kind.MERGE, instruction="COPY")) == "MERGE"
    assert instruction_label(a_step(kind=Kind.FROM)) == "FROM"
    assert instruction_label(a_step(kind=Kind.OTHER, instruction="FROBNICATE")) == "OTHER"
    assert instruction_label(a_step(kind=Kind.DOCKERFILE, instruction="")) == "OTHER"


def test_layers_are_those_of_the_image_and_not_of_other_stages():
    build = a_build(
        a_step("from", Kind.FROM, Outcome.NONE, cacheable=False),
        a_step("deps", stage="deps", layer=Layer("sha256:d", 500), inputs=("from",)),
        a_step("dir", Kind.WORKDIR, stage="web", layer=Layer("sha256:1", 0), inputs=("from",)),
        a_step("copy", Kind.COPY, stage="web", layer=Layer("sha256:2", 30), inputs=("dir", "deps")),
        a_step("run", stage="web", layer=Layer("sha256:3", 20), inputs=("copy",)),
        image=Image("sha256:i", (), 1000, 4),
    )
    assert layer_sizes(build) == [("03 COPY", 30), ("04 RUN", 20), ("02 WORKDIR", 0)]
    assert layer_sizes(replace(build, image=None)) == []


def test_layers_of_a_stage_built_on_another_count_both():
    build = a_build(
        a_step("from", Kind.FROM, Outcome.NONE, cacheable=False),
        a_step("a", stage="base", layer=Layer("sha256:1", 10), inputs=("from",)),
        a_step("b", stage="web", layer=Layer("sha256:2", 20), inputs=("a",)),
        image=Image("sha256:i"),
    )
    assert layer_sizes(build) == [("02 RUN", 20), ("01 RUN", 10)]


def test_layers_of_an_image_from_scratch_are_its_own():
    build = a_build(
        a_step("from", Kind.FROM, Outcome.NONE, cacheable=False),
        a_step("make", stage="build", layer=Layer("sha256:1", 10), inputs=("from",)),
        a_step("copy", Kind.COPY, stage="stage-1", command="--from=build /a /a", layer=Layer("", 5), inputs=("make",)),
        image=Image("sha256:i", (), 5, 1),
    )
    assert layer_sizes(build) == [("01 COPY", 5)]


def test_no_more_than_the_twenty_largest_layers_have_a_series():
    steps = [a_step(str(i), layer=Layer(f"sha256:{i}", i), inputs=(str(i - 1),)) for i in range(30)]
    changes = contributions(a_build(*steps, image=Image("sha256:i")), LabelBudget())
    sizes = [c.value for c in changes if c.metric == "layer_size_bytes"]
    assert sizes == [float(size) for size in range(29, 9, -1)]


def test_steps_that_name_each_other_as_inputs_do_no_harm():
    a = a_step("a", layer=Layer("sha256:1", 1), inputs=("b",))
    b = a_step("b", layer=Layer("sha256:2", 2), inputs=("a",))
    last = a_step("c", layer=Layer("sha256:3", 3), inputs=("b", "nobody"))
    assert len(layer_sizes(a_build(a, b, last, image=Image("sha256:i")))) == 3


def an_image(*layers: tuple[str, int, str]) -> dict[str, Any]:
    """The document of an image with layers of a command, bytes and the id of the step that made it, "" of none."""
    steps = [{"ref": "r", "step_id": step, "lines": None} if step else None for _, _, step in layers]
    found = [
        {"index": index, "command": command, "size_bytes": size_bytes, "step": step}
        for index, ((command, size_bytes, _), step) in enumerate(zip(layers, steps, strict=True))
    ]
    return {"wasted_bytes": 10, "efficiency": 0.9, "layers": found}


def layers_of(changes: list[Contribution]) -> dict[str, tuple[float, int]]:
    return {dict(c.labels)["layer"]: (c.value, c.at_ns) for c in changes if c.metric == "layer_size_bytes"}


def test_an_analysed_image_sets_all_its_layers_in_the_place_of_those_of_the_build():
    build = a_build(
        a_step("from", Kind.FROM, Outcome.NONE, cacheable=False),
        a_step("run", layer=Layer("sha256:3", 8192), inputs=("from",)),
        a_step("link", Kind.MERGE, instruction="COPY", layer=Layer("sha256:4", 4096), inputs=("run",)),
        image=Image("sha256:i", (), 1000, 4),
    )
    image = an_image(("ADD file in /", 700, ""), ("# debian.sh", 0, ""), ("RUN x", 2, "run"), ("COPY x", 3, "link"))
    changes = image_contributions(image, build, LabelBudget())
    assert build.completed_ns is not None
    later_ns = build.completed_ns + 1
    assert layers_of(changes) == {
        "01 ADD": (700, later_ns), "02 OTHER": (0, later_ns), "03 RUN": (2, later_ns), "04 MERGE": (3, later_ns),
    }  # fmt: skip
    assert layers_of(contributions(build, LabelBudget())).keys() == {"03 RUN", "04 MERGE"}


def test_of_an_analysed_image_no_more_than_the_twenty_largest_layers_have_a_series():
    image = an_image(*((f"RUN {size}", size, "") for size in range(1, 31)))
    sizes = layers_of(image_contributions(image, a_build(), LabelBudget()))
    assert [size for size, _ in sizes.values()] == list(range(30, 10, -1))
    assert image_contributions(image, a_build(), LabelBudget(max_projects=0)) == []


def test_evictions_add_to_the_builder():
    assert totals(evictions("default", 3, 4096)) == {
        ("build_cache_evicted_records_total", (("builder", "default"),)): 3.0,
        ("build_cache_evicted_bytes_total", (("builder", "default"),)): 4096.0,
    }


seconds = st.none() | st.floats(allow_nan=True, allow_infinity=True)
random_steps = st.builds(
    a_step,
    st.text("abc", min_size=1, max_size=2),
    st.sampled_from(Kind),
    st.sampled_from(Outcome),
    seconds,
    cacheable=st.booleans(),
    instruction=st.text(max_size=5) | st.sampled_from(["RUN", "COPY"]),
    stage=st.sampled_from(["", "a", "b"]),
    inputs=st.lists(st.text("abc", min_size=1, max_size=2), max_size=3).map(tuple),
    layer=st.none() | st.builds(Layer, st.just("sha256:0"), st.none() | st.integers(-1, 1 << 70)),
)
random_builds = st.builds(
    lambda steps, **fields: a_build(*steps, **fields),
    st.lists(random_steps, max_size=12),
    seconds=st.floats(-1e6, 1e6),
    ref=st.text(min_size=1, max_size=30),
    builder=st.text(max_size=5),
    project=st.sampled_from(["a", "b", "other", "\x1b[0m<b>"]) | st.text(),
    target=st.sampled_from(["x", "y", "other"]),
    status=st.sampled_from([Status.COMPLETED, Status.FAILED, Status.CANCELED]),
    image=st.none() | st.builds(Image, st.just("sha256:i"), layers=st.none() | st.integers(0, 200)),
    summary=st.builds(Summary, executed_seconds=st.floats(), saved_seconds=seconds, context_bytes=st.none()),
)
CATALOG_LABELS = {metric.name: set(metric.labels) for metric in CATALOG}


@given(random_builds)
def test_every_change_is_in_the_catalog_with_its_labels_once_and_is_a_number(build):
    changes = contributions(build, LabelBudget())
    assert len({(c.metric, c.labels) for c in changes}) == len(changes)
    for change in changes:
        names = [name for name, _ in change.labels]
        assert names == sorted(names)
        assert set(names) - {"le"} == CATALOG_LABELS[catalog_name(change)]
        assert all(0 < len(value) <= 100 for _, value in change.labels)
        assert math.isfinite(change.value)
        assert change.effect is Effect.SET or change.value >= 0


@given(st.lists(random_builds, max_size=10))
def test_the_sum_over_builds_is_the_total_however_labels_are_bounded(builds):
    bounded = totals([c for b in builds for c in contributions(b, LabelBudget(1, 1, {"a": {"x"}}))])
    free = totals([c for b in builds for c in contributions(b, LabelBudget(10**6, 10**6))])
    for metric in ("builds_total", "build_failures_total", "cacheable_steps_total", "build_duration_seconds_bucket"):
        amounts = [math.fsum(v for (name, _), v in state.items() if name == metric) for state in (bounded, free)]
        assert amounts[0] == amounts[1]
    assert math.fsum(v for (name, _), v in bounded.items() if name == "builds_total") == len(builds)


def test_every_metric_that_the_store_feeds_is_contributed():
    steps = (a_step(layer=Layer("sha256:1", 1)),)
    build = a_build(*steps, image=Image("sha256:i", (), 100, 2), summary=summarize(steps))
    changes = [*contributions(build, LabelBudget()), *evictions("default", 0, 0)]
    changes += image_contributions(an_image(), build, LabelBudget())
    verdict = Verdict(baselines={Signal.HIT_RATIO: Baseline(0.9, 0.8, 20)})
    changes += regression_contributions("shop", "web", verdict, 1, LabelBudget())
    assert {catalog_name(c) for c in changes} == {metric.name for metric in CATALOG if metric.fed_by == "store"}


def test_bounds_of_buckets_rise():
    for metric in CATALOG:
        assert all(low < high for low, high in pairwise(metric.buckets))
