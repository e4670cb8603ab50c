import io
import os
from collections.abc import Callable

import pytest

from buildprof.sources.layers.errors import LayerError
from buildprof.sources.layers.tar_reader import TarReader, is_tar
from tests.sources.layers.test_tar import archive, header, member


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
