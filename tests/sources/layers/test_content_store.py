from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from buildprof.sources.layers.content_store import may_be_packed, packed_layer_sizes
from tests.sources.layers.test_archive import BASE, PACKERS, TOP, Layout, as_json, sha, unpacked

CONTENT = "io.containerd.content.v1.content"
GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
PLAIN = "application/vnd.oci.image.layer.v1.tar"


def a_manifest(layout: Layout, layers: list[tuple[bytes, str]], diff_ids: list[str]) -> dict[str, Any]:
    """The descriptor of a manifest of layers with their media types; the layers themselves are not in the layout."""
    config = layout.blob(as_json({"os": "linux", "rootfs": {"type": "layers", "diff_ids": diff_ids}}))
    listed = [{"mediaType": kind, "digest": sha(content), "size": len(content)} for content, kind in layers]
    return layout.blob(as_json({"config": config, "layers": listed}))


def kept_by(home: Path, layout: Layout) -> None:
    unpacked(layout.members, home / CONTENT)


def inspect(digest: str, diff_ids: list[str]) -> dict[str, Any]:
    return {"Id": digest, "GraphDriver": {"Name": "overlayfs", "Data": None}, "RootFS": {"Layers": diff_ids}}


@pytest.mark.parametrize("place", ["root/containerd/daemon", "system"])
def test_packed_layers_are_as_large_as_the_manifest_says(tmp_path: Path, place: str):
    layout, diff_ids = Layout(), [sha(BASE), sha(TOP)]
    gzipped = PACKERS["gzip"](BASE)
    descriptor = a_manifest(layout, [(gzipped, GZIP), (TOP, PLAIN)], diff_ids)
    other = a_manifest(layout, [(b"other", GZIP)], [sha(b"another platform's")])
    index = layout.index(other, descriptor)
    kept_by(tmp_path / place, layout)
    for digest in (descriptor["digest"], index["digest"]):
        found = packed_layer_sizes(inspect(digest, diff_ids), str(tmp_path / "root"), str(tmp_path / "system"))
        assert found == [len(gzipped), None]


def test_what_is_not_there_damaged_or_another_image_s_is_not_known(tmp_path: Path):
    layout, diff_ids = Layout(), [sha(BASE)]
    descriptor = a_manifest(layout, [(b"packed", GZIP)], diff_ids)
    kept_by(tmp_path / "containerd/daemon", layout)

    def sizes(digest: str, diff_ids: list[str]) -> list[int | None]:
        return packed_layer_sizes(inspect(digest, diff_ids), str(tmp_path), "/nowhere")

    assert sizes(descriptor["digest"], diff_ids) == [6]
    assert sizes(descriptor["digest"], [sha(TOP)]) == [None]
    assert sizes("sha256:" + "0" * 64, diff_ids) == [None]
    assert sizes("../../etc/passwd", diff_ids) == [None]
    (tmp_path / "containerd/daemon" / CONTENT / "blobs" / descriptor["digest"].replace(":", "/")).write_bytes(b"{}")
    assert sizes(descriptor["digest"], diff_ids) == [None]


@pytest.mark.parametrize("root_dir", ["", "relative", "/nul\0", "/nowhere"])
def test_of_a_root_that_is_no_directory_nothing_is_known(root_dir: str):
    assert packed_layer_sizes(inspect(sha(BASE), [sha(TOP)]), root_dir, "/nowhere") == [None]


def test_an_image_whose_directories_the_engine_names_is_not_packed():
    assert not may_be_packed({"GraphDriver": {"Name": "overlay2", "Data": {"UpperDir": "/x"}}})
    assert may_be_packed({"GraphDriver": {"Name": "overlayfs", "Data": None}})
    assert may_be_packed({})
