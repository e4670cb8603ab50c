import io
import json
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from buildprof.sources.layers.archive import read_archive
from buildprof.sources.layers.errors import LayerError
from tests.sources.layers.test_archive import (
    BASE,
    TOP,
    Layout,
    as_json,
    packed,
    read_all_ways,
    refusal,
    sha,
    two_layers,
)


def test_a_history_that_does_not_fit_the_layers_names_none(tmp_path: Path):
    for history in ([], None, [{"created_by": "one"}], [{"created_by": "x", "empty_layer": False}] * 3):
        (image,) = read_all_ways(two_layers(history=history).all(), tmp_path)
        assert [layer.command for layer in image.layers] == ["", ""]


def test_an_image_is_picked_by_tag_or_by_the_start_of_an_id(tmp_path: Path):
    layout = Layout()
    layout.add(layout.image(BASE), "one:1")
    layout.add(layout.image(TOP), "two:latest")
    layout.add(layout.image(BASE, TOP))
    one, two, three = read_all_ways(layout.all(), tmp_path)
    assert (one.names, two.names, three.names) == (("one:1",), ("two:latest",), ())
    for name in ("one:1", "docker.io/library/one:1", one.id, one.id[7:19], one.digests[0]):
        assert read_all_ways(layout.all(), tmp_path, name=name) == (one,)
    assert read_all_ways(layout.all(), tmp_path, name="two") == (two,)
    said = refusal(layout.all(), tmp_path, name="three\n")
    assert said == f"no image 'three' in it; it has one:1, two:latest, {three.id[7:19]}"


def test_both_layouts_of_one_archive_are_one_image_with_all_names(tmp_path: Path):
    layout = two_layers()
    layout.add(layout.top[0] | {"annotations": {}}, "shop:1")
    manifest = json.loads(layout.members[f"blobs/{layout.top[0]['digest'].replace(':', '/')}"])
    paths = [f"blobs/{one['digest'].replace(':', '/')}" for one in (manifest["config"], *manifest["layers"])]
    entry = {"Config": paths[0], "RepoTags": ["shop:latest", "shop:old"], "Layers": paths[1:]}
    (image,) = read_all_ways(layout.all() | {"manifest.json": as_json([entry])}, tmp_path)
    assert image.names == ("shop:latest", "shop:1", "shop:old")


def several_platforms() -> Layout:
    layout = Layout()
    attestation = layout.blob(as_json({"config": layout.blob(b'{"rootfs":{}}'), "layers": []}))
    absent = {"digest": sha(b"of a platform that was not pulled"), "platform": {"architecture": "s390x"}}
    layout.add(
        layout.index(
            layout.image(BASE, architecture="amd64"),
            layout.image(TOP, architecture="arm64", variant="v8"),
            layout.image(BASE, TOP, architecture="mips"),
            absent,
            attestation | {"annotations": {"vnd.docker.reference.type": "attestation-manifest"}},
        ),
        "shop:latest",
    )
    return layout


def test_of_several_platforms_the_machines_own_is_taken_or_the_one_asked_for(tmp_path, monkeypatch):
    members = several_platforms().all()
    for machine, layers in (("x86_64", [BASE]), ("aarch64", [TOP])):
        monkeypatch.setattr("platform.machine", lambda machine=machine: machine)
        (image,) = read_all_ways(members, tmp_path)
        assert [layer.digest for layer in image.layers] == [sha(layer) for layer in layers]
        assert image.names == ("shop:latest",)
        assert len(image.digests) == 2
    for platform in ("linux/arm64", "linux/arm64/v8"):
        (image,) = read_all_ways(members, tmp_path, platform=platform)
        assert image.platform == "linux/arm64/v8"
    for platform in ("linux/s390x", "linux/arm64/v7", "windows/amd64", "x"):
        said = refusal(members, tmp_path, platform=platform)
        assert said == f"no image for {platform} in it; it has linux/amd64, linux/arm64/v8, linux/mips"
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    assert "no image for linux/riscv64" in refusal(members, tmp_path)


