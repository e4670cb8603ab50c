import gzip
import hashlib
import io
import json
import os
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest
import zstandard
from xxhash import xxh3_128_digest

from buildprof.model.layer_files import EntryKind, LayerEntry, LayerFiles
from buildprof.sources.layers import contents as contents_module
from buildprof.sources.layers.archive import ArchivedImage, read_archive
from buildprof.sources.layers.errors import LayerError, LayerLimitError
from buildprof.sources.layers.tar import Limits
from tests.engines.engine import Engine
from tests.sources.layers.test_tar import archive, file, member

INDEX_TYPE = "application/vnd.oci.image.index.v1+json"


def sha(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def as_json(document: Any) -> bytes:
    return json.dumps(document).encode()


BASE = archive(member("etc/", tarfile.DIRTYPE), member("etc/passwd", content=b"root" * 300_000))
TOP = archive(member("etc/.wh.passwd"), member("app", content=b"code"))
BASE_ENTRIES = [LayerEntry(b"etc", EntryKind.DIRECTORY), file("etc/passwd", b"root" * 300_000)]
TOP_ENTRIES = [LayerEntry(b"etc/passwd", EntryKind.WHITEOUT), file("app", b"code")]
PACKERS = {
    "plain": lambda content: content,
    "gzip": lambda content: gzip.compress(content, 1),
    "zstd": zstandard.ZstdCompressor().compress,
}


class Layout:
    """An OCI layout that grows: member names and contents."""

    def __init__(self) -> None:
        self.members: dict[str, bytes] = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}'}
        self.top: list[dict[str, Any]] = []

    def blob(self, content: bytes) -> dict[str, Any]:
        digest = sha(content)
        self.members[f"blobs/{digest.replace(':', '/')}"] = content
        return {"digest": digest, "size": len(content)}

    def image(self, *layers: bytes, pack: str = "plain", **config: Any) -> dict[str, Any]:
        """A manifest's descriptor."""
        configuration = {
            "os": "linux",
            "architecture": "amd64",
            "rootfs": {"type": "layers", "diff_ids": [sha(layer) for layer in layers]},
            "history": [{"created_by": f"RUN {index}"} for index in range(len(layers))],
            **config,
        }
        descriptor = self.blob(as_json(configuration))
        packed = [self.blob(PACKERS[pack](layer)) for layer in layers]
        return self.blob(as_json({"config": descriptor, "layers": packed}))

    def index(self, *manifests: dict[str, Any]) -> dict[str, Any]:
        return self.blob(as_json({"mediaType": INDEX_TYPE, "manifests": manifests}))

    def add(self, descriptor: dict[str, Any], name: str | None = None) -> None:
        notes = {"annotations": {"io.containerd.image.name": f"docker.io/library/{name}"}} if name else {}
        self.top.append(descriptor | notes)

    def all(self) -> dict[str, bytes]:
        return self.members | {"index.json": as_json({"manifests": self.top})}


def packed(members: dict[str, bytes], links: dict[str, str] | None = None, *, in_reverse: bool = False) -> bytes:
    written = [member(name, content=content) for name, content in sorted(members.items(), reverse=in_reverse)]
    linked = [member(name, tarfile.SYMTYPE, link=target) for name, target in (links or {}).items()]
    return archive(*linked, *written)


def unpacked(members: dict[str, bytes], directory: Path) -> Path:
    shutil.rmtree(directory, ignore_errors=True)
    for name, content in members.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(content)
    return directory


def stored(content: bytes, tmp_path: Path) -> Path:
    path = tmp_path / "image.tar"
    path.write_bytes(content)
    return path


def read_all_ways(members: dict[str, bytes], tmp_path: Path, **options: Any) -> tuple[ArchivedImage, ...]:
    """The images, which are the same by stream, file, packed file and directory."""
    whole = packed(members)
    images = read_archive(io.BytesIO(whole), **options)
    assert read_archive(io.BytesIO(packed(members, in_reverse=True)), **options) == images
    assert read_archive(io.BytesIO(gzip.compress(whole, 1)), **options) == images
    assert read_archive(stored(whole, tmp_path), **options) == images
    assert read_archive(stored(gzip.compress(whole, 1), tmp_path), **options) == images
    assert read_archive(unpacked(members, tmp_path / "layout"), **options) == images
    return images


