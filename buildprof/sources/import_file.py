"""What kind of file `buildprof import` was given, told from its first byte, so that a pipe will do."""

from __future__ import annotations

import io
from enum import StrEnum

_GZIP_FIRST_BYTE = b"\x1f"


class ImportFormatError(Exception):
    """A file that is not what it should be. The message is one line for people: where, and what was expected."""


class FileKind(StrEnum):
    """The formats that can be imported."""

    PROGRESS = "progress"
    ARCHIVE = "archive"


def detect(file: io.BufferedReader) -> FileKind:
    """The kind of a file or pipe; nothing is consumed.

    An archive is gzip. All else is taken for a progress stream, since a client may print other text before it;
    the stream's reader says what is wrong with text that holds no progress at all. Raises ImportFormatError for
    an empty file.
    """
    first = file.peek(1)[:1]
    if not first:
        raise ImportFormatError(
            "the file is empty; expected the output of --progress=rawjson or a .dockerbuild archive"
        )
    return FileKind.ARCHIVE if first == _GZIP_FIRST_BYTE else FileKind.PROGRESS
