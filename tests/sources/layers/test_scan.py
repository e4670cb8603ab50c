from __future__ import annotations

import io
import json
import os
import socket
import stat
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from buildprof.model.layer_files import EntryKind, LayerEntry
from buildprof.sources.layers.directories import layer_directories
from buildprof.sources.layers.scan import CannotReadDirectoryError, scan_layer
from tests.engines.engine import Engine
from tests.nobody import NOBODY, as_nobody, public_directory

MEBIBYTE = 1024 * 1024
NAMES = st.binary(min_size=1, max_size=12).filter(
    lambda name: not {0, 47} & set(name) and name not in {b".", b".."} and not name.startswith(b".wh.")
)


@pytest.fixture
def layer(tmp_path: Path) -> Path:
    directory = tmp_path / "diff"
    directory.mkdir()
    return directory


def read(layer: Path) -> list[LayerEntry]:
    return list(scan_layer(bytes(layer)))


def file(path: bytes, content: bytes) -> LayerEntry:
    return LayerEntry(path, EntryKind.FILE, len(content), xxhash.xxh3_128_digest(content))


def whiteout(path: Path) -> None:
    os.mknod(path, stat.S_IFCHR, os.makedev(0, 0))


def entries_of(archive: tarfile.TarFile) -> Iterator[LayerEntry]:
    """What a layer's archive says, by the standard library (OCI image specification, layer.md)."""
    for member in archive:
        path = os.fsencode(os.path.normpath(member.name.lstrip("/")))
        above, _, name = path.rpartition(b"/")
        if name == b".wh..wh..opq":
            yield LayerEntry(above, EntryKind.OPAQUE_DIRECTORY)
        elif name.startswith(b".wh."):
            yield LayerEntry(path.removesuffix(name) + name[4:], EntryKind.WHITEOUT)
        elif member.isreg():
            content = archive.extractfile(member)
            assert content is not None
            yield file(path, content.read())
        elif member.isdir():
            yield LayerEntry(path, EntryKind.DIRECTORY)
        elif member.issym():
            yield LayerEntry(path, EntryKind.SYMLINK, target=os.fsencode(member.linkname))
        elif member.islnk():
            yield LayerEntry(path, EntryKind.HARD_LINK, target=os.fsencode(member.linkname.lstrip("/")))
        else:
            yield LayerEntry(path, EntryKind.OTHER)


def saved_layers(engine: Engine, image: str) -> list[list[LayerEntry]]:
    """The layers of an image as `docker save` gives them, the lowest first."""
    command = ["docker", "save", image]
    saved = subprocess.run(command, env=engine.environment, check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(saved)) as archive:

        def member(name: str) -> bytes:
            content = archive.extractfile(name)  # follows links, which 20.10 makes between equal layers
            assert content is not None
            return content.read()

        (manifest,) = json.loads(member("manifest.json"))
        layers = []
        for name in manifest["Layers"]:
            with tarfile.open(fileobj=io.BytesIO(member(name)), mode="r:*") as one:
                layers.append(list(entries_of(one)))
        return layers


def test_every_kind_of_entry_is_told(layer: Path):
    (layer / "empty").write_bytes(b"")
    (layer / "file").write_bytes(b"hello")
    (layer / "directory").mkdir()
    (layer / "directory/below").write_bytes(b"x")
    (layer / "link").symlink_to("/etc/passwd")
    os.mkfifo(layer / "fifo")
    os.mknod(layer / "null", stat.S_IFCHR, os.makedev(1, 3))
    os.mknod(layer / "disk", stat.S_IFBLK, os.makedev(0, 0))
    whiteout(layer / "gone")
    assert read(layer) == [
        LayerEntry(b"directory", EntryKind.DIRECTORY),
        file(b"directory/below", b"x"),
        LayerEntry(b"disk", EntryKind.OTHER),
        file(b"empty", b""),
        LayerEntry(b"fifo", EntryKind.OTHER),
        file(b"file", b"hello"),
        LayerEntry(b"gone", EntryKind.WHITEOUT),
        LayerEntry(b"link", EntryKind.SYMLINK, target=b"/etc/passwd"),
        LayerEntry(b"null", EntryKind.OTHER),
    ]