def refusal(members: dict[str, bytes], tmp_path: Path, *, is_same: bool = True, **options: Any) -> str:
    """What is said of an archive, the same of a stream, a file and a directory."""
    said = []
    for source in (
        io.BytesIO(packed(members)),
        stored(packed(members), tmp_path),
        unpacked(members, tmp_path / "layout"),
    ):
        with pytest.raises(LayerError) as refused:
            read_archive(source, **options)
        said.append(str(refused.value))
    assert len(set(said)) == 1 or not is_same
    assert "\n" not in said[0]
    return said[0]


def two_layers(pack: str = "plain", **config: Any) -> Layout:
    layout = Layout()
    layout.add(layout.image(BASE, TOP, pack=pack, **config), "shop:latest")
    return layout


@pytest.mark.parametrize("pack", PACKERS)
def test_an_oci_layout_gives_its_image_with_history_and_entries(pack: str, tmp_path: Path):
    history = [{"created_by": "ADD base"}, {"created_by": "ENV a=b", "empty_layer": True}, {"created_by": "RUN make"}]
    layout = two_layers(pack, history=history, variant="v2")
    (image,) = read_all_ways(layout.all(), tmp_path)
    assert image.names == ("shop:latest",)
    assert image.platform == "linux/amd64/v2"
    assert image.digests == (layout.top[0]["digest"],)
    assert f"blobs/{image.id.replace(':', '/')}" in layout.members
    assert [layer.digest for layer in image.layers] == [sha(BASE), sha(TOP)]
    assert [layer.command for layer in image.layers] == ["ADD base", "RUN make"]
    assert [list(layer.files) for layer in image.layers] == [BASE_ENTRIES, TOP_ENTRIES]
    sizes = [None if pack == "plain" else len(PACKERS[pack](layer)) for layer in (BASE, TOP)]
    assert [layer.compressed_bytes for layer in image.layers] == sizes


def old_layout() -> tuple[dict[str, bytes], dict[str, str]]:
    """Two images as engines before 25 save them: the second's first layer is a link to the first's."""
    ids = ["a" * 64, "b" * 64, "c" * 64]
    members = {f"{ids[0]}/layer.tar": BASE, f"{ids[1]}/layer.tar": TOP, f"{ids[0]}/json": b'{"id":"a"}'}
    listed = []
    for tag, names in (("one:1", [ids[0]]), ("two:2", [ids[2], ids[1]])):
        layers = [BASE, TOP][: len(names)]
        config = as_json({"os": "linux", "architecture": "amd64", "rootfs": {"diff_ids": [sha(one) for one in layers]}})
        members[f"{sha(config)[7:]}.json"] = config
        entry = {
            "Config": f"{sha(config)[7:]}.json",
            "RepoTags": [tag],
            "Layers": [f"{one}/layer.tar" for one in names],
        }
        listed.append(entry)
    members["manifest.json"] = as_json(listed)
    return members, {f"{ids[2]}/layer.tar": f"../{ids[0]}/layer.tar"}


def test_the_layout_of_old_engines_gives_all_its_images(tmp_path: Path):
    members, links = old_layout()
    whole = packed(members, links)
    one, two = read_archive(io.BytesIO(whole))
    assert read_archive(stored(whole, tmp_path)) == (one, two)
    assert (one.names, two.names) == (("one:1",), ("two:2",))
    assert [list(layer.files) for layer in one.layers] == [BASE_ENTRIES]
    assert [list(layer.files) for layer in two.layers] == [BASE_ENTRIES, TOP_ENTRIES]
    assert (one.digests, one.platform, one.layers[0].compressed_bytes) == ((), "linux/amd64", None)


def test_links_that_lead_nowhere_leave_a_layer_out(tmp_path: Path):
    members, links = old_layout()
    for target in ("../../../etc/passwd", "/etc/passwd", "layer.tar", "../x"):
        whole = packed(members, dict.fromkeys(links, target))
        for source in (io.BytesIO(whole), stored(whole, tmp_path)):
            with pytest.raises(LayerError, match=r"layer 1 of 2 .* is not in the archive"):
                read_archive(source, name="two:2")


