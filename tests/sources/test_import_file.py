import io
import os

import pytest

from buildprof.sources.import_file import FileKind, ImportFormatError, detect
from tests.sources.recordings import ARCHIVES, PROGRESS


def test_an_archive_is_told_from_a_progress_stream_by_its_first_byte():
    with (ARCHIVES / "one-build.dockerbuild").open("rb") as file:
        assert detect(file) is FileKind.ARCHIVE
    with (PROGRESS / "docker-28-cold.json").open("rb") as file:
        assert detect(file) is FileKind.PROGRESS


def test_a_pipe_is_told_without_losing_a_byte():
    read_end, write_end = os.pipe()
    os.write(write_end, b"\x1f")
    os.close(write_end)
    with os.fdopen(read_end, "rb") as pipe:
        assert detect(pipe) is FileKind.ARCHIVE
        assert pipe.read() == b"\x1f"


def test_an_empty_file_is_refused_in_one_line():
    with pytest.raises(ImportFormatError, match=r"^the file is empty; expected[^\n]*$"):
        detect(io.BufferedReader(io.BytesIO()))