def test_a_directory_that_hides_those_below_is_told_after_itself(layer: Path):
    (layer / "a").mkdir()
    (layer / "a/b").write_bytes(b"x")
    os.setxattr(layer / "a", "trusted.overlay.opaque", b"y")
    assert [(one.path, one.kind) for one in read(layer)] == [
        (b"a", EntryKind.DIRECTORY),
        (b"a", EntryKind.OPAQUE_DIRECTORY),
        (b"a/b", EntryKind.FILE),
    ]


def test_the_root_can_hide_all_below(layer: Path):
    os.setxattr(layer, "trusted.overlay.opaque", b"y")
    assert read(layer) == [LayerEntry(b"", EntryKind.OPAQUE_DIRECTORY)]


def test_a_rootless_engine_s_attribute_counts_in_a_layer_that_is_not_root_s(layer: Path):
    (layer / "a").mkdir()
    os.setxattr(layer / "a", "user.overlay.opaque", b"y")
    assert [one.kind for one in read(layer)] == [EntryKind.DIRECTORY]
    os.chown(layer, 1000, 1000)
    assert [one.kind for one in read(layer)] == [EntryKind.DIRECTORY, EntryKind.OPAQUE_DIRECTORY]


def test_attributes_of_overlays_in_an_image_and_of_others_mean_nothing(layer: Path):
    (layer / "a").mkdir()
    (layer / "b").write_bytes(b"x")
    os.setxattr(layer / "a", "trusted.overlay.overlay.opaque", b"y")
    os.setxattr(layer / "a", "trusted.overlay.origin", b"x")
    os.setxattr(layer / "b", "user.overlay.metacopy", b"")
    assert read(layer) == [LayerEntry(b"a", EntryKind.DIRECTORY), file(b"b", b"x")]


def change_in_overlay(tmp_path: Path, command: str) -> Path:
    """The upper directory of an overlay after a command in it, over a layer that has files."""
    for name in ("lower/directory", "upper", "work", "merged"):
        (tmp_path / name).mkdir(parents=True)
    for size in (1, 100, 10_000, MEBIBYTE):
        (tmp_path / f"lower/directory/{size}").write_bytes(b"x" * size)
    options = "metacopy=on,redirect_dir=on,lowerdir=lower,upperdir=upper,workdir=work"
    script = f"mount -t overlay overlay -o {options} merged && cd merged && {command}"
    subprocess.run(["unshare", "--mount", "sh", "-c", script], check=True, cwd=tmp_path)
    return tmp_path / "upper"


def test_a_directory_that_was_renamed_is_not_read(tmp_path: Path):
    upper = change_in_overlay(tmp_path, "mv directory renamed")
    with pytest.raises(CannotReadDirectoryError, match="renamed"):
        read(upper)


@pytest.mark.parametrize("size", [1, 100, 10_000, MEBIBYTE])
def test_a_file_of_which_the_layer_has_only_the_metadata_is_not_read(tmp_path: Path, size: int):
    upper = change_in_overlay(tmp_path, f"chmod 600 directory/{size}")
    with pytest.raises(CannotReadDirectoryError, match="contents"):
        read(upper)