@pytest.mark.parametrize("pack", PACKERS)
def test_layers_that_are_known_are_passed_over_unread(pack: str, tmp_path: Path):
    files = LayerFiles(b"\1", b"known")
    damaged = two_layers(pack).all()
    for name, content in damaged.items():
        if name.startswith("blobs/") and content == PACKERS[pack](BASE):
            damaged[name] = content[:10] + b"\0" * len(content[10:])  # reading it would tell
    known = {sha(BASE): files}.get
    sources: list[Any] = [stored(packed(damaged), tmp_path), unpacked(damaged, tmp_path / "layout")]
    if pack == "plain":  # what a packed layer unpacks to shows only when it is read, in a stream
        sources.append(io.BytesIO(packed(damaged)))
    for source in sources:
        (image,) = read_archive(source, known=known)
        assert image.layers[0].files is files
        assert list(image.layers[1].files) == TOP_ENTRIES
        assert image.layers[0].compressed_bytes == (None if pack == "plain" else len(PACKERS[pack](BASE)))


def test_a_layer_that_is_not_in_the_archive_can_be_known(tmp_path: Path):
    layout = two_layers()
    members = {name: content for name, content in layout.all().items() if content != BASE}
    assert "layer 1 of 2" in (said := refusal(members, tmp_path))
    assert said.endswith("is not in the archive")
    (image,) = read_all_ways(members, tmp_path, known={sha(BASE): LayerFiles(b"\1", b"known")}.get)
    assert list(image.layers[0].files) == [LayerEntry(b"known", EntryKind.DIRECTORY)]


def swapped(layout: Layout, before: bytes, after: bytes) -> dict[str, bytes]:
    return {name: after if content == before else content for name, content in layout.all().items()}


