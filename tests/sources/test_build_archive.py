import gzip
import hashlib
import io
import json
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buildprof.model.events import RecordState
from buildprof.sources import build_archive
from buildprof.sources.build_archive import read_build_archive
from buildprof.sources.import_file import ImportFormatError
from tests.sources.recordings import ARCHIVES

WHOLE = (ARCHIVES / "one-build.dockerbuild").read_bytes()


def recorded(name: str):
    with (ARCHIVES / name).open("rb") as file:
        return read_build_archive(file)


def packed(members: dict[str, bytes], **kinds: bytes) -> io.BytesIO:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.type = len(content), kinds.get(name, tarfile.REGTYPE)
            archive.addfile(entry, io.BytesIO(content))
    buffer.seek(0)
    return buffer


def layout(
    record: object, *, blobs: tuple[bytes, ...] = (), config_type: str = build_archive._RECORD_TYPE
) -> io.BytesIO:
    members: dict[str, bytes] = {}

    def add(content: bytes) -> str:
        digest = hashlib.sha256(content).hexdigest()
        members[f"blobs/sha256/{digest}"] = content
        return f"sha256:{digest}"

    for blob in blobs:
        add(blob)
    config = {"mediaType": config_type, "digest": add(json.dumps(record).encode())}
    manifest = add(json.dumps({"config": config}).encode())
    members["index.json"] = json.dumps({"manifests": [{"digest": manifest}]}).encode()
    return packed(members)


def descriptor(blob: bytes) -> dict[str, object]:
    return {"digest": f"sha256:{hashlib.sha256(blob).hexdigest()}", "size": len(blob)}


RECORD = {"Ref": "abc", "CreatedAt": {"seconds": 1795489022, "nanos": 5}}


def test_a_build_comes_with_its_record_its_status_its_provenance_and_its_directory():
    (build,) = recorded("one-build.dockerbuild")
    assert build.record.state is RecordState.COMPLETE
    assert build.record.frontend_attrs["target"] == "web"
    assert build.record.created_ns > 1_700_000_000_000_000_000
    assert build.record.completed_ns is not None
    assert build.record.completed_ns > build.record.created_ns
    names = {vertex.name for update in build.updates for vertex in update.vertices}
    assert "[web 2/2] COPY --from=build /app/dist /srv/dist" in names
    ((platform, provenance),) = build.provenance
    assert platform == ""
    assert json.loads(provenance)["buildType"] == "https://mobyproject.org/buildkit@v1"
    assert build.local_state is not None
    assert (build.local_state.target, build.local_state.context_path) == ("default", "/tmp/shop")


def test_a_failed_build_comes_with_its_error_and_without_provenance():
    (build,) = recorded("failed.dockerbuild")
    assert build.record.error_code is not None
    assert "exit code: 3" in build.record.error_message
    assert build.provenance == ()
    assert [log.data for update in build.updates for log in update.logs] == [b"about to fail\n"]


def test_all_builds_of_a_bake_come_with_their_group():
    builds = recorded("bake-of-two.dockerbuild")
    states = [build.local_state for build in builds if build.local_state]
    assert sorted(state.target for state in states) == ["api", "web"]
    assert len({state.group_id for state in states}) == 1


def test_an_archive_of_the_containerd_store_reads_alike():
    (build,) = recorded("containerd-store.dockerbuild")
    assert build.updates
    assert build.provenance


def test_times_in_the_older_spelling_are_read():
    (build,) = read_build_archive(layout({"Ref": "abc", "CreatedAt": "2026-11-24T02:57:02.000000005Z"}))
    assert build.record.created_ns == 1795489022_000000005


