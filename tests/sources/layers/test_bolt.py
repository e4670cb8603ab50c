from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from struct import pack
from typing import Any, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buildprof.sources.layers import bolt
from buildprof.sources.layers.bolt import BoltError, Bucket, read_bolt
from tests.engines.engine import Engine

Tree: TypeAlias = Mapping[bytes, Any]
"""Keys to values (bytes) and to further buckets (the same again)."""

TREES = st.recursive(
    st.dictionaries(st.binary(min_size=1, max_size=20), st.binary(max_size=700), max_size=40),
    lambda below: st.dictionaries(st.binary(min_size=1, max_size=20), st.binary(max_size=40) | below, max_size=40),
    max_leaves=20,
)


class BoltFile:
    """A bbolt file, as bbolt lays it out: a bucket that is small and holds no other lies in its parent's page."""

    def __init__(self, tree: Tree, page_size: int = 512, transaction: int = 7) -> None:
        self._size, self._pages, self._transaction = page_size, [b""] * 3, transaction
        self._pages[2] = self._page(2, 0x10, [])
        self.root = self._bucket(tree)

    def content(self) -> bytes:
        for number, transaction in enumerate(
            sorted((self._transaction - 1, self._transaction), key=lambda one: one % 2)
        ):
            newest = transaction == self._transaction
            self._pages[number] = self.meta(transaction, self.root if newest else 1 << 40)
        return b"".join(self._pages)

    def meta(self, transaction: int, root: int) -> bytes:
        pages = sum(map(len, self._pages)) // self._size + 2 - sum(map(bool, self._pages[:2]))
        body = pack("=IIIIQQQQQ", 0xED0CDAED, 2, self._size, 0, root, 0, 2, pages, transaction)
        checksum = 14695981039346656037
        for byte in body:
            checksum = (checksum ^ byte) * 1099511628211 % 2**64
        return (pack("=QHHI", transaction % 2, 4, 0, 0) + body + pack("=Q", checksum)).ljust(self._size, b"\0")

    def _bucket(self, tree: Tree) -> int:
        elements = [(key, *self._value(value)) for key, value in sorted(tree.items())]
        level = [(group[0][0] if group else b"", self._add(2, group)) for group in self._groups(elements)]
        while len(level) > 1:
            level = [(group[0][0], self._add(1, group)) for group in self._groups(level)]
        return level[0][1]

    def _value(self, value: bytes | Tree) -> tuple[bytes, int]:
        if isinstance(value, bytes):
            return value, 0
        flat = all(isinstance(one, bytes) for one in value.values())
        if flat and (page := self._encode(2, [(key, one, 0) for key, one in sorted(value.items())])) is not None:
            inline = pack("=QHHI", 0, 2, len(value), 0) + page
            if len(inline) <= self._size // 4:
                return pack("=QQ", 0, 0) + inline, 1
        return pack("=QQ", self._bucket(value), 0), 1

    def _groups(self, elements: list[Any]) -> list[list[Any]]:
        """As many as fit into a page; two at least, so that a branch has an end."""
        groups: list[list[Any]] = [[]]
        for one in elements:
            length = sum(
                24 + len(part) for element in (*groups[-1], one) for part in element if isinstance(part, bytes)
            )
            if length > self._size - 16 and len(groups[-1]) >= 2:
                groups.append([])
            groups[-1].append(one)
        return groups

    def _add(self, kind: int, elements: list[Any]) -> int:
        number = sum(len(page) for page in self._pages[2:]) // self._size + 2
        self._pages.append(self._page(number, kind, elements))
        return number

    def _page(self, number: int, kind: int, elements: list[Any]) -> bytes:
        body = self._encode(kind, elements)
        count = -(-(16 + len(body)) // self._size)
        return (pack("=QHHI", number, kind, len(elements), count - 1) + body).ljust(count * self._size, b"\0")

    def _encode(self, kind: int, elements: list[Any]) -> bytes:
        table, data = b"", b""
        for index, element in enumerate(elements):
            position = 16 * (len(elements) - index) + len(data)
            if kind == 2:
                key, value, flags = element
                table += pack("=IIII", flags, position, len(key), len(value))
                data += key + value
            else:
                key, number = element
                table += pack("=IIQ", position, len(key), number)
                data += key
        return table + data


def tree_of(bucket: Bucket) -> dict[bytes, Any]:
    return {key: tree_of(value) if isinstance(value, Bucket) else value for key, value in bucket.items()}


def write(directory: Path, content: bytes) -> Path:
    path = directory / "file.db"
    path.write_bytes(content)
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bolt")


@settings(deadline=None)
@given(tree=TREES, page_size=st.sampled_from([512, 1024, 4096]), transaction=st.integers(1, 9))
def test_all_that_was_written_is_read(place: Path, tree: Tree, page_size: int, transaction: int):
    path = write(place, BoltFile(tree, page_size, transaction).content())
    assert read_bolt(path, tree_of) == tree


@settings(deadline=None)
@given(tree=TREES, others=st.lists(st.binary(max_size=20)))
def test_a_key_is_found_where_it_is_and_nowhere_else(place: Path, tree: Tree, others: list[bytes]):
    path = write(place, BoltFile(tree).content())

    def read(root: Bucket) -> dict[bytes, Any]:
        found = {key: root.get(key) for key in (*tree, *others)}
        return {key: tree_of(value) if isinstance(value, Bucket) else value for key, value in found.items()}

    assert read_bolt(path, read) == {key: tree.get(key) for key in (*tree, *others)}


def test_a_bucket_is_found_by_a_path_of_keys(tmp_path: Path):
    path = write(tmp_path, BoltFile({b"v1": {b"snapshots": {b"a": b"1"}, b"value": b"2"}}).content())

    def read(root: Bucket) -> list[bool]:
        paths = ((b"v1", b"snapshots"), (b"v1", b"value"), (b"v1", b"value", b"x"), (b"v2", b"snapshots"), ())
        return [root.bucket(*one) is not None for one in paths]

    assert read_bolt(path, read) == [True, False, False, False, True]


@settings(max_examples=300, deadline=None)
@given(tree=TREES, data=st.data())
def test_a_damaged_file_is_an_error_or_another_tree_and_nothing_worse(place: Path, tree: Tree, data: st.DataObject):
    content = bytearray(BoltFile(tree).content())
    places = st.tuples(st.integers(1024, len(content) - 1), st.integers(0, 255))
    for at, byte in data.draw(st.lists(places, min_size=1, max_size=8)):
        content[at] = byte
    with contextlib.suppress(BoltError):
        read_bolt(write(place, content), tree_of)


def test_a_file_that_is_cut_off_anywhere_is_an_error(tmp_path: Path):
    content = BoltFile({b"%d" % number: b"x" * 50 for number in range(30)}).content()
    for length in range(0, len(content), 97):
        with pytest.raises(BoltError) as caught:
            read_bolt(write(tmp_path, content[:length]), tree_of)
        assert "\n" not in str(caught.value)


def test_pages_that_lead_in_a_circle_are_an_error(tmp_path: Path):
    content = bytearray(BoltFile({b"%d" % number: b"x" * 200 for number in range(4)}).content())
    branch = len(content) - 512
    assert content[branch + 8] == 1
    content[branch + 16 + 8 : branch + 16 + 16] = pack("=Q", branch // 512)
    with pytest.raises(BoltError, match="too deep"):
        read_bolt(write(tmp_path, content), tree_of)


def test_buckets_that_lead_in_a_circle_are_an_error(tmp_path: Path):
    content = bytearray(BoltFile({b"a": {b"b": b"x" * 200}}).content())
    root = len(content) - 512
    content[root + 16 + 16 + 1 : root + 16 + 16 + 1 + 8] = pack("=Q", root // 512)
    with pytest.raises(BoltError, match="buckets lie too deep"):
        read_bolt(write(tmp_path, content), tree_of)


def test_a_page_whose_values_overlap_is_no_way_to_fill_the_memory(tmp_path: Path):
    content = bytearray(BoltFile({b"a": b"x" * 100_000, b"b": b"y" * 100_000}).content())
    leaf = 3 * 512
    for index in range(2):
        element = leaf + 16 + 16 * index
        content[element + 12 : element + 16] = pack("=I", 150_000)
    with pytest.raises(BoltError, match="more than its size"):
        read_bolt(write(tmp_path, content), tree_of)


def test_more_is_not_read_than_a_sane_file_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(bolt, "_MAX_READ_BYTES", 2000)
    content = BoltFile({b"%d" % number: b"x" * 200 for number in range(20)}).content()
    with pytest.raises(BoltError, match="more pages"):
        read_bolt(write(tmp_path, content), tree_of)


@pytest.mark.parametrize("transaction", [6, 7])
def test_a_meta_page_that_is_half_written_leaves_the_state_before(tmp_path: Path, transaction: int):
    file = BoltFile({b"a": b"1"}, transaction=transaction)
    content = bytearray(file.content())
    half = file.meta(transaction + 1, 1 << 40)[:40]
    at = (transaction + 1) % 2 * 512
    content[at : at + 40] = half
    assert read_bolt(write(tmp_path, content), tree_of) == {b"a": b"1"}


def test_a_file_that_is_written_to_meanwhile_is_read_again(tmp_path: Path):
    path = write(tmp_path, BoltFile({b"a": b"old"}).content())
    states = [BoltFile({b"a": b"new"}, transaction=8).content()]

    def read(root: Bucket) -> dict[bytes, Any]:
        found = tree_of(root)
        if states:
            write(tmp_path, states.pop())
        return found

    assert read_bolt(path, read) == {b"a": b"new"}


def test_damage_that_came_of_a_write_is_no_error(tmp_path: Path):
    path = write(tmp_path, BoltFile({b"a": b"1"}).content())
    calls = []

    def read(root: Bucket) -> dict[bytes, Any]:
        calls.append(root)
        if len(calls) == 1:
            write(tmp_path, BoltFile({b"a": b"1"}, transaction=8).content())
            raise BoltError("torn")
        return tree_of(root)

    assert read_bolt(path, read) == {b"a": b"1"}


def test_a_file_that_never_holds_still_is_an_error(tmp_path: Path):
    path = write(tmp_path, BoltFile({}).content())
    states = iter(range(8, 1000))

    def read(root: Bucket) -> None:
        write(tmp_path, BoltFile({}, transaction=next(states)).content())

    with pytest.raises(BoltError, match="all the time"):
        read_bolt(path, read)


@pytest.mark.parametrize("content", [b"", b"x" * 100, b"SQLite format 3\0" * 1000])
def test_a_file_of_another_kind_is_an_error(tmp_path: Path, content: bytes):
    with pytest.raises(BoltError, match="not a bbolt file"):
        read_bolt(write(tmp_path, content), tree_of)


def test_what_is_no_file_is_not_waited_for(tmp_path: Path):
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path, tmp_path / "fifo"):
        with pytest.raises(BoltError, match="not a file"):
            read_bolt(str(path), tree_of)
    (tmp_path / "link").symlink_to(write(tmp_path, BoltFile({}).content()))
    for name in ("link", "nothing"):
        with pytest.raises(OSError):
            read_bolt(str(tmp_path / name), tree_of)


def test_the_files_of_an_engine_are_read_while_it_writes_them(engine_28_containerd: Engine, tmp_path: Path):
    (tmp_path / "Dockerfile").write_text("FROM base\n" + "".join(f"WORKDIR /bolt/{number}\n" for number in range(20)))
    home = engine_28_containerd.run_dir / "data/containerd/daemon"
    build = ["docker", "build", "-t", "bolt:1", "."]
    with subprocess.Popen(
        build, cwd=tmp_path, env=engine_28_containerd.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as running:
        states = []
        while running.poll() is None or not states:
            with contextlib.suppress(BoltError):  # it writes without a pause
                states.append(read_bolt(home / "io.containerd.snapshotter.v1.overlayfs/metadata.db", tree_of))
    assert running.returncode == 0
    for state in states:
        snapshots = state[b"v1"][b"snapshots"]
        assert {one[b"parent"] for one in snapshots.values() if b"parent" in one} <= snapshots.keys()
    meta = read_bolt(home / "io.containerd.metadata.v1.bolt/meta.db", tree_of)
    assert b"docker.io/library/bolt:1" in meta[b"v1"][b"moby"][b"images"]
