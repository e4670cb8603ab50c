import gzip
import io
import tracemalloc

import pytest
import zstandard

from buildprof.sources.layers.decompress import (
    Compression,
    compression_of,
    open_decompressed,
)
from buildprof.sources.layers.errors import LayerError, LayerLimitError
from buildprof.sources.layers.streams import CHUNK_BYTES

PLENTY = 1 << 40
CONTENT = bytes(range(256)) * 20_000
SKIPPABLE = b"\x50\x2a\x4d\x18\x04\0\0\0abcd"


def unpacked(packed: bytes, max_bytes: int = PLENTY) -> bytes:
    stream = open_decompressed(io.BytesIO(packed), max_bytes)
    return b"".join(iter(lambda: stream.read(CHUNK_BYTES), b""))


def zstd(content: bytes) -> bytes:
    return zstandard.ZstdCompressor(level=1, write_checksum=True).compress(content)


class Repeated:
    """The same piece so many times, never held whole."""

    def __init__(self, piece: bytes, times: int) -> None:
        self.piece, self.left = piece, times

    def read(self, size_bytes: int) -> bytes:
        assert size_bytes >= 1
        self.left -= 1
        return self.piece if self.left >= 0 else b""


@pytest.mark.parametrize(
    ("packed", "compression"),
    [
        (CONTENT, Compression.NONE),
        (gzip.compress(CONTENT, 1), Compression.GZIP),
        (gzip.compress(CONTENT[:1000]) + gzip.compress(b"") + gzip.compress(CONTENT[1000:], 1), Compression.GZIP),
        (gzip.compress(CONTENT[:999]) + bytes(100_000) + gzip.compress(CONTENT[999:], 1) + bytes(9), Compression.GZIP),
        (zstd(CONTENT), Compression.ZSTD),
        (zstd(CONTENT[:1000]) + SKIPPABLE + zstd(CONTENT[1000:]) + SKIPPABLE, Compression.ZSTD),
        (SKIPPABLE + zstd(CONTENT), Compression.ZSTD),
    ],
)
def test_a_stream_is_unpacked_by_its_first_bytes(packed: bytes, compression: Compression):
    stream = open_decompressed(io.BytesIO(packed), PLENTY)
    assert stream.compression is compression
    assert unpacked(packed) == CONTENT


def test_short_streams_are_plain():
    for short in (b"", b"\x1f", b"\x28\xb5\x2f", b"abc"):
        assert unpacked(short) == short


def test_formats_that_are_not_read_are_named():
    for head in (b"\xfd7zXZ\0", b"BZh91AY"):
        assert compression_of(head) is Compression.OTHER
        with pytest.raises(LayerError, match="only gzip and zstd"):
            open_decompressed(io.BytesIO(head), PLENTY)


@pytest.mark.parametrize("at", [3, 10, 12, 100, -9, -8, -4, -1])
def test_gzip_that_is_cut_off_is_refused(at: int):
    with pytest.raises(LayerError, match="cut off"):
        unpacked(gzip.compress(CONTENT, 1)[:at])


@pytest.mark.parametrize(
    "packed",
    [
        gzip.compress(CONTENT, 1) + b"not gzip",
        b"\x1f\x8b" + b"x" * 100,
        gzip.compress(CONTENT, 1)[:-8] + bytes(8),
        zstd(CONTENT)[:-4] + bytes(4),
        zstd(CONTENT) + b"not zstd",
    ],
)
def test_damaged_data_is_refused_in_one_line(packed: bytes):
    with pytest.raises(LayerError, match="damaged") as refused:
        unpacked(packed)
    assert "\n" not in str(refused.value)


def test_a_zstd_window_of_gigabytes_is_refused():
    # RFC 8878, 3.1.1.1: no single segment, a window descriptor of 2 GiB, one raw block of one byte.
    frame = b"\x28\xb5\x2f\xfd" + b"\0" + bytes([21 << 3]) + b"\x09\0\0x"
    with pytest.raises(LayerError, match="damaged"):
        unpacked(frame)


def read_all(stream) -> None:
    while stream.read(CHUNK_BYTES):
        pass


@pytest.mark.parametrize("pack", [lambda content: gzip.compress(content, 1), zstd])
def test_a_bomb_is_stopped_at_the_limit_within_a_few_chunks_of_memory(pack):
    piece = pack(bytes(100 << 20))  # a hundred of them: 10 GB
    stream = open_decompressed(Repeated(piece, 100), 300 << 20)
    tracemalloc.start()
    try:
        with pytest.raises(LayerLimitError, match="unpacks to more than 315 MB"):
            read_all(stream)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 << 20
