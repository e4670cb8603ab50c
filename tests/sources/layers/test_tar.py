import io
import itertools
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from xxhash import xxh3_128_digest

from buildprof.model.layer_files import EntryKind, LayerEntry
from buildprof.sources.layers.errors import LayerError, LayerLimitError
from buildprof.sources.layers.tar import Limits, read_layer
from buildprof.sources.layers.tar_reader import BLOCK_BYTES

FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


def file(path: str | bytes, content: bytes = b"") -> LayerEntry:
    return LayerEntry(os.fsencode(path), EntryKind.FILE, len(content), xxh3_128_digest(content))


def member(name: str, kind: bytes = tarfile.REGTYPE, content: bytes = b"", link: str = "") -> tuple:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname, entry.size = kind, link, len(content)
    return entry, content


def archive(*members: tuple, form: int = tarfile.PAX_FORMAT, **pax: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form, pax_headers=pax, errors="surrogateescape") as writer:
        for entry, content in members:
            writer.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def header(**fields: bytes) -> bytes:
    """One header with fields put into it as they are, and the right checksum."""
    places = {"name": 0, "size": 124, "kind": 156, "link": 157, "magic": 257, "prefix": 345, "sparse": 386, "tail": 482}
    block = bytearray(tarfile.TarInfo("x").tobuf(tarfile.USTAR_FORMAT))
    for field, value in fields.items():
        block[places[field] : places[field] + len(value)] = value
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % BLOCK_BYTES)


def entries(layer: bytes) -> list[LayerEntry]:
    return list(read_layer(io.BytesIO(layer)))


def refusal(layer: bytes, limits: Limits = Limits()) -> str:  # noqa: B008  # frozen
    with pytest.raises(LayerError) as refused:
        read_layer(io.BytesIO(layer), limits)
    assert "\n" not in str(refused.value)
    return str(refused.value)


class Dribble:
    """A stream that gives as much at a time as it likes."""

    def __init__(self, content: bytes, sizes: list[int]) -> None:
        self._content = io.BytesIO(content)
        self._sizes = itertools.cycle(sizes)

    def read(self, size_bytes: int) -> bytes:
        return self._content.read(min(size_bytes, next(self._sizes)))