def test_what_the_kernel_leaves_in_an_upper_directory_is_read(tmp_path: Path):
    upper = change_in_overlay(
        tmp_path, "rm directory/1 && mkdir new && mknod new/null c 1 3 && echo > new/file && ln new/file new/same"
    )
    assert [(one.path, one.kind) for one in read(upper)] == [
        (b"directory", EntryKind.DIRECTORY),
        (b"directory/1", EntryKind.WHITEOUT),
        (b"new", EntryKind.DIRECTORY),
        (b"new", EntryKind.OPAQUE_DIRECTORY),  # there was nothing; so the kernel need not look again
        (b"new/file", EntryKind.FILE),
        (b"new/null", EntryKind.OTHER),
        (b"new/same", EntryKind.HARD_LINK),
    ]
    (tmp_path / "more").mkdir()
    upper = change_in_overlay(tmp_path / "more", "rm -r directory && mkdir directory")
    assert [one.kind for one in read(upper)] == [EntryKind.DIRECTORY, EntryKind.OPAQUE_DIRECTORY]


def test_whiteouts_that_are_files_with_an_attribute_are_not_read(layer: Path):
    os.setxattr(layer, "trusted.overlay.opaque", b"x")
    with pytest.raises(CannotReadDirectoryError, match="another kind"):
        read(layer)


def test_a_name_that_archives_use_for_whiteouts_is_not_read(layer: Path):
    (layer / ".wh.a").write_bytes(b"x")
    with pytest.raises(CannotReadDirectoryError, match="in an archive"):
        read(layer)


def test_of_a_file_with_several_names_the_first_has_the_bytes(layer: Path):
    (layer / "b").mkdir()
    (layer / "b/first").write_bytes(b"x")
    for name in ("b/second", "c", "b.d"):
        os.link(layer / "b/first", layer / name)
    assert [one for one in read(layer) if one.kind != EntryKind.DIRECTORY] == [
        file(b"b/first", b"x"),
        LayerEntry(b"b/second", EntryKind.HARD_LINK, target=b"b/first"),
        LayerEntry(b"b.d", EntryKind.HARD_LINK, target=b"b/first"),
        LayerEntry(b"c", EntryKind.HARD_LINK, target=b"b/first"),
    ]


def test_a_name_outside_the_layer_is_no_name_of_its_files(layer: Path):
    (layer / "a").write_bytes(b"x")
    os.link(layer / "a", layer.parent / "a")
    assert read(layer) == [file(b"a", b"x")]


def test_whiteouts_that_share_an_inode_stay_whiteouts(layer: Path):
    whiteout(layer / "a")
    os.link(layer / "a", layer / "b")
    assert [one.kind for one in read(layer)] == [EntryKind.WHITEOUT] * 2


