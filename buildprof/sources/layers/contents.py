"""What an archive of images holds: its documents and its layers.

A stream is read once, and layers come before what names them: so a member is taken by what it is (a layer is read, a
small document kept, all else passed over). Of files and directories only what is asked for is read.
"""

from __future__ import annotations

import errno
import hashlib
import os
import posixpath
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from buildprof.model.layer_files import LayerFiles
from buildprof.sources.layers.decompress import MAGIC_BYTES, Compression, compression_of, open_decompressed
from buildprof.sources.layers.errors import LayerError, LayerLimitError
from buildprof.sources.layers.streams import CHUNK_BYTES, Counter, FileSlice, HashedStream, PeekableStream, Readable
from buildprof.sources.layers.tar import Limits, read_layer
from buildprof.sources.layers.tar_reader import BLOCK_BYTES, Member, TarReader, is_tar

MAX_DOCUMENT_BYTES = 4 << 20
MAX_DOCUMENTS_BYTES = 64 << 20
MAX_MEMBERS = 200_000

_BLOB = re.compile(r"blobs/sha256/([0-9a-f]{64})")
_CONFIG = re.compile(r"([0-9a-f]{64})\.json")
# A document that says nothing of images, such as a list of packages, need not be kept.
_TELLING = re.compile(rb'"(?:manifests|layers|Layers|rootfs)"')


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer that was read. `diff_id` is what it hashes to, None if it was known; `error` if it could not be read."""

    files: LayerFiles
    diff_id: str | None
    compressed_bytes: int | None
    error: LayerError | None = None


class Layers:
    """Reads layers, within limits that they share."""

    def __init__(self, known: Callable[[str], LayerFiles | None], limits: Limits) -> None:
        self.known = known
        self.limits = limits

    def read(self, stream: Readable, member: str) -> Layer:
        """Read one, and compare it with the digest in its name. What it is wrong with is kept for who needs it."""
        packed = HashedStream(stream)
        unpacked = open_decompressed(packed, self.limits.unpacked_bytes)
        is_packed = unpacked.compression is not Compression.NONE
        plain = HashedStream(unpacked) if is_packed else packed
        files, error = LayerFiles(), None
        try:
            files = read_layer(plain if is_packed else unpacked, self.limits)
        except LayerLimitError:
            raise
        except LayerError as said:
            error = said
            while packed.read(CHUNK_BYTES):
                pass
        try:
            _check_name(member, packed.digest)
        except LayerError as said:  # that it is damaged says more than what of it could not be read
            error = said
        self.limits = replace(
            self.limits,
            unpacked_bytes=self.limits.unpacked_bytes - max(unpacked.unpacked_bytes, files.size_bytes),
            entries=self.limits.entries - len(files),
            name_bytes=self.limits.name_bytes - len(files.paths) - len(files.targets),
        )
        return Layer(files, plain.digest, packed.size_bytes if is_packed else None, error)


class StreamedContents:
    """All that a stream has of images."""

    def __init__(self, layers: Layers) -> None:
        self._reader = layers
        self._documents: dict[str, bytes] = {}
        self._layers: dict[str, Layer] = {}
        self._links: dict[str, str] = {}

    def document(self, name: str) -> bytes | None:
        """A document by its name; None if there is none."""
        return self._documents.get(_resolved(name, self._links))

    def layer(self, name: str, diff_id: str) -> Layer | None:
        """A layer by its name, or else by its digest if it is known."""
        found = self._layers.get(_resolved(name, self._links))
        if found is None and (files := self._reader.known(diff_id)) is not None:
            return Layer(files, None, None)
        return found

    def read(self, stream: Readable) -> None:
        """Read it to its end."""
        reader = TarReader(stream)
        documents_bytes = 0
        for name, member in _members(reader, self._links):
            blob = _BLOB.fullmatch(name)
            content = PeekableStream(reader)
            head = content.peek(BLOCK_BYTES)
            if blob and (files := self._reader.known(f"sha256:{blob[1]}")) is not None:
                is_packed = compression_of(head) is not Compression.NONE
                # Not read, so its name alone says what it is: that has to be what the image wants of it.
                self._layers[name] = Layer(files, f"sha256:{blob[1]}", member.size_bytes if is_packed else None)
            elif compression_of(head) is not Compression.NONE or is_tar(head) or not head:
                self._layers[name] = self._reader.read(content, name)
            elif member.size_bytes <= MAX_DOCUMENT_BYTES and head.lstrip()[:1] in {b"{", b"["}:
                document = _all_of(content)
                _check_name(name, f"sha256:{hashlib.sha256(document).hexdigest()}")
                if _TELLING.search(document):
                    self._documents[name] = document
                    documents_bytes += len(document)
                    if documents_bytes > MAX_DOCUMENTS_BYTES:
                        raise LayerLimitError(f"documents of more than {MAX_DOCUMENTS_BYTES >> 20} MiB")
        reader.drain()


Opener = Callable[[str], AbstractContextManager[tuple[Readable, int] | None]]
"""Opens a member by its name, with its size; None if there is none."""


class StoredContents:
    """What a file or a directory has, read when it is asked for."""

    def __init__(self, opener: Opener, layers: Layers, counted: Counter) -> None:
        self._open = opener
        self._reader = layers
        self._counted = counted
        self._layers: dict[tuple[str, str], Layer] = {}

    def document(self, name: str) -> bytes | None:
        """A document by its name; None if there is none."""
        return read_document(self._open, name)

    def layer(self, name: str, diff_id: str) -> Layer | None:
        """A layer by its name, or else by its digest if it is known."""
        key = name, diff_id
        if key not in self._layers and (layer := self._read(name, diff_id)) is not None:
            self._layers[key] = layer
        return self._layers.get(key)

    def _read(self, name: str, diff_id: str) -> Layer | None:
        files = self._reader.known(diff_id)
        with self._open(name) as opened:
            if opened is None:
                return None if files is None else Layer(files, None, None)
            stream, size_bytes = opened
            if files is None:
                return self._reader.read(self._counted.of(stream), name)
            self._counted.add(size_bytes)
            is_packed = compression_of(stream.read(MAGIC_BYTES)) is not Compression.NONE
            return Layer(files, None, size_bytes if is_packed else None)


def read_document(opener: Opener, name: str) -> bytes | None:
    """A document by its name; None if there is none. LayerError if it is not what its name says, or too large."""
    with opener(name) as opened:
        if opened is None:
            return None
        stream, size_bytes = opened
        if size_bytes > MAX_DOCUMENT_BYTES:
            raise LayerLimitError(f"a document of more than {MAX_DOCUMENT_BYTES >> 20} MiB")
        document = _all_of(stream)
        if len(document) > MAX_DOCUMENT_BYTES:
            raise LayerLimitError(f"a document of more than {MAX_DOCUMENT_BYTES >> 20} MiB")
        _check_name(name, f"sha256:{hashlib.sha256(document).hexdigest()}")
        return document


def opener_of_directory(root: Path) -> Opener:
    """Opens the regular files below a directory."""

    @contextmanager
    def open_member(name: str) -> Iterator[tuple[Readable, int] | None]:
        descriptor = _open_below(root, name)
        if descriptor is None:
            yield None
            return
        with os.fdopen(descriptor, "rb") as file:
            yield file, os.fstat(descriptor).st_size

    return open_member


def _open_below(root: Path, name: str) -> int | None:
    """A descriptor of a regular file; None if there is none of that name below the root."""
    name = posixpath.normpath(name)
    if name.startswith(("/", "..")) or "\0" in name or not name.isascii():
        return None
    try:
        # Not blocking: a FIFO would keep us waiting.
        place = (root / name).resolve(strict=True)
        if not place.is_relative_to(root.resolve()):
            return None
        descriptor = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except RuntimeError:  # links in a circle, until Python 3.13
        return None
    except OSError as error:
        if error.errno in {errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.ENXIO}:
            return None
        raise
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    return None


def opener_of_file(file: BinaryIO) -> Opener:
    """Opens the members of a plain tar file, whose headers are all read first."""
    places: dict[str, tuple[int, int]] = {}
    links: dict[str, str] = {}
    reader = TarReader(file, skip=lambda size_bytes: file.seek(size_bytes, os.SEEK_CUR))
    for name, member in _members(reader, links):
        places[name] = reader.content_offset, member.size_bytes

    @contextmanager
    def open_member(name: str) -> Iterator[tuple[Readable, int] | None]:
        place = places.get(_resolved(name, links))
        if place is None:
            yield None
            return
        file.seek(place[0])
        yield FileSlice(file, place[1]), place[1]

    return open_member


def _members(reader: TarReader, links: dict[str, str]) -> Iterator[tuple[str, Member]]:
    """The regular files of an archive with their names; links are put where they are asked for.

    Names that climb out or are no ASCII are none that an archive of images has, and passed over.
    """
    for count, member in enumerate(reader):
        if count >= MAX_MEMBERS:
            raise LayerLimitError(f"the archive has more than {MAX_MEMBERS} members")
        try:
            name = posixpath.normpath(member.name.decode("ascii"))
            target = member.link.decode("ascii")
        except UnicodeDecodeError:
            continue
        if name.startswith(("/", "..")):
            continue
        if member.kind == b"0" and member.segments is None:
            yield name, member
        elif member.kind == b"1":
            links[name] = posixpath.normpath(target)
        elif member.kind == b"2":
            links[name] = posixpath.normpath(posixpath.join(posixpath.dirname(name), target))


def _resolved(name: str, links: dict[str, str]) -> str:
    """What a name stands for: links of the archive are followed, a few times."""
    name = posixpath.normpath(name)
    for _ in range(8):
        if name not in links:
            break
        name = links[name]
    return name


def _check_name(member: str, digest: str) -> None:
    """LayerError if a member is named by another digest than its content has."""
    named = _BLOB.fullmatch(member) or _CONFIG.fullmatch(member)
    if named and digest != f"sha256:{named[1]}":
        raise LayerError(f"the blob sha256:{named[1][:12]} does not match its digest: damaged, or cut off")


def _all_of(stream: Readable) -> bytes:
    return b"".join(iter(lambda: stream.read(CHUNK_BYTES), b""))