NAMES = st.text(
    st.characters(codec="utf-8", exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=40
) | st.sampled_from(["a" * 120, "é" * 70, "a b\n", ".hidden", "...", "\udcff\udc80"])
PATHS = st.lists(NAMES, min_size=1, max_size=6).map("/".join)
MEMBERS = st.one_of(
    st.tuples(st.just(tarfile.REGTYPE), PATHS, st.binary(max_size=2000) | st.sampled_from([bytes(512), b"x" * 1024])),
    st.tuples(st.sampled_from([tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE]), PATHS, st.none()),
    st.tuples(st.sampled_from([tarfile.SYMTYPE, tarfile.LNKTYPE]), PATHS, PATHS),
)
KINDS = {tarfile.DIRTYPE: EntryKind.DIRECTORY, tarfile.SYMTYPE: EntryKind.SYMLINK, tarfile.LNKTYPE: EntryKind.HARD_LINK}


@settings(deadline=None)
@given(st.lists(MEMBERS, max_size=8), st.sampled_from(list(FORMATS)), st.lists(st.integers(1, 3000), min_size=1))
def test_a_tree_reads_the_same_in_every_format_and_by_pieces_of_any_size(members, form, sizes):
    written, expected = [], []
    for kind, path, rest in members:
        assume(not any(part in {".", ".."} or part.startswith(".wh.") for part in path.split("/")))
        if kind == tarfile.REGTYPE:
            written.append(member(path, kind, rest))
            expected.append(file(path, rest))
        elif rest is None:
            written.append(member(path, kind))
            expected.append(LayerEntry(os.fsencode(path), KINDS.get(kind, EntryKind.OTHER)))
        else:
            assume(not any(part in {".", ".."} for part in rest.split("/")))
            written.append(member(path, kind, link=rest))
            expected.append(LayerEntry(os.fsencode(path), KINDS[kind], target=os.fsencode(rest)))
    try:
        layer = archive(*written, form=FORMATS[form])
    except ValueError:  # ustar cannot hold it
        assume(False)
    assert list(read_layer(Dribble(layer, sizes))) == expected


def test_names_are_relative_to_the_root_whatever_their_form():
    layer = archive(
        member("./", tarfile.DIRTYPE),
        member("/etc/", tarfile.DIRTYPE),
        member("./etc/./passwd", content=b"root"),
        member("//etc//shadow", tarfile.LNKTYPE, link="/./etc/passwd"),
        member("etc/link", tarfile.SYMTYPE, link="/../..//etc/./x"),
    )
    assert entries(layer) == [
        LayerEntry(b"", EntryKind.DIRECTORY),
        LayerEntry(b"etc", EntryKind.DIRECTORY),
        file("etc/passwd", b"root"),
        LayerEntry(b"etc/shadow", EntryKind.HARD_LINK, target=b"etc/passwd"),
        LayerEntry(b"etc/link", EntryKind.SYMLINK, target=b"/../..//etc/./x"),
    ]


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/..", "a/..", "..", "a/../b"])
def test_names_and_hard_links_that_climb_are_refused(name: str):
    assert "leaves the image" in refusal(archive(member(name)))
    assert "leaves the image" in refusal(archive(member("x", tarfile.LNKTYPE, link=name)))


def test_whiteouts_are_told_apart_from_files():
    layer = archive(
        member("a/.wh.b"),
        member(".wh.c", content=b"whatever"),
        member("d/.wh..wh..opq"),
        member(".wh..wh..opq"),
        member(".wh..wh.plnk/", tarfile.DIRTYPE),
        member(".wh..wh.plnk/12.34", content=b"kept by aufs"),
        member("e/.wh..wh.orph"),
        member("f.wh.g", content=b"a name like another"),
        member("h/.wh..i"),
    )
    assert entries(layer) == [
        LayerEntry(b"a/b", EntryKind.WHITEOUT),
        LayerEntry(b"c", EntryKind.WHITEOUT),
        LayerEntry(b"d", EntryKind.OPAQUE_DIRECTORY),
        LayerEntry(b"", EntryKind.OPAQUE_DIRECTORY),
        file("f.wh.g", b"a name like another"),
        LayerEntry(b"h/.i", EntryKind.WHITEOUT),
    ]


@pytest.mark.parametrize("name", [".wh.", "a/.wh..", "a/.wh..."])
def test_whiteouts_of_nothing_are_refused(name: str):
    assert "whiteout of nothing" in refusal(archive(member(name)))


def test_a_file_without_a_name_is_refused():
    assert "without a name" in refusal(archive(member("./")))
    assert "without a name" in refusal(header(name=bytes(100)) + bytes(1024))


def test_links_and_directories_have_no_content_whatever_their_size_says():
    layer = header(kind=b"1", link=b"y", size=b"00000001000\0") + header(name=b"z") + bytes(1024)
    assert [entry.path for entry in entries(layer)] == [b"x", b"z"]


def test_files_from_before_ustar_are_read():
    old = {"magic": bytes(8), "kind": b"\0"}
    layer = header(name=b"dir/", **old) + header(name=b"dir/file", size=b"3          \0", **old) + padded(b"abc")
    assert entries(layer) == [LayerEntry(b"dir", EntryKind.DIRECTORY), file("dir/file", b"abc")]


def test_a_checksum_of_signed_bytes_is_taken():
    block = bytearray(header(name=b"\xff\xfe"))
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(byte - 256 if byte > 127 else byte for byte in block)
    assert entries(bytes(block)) == [file(b"\xff\xfe")]


def test_sizes_in_base_256_are_read():
    assert entries(header(size=b"\x80" + (3).to_bytes(11, "big")) + padded(b"abc")) == [file("x", b"abc")]


@pytest.mark.parametrize("size", [b"\xff" * 12, b"\x80" + b"\xff" * 11, b"-0000000001\0", b"0000000008\0\0", b"1_0\0"])
def test_sizes_that_are_none_are_refused(size: bytes):
    assert "number" in refusal(header(size=size))


def test_a_prefix_counts_in_ustar_alone():
    assert entries(header(name=b"x", prefix=b"a/b")) == [file("a/b/x")]
    assert entries(header(name=b"x", prefix=b"a/b", magic=b"ustar  \0")) == [file("x")]


def test_global_records_change_nothing():
    assert entries(archive(member("x", content=b"abc"), path="other", size="1")) == [file("x", b"abc")]


def test_records_that_nobody_knows_are_passed_over():
    entry, content = member("x", content=b"abc")
    entry.pax_headers = {"SCHILY.xattr.user.x": "1\n2 = 3", "path": "y"}
    assert entries(archive((entry, content))) == [file("y", b"abc")]


@pytest.mark.parametrize(
    "records", [b"99 path=x\n", b"9 path=xx\n", b"x path=x\n", b"0 path=x\n", b"8 pathxx\n", b"10 path=\0x\n"]
)
def test_damaged_records_are_refused(records: bytes):
    layer = header(kind=b"x", size=b"%011o\0" % len(records)) + padded(records) + header()
    assert refusal(layer)


SPARSE_FORMS = {
    "old": ["--format=gnu"],
    "0.0": ["--format=posix", "--sparse-version=0.0"],
    "0.1": ["--format=posix", "--sparse-version=0.1"],
    "1.0": ["--format=posix", "--sparse-version=1.0"],
}


@pytest.mark.parametrize("form", SPARSE_FORMS)
def test_a_sparse_file_reads_as_if_its_zeros_were_there(form: str, tmp_path: Path):
    tar = shutil.which("tar")
    if tar is None or b"GNU tar" not in subprocess.run([tar, "--version"], capture_output=True, check=True).stdout:
        pytest.skip("GNU tar is not installed")
    content = bytearray(3_000_000)
    for at in range(0, 2_800_000, 70_000):  # more pieces than a header holds
        content[at : at + 5] = b"abcde"
    for name, end in (
        ("ends-in-data", content),
        ("ends-in-a-hole", content + bytes(500_000)),
        ("empty", bytes(200_000)),
    ):
        with (tmp_path / name).open("wb") as made:
            for at in range(0, len(end), 4096):
                if any(piece := end[at : at + 4096]):
                    made.seek(at)
                    made.write(piece)
            made.truncate(len(end))
    (tmp_path / "after").write_bytes(b"plain")
    names = ["ends-in-data", "ends-in-a-hole", "empty", "after"]
    command = [tar, "--sparse", *SPARSE_FORMS[form], "-cf", "-", *names]
    layer = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True).stdout
    assert len(layer) < 1_000_000
    assert entries(layer) == [file(name, (tmp_path / name).read_bytes()) for name in names]
    for at in range(0, len(layer) - 10_240, 512):
        with pytest.raises(LayerError, match=r"cut off|too early"):
            read_layer(io.BytesIO(layer[: at + 100]))


