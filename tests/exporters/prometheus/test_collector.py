from __future__ import annotations

import math
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from buildprof.analysis.contributions import LabelBudget, contributions, evictions, image_contributions
from buildprof.analysis.regressions import Verdict, regression_contributions
from buildprof.analysis.summary import summarize
from buildprof.exporters.prometheus.catalog import CATALOG
from buildprof.exporters.prometheus.collector import StoredSeries, scrape, wants_openmetrics
from buildprof.exporters.prometheus.selfmetrics import SelfMetrics
from buildprof.model.build import Build, Engine, Image, Source, Status
from buildprof.model.cache import CacheRecord, CacheUsage
from buildprof.model.regression import Baseline, Signal
from buildprof.model.series import Series
from buildprof.model.step import Kind, Layer, Outcome, Step
from buildprof.store.connect import open_store
from buildprof.store.errors import StoreError
from buildprof.store.queries import changed_series
from buildprof.store.writer import Writer

START_NS = 1_700_000_000_000_000_000
SCOPE = "here"
IMAGE = {
    "wasted_bytes": 10,
    "efficiency": 0.9,
    "layers": [
        {"index": 0, "command": "ADD file in /", "size_bytes": 700, "step": None},
        {"index": 1, "command": "RUN 0", "size_bytes": 99, "step": {"ref": "ref1", "step_id": "0", "lines": None}},
    ],
}


def a_build(ref="ref1", *, layers=2, minutes=0, seconds=10.0, **changes) -> Build:
    steps = tuple(
        Step(
            id=str(n),
            name=f"RUN {n}",
            kind=Kind.RUN,
            outcome=Outcome.MISS,
            instruction="RUN",
            cacheable=True,
            inputs=(str(n - 1),),
            duration_seconds=0.2,
            layer=Layer(f"sha256:{n}", 100 * (n + 1)),
        )
        for n in range(layers)
    )
    started_ns = START_NS + minutes * 60_000_000_000
    fields = {
        "builder": "default",
        "engine": Engine("docker", "28.5.2"),
        "source": Source.BUILDKIT,
        "project": "shop",
        "target": "web",
        "status": Status.COMPLETED,
        "started_ns": started_ns,
        "completed_ns": started_ns + int(seconds * 1e9),
        "image": Image("sha256:i", (), 1000, layers),
        "steps": steps,
        "summary": summarize(steps),
        **changes,
    }
    return Build(ref=ref, **fields)


@pytest.fixture
def store(tmp_path):
    engine = open_store(f"sqlite:///{tmp_path}/store.db")
    yield engine
    engine.dispose()


@pytest.fixture
def writer(store):
    writer = Writer(store)
    yield writer
    writer.close()


def save(writer, build: Build) -> None:
    writer.save_build(build, contributions(build, LabelBudget()), scope=SCOPE)


def stored_series(store) -> StoredSeries:
    return StoredSeries(lambda since_seq: changed_series(store, SCOPE, since_seq))


def busy_self_metrics() -> SelfMetrics:
    own = SelfMetrics("0.1.0")
    own.source_state("buildkit", "default", up=True)
    own.source_event("buildkit", "default", START_NS)
    own.source_dropped("buildkit", 2)
    own.source_restarted("buildkit")
    own.builds_running("default", 1)
    own.store_written(0.02)
    own.store_written(99.0)
    own.store_size(4096)
    own.watched({"shop": (3, 12)})
    records = (
        CacheRecord("a", 10, "", "regular", in_use=True, shared=True, created_ns=0),
        CacheRecord("b", 20, "", "regular", in_use=False, shared=True, created_ns=0),
        CacheRecord("c", 30, "", "regular", in_use=False, shared=False, created_ns=0),
        CacheRecord("d", 40, "", "regular", in_use=False, shared=False, created_ns=0),
    )
    own.cache_read(CacheUsage("default", START_NS, records))
    return own


