import json

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from buildprof.model.cache import CacheRecord
from buildprof.model.events import RecordState, VertexLog, VertexStatus
from buildprof.sources.buildkit import convert as module
from buildprof.sources.buildkit.convert import nanoseconds, record_from_wire, status_from_wire, usage_from_wire
from buildprof.sources.buildkit.wire import control_pb2 as wire
from tests.recordings.replay import DIRECTORY, NAMES, load

PROVENANCE = {"in-toto.io/predicate-type": "https://slsa.dev/provenance/v0.2"}


def vertex(**fields):
    return status_from_wire(wire.StatusResponse(vertexes=[wire.Vertex(**fields)])).vertices[0]


@given(st.integers(1, 9_000_000_000), st.integers(0, 999_999_999))
def test_a_time_is_whole_nanoseconds(seconds, nanos):
    message = wire.Vertex(started=Timestamp(seconds=seconds, nanos=nanos))

    assert nanoseconds(message, "started") == seconds * 10**9 + nanos


@pytest.mark.parametrize(
    ("seconds", "nanos"),
    [(0, 0), (0, 5), (-62135596800, 0), (-1, 0), (2**62, 0), (9_223_372_037, 0), (5, -1), (5, 1_000_000_000)],
)
def test_what_is_no_time_is_none(seconds, nanos):
    assert nanoseconds(wire.Vertex(started=Timestamp(seconds=seconds, nanos=nanos)), "started") is None
    assert nanoseconds(wire.Vertex(), "started") is None


def test_a_vertex_is_told_with_all_its_parts():
    told = vertex(
        digest="sha256:1",
        name="[1/1] RUN x",
        inputs=["sha256:0"],
        cached=True,
        started=Timestamp(seconds=1),
        completed=Timestamp(seconds=2),
        error="no",
        progressGroup=wire.ProgressGroup(id="g"),
    )

    assert (told.digest, told.name, told.inputs, told.cached) == ("sha256:1", "[1/1] RUN x", ("sha256:0",), True)
    assert (told.started_ns, told.completed_ns, told.error, told.group_id) == (10**9, 2 * 10**9, "no", "g")


def test_statuses_and_logs_are_told_with_all_their_parts():
    update = status_from_wire(
        wire.StatusResponse(
            statuses=[
                wire.VertexStatus(ID="i", vertex="v", name="n", current=1, total=2, timestamp=Timestamp(seconds=3))
            ],
            logs=[wire.VertexLog(vertex="v", msg=b"\xff", stream=2, timestamp=Timestamp(seconds=4))],
        )
    )

    assert update.statuses == (VertexStatus("i", "v", "n", 1, 2, 3 * 10**9),)
    assert update.logs == (VertexLog("v", b"\xff", 2, 4 * 10**9),)


def test_texts_of_a_megabyte_are_cut():
    long = "x" * 1_000_000
    told = vertex(digest=long, name=long, inputs=[long], error=long, progressGroup=wire.ProgressGroup(id=long))
    record = record_from_wire(
        wire.COMPLETE,
        wire.BuildHistoryRecord(
            Ref=long,
            FrontendAttrs={long: long},
            ExporterResponse={long: long},
            Exporters=[wire.Exporter(Type="image", Attrs={"name": long})],
        ),
    )
    usage = usage_from_wire("b", 1, wire.DiskUsageResponse(record=[wire.UsageRecord(ID=long, Description=long)]))

    assert (
        max(len(text) for text in (told.digest, told.name, *told.inputs, told.error, told.group_id))
        == module.MAX_NAME_CHARS
    )
    assert len(repr(record)) < 300_000
    assert len(repr(usage)) < 20_000


def test_inputs_past_the_bound_are_left_out():
    assert len(vertex(inputs=[str(n) for n in range(20_000)]).inputs) == module.MAX_INPUTS


@given(st.binary(max_size=200))
def test_any_message_that_protobuf_takes_is_converted(data):
    for message, converted in (
        (wire.StatusResponse(), status_from_wire),
        (wire.BuildHistoryRecord(), lambda one: record_from_wire(wire.COMPLETE, one)),
        (wire.DiskUsageResponse(), lambda one: usage_from_wire("b", 1, one)),
    ):
        try:
            message.ParseFromString(data)
        except Exception:  # noqa: BLE001  # protobuf's own business
            continue
        converted(message)


