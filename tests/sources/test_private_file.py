"""Files that are for their owner's eyes."""

from __future__ import annotations

from pathlib import Path

import pytest

from buildprof.sources.private_file import make_private


def test_a_file_is_made_for_its_owner_and_one_that_is_there_stays_as_it_is(tmp_path: Path) -> None:
    make_private(tmp_path / "new.db")
    assert (tmp_path / "new.db").stat().st_mode & 0o777 == 0o600
    (tmp_path / "old.db").write_bytes(b"kept")
    (tmp_path / "old.db").chmod(0o640)
    make_private(tmp_path / "old.db")
    assert (tmp_path / "old.db").read_bytes() == b"kept"
    assert (tmp_path / "old.db").stat().st_mode & 0o777 == 0o640


def test_where_none_can_be_made_it_says_why(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        make_private(tmp_path / "none" / "new.db")