def samples(body: bytes, *, openmetrics=True) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    parse = parse_openmetrics if openmetrics else parse_text
    found = {}
    for family in parse(body.decode()):
        for sample in family.samples:
            key = (sample.name.removeprefix("buildprof_"), tuple(sorted(sample.labels.items())))
            assert key not in found
            found[key] = sample.value
    return found


def value_of(found, name: str, **labels: str) -> float:
    return found[name, tuple(sorted(labels.items()))]


@pytest.mark.parametrize("openmetrics", [True, False])
def test_a_scrape_has_every_metric_of_the_catalog_and_no_other(store, writer, openmetrics):
    save(writer, a_build())
    writer.apply_contributions(evictions("default", 1, 10), scope=SCOPE)
    writer.apply_contributions(image_contributions(IMAGE, a_build(), LabelBudget()), scope=SCOPE)
    verdict = Verdict(baselines={Signal.HIT_RATIO: Baseline(0.9, 0.8, 20)})
    writer.apply_contributions(regression_contributions("shop", "web", verdict, START_NS, LabelBudget()), scope=SCOPE)
    body = scrape(stored_series(store), busy_self_metrics(), openmetrics=openmetrics)
    parse = parse_openmetrics if openmetrics else parse_text
    families = {family.name: family for family in parse(body.decode())}
    expected = {}
    for metric in CATALOG:
        suffix = {"counter": "_total", "info": "_info" if openmetrics else ""}.get(metric.kind, "")
        expected[metric.full_name.removesuffix(suffix)] = metric
    assert families.keys() == expected.keys()
    for name, metric in expected.items():
        labels = {label for sample in families[name].samples for label in sample.labels}
        assert labels - {"le"} == set(metric.labels)
        assert families[name].documentation == metric.help
        if openmetrics:
            assert (families[name].type, families[name].unit) == (metric.kind, metric.unit)


