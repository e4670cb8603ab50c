import io
import os
from collections.abc import Callable

import pytest

from buildprof.sources.layers.errors import LayerError, LayerLimitError
from buildprof.sources.layers.tar_reader import TarReader, is_tar
from tests.sources.layers.test_tar import archive, header, member, padded


def test_a_tar_archive_is_known_by_its_first_block():
    for head in (header(), header() + b"x", bytes(512), archive(member("x"))):
        assert is_tar(head)
    for head in (b"", header()[:511], b"x" * 512, b"{}" + bytes(510), b"\x1f\x8b" * 256):
        assert not is_tar(head)


def test_a_content_is_read_by_pieces_and_the_rest_passed_over():
    reader = TarReader(io.BytesIO(archive(member("a", content=b"abcdef" * 500_000), member("b", content=b"xyz"))))
    read = {one.name: reader.read(2) + reader.read(1) for one in reader}
    assert read == {b"a": b"abc", b"b": b"xyz"}
    assert reader.read(1) == b""


def seeker(content: bytes) -> tuple[io.BytesIO, Callable[[int], object]]:
    stream = io.BytesIO(content)
    return stream, lambda size_bytes: stream.seek(size_bytes, os.SEEK_CUR)


def test_contents_can_be_passed_over_and_found_again():
    contents = {"a": b"1" * 5_000_000, "b": b"2" * 300, "c": b"3" * 2_000_000}
    stream, skip = seeker(archive(*(member(name, content=content) for name, content in contents.items())))
    reader = TarReader(stream, skip)
    places = {one.name.decode(): (reader.content_offset, one.size_bytes) for one in reader}
    for name, (offset, size_bytes) in places.items():
        stream.seek(offset)
        assert stream.read(size_bytes) == contents[name]


def test_a_content_that_is_cut_off_is_seen_by_passing_over_too():
    stream, skip = seeker(archive(member("a", content=bytes(5_000_000)))[:4_000_000])
    with pytest.raises(LayerError, match="cut off"):
        list(TarReader(stream, skip))


def described(record: bytes, name: bytes = b"a") -> bytes:
    """A member with an extended header of about a mebibyte, of such records all along."""
    records = record * ((1 << 20) // len(record))
    return header(kind=b"x", size=b"%011o" % len(records)) + padded(records) + header(name=name)


class Endless:
    """Members with such headers, one after another; counts them."""

    def __init__(self, record: bytes) -> None:
        self._member = described(record)
        self.members = 0

    def read(self, _size_bytes: int) -> bytes:
        self.members += 1
        assert self.members < 1000
        return self._member


@pytest.mark.parametrize(("record", "most"), [(b"5 a=\n", 6), (b"1000 comment=" + b"x" * 986 + b"\n", 65)])
def test_large_extended_headers_come_to_an_end(record: bytes, most: int):
    stream = Endless(record)
    with pytest.raises(LayerLimitError, match="more extended headers than its members can need"):
        list(TarReader(stream))
    assert stream.members <= most


def test_a_million_members_may_be_described_as_engines_do():
    pax = b"30 mtime=1700000000.123456789\n" * 3 + b"60 SCHILY.xattr.security.selinux=" + b"x" * 26 + b"\n"
    one = header(kind=b"x", size=b"%011o" % len(pax)) + padded(pax) + header(name=b"a")
    count = 170_000  # more than is free in all
    assert count * (len(pax) + 4 * 64) > 64 << 20
    stream = io.BytesIO(one * count)
    assert sum(1 for _ in TarReader(stream)) == count