@pytest.mark.parametrize("pack", PACKERS)
def test_a_blob_that_does_not_match_its_digest_is_refused(pack: str, tmp_path: Path):
    blob = PACKERS[pack](TOP)
    for other in (PACKERS[pack](BASE), blob[:-1], blob[: len(blob) // 2], blob + b"\0"):
        said = refusal(swapped(two_layers(pack), blob, other), tmp_path)
        assert said.startswith(f"layer 2 of 2 ({sha(TOP)[:19]}): the blob {sha(blob)[:19]} does not match its digest")


def test_documents_that_do_not_match_their_digests_are_refused(tmp_path: Path):
    layout = two_layers()
    config = next(content for content in layout.members.values() if b"rootfs" in content)
    other = config.replace(b"RUN 0", b"RUN 9")
    assert f"the blob {sha(config)[:19]} does not match" in refusal(swapped(layout, config, other), tmp_path)
    members, _ = old_layout()
    name = next(name for name in members if name.endswith(".json") and name != "manifest.json")
    with pytest.raises(LayerError, match=f"the blob sha256:{name[:12]} does not match"):
        read_archive(io.BytesIO(packed(members | {name: members[name] + b" "})))


def test_a_layer_that_is_not_what_the_configuration_says_is_refused(tmp_path: Path):
    layout = two_layers("gzip", rootfs={"diff_ids": [sha(BASE), sha(BASE)]})
    said = refusal(layout.all(), tmp_path)
    assert said == f"layer 2 of 2 ({sha(BASE)[:19]}) does not match its digest: it is {sha(TOP)[:19]}"
    members, links = old_layout()
    other = {name: TOP if content == BASE else content for name, content in members.items()}
    with pytest.raises(LayerError, match=r"layer 1 of 1 .* does not match its digest"):
        read_archive(io.BytesIO(packed(other, links)))


def test_the_layer_that_cannot_be_read_is_named(tmp_path: Path):
    climbing = archive(member("../../etc/cron.d/x", content=b"x"))
    layout = Layout()
    layout.add(layout.image(BASE, climbing, pack="gzip"), "bad:latest")
    layout.add(layout.image(BASE), "good:latest")
    said = refusal(layout.all(), tmp_path)
    assert said == f"layer 2 of 2 ({sha(climbing)[:19]}): a name that leaves the image: '../../etc/cron.d/x'"
    (image,) = read_all_ways(layout.all(), tmp_path, name="good")
    assert list(image.layers[0].files) == BASE_ENTRIES


def test_an_archive_that_is_cut_off_is_refused_wherever_that_is(tmp_path: Path):
    whole = packed(two_layers("gzip").all(), in_reverse=True)
    end = len(whole.rstrip(b"\0"))
    for at in [*range(0, end, 509), *range(512, end, 512)]:
        for source in (io.BytesIO(whole[:at]), stored(whole[:at], tmp_path)):
            with pytest.raises(LayerError) as refused:
                read_archive(source)
            assert "cut off" in str(refused.value) or "not in the archive" in str(refused.value)


BOMB = archive(member("zeros", content=bytes(50_000_000)))


@pytest.mark.parametrize("pack", ["gzip", "zstd"])
def test_bombs_are_stopped_with_the_layer_named_where_it_is_known(pack: str, tmp_path: Path):
    layout = Layout()
    layout.add(layout.image(BASE, BOMB, pack=pack))
    limits = Limits(unpacked_bytes=20_000_000)
    for source in (io.BytesIO(packed(layout.all())), stored(packed(layout.all()), tmp_path)):
        with pytest.raises(LayerLimitError, match="unpacks to more than"):
            read_archive(source, limits=limits)
    with pytest.raises(LayerLimitError, match="unpacks to more than"):
        read_archive(io.BytesIO(gzip.compress(packed({"x": BOMB}), 1)), limits=limits)


def test_limits_hold_for_all_layers_together(tmp_path: Path):
    members = two_layers("gzip").all()
    for limits in (
        Limits(unpacked_bytes=len(BASE) + len(TOP) - 1),
        Limits(entries=3),
        Limits(name_bytes=25),
    ):
        for source in (io.BytesIO(packed(members)), unpacked(members, tmp_path)):
            with pytest.raises(LayerLimitError):
                read_archive(source, limits=limits)
    enough = Limits(len(BASE) + len(TOP), 4, 31)
    assert read_archive(unpacked(members, tmp_path), limits=enough)


def test_large_documents_are_passed_over_or_refused(tmp_path, monkeypatch):
    layout = two_layers()
    layout.blob(b'{"layers":' + b" " * 5_000_000 + b"1}")
    read_all_ways(layout.all(), tmp_path)
    said = refusal({"index.json": b'{"manifests":[]}' + b" " * 5_000_000}, tmp_path, is_same=False)
    assert "no image in it" in said
    monkeypatch.setattr(contents_module, "MAX_DOCUMENTS_BYTES", 100)
    with pytest.raises(LayerLimitError, match="documents of more than"):
        read_archive(io.BytesIO(packed(layout.all())))


def test_members_without_number_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(contents_module, "MAX_MEMBERS", 5)
    for source in (io.BytesIO(packed(two_layers().all())), stored(packed(two_layers().all()), tmp_path)):
        with pytest.raises(LayerLimitError, match="more than 5 members"):
            read_archive(source)


def test_names_that_climb_are_passed_over_and_never_opened(tmp_path: Path):
    members = two_layers().all()
    (tmp_path / "secret.json").write_bytes(as_json({"rootfs": {"diff_ids": []}}))
    climbing = {"manifest.json": as_json([{"Config": "../secret.json", "RepoTags": [], "Layers": []}])}
    assert refusal(members | climbing, tmp_path)
    whole = packed(members | {"../../x": b"x", "/etc/index.json": b"{", "é": b"x"})
    assert len(read_archive(io.BytesIO(whole))) == 1


def test_a_directory_with_fifos_and_directories_for_blobs_has_none(tmp_path: Path):
    layout = two_layers()
    root = unpacked(layout.all(), tmp_path)
    blob = root / f"blobs/{sha(BASE).replace(':', '/')}"
    blob.unlink()
    for make in (os.mkfifo, os.mkdir):
        make(blob)
        with pytest.raises(LayerError, match="is not in the archive"):
            read_archive(root)
        blob.unlink() if make is os.mkfifo else blob.rmdir()


def test_a_path_that_cannot_be_read_is_an_error_of_the_system(tmp_path: Path):
    with pytest.raises(OSError):
        read_archive(tmp_path / "nothing")


def test_progress_tells_the_bytes_done_and_can_end_the_reading(tmp_path: Path):
    members = two_layers("gzip").all()
    told: list[int] = []
    read_archive(io.BytesIO(packed(members)), on_progress=told.append)
    assert told == sorted(told)
    assert told[-1] == len(packed(members))
    known = {sha(BASE): LayerFiles()}.get
    for source in (unpacked(members, tmp_path / "layout"), stored(packed(members), tmp_path)):
        told.clear()
        read_archive(source, on_progress=told.append, known=known)
        assert told[-1] == sum(len(PACKERS["gzip"](layer)) for layer in (BASE, TOP))

    def give_up(_done_bytes: int) -> None:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        read_archive(io.BytesIO(packed(members)), on_progress=give_up)


DOCKERFILE = """FROM base:latest
RUN mkdir -p /data/deep/er /data/gone && echo one > /data/file && echo two > /data/deep/er/file && \
    ln /data/file /data/hard && ln -s ../etc/nothing /data/soft && touch /data/empty
RUN rm /data/file && rm -r /data/deep && mkdir /data/deep && echo new > /data/deep/new && chmod 700 /data/empty
ENV SOME=thing
COPY {long} /copied/
"""


def by_the_standard_library(layer: bytes) -> list[LayerEntry]:
    """The same entries by another reader."""
    found = []
    with tarfile.open(fileobj=io.BytesIO(layer)) as reader:
        for one in reader:
            directory, _, name = one.name.rpartition("/")
            if name == ".wh..wh..opq":
                found.append(LayerEntry(directory.encode(), EntryKind.OPAQUE_DIRECTORY))
            elif name.startswith(".wh."):
                found.append(LayerEntry(f"{directory}/{name[4:]}".encode(), EntryKind.WHITEOUT))
            elif one.isfile():
                content = reader.extractfile(one).read()
                found.append(LayerEntry(one.name.encode(), EntryKind.FILE, one.size, xxh3_128_digest(content)))
            elif one.isdir():
                found.append(LayerEntry(one.name.encode(), EntryKind.DIRECTORY))
            else:
                kind = EntryKind.SYMLINK if one.issym() else EntryKind.HARD_LINK
                found.append(LayerEntry(one.name.encode(), kind, target=one.linkname.encode()))
    return found


def test_what_an_engine_saves_reads_as_its_layers(any_engine: Engine, tmp_path: Path):
    context = tmp_path / "context"
    context.mkdir()
    long = "é" * 60 + "-" + "x" * 80
    (context / long).write_text("a long name")
    (context / "Dockerfile").write_text(DOCKERFILE.format(long=long))
    any_engine.docker("build", "--network=host", "-t", "archived:one", "-t", "archived:two", str(context))
    inspected = json.loads(any_engine.docker("image", "inspect", "archived:one").stdout)[0]
    saved = tmp_path / "saved.tar"
    any_engine.docker("save", "-o", str(saved), "archived:one", "archived:two")
    (image,) = read_archive(saved)
    with saved.open("rb") as stream:
        assert read_archive(stream) == (image,)
    assert set(image.names) == {"archived:one", "archived:two"}
    assert inspected["Id"] in {image.id, *image.digests}
    assert image.platform.startswith("linux/")
    assert [layer.digest for layer in image.layers] == inspected["RootFS"]["Layers"]
    assert "mkdir -p /data/deep/er" in image.layers[1].command
    assert "rm /data/file" in image.layers[2].command
    assert "COPY" in image.layers[3].command
    with tarfile.open(saved) as archived:
        names = json.load(archived.extractfile("manifest.json"))[0]["Layers"]
        for layer, name in zip(image.layers, names, strict=True):
            content = archived.extractfile(name).read()
            content = gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content
            assert list(layer.files) == by_the_standard_library(content)
    removed = {entry.path for entry in image.layers[2].files if entry.kind is EntryKind.WHITEOUT}
    assert b"data/file" in removed
    known = {layer.digest: layer.files for layer in image.layers}
    assert read_archive(saved, known=known.get)[0].layers == image.layers


def test_two_images_of_an_engine_share_their_base(any_engine: Engine, tmp_path: Path):
    for tag in ("archived:left", "archived:right"):
        (tmp_path / "Dockerfile").write_text(f"FROM base:latest\nRUN echo {tag} > /tag\n")
        any_engine.docker("build", "--network=host", "-t", tag, str(tmp_path))
    saved = tmp_path / "saved.tar"
    any_engine.docker("save", "-o", str(saved), "archived:left", "archived:right")
    by_name = {image.names: image for image in read_archive(saved)}
    left, right = by_name["archived:left",], by_name["archived:right",]
    assert left.layers[0] == right.layers[0]
    assert left.layers[1].digest != right.layers[1].digest
    with saved.open("rb") as stream:
        assert read_archive(stream, name="archived:right") == (right,)