def test_sockets_are_left_out_as_archives_have_none(layer: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(layer)  # a socket's path has 107 bytes at most
    with socket.socket(socket.AF_UNIX) as one:
        one.bind("socket")
        assert read(layer) == []


def test_links_are_not_followed(layer: Path):
    (layer / "a").symlink_to(layer.parent, target_is_directory=True)
    (layer / "b").symlink_to("a")
    assert [one.kind for one in read(layer)] == [EntryKind.SYMLINK] * 2
    with pytest.raises(CannotReadDirectoryError, match="a"):
        scan_layer(bytes(layer / "a"))


@pytest.mark.parametrize("size", [1, 256 * 1024 - 1, 256 * 1024, 256 * 1024 + 1, 3 * MEBIBYTE + 7])
def test_files_of_every_size_have_the_hash_of_their_bytes(layer: Path, size: int):
    content = os.urandom(size)
    (layer / "a").write_bytes(content)
    assert read(layer) == [file(b"a", content)]


@settings(max_examples=50, deadline=None)
@given(pieces=st.lists(st.tuples(st.integers(0, 2000), st.integers(1, 300)), max_size=5), end=st.integers(0, 2000))
def test_holes_have_the_hash_of_zeros(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[tuple[int, int]], end: int
):
    layer = tmp_path_factory.mktemp("holes")
    with (layer / "a").open("wb") as sparse:
        for hole, length in pieces:
            sparse.seek(hole * 1024, os.SEEK_CUR)
            sparse.write(b"x" * length * 1000)
        sparse.truncate(sparse.tell() + end * 1024)
    assert read(layer) == [file(b"a", (layer / "a").read_bytes())]


def test_a_hole_is_not_read(layer: Path, monkeypatch: pytest.MonkeyPatch):
    size = 200 * MEBIBYTE
    with (layer / "a").open("wb") as sparse:
        sparse.truncate(size)
    expected = xxhash.xxh3_128()
    for _ in range(200):
        expected.update(bytes(MEBIBYTE))
    monkeypatch.delattr(os, "readv")
    assert read(layer) == [LayerEntry(b"a", EntryKind.FILE, size, expected.digest())]


def test_progress_is_told_in_small_steps_and_to_the_end(layer: Path):
    for name, size in (("a", 5 * MEBIBYTE), ("b", 1000), ("c", 300 * 1024)):
        (layer / name).write_bytes(os.urandom(size))
    with (layer / "d").open("wb") as sparse:
        sparse.truncate(100 * MEBIBYTE)
    told: list[int] = []
    size = scan_layer(bytes(layer), told.append).size_bytes
    assert told[-1] == size
    assert told == sorted(told)
    assert told[4] - told[0] <= 8 * MEBIBYTE


@pytest.mark.parametrize("fill", ["one large file", "many small ones", "one with a hole"])
def test_a_reading_that_is_not_wanted_any_more_ends(layer: Path, fill: str):
    if fill == "many small ones":
        for number in range(600):
            (layer / str(number)).write_bytes(b"x")
    else:
        with (layer / "a").open("wb") as large:
            large.truncate(300 * MEBIBYTE)
            large.write(b"x" * 3 * MEBIBYTE if fill == "one large file" else b"")
    told: list[int] = []

    def stop(done_bytes: int) -> None:
        told.append(done_bytes)
        if len(told) == 2:
            raise TimeoutError

    with pytest.raises(TimeoutError):
        scan_layer(bytes(layer), stop)
    assert len(told) == 2


@pytest.mark.parametrize("gone", ["nothing", "a file"])
def test_what_is_no_directory_is_one_line(tmp_path: Path, gone: str):
    (tmp_path / "a file").write_bytes(b"x")
    with pytest.raises(CannotReadDirectoryError) as caught:
        scan_layer(bytes(tmp_path / gone))
    assert "\n" not in str(caught.value)


def test_a_layer_that_goes_away_meanwhile_is_one_line(layer: Path):
    for name in "abc":
        (layer / name).write_bytes(b"x" * MEBIBYTE)
    with pytest.raises(CannotReadDirectoryError, match="No such file"):
        scan_layer(bytes(layer), lambda _: (layer / "c").unlink(missing_ok=True))


def test_a_file_that_is_cut_meanwhile_is_one_line(layer: Path):
    (layer / "a").write_bytes(b"x" * 3 * MEBIBYTE)
    with pytest.raises(CannotReadDirectoryError, match="changed"):
        scan_layer(bytes(layer), lambda _: os.truncate(layer / "a", 10))


def test_directories_that_lie_too_deep_are_no_endless_recursion(layer: Path):
    here = os.open(layer, os.O_RDONLY)
    for _ in range(300):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    with pytest.raises(CannotReadDirectoryError, match="deep"):
        read(layer)
    opened = [os.readlink(one) for one in Path("/proc/self/fd").iterdir() if os.path.lexists(one)]  # noqa: PTH115  # deleted
    assert not any(one.startswith(str(layer)) for one in opened)


def test_one_who_cannot_see_the_attributes_is_told_to_read_the_archive(layer: Path):
    program = (
        "import sys; from buildprof.sources.layers.scan import *\n"
        "try: print(len(scan_layer(sys.argv[1].encode())))\n"
        "except CannotReadDirectoryError as error: print(error)"
    )
    (layer / "a").write_bytes(b"x")
    for wrapper in (("setpriv", "--bounding-set=-sys_admin"), ("unshare", "--user", "--map-root-user")):
        command = [*wrapper, os.fsdecode(Path(os.sys.executable)), "-c", program, str(layer)]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        assert "CAP_SYS_ADMIN" in said


def test_a_user_reads_the_layers_of_an_own_rootless_engine_and_no_others():
    with public_directory() as directory:
        for name, owner in (("own", NOBODY), ("root", 0), ("other", 1000)):
            (directory / name / "a").mkdir(parents=True)
            os.setxattr(directory / name / "a", "user.overlay.opaque", b"y")
            os.chown(directory / name, owner, owner)

        def look() -> list[object]:
            said: list[object] = []
            for name in ("own", "root", "other"):
                try:
                    said.append([one.kind for one in read(directory / name)])
                except CannotReadDirectoryError as error:
                    said.append("CAP_SYS_ADMIN" in str(error))
            return said

        assert as_nobody(look) == [[EntryKind.DIRECTORY, EntryKind.OPAQUE_DIRECTORY], True, True]


def test_times_of_access_stay(layer: Path):
    (layer / "a").write_bytes(b"x")
    os.utime(layer / "a", ns=(1, 2))
    os.utime(layer, ns=(1, 2))
    read(layer)
    assert {one.stat().st_atime_ns for one in (layer, layer / "a")} == {1}


TREES = st.recursive(
    st.binary(max_size=300) | st.sampled_from(["fifo", "symlink", "hard link", "whiteout"]),
    lambda below: st.dictionaries(NAMES, below, max_size=8),
    max_leaves=30,
)


@settings(max_examples=100, deadline=None)
@given(tree=st.dictionaries(NAMES, TREES, max_size=8), opaque=st.booleans())
def test_any_tree_is_read_as_it_was_made(
    tmp_path_factory: pytest.TempPathFactory, tree: dict[bytes, object], opaque: bool
):
    layer = tmp_path_factory.mktemp("tree")
    files: list[bytes] = []
    expected: list[LayerEntry] = []

    def make(above: Path, relative: bytes, below: dict[bytes, object]) -> None:
        for name, what in sorted(below.items()):
            path, own = above / os.fsdecode(name), relative + name
            match what:
                case dict():
                    path.mkdir()
                    expected.append(LayerEntry(own, EntryKind.DIRECTORY))
                    if opaque:
                        os.setxattr(path, "trusted.overlay.opaque", b"y")
                        expected.append(LayerEntry(own, EntryKind.OPAQUE_DIRECTORY))
                    make(path, own + b"/", what)
                case "symlink":
                    path.symlink_to(os.fsdecode(name))
                    expected.append(LayerEntry(own, EntryKind.SYMLINK, target=name))
                case "fifo":
                    os.mkfifo(path)
                    expected.append(LayerEntry(own, EntryKind.OTHER))
                case "hard link" if files:
                    path.hardlink_to(layer / os.fsdecode(files[0]))
                    expected.append(LayerEntry(own, EntryKind.HARD_LINK, target=files[0]))
                case "hard link" | "whiteout":
                    os.mknod(path, stat.S_IFCHR, 0)
                    expected.append(LayerEntry(own, EntryKind.WHITEOUT))
                case bytes():
                    path.write_bytes(what)
                    expected.append(file(own, what))
                    files.append(own)

    make(layer, b"", tree)
    assert read(layer) == expected


DOCKERFILE = r"""
FROM base
COPY context /copied
RUN mkdir -p /w/gone /w/opaque/below /w/kept && echo 1 > /w/gone/a && echo 2 > /w/opaque/b && echo 3 > /w/opaque/below/c \
 && dd if=/dev/zero of=/w/kept/zeros bs=1024 count=3000 2> /dev/null && echo 4 > /w/kept/d && ln /w/kept/d /w/kept/e
RUN rm -rf /w/gone /w/opaque && mkdir /w/opaque && echo new > /w/opaque/new && chmod 600 /w/kept/zeros && rm /bin/yes
RUN echo 5 > /w/kept/d && ln -s ../e /w/kept/link && ln -s /no/where /w/absolute && busybox mkfifo /w/fifo \
 && ln /w/kept/zeros /w/more && busybox mknod /w/null c 1 3 && dd if=/bin/sh of=/w/sparse bs=1000 seek=9000 count=1 2> /dev/null
RUN rm -rf /w/kept && echo file > /w/kept && rm /w/absolute && mkdir /w/absolute && mv /copied /moved
RUN true
RUN true
"""


def build(engine: Engine, directory: Path, builder: str) -> str:
    """An image that has everything."""
    (directory / "context/deep/er").mkdir(parents=True)
    (directory / "context/żółw").write_text("x")
    (directory / "context" / ("long" * 50)).write_text("y")
    (directory / "Dockerfile").write_text(DOCKERFILE)
    name = f"scan-{builder}:1"
    with_buildkit = "1" if builder == "buildkit" else "0"
    engine.docker("build", "--network=host", "-t", name, ".", cwd=directory, DOCKER_BUILDKIT=with_buildkit)
    return name


def scanned_layers(engine: Engine, image: str) -> list[list[LayerEntry]]:
    """The layers of an image as its directories have them, the lowest first."""
    inspect = json.loads(engine.docker("image", "inspect", image).stdout)[0]
    info = json.loads(engine.docker("info", "--format", "{{json .}}").stdout)
    directories = layer_directories(inspect, info["DockerRootDir"], info["Driver"])
    assert directories is not None
    return [list(scan_layer(directories[digest])) for digest in inspect["RootFS"]["Layers"]]


def in_order(layer: list[LayerEntry]) -> list[LayerEntry]:
    """Parents first, depth first and sorted, the first name of a file having its bytes.

    Engines have it so, but for a base that was packed by others, and containerd's classic builds: there a name that the
    layers below had already comes after the new ones.
    """
    names = {one.path: [one.path] for one in layer if one.kind == EntryKind.FILE}
    for one in layer:
        if one.kind == EntryKind.HARD_LINK:
            names[one.target].append(one.path)
    first = {path: min(group, key=lambda path: path.split(b"/")) for group in names.values() for path in group}
    files = {first[one.path]: one for one in layer if one.kind == EntryKind.FILE}
    renamed = [
        one
        if one.path not in first
        else files[one.path]._replace(path=one.path)
        if one.path in files
        else LayerEntry(one.path, EntryKind.HARD_LINK, target=first[one.path])
        for one in layer
    ]
    return sorted(renamed, key=lambda one: (one.path.split(b"/"), one.kind))


@pytest.mark.parametrize("builder", ["buildkit", "classic"])
def test_an_engine_s_directories_have_what_its_archives_have(any_engine: Engine, builder: str, tmp_path: Path):
    image = build(any_engine, tmp_path, builder)
    scanned, saved = scanned_layers(any_engine, image), saved_layers(any_engine, image)
    assert [in_order(layer) for layer in scanned[1:]] == scanned[1:]
    assert scanned == [in_order(layer) for layer in saved]
    kinds = {one.kind for layer in scanned for one in layer}
    # containerd names what was there in a directory that hides it, one by one
    assert kinds | ({EntryKind.OPAQUE_DIRECTORY} if "containerd" in any_engine.name else set()) == set(EntryKind)


def test_layers_of_another_engine_are_read_as_they_are_kept_here(
    engine_28: Engine, engine_28_containerd: Engine, tmp_path: Path
):
    image = build(engine_28, tmp_path, "buildkit")
    engine_28.docker("save", "-o", str(tmp_path / "saved.tar"), image)
    engine_28_containerd.docker("load", "-i", str(tmp_path / "saved.tar"))
    scanned = scanned_layers(engine_28_containerd, image)
    assert scanned == scanned_layers(engine_28, image)
    assert EntryKind.OPAQUE_DIRECTORY in {one.kind for layer in scanned for one in layer}