@pytest.mark.parametrize("size", [0, 1, 10, 100, 1000, len(WHOLE) // 2, len(WHOLE) * 3 // 4])
def test_an_archive_that_is_cut_off_is_refused_in_one_line(size: int):
    with pytest.raises(ImportFormatError) as refusal:
        read_build_archive(io.BytesIO(WHOLE[:size]))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("file", "said"),
    [
        (io.BytesIO(b"PK\x03\x04 a zip file"), "not gzip"),
        (io.BytesIO(gzip.compress(b"x" * 2000)), "not a tar file inside"),
        (packed({"etc/passwd": b"root"}), "without an index.json"),
        (packed({"index.json": b"[]"}), "that is not a JSON object"),
        (packed({"index.json": b"[" * 100_000}), "that is not a JSON object"),
        (packed({"index.json": b'{"manifests":[]}'}), "names no builds"),
        (packed({"index.json": b'{"manifests":[{"digest":"sha256:00"}]}'}), "a blob is missing"),
        (packed({"index.json": b'{"manifests":[7]}'}), "a blob is missing"),
        (packed({"blobs/sha256/" + "0" * 64: b"x"}), "does not match its digest"),
        (layout(RECORD, config_type="application/vnd.oci.image.config.v1+json"), "an OCI image, not a build record"),
        (layout([]), "that is not a JSON object"),
        (layout({"Ref": "abc"}), "without a ref or a start"),
        (layout({"Ref": 7}), "of another shape"),
        (layout(RECORD | {"CompletedAt": {"seconds": "x"}}), "of another shape"),
        (layout(RECORD | {"logs": descriptor(b"gone")}), "a blob is missing"),
        (layout(RECORD | {"logs": descriptor(b"\x09\0\0\0ab")}, blobs=(b"\x09\0\0\0ab",)), "log that is cut off"),
        (
            layout(RECORD | {"logs": descriptor(b"\x02\0\0\0\xff\xff")}, blobs=(b"\x02\0\0\0\xff\xff",)),
            "log of another shape",
        ),
    ],
)
def test_what_is_no_archive_of_builds_is_refused_in_one_line(file: io.BytesIO, said: str):
    with pytest.raises(ImportFormatError) as refusal:
        read_build_archive(file)
    assert said in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_indexes_that_lead_to_each_other_are_refused():
    inner = json.dumps({"mediaType": build_archive._INDEX_TYPE, "manifests": []}).encode()
    middle = json.dumps({"mediaType": build_archive._INDEX_TYPE, "manifests": [descriptor(inner)]}).encode()
    members = {f"blobs/{str(descriptor(one)['digest']).replace(':', '/')}": one for one in (inner, middle)}
    members["index.json"] = json.dumps({"manifests": [descriptor(middle)]}).encode()
    with pytest.raises(ImportFormatError, match="indexes below indexes"):
        read_build_archive(packed(members))


def test_links_and_names_that_climb_are_passed_over():
    members = {
        "../../etc/cron.d/x": b"x",
        "/etc/passwd": b"x",
        "blobs/sha256/link": b"",
        "index.json": b'{"manifests":[]}',
    }
    with pytest.raises(ImportFormatError, match="names no builds"):
        read_build_archive(packed(members, **{"blobs/sha256/link": tarfile.SYMTYPE}))


def test_an_archive_that_unpacks_without_end_is_refused(monkeypatch):
    monkeypatch.setattr(build_archive, "MAX_ARCHIVE_BYTES", 1 << 20)
    with pytest.raises(ImportFormatError, match="unpacks to more than 1 MiB"):
        read_build_archive(packed({f"file{number}": bytes(300_000) for number in range(9)}))


def test_one_member_without_end_is_refused_before_it_is_read():
    header = bytearray(tarfile.TarInfo("index.json").tobuf())
    header[124:136] = b"77777777777\0"
    header[148:156] = b"%06o\0 " % (sum(header[:148]) + 256 + sum(header[156:]))
    with pytest.raises(ImportFormatError, match="unpacks to more than"):
        read_build_archive(io.BytesIO(gzip.compress(bytes(header))))


def test_members_without_number_are_refused(monkeypatch):
    monkeypatch.setattr(build_archive, "MAX_MEMBERS", 10)
    with pytest.raises(ImportFormatError, match="more than 10 members"):
        read_build_archive(packed({f"file{number}": b"" for number in range(11)}))


UNPACKED = gzip.decompress(WHOLE)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, len(UNPACKED) - 1), st.binary(min_size=1, max_size=40))
def test_a_damaged_archive_reads_or_is_refused_in_one_line(position: int, damage: bytes):
    damaged = UNPACKED[:position] + damage + UNPACKED[position + len(damage) :]
    assert "\n" not in refusal_of(io.BytesIO(gzip.compress(damaged, 1)))


def refusal_of(file: io.BytesIO) -> str:
    try:
        read_build_archive(file)
    except ImportFormatError as refusal:
        return str(refusal)
    return ""