def test_both_formats_give_the_same_values(store, writer):
    save(writer, a_build())
    stored, own = stored_series(store), busy_self_metrics()
    text = scrape(stored, own, openmetrics=False)
    assert samples(text, openmetrics=False) == samples(scrape(stored, own, openmetrics=True))


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool (package prometheus) is not installed")
def test_promtool_has_nothing_to_object_to(store, writer):
    save(writer, a_build())
    writer.apply_contributions(evictions("default", 1, 10), scope=SCOPE)
    body = scrape(stored_series(store), busy_self_metrics(), openmetrics=False)
    done = subprocess.run(["promtool", "check", "metrics"], input=body, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_counters_add_up_and_later_scrapes_read_only_what_changed(store, writer):
    asked = []

    def changes(since_seq):
        series, seq = changed_series(store, SCOPE, since_seq)
        asked.append(len(series))
        return series, seq

    stored, own = StoredSeries(changes), SelfMetrics("0.1.0")
    labels = {"builder": "default", "project": "shop", "target": "web"}
    save(writer, a_build("one"))
    assert value_of(samples(scrape(stored, own, openmetrics=True)), "builds_total", **labels) == 1
    save(writer, a_build("two", status=Status.FAILED))
    found = samples(scrape(stored, own, openmetrics=True))
    assert value_of(found, "builds_total", **labels) == 2
    assert value_of(found, "build_failures_total", **labels) == 1
    assert samples(scrape(stored, own, openmetrics=True)) == found
    assert asked[2] == 0


def test_a_new_process_exposes_the_same_counters(store, writer):
    save(writer, a_build())
    before = stored_series(store)
    before.refresh()
    after = stored_series(store)
    after.refresh()
    assert before.render(openmetrics=True) == after.render(openmetrics=True)


def test_buckets_are_cumulated_and_end_with_the_count(store, writer):
    for ref, seconds in (("a", 0.05), ("b", 10.0), ("c", 10.0), ("d", 9000.0)):
        save(writer, a_build(ref, seconds=seconds))
    found = samples(scrape(stored_series(store), SelfMetrics("0"), openmetrics=True))
    where = {"project": "shop", "target": "web"}
    expected = {"0.1": 1, "5.0": 1, "10.0": 3, "3600.0": 3, "+Inf": 4}
    assert {le: value_of(found, "build_duration_seconds_bucket", le=le, **where) for le in expected} == expected
    assert value_of(found, "build_duration_seconds_count", **where) == 4
    assert value_of(found, "build_duration_seconds_sum", **where) == pytest.approx(9020.05)


def test_a_bound_that_an_earlier_version_used_keeps_its_counts():
    labels = (("project", "p"), ("target", "t"))
    old = Series("build_duration_seconds_bucket", (("le", "7.0"), *labels), 2.0)
    new = Series("build_duration_seconds_bucket", (("le", "10.0"), *labels), 1.0)
    stored = StoredSeries(lambda _seq: ([old, new, Series("build_duration_seconds_sum", labels, 21.0)], 1))
    found = samples(scrape(stored, SelfMetrics("0"), openmetrics=True))
    values = [found["build_duration_seconds_bucket", (("le", le), *labels)] for le in ("5.0", "7.0", "10.0", "+Inf")]
    assert values == [0, 2, 3, 3]


def test_histograms_have_the_ref_of_a_build_as_exemplar(store, writer):
    save(writer, a_build("k6g3ggdn"))
    stored = stored_series(store)
    body = scrape(stored, SelfMetrics("0"), openmetrics=True)
    exemplars = [
        sample.exemplar
        for family in parse_openmetrics(body.decode())
        if family.name == "buildprof_build_duration_seconds"
        for sample in family.samples
        if sample.exemplar
    ]
    assert [(e.labels, e.value, float(e.timestamp)) for e in exemplars] == [
        ({"ref": "k6g3ggdn"}, 10.0, START_NS / 1e9 + 10)
    ]
    assert b"# {" not in scrape(stored, SelfMetrics("0"), openmetrics=False)


@pytest.mark.parametrize("ref", ["x" * 126, 'a"b', "a\\", "ä"])
def test_a_ref_that_does_not_fit_an_exemplar_is_left_out(store, writer, ref):
    save(writer, a_build(ref))
    assert b"# {" not in scrape(stored_series(store), SelfMetrics("0"), openmetrics=True)


def layers_in(stored: StoredSeries) -> set[str]:
    found = samples(scrape(stored, SelfMetrics("0"), openmetrics=True))
    return {dict(labels)["layer"] for name, labels in found if name == "layer_size_bytes"}


def test_layers_vanish_when_a_newer_image_has_fewer(store, writer):
    stored = stored_series(store)
    save(writer, a_build("old", layers=3))
    assert layers_in(stored) == {"01 RUN", "02 RUN", "03 RUN"}
    save(writer, a_build("new", layers=1, minutes=1))
    assert layers_in(stored) == {"01 RUN"} == layers_in(stored_series(store))
    save(writer, a_build("late news of an older build", layers=3, minutes=-1))
    assert layers_in(stored) == {"01 RUN"} == layers_in(stored_series(store))


def test_layers_of_an_analysed_image_take_the_place_of_those_of_its_build(store, writer):
    stored = stored_series(store)
    save(writer, a_build(layers=3))
    writer.apply_contributions(image_contributions(IMAGE, a_build(), LabelBudget()), scope=SCOPE)
    assert layers_in(stored) == {"01 ADD", "02 RUN"} == layers_in(stored_series(store))
    save(writer, a_build("new", layers=1, minutes=1))
    assert layers_in(stored) == {"01 RUN"}


def test_layers_of_one_target_do_not_touch_those_of_another(store, writer):
    save(writer, a_build("a", layers=2))
    save(writer, a_build("b", layers=1, minutes=1, target="worker"))
    found = samples(scrape(stored_series(store), SelfMetrics("0"), openmetrics=True))
    assert sum(name == "layer_size_bytes" for name, _ in found) == 3


@given(st.text(max_size=120), st.text(max_size=120), st.text(min_size=1, max_size=100))
def test_no_name_breaks_the_format(project, target, ref):
    build = a_build(ref, project=project, target=target)
    series = [
        Series(c.metric, c.labels, c.value, c.at_ns, c.ref.encode(errors="ignore").decode(), c.exemplar_value)
        for c in contributions(build, LabelBudget())
    ]
    stored = StoredSeries(lambda _seq: (series, 1))
    found = samples(scrape(stored, SelfMetrics("0"), openmetrics=True))
    assert len([1 for name, _ in found if name == "builds_total"]) == 1
    assert samples(scrape(stored, SelfMetrics("0"), openmetrics=False), openmetrics=False) == found


def test_series_of_an_unknown_metric_are_not_exported():
    stored = StoredSeries(lambda _seq: ([Series("of_a_later_version_total", (), 1.0)], 1))
    stored.refresh()
    assert stored.render(openmetrics=True) == ""


def test_a_store_that_cannot_be_read_fails_the_scrape_and_loses_nothing():
    broken = False

    def changes(seq):
        if broken:
            raise StoreError("gone")
        return ([Series("cache_hits_total", (("project", "p"),), 1.0)] if seq == 0 else []), 1

    stored = StoredSeries(changes)
    stored.refresh()
    before, broken = stored.render(openmetrics=False), True
    with pytest.raises(StoreError):
        scrape(stored, SelfMetrics("0"), openmetrics=False)
    assert stored.render(openmetrics=False) == before


def test_self_metrics_count_what_they_are_told():
    found = samples(scrape(StoredSeries(lambda _seq: ([], 0)), busy_self_metrics(), openmetrics=True))
    assert value_of(found, "source_up", source="buildkit", builder="default") == 1
    assert value_of(found, "source_events_total", source="buildkit") == 1
    assert value_of(found, "source_events_dropped_total", source="buildkit") == 2
    assert value_of(found, "source_restarts_total", source="buildkit") == 1
    seen = value_of(found, "source_last_event_timestamp_seconds", source="buildkit", builder="default")
    assert seen == START_NS / 1e9
    assert value_of(found, "builds_in_progress", builder="default") == 1
    assert value_of(found, "store_size_bytes") == 4096
    assert value_of(found, "store_write_seconds_bucket", le="0.025") == 1
    assert value_of(found, "store_write_seconds_count") == 2
    assert math.isclose(value_of(found, "store_write_seconds_sum"), 99.02)
    sizes = {s: value_of(found, "build_cache_size_bytes", builder="default", state=s) for s in ("in_use", "shared")}
    assert sizes == {"in_use": 10, "shared": 20}
    assert value_of(found, "build_cache_size_bytes", builder="default", state="reclaimable") == 70
    assert value_of(found, "build_cache_records", builder="default", state="reclaimable") == 2


def test_a_source_that_is_down_says_so_and_has_counters_of_zero():
    own = SelfMetrics("0.1.0")
    own.source_state("classic", "default", up=False)
    found = samples(scrape(StoredSeries(lambda _seq: ([], 0)), own, openmetrics=True))
    assert value_of(found, "source_up", source="classic", builder="default") == 0
    assert value_of(found, "source_events_dropped_total", source="classic") == 0


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", False),
        ("*/*", False),
        ("text/plain;version=0.0.4;q=0.5,*/*;q=0.1", False),
        ("application/openmetrics-text", True),
        ("application/openmetrics-text; version=1.0.0; charset=utf-8", True),
        ("application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.3", True),
        ("application/openmetrics-text;version=0.0.1;q=0.9,text/plain", False),
        ("application/openmetrics-text;q=0", False),
        ("application/openmetrics-text;q=0.0, text/plain", False),
        (";;;=,,\x00", False),
    ],
)
def test_openmetrics_is_given_to_who_asks_for_it(accept, expected):
    assert wants_openmetrics(accept) is expected
