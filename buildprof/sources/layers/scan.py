"""Reading a layer from the directory in which overlayfs keeps it: the same entries as its archive has, without the archive.

overlayfs marks what is gone by character devices 0/0, and directories that hide those below by an attribute (Linux,
Documentation/filesystems/overlayfs.rst, "whiteouts and opaque directories"). Names come parents first, depth first and
sorted, as engines write them into archives: so of a file with several names the same one is first. (containerd puts a
name that the layers below had already after the new ones, which the directory alone does not tell.)
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import xxhash

from buildprof.model.layer_files import EntryKind, LayerEntry, LayerFiles, LayerFilesBuilder
from buildprof.model.text import clean

Progress: TypeAlias = Callable[[int], object]

_MAX_DEPTH = 200  # a descriptor each
_TURN_BYTES = 1024 * 1024
_ENTRY_BYTES = 4096  # what an entry counts for in a turn, beside its contents
_HOLE_BYTES = 4096  # what _SMALL_BYTES of a hole count for
_SMALL_BYTES = 256 * 1024
_EMPTY = xxhash.xxh3_128_digest(b"")
_ZEROS = bytes(_SMALL_BYTES)
_CAP_SYS_ADMIN = 1 << 21
_ENCODING = sys.getfilesystemencoding()
_DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class CannotReadDirectoryError(Exception):
    """The layer has to be read from its archive: the directory is gone, closed to us, or needs the layers below. One line."""


def scan_layer(directory: bytes, on_progress: Progress = lambda _: None) -> LayerFiles:
    """The entries of a layer in an upper directory of overlayfs: overlay2's `diff`, a snapshot's `fs`.

    `on_progress` gets the bytes of files done so far, about once a mebibyte or 256 entries; it may wait, and what it
    raises ends the reading. A file's holes are not read, and hashed as the zeros they stand for. Sockets are left out,
    since archives have none. The root itself is only told of if it is opaque.

    Raises CannotReadDirectoryError: see there.
    """
    scan = _Scan(on_progress)
    try:
        scan.read_root(directory)
    except OSError as error:
        if error is scan.ended_by:
            raise
        raise CannotReadDirectoryError(clean(f"{os.fsdecode(directory)}: {error.strerror}")) from error
    return scan.builder.build()


class _Scan:
    """One reading of a layer. `ended_by` is what `on_progress` raised, to be told from what the kernel answers."""

    __slots__ = ("_buffer", "_device", "_done_bytes", "_names", "_on_progress", "_prefixes", "_work_bytes", "builder", "ended_by")  # fmt: skip

    def __init__(self, on_progress: Progress) -> None:
        self.builder = LayerFilesBuilder()
        self.ended_by: OSError | None = None
        self._on_progress = on_progress
        self._prefixes: tuple[str, ...] = ()
        self._device = 0
        self._names: dict[int, bytes] = {}
        self._done_bytes = self._work_bytes = 0
        self._buffer = memoryview(bytearray(_SMALL_BYTES))

    def read_root(self, directory: bytes) -> None:
        """The whole layer."""
        root = _open(directory, _DIRECTORY_FLAGS, None)
        try:
            info = os.fstat(root)
            self._device, self._prefixes = info.st_dev, _attribute_prefixes(info.st_uid)
            self._read_directory(root, b"", 0)
            self._take_turn()
            now = os.stat(directory, follow_symlinks=False)  # noqa: PTH116  # bytes
            if (now.st_dev, now.st_ino) != (info.st_dev, info.st_ino) or info.st_mtime_ns != now.st_mtime_ns:
                raise CannotReadDirectoryError(f"{clean(os.fsdecode(directory))}: changed while it was read")
        finally:
            os.close(root)

    def _read_directory(self, descriptor: int, path: bytes, depth: int) -> None:  # noqa: C901, PLR0912  # in line
        """Everything in an open directory; `path` is "" or ends in a slash."""
        if depth > _MAX_DEPTH:
            raise CannotReadDirectoryError(f"directories lie more than {_MAX_DEPTH} deep")
        if marks := os.listxattr(descriptor):
            self._read_marks(descriptor, path, marks)
        names = [name.encode(_ENCODING, "surrogateescape") for name in os.listdir(descriptor)]
        names.sort()
        add = self.builder.add
        for name in names:  # a hundred thousand turns in a second or two: nothing that can be left out
            info = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
            mode = info.st_mode
            own = path + name
            if name.startswith(b".wh."):
                raise CannotReadDirectoryError("a file has a name that means something else in an archive")
            self._work_bytes += _ENTRY_BYTES
            if stat.S_ISDIR(mode):
                add(LayerEntry(own, EntryKind.DIRECTORY))
                if info.st_dev != self._device:
                    raise CannotReadDirectoryError("another file system is mounted in it")
                below = _open(name, _DIRECTORY_FLAGS, descriptor)
                try:
                    self._read_directory(below, own + b"/", depth + 1)
                finally:
                    os.close(below)
            elif stat.S_ISCHR(mode) and info.st_rdev == 0:
                add(LayerEntry(own, EntryKind.WHITEOUT))
            elif stat.S_ISSOCK(mode):
                continue
            elif info.st_nlink > 1 and (first := self._names.setdefault(info.st_ino, own)) is not own:
                add(LayerEntry(own, EntryKind.HARD_LINK, target=first))
            elif stat.S_ISREG(mode):
                size = info.st_size
                add(LayerEntry(own, EntryKind.FILE, size, self._content(descriptor, name, info) if size else _EMPTY))
            elif stat.S_ISLNK(mode):
                add(LayerEntry(own, EntryKind.SYMLINK, target=os.readlink(name, dir_fd=descriptor)))
            else:
                add(LayerEntry(own, EntryKind.OTHER))
            if self._work_bytes >= _TURN_BYTES:
                self._take_turn()

    def _take_turn(self) -> None:
        """Tell what was done."""
        self._work_bytes = 0
        try:
            self._on_progress(self._done_bytes)
        except OSError as error:  # TimeoutError is one
            self.ended_by = error
            raise

    def _read_marks(self, descriptor: int, path: bytes, marks: list[str]) -> None:
        """What overlayfs says of a directory."""
        for prefix in self._prefixes:
            if f"{prefix}redirect" in marks:
                raise CannotReadDirectoryError("a directory was renamed, and its files are in a layer below")
            if (opaque := f"{prefix}opaque") in marks:
                if os.getxattr(descriptor, opaque) != b"y":  # but "x": its whiteouts are files with an attribute
                    raise CannotReadDirectoryError("a directory has whiteouts of another kind")
                self.builder.add(LayerEntry(path[:-1], EntryKind.OPAQUE_DIRECTORY))
                return

    def _content(self, directory: int, name: bytes, info: os.stat_result) -> bytes:
        """The digest of a file that is not empty."""
        size = info.st_size
        descriptor = _open(name, _FILE_FLAGS, directory)
        try:
            if size > _SMALL_BYTES:
                self._refuse_metacopy(descriptor)
                digest = xxhash.xxh3_128()
                if info.st_blocks * 512 < size:
                    self._read_sparse(descriptor, size, digest)
                else:
                    self._read_range(descriptor, size, digest)
                return digest.digest()
            data = os.read(descriptor, size + 1)  # one more than it has tells the end
            if len(data) != size:
                raise CannotReadDirectoryError("a file changed while it was read")
            if data[0] == 0:  # a file whose contents are elsewhere is one hole here; to ask of each costs too much
                self._refuse_metacopy(descriptor)
            self._done_bytes += size
            self._work_bytes += size
            return xxhash.xxh3_128_digest(data)
        finally:
            os.close(descriptor)

    def _refuse_metacopy(self, descriptor: int) -> None:
        marks = os.listxattr(descriptor)
        if marks and any(f"{prefix}metacopy" in marks for prefix in self._prefixes):
            raise CannotReadDirectoryError("a file has its contents in a layer below")

    def _read_sparse(self, descriptor: int, size: int, digest: xxhash.xxh3_128) -> None:
        """Read what is no hole (lseek(2), SEEK_DATA)."""
        at = 0
        while at < size:
            try:
                data = min(os.lseek(descriptor, at, os.SEEK_DATA), size)
            except OSError as error:
                if error.errno != errno.ENXIO:
                    raise
                data = size  # a hole to the end
            for left in range(data - at, 0, -_SMALL_BYTES):
                zeros = _ZEROS[:left]
                digest.update(zeros)
                self._count(len(zeros), _HOLE_BYTES)
            at = min(os.lseek(descriptor, data, os.SEEK_HOLE), size) if data < size else size
            os.lseek(descriptor, data, os.SEEK_SET)
            self._read_range(descriptor, at - data, digest)

    def _read_range(self, descriptor: int, length: int, digest: xxhash.xxh3_128) -> None:
        """Read from where the descriptor stands."""
        buffer = self._buffer
        while length > 0:
            count = os.readv(descriptor, [buffer[:length]])
            if count == 0:
                raise CannotReadDirectoryError("a file changed while it was read")
            digest.update(buffer[:count])
            length -= count
            self._count(count, count)

    def _count(self, done_bytes: int, work_bytes: int) -> None:
        self._done_bytes += done_bytes
        self._work_bytes += work_bytes
        if self._work_bytes >= _TURN_BYTES:
            self._take_turn()


def _attribute_prefixes(owner: int) -> tuple[str, ...]:
    """How overlayfs' attributes are called in a layer whose root has this owner.

    Without CAP_SYS_ADMIN in the machine's own user namespace the kernel hides `trusted.*` in silence (xattr(7)), and a
    directory that hides those below could not be told from another. A rootless engine mounts with `userxattr`, and root
    in its containers is somebody else here; in a layer of any other engine `user.*` attributes are the image's own.
    """
    if owner == 0:
        prefixes: tuple[str, ...] = ("trusted.overlay.",)
    elif owner == os.geteuid():
        return ("user.overlay.",)
    else:
        prefixes = ("trusted.overlay.", "user.overlay.")
    if not _sees_trusted_attributes():
        raise CannotReadDirectoryError("only root with CAP_SYS_ADMIN can tell which directories hide those below")
    return prefixes


def _sees_trusted_attributes() -> bool:
    status = Path("/proc/thread-self/status").read_text(encoding="ascii", errors="replace")
    effective = next((line.split()[1] for line in status.splitlines() if line.startswith("CapEff:")), "0")
    namespace = Path("/proc/self/uid_map").read_text(encoding="ascii").split()
    return bool(int(effective, 16) & _CAP_SYS_ADMIN) and namespace == ["0", "0", str(2**32 - 1)]


def _open(path: bytes, flags: int, directory: int | None) -> int:
    """Open without leaving a time of access, which only the owner may ask for."""
    try:
        return os.open(path, flags | os.O_NOATIME, dir_fd=directory)
    except PermissionError:
        return os.open(path, flags, dir_fd=directory)