def sparse(pieces: bytes, real: bytes, stored: bytes = b"abc") -> bytes:
    """A file of the old sparse format; `pieces` are the fields of its map."""
    fields = {"kind": b"S", "magic": b"ustar  \0", "size": b"%011o\0" % len(stored)}
    return header(sparse=pieces, tail=b"\0" + real, **fields) + padded(stored)


def octal(*numbers: int) -> bytes:
    return b"".join(b"%011o\0" % number for number in numbers)


@pytest.mark.parametrize(
    "layer",
    [
        sparse(octal(0, 5), octal(10)),
        sparse(octal(8, 3), octal(10)),
        sparse(octal(4, 1, 0, 2), octal(10)),
        sparse(octal(0, 2, 1, 1), octal(10)),
        sparse(octal(0), octal(10)),
    ],
)
def test_maps_of_sparse_files_that_make_no_sense_are_refused(layer: bytes):
    assert "sparse file" in refusal(layer)


def test_a_sparse_file_is_bounded_by_its_size_and_not_by_what_is_stored():
    layer = sparse(octal(1 << 32, 3), octal((1 << 32) + 3))
    assert "more than 1 MB" in refusal(layer, Limits(unpacked_bytes=1_000_000))


def test_it_ends_with_zeros_or_with_the_stream():
    one = header()
    for end in (b"", bytes(512), bytes(1024), bytes(10_240)):
        assert entries(one + end) == [file("x")]
    assert "follows the end" in refusal(one + bytes(512) + one)
    assert entries(b"") == []