def test_an_image_for_one_other_platform_is_taken_unless_another_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    members = two_layers(architecture="riscv64").all()
    (image,) = read_all_ways(members, tmp_path)
    assert image.platform == "linux/riscv64"
    assert "no image for linux/amd64" in refusal(members, tmp_path, platform="linux/amd64")


def test_what_is_no_image_is_refused_in_one_line(tmp_path: Path):
    layout = Layout()
    layout.add(layout.blob(as_json({"config": layout.blob(b'{"a":1}'), "layers": []})))
    for members in (
        {},
        {"index.json": b'{"manifests":[]}'},
        {"index.json": b'{"manifests":[{"digest":7},{"digest":"sha256:x"},5]}'},
        {"manifest.json": b"[]"},
        layout.all(),
    ):
        assert "no image in it" in refusal(members | {"x": b"x"}, tmp_path)
    for members in (
        {"index.json": b'{"manifests"'},
        {"index.json": b'{"manifests":7}'},
        {"index.json": b'["manifests"]'},
        {"manifest.json": b'{"layers":{}}'},
        {"manifest.json": b'[{"Config":"x","Layers":[]}]'},
        {"index.json": b'{"manifests":' + b"[" * 100_000},
        two_layers(rootfs={"diff_ids": [sha(BASE)]}).all(),
        two_layers(rootfs={"diff_ids": [sha(BASE), "md5:x"]}).all(),
        two_layers(rootfs={"diff_ids": [sha(BASE), 7]}).all(),
        two_layers(rootfs=[]).all(),
    ):
        assert refusal(members, tmp_path)


def test_indexes_below_indexes_end(tmp_path: Path):
    layout = Layout()
    descriptor = layout.image(BASE)
    for _ in range(4):
        descriptor = layout.index(descriptor)
    layout.top = [descriptor]
    assert len(read_all_ways(layout.all(), tmp_path)) == 1
    layout.top = [layout.index(descriptor)]
    assert "without end" in refusal(layout.all(), tmp_path)


def test_indexes_that_name_one_image_a_million_times_are_refused(tmp_path: Path):
    layout = Layout()
    descriptor = layout.image(BASE)
    for _ in range(3):
        descriptor = layout.index(*[descriptor] * 100)
    layout.top = [descriptor]
    assert "without end" in refusal(layout.all(), tmp_path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just(sha(BASE)),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["manifests", "layers", "config", "rootfs", "digest", "Layers"]), inner, max_size=3
        )
    ),
    max_leaves=6,
)


@settings(deadline=None)
@given(st.data())
def test_documents_of_any_shape_are_read_or_refused_in_one_line(data: st.DataObject):
    layout = two_layers()
    entry = {"Config": "x.json", "RepoTags": ["a"], "Layers": ["x"]}
    members = layout.all() | {
        "manifest.json": as_json([entry]),
        "x.json": as_json({"rootfs": {"diff_ids": [sha(BASE)]}}),
    }
    name = data.draw(st.sampled_from([name for name, content in members.items() if content.startswith((b"{", b"["))]))
    document = json.loads(members.pop(name))
    place = document[0] if isinstance(document, list) else document
    place[data.draw(st.sampled_from(list(place)))] = data.draw(JSON)
    content = as_json(document)
    other = f"blobs/{sha(content).replace(':', '/')}"
    members = {
        one: text.replace(name[13:].encode(), other[13:].encode()) if name.startswith("blobs/") else text
        for one, text in members.items()
    }
    assert "\n" not in said_of(packed(members | {other if name.startswith("blobs/") else name: content}))


def said_of(content: bytes) -> str:
    try:
        read_archive(io.BytesIO(content))
    except LayerError as refused:
        return str(refused)
    return ""
