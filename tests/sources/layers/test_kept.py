import os
from pathlib import Path

import pytest

from buildprof.model.layer_files import EntryKind, LayerEntry, LayerFiles, LayerFilesBuilder
from buildprof.sources.layers import kept as kept_module
from buildprof.sources.layers.kept import KeptLayers


def layer(*paths: bytes) -> LayerFiles:
    builder = LayerFilesBuilder()
    for path in paths:
        builder.add(LayerEntry(path, EntryKind.FILE, len(path), os.urandom(16)))
    return builder.build()


def test_a_layer_is_found_again_by_its_digest_also_by_another_process(tmp_path: Path):
    one, files = KeptLayers(tmp_path / "layers.db"), layer(b"etc/passwd", b"usr/bin/env")
    assert one.find("sha256:a") is None
    one.keep("sha256:a", files)
    assert one.find("sha256:a") == files
    assert KeptLayers(tmp_path / "layers.db").find("sha256:a") == files
    assert (tmp_path / "layers.db").stat().st_mode & 0o777 == 0o600


def test_what_was_not_asked_for_the_longest_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    kept, files = KeptLayers(tmp_path / "layers.db"), layer(b"a")
    monkeypatch.setattr(kept_module, "MAX_BYTES", 2 * len(files.pack()))
    kept.keep("sha256:1", files)
    kept.keep("sha256:2", files)
    assert kept.find("sha256:1") is not None
    kept.keep("sha256:3", files)
    assert [digest for digest in ("sha256:1", "sha256:2", "sha256:3") if kept.find(digest)] == ["sha256:1", "sha256:3"]


@pytest.mark.parametrize("content", [b"no database at all, but long enough to be taken for one" * 40, b""])
def test_a_broken_file_is_made_anew(tmp_path: Path, content: bytes):
    (tmp_path / "layers.db").write_bytes(content)
    kept = KeptLayers(tmp_path / "layers.db")
    kept.keep("sha256:a", layer(b"a"))
    assert kept.find("sha256:a") is not None


def test_a_broken_row_is_not_known(tmp_path: Path):
    kept = KeptLayers(tmp_path / "layers.db")
    kept.keep("sha256:a", layer(b"a"))
    kept._connection.execute("UPDATE layers SET files = x'00'")
    assert kept.find("sha256:a") is None


@pytest.mark.parametrize("path", [None, Path("/proc/none/layers.db")])
def test_where_nothing_can_be_kept_nothing_is_known(path: Path | None):
    kept = KeptLayers(path)
    kept.keep("sha256:a", layer(b"a"))
    assert kept.find("sha256:a") is None
    kept.close()