def test_the_stream_is_read_to_its_end():
    stream = io.BytesIO(header() + bytes(1024) + b"what follows is part of the digest" * 100_000)
    read_layer(stream)
    assert stream.read() == b""


WHOLE = archive(
    member("long/" + "x" * 200, content=b"a" * 700), member("y", content=b"b" * 100), form=tarfile.GNU_FORMAT
)  # fmt: skip


@pytest.mark.parametrize("at", [*range(1, 512 * 7, 73), *range(512, 512 * 7, 512)])
def test_a_layer_that_is_cut_off_is_refused(at: int):
    if at in {512 * 5, 512 * 7}:  # between two members nothing tells
        assert entries(WHOLE[:at])
    else:
        assert "cut off" in refusal(WHOLE[:at])


def test_an_archive_that_is_none_is_refused():
    for junk in (b"x" * 600, bytes(range(256)) * 4, b"{}" + bytes(510), b"\x1f\x8b" * 300):
        assert "not a tar archive" in refusal(junk)


@pytest.mark.parametrize(
    ("layer", "limits"),
    [
        (archive(*(member(f"f{number}") for number in range(11))), Limits(entries=10)),
        (archive(*(member(f"f{number:0100}") for number in range(11))), Limits(name_bytes=1000)),
        (header(kind=b"L", size=b"00010000000\0"), Limits()),
        (header(kind=b"x", size=b"00010000000\0"), Limits()),
    ],
)
def test_names_without_end_are_refused(layer: bytes, limits: Limits):
    with pytest.raises(LayerLimitError):
        read_layer(io.BytesIO(layer), limits)


def test_names_longer_than_a_path_can_be_are_refused():
    assert "longer than 4096" in refusal(archive(member("x" * 5000)))
    assert "longer than 4096" in refusal(archive(member("x", tarfile.SYMTYPE, link="x" * 5000)))


@settings(deadline=None)
@given(st.integers(0, len(WHOLE) - 1), st.binary(min_size=1, max_size=40))
def test_a_damaged_layer_reads_or_is_refused_in_one_line(at: int, damage: bytes):
    assert "\n" not in said_of(WHOLE[:at] + damage + WHOLE[at + len(damage) :])


def said_of(layer: bytes) -> str:
    try:
        read_layer(io.BytesIO(layer))
    except LayerError as refused:
        return str(refused)
    return ""


MILLION = """
import resource, sys
from buildprof.sources.layers.tar import read_layer
from tests.sources.layers.test_tar import header, padded

class Million:
    def __init__(self):
        self.at = 0
        self.block = bytearray(header(size=b"00000000005\\0"))
        self.block[148:156] = b" " * 8
        self.block[:24] = b"a/directory/of/files/and"
        self.block[24:31] = bytes(7)
        self.sum = sum(self.block)
    def read(self, size_bytes):
        blocks = []
        for number in range(self.at, min(self.at + 1000, 1_000_000)):
            name = b"%07d" % number
            self.block[24:31] = name
            self.block[148:156] = b"%06o\\0 " % (self.sum + sum(name))
            blocks.append(bytes(self.block) + padded(b"abcde"))
        self.at += 1000
        return b"".join(blocks)

before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
found = read_layer(Million())
print(len(found), found.size_bytes, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_a_million_files_take_little_memory():
    made = subprocess.run([sys.executable, "-c", MILLION], capture_output=True, text=True, check=True)
    count, size_bytes, used_mib = map(int, made.stdout.split())
    assert (count, size_bytes) == (1_000_000, 5_000_000)
    assert used_mib < 250
