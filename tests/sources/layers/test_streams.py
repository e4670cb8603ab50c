import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buildprof.sources.layers.errors import LayerError
from buildprof.sources.layers.streams import FileSlice, PeekableStream


@settings(deadline=None)
@given(st.binary(max_size=3000), st.lists(st.integers(1, 700), min_size=1, max_size=5))
def test_what_was_looked_at_is_read_again(content: bytes, sizes: list[int]):
    stream = PeekableStream(io.BytesIO(content))
    read = b""
    for size_bytes in sizes:
        assert stream.peek(size_bytes) == content[len(read) : len(read) + size_bytes]
        read += stream.read(size_bytes)
        assert content.startswith(read)
    while chunk := stream.read(100):
        read += chunk
    assert read == content


def test_a_part_of_a_file_ends_where_it_is_said_to_and_not_before(tmp_path: Path):
    (tmp_path / "file").write_bytes(b"abcdef")
    with (tmp_path / "file").open("rb") as file:
        part = FileSlice(file, 3)
        assert (part.read(2), part.read(2), part.read(2)) == (b"ab", b"c", b"")
        part = FileSlice(file, 4)
        assert part.read(4) == b"def"
        with pytest.raises(LayerError, match="cut off"):
            part.read(1)