def test_events_have_the_state_that_brought_them():
    record = wire.BuildHistoryRecord(Ref="r", Generation=7)
    states = {kind: record_from_wire(kind, record).state for kind in (wire.STARTED, wire.COMPLETE, wire.DELETED, 99)}

    assert list(states.values()) == [
        RecordState.STARTED,
        RecordState.COMPLETE,
        RecordState.DELETED,
        RecordState.COMPLETE,
    ]
    assert record_from_wire(0, record).generation == 7


def test_a_record_without_an_error_has_no_code():
    assert record_from_wire(1, wire.BuildHistoryRecord()).error_code is None
    failed = wire.BuildHistoryRecord()
    failed.error.code, failed.error.message = 1, "context canceled"
    assert (record_from_wire(1, failed).error_code, record_from_wire(1, failed).error_message) == (
        1,
        "context canceled",
    )


def descriptor(digest, annotations=None):
    return wire.Descriptor(digest=digest, annotations=annotations or {})


def test_provenance_is_found_among_the_attestations_of_every_platform():
    record = wire.BuildHistoryRecord()
    record.Result.Attestations.append(descriptor("sha256:a", PROVENANCE))
    record.Result.Attestations.append(
        descriptor("sha256:sbom", {"in-toto.io/predicate-type": "https://spdx.dev/Document"})
    )
    record.Result.Attestations.append(descriptor("sha256:bare"))
    record.Results["linux/arm64"].Attestations.append(descriptor("sha256:b", PROVENANCE))

    assert record_from_wire(1, record).attestations == (("", "sha256:a"), ("linux/arm64", "sha256:b"))


def test_the_result_is_found_where_older_and_newer_engines_put_it():
    older, newer = wire.BuildHistoryRecord(), wire.BuildHistoryRecord()
    older.Result.ResultDeprecated.digest = "sha256:old"
    newer.Result.Results[0].digest = "sha256:new"

    assert record_from_wire(1, older).result_digest == "sha256:old"
    assert record_from_wire(1, newer).result_digest == "sha256:new"
    assert record_from_wire(1, wire.BuildHistoryRecord()).result_digest == ""


@pytest.mark.parametrize("name", NAMES)
def test_a_recorded_record_keeps_its_ref_times_and_attributes(name):
    lines = (DIRECTORY / f"{name}.jsonl").read_text().splitlines()
    told = next(json.loads(line)["record"] for line in lines if '"record"' in line[:30])
    record = load(name).record

    assert (record.ref, record.frontend_attrs) == (told["Ref"], told["FrontendAttrs"])
    assert record.created_ns % 10**9 == int(told["CreatedAt"][20:-1].ljust(9, "0"))
    assert record.completed_ns > record.created_ns
    assert (record.error_code is None) == ("error" not in told)
    assert bool(record.attestations) == bool(record.result_digest) == (record.error_code is None)


def test_a_record_of_the_cache_is_told_with_all_its_parts():
    records = [
        wire.UsageRecord(
            ID="a", Size=5, Description="[1/1] RUN x", RecordType="regular", InUse=True, Shared=True, Parents=["p", "q"],
            CreatedAt=Timestamp(seconds=1), LastUsedAt=Timestamp(seconds=2),
        ),
        wire.UsageRecord(ID="b", Parent="p"),
    ]  # fmt: skip
    usage = usage_from_wire("default", 9, wire.DiskUsageResponse(record=records))

    assert (usage.builder, usage.at_ns) == ("default", 9)
    assert usage.records == (
        CacheRecord("a", 5, "[1/1] RUN x", "regular", True, True, 10**9, 2 * 10**9, ("p", "q")),
        CacheRecord("b", 0, "", "", False, False, 0, None, ("p",)),
    )


def test_text_of_an_old_buildkit_that_is_not_utf_8_is_read_with_replacements():
    record = wire.BuildHistoryRecord(Ref="r")
    record.FrontendAttrs["label:k"] = "caf@"
    sent = record.SerializeToString().replace(b"caf@", b"caf\xe9")
    read = record_from_wire(wire.COMPLETE, wire.BuildHistoryRecord.FromString(sent))
    assert read.frontend_attrs == {"label:k": "caf\ufffd"}
