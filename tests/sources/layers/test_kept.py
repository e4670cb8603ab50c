import os
import time
from pathlib import Path

import pytest

from buildprof.model.layer_files import EntryKind, LayerEntry, LayerFiles, LayerFilesBuilder
from buildprof.sources.layers import kept as kept_module
from buildprof.sources.layers.kept import KeptLayers, forget_layers


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


def test_what_nobody_has_asked_for_since_a_time_is_dropped_and_the_disk_given_back(tmp_path: Path):
    kept, large = KeptLayers(tmp_path / "layers.db"), layer(*(b"%d" % number for number in range(20_000)))
    for digest in ("sha256:old", "sha256:asked"):
        kept.keep(digest, large)
    horizon_ns = time.time_ns()
    assert kept.find("sha256:asked") == large
    kept.close()
    before_bytes = (tmp_path / "layers.db").stat().st_size
    assert forget_layers(tmp_path, horizon_ns) == 1
    assert (tmp_path / "layers.db").stat().st_size < before_bytes * 0.7
    kept = KeptLayers(tmp_path / "layers.db")
    assert (kept.find("sha256:old"), kept.find("sha256:asked")) == (None, large)


def test_where_no_layers_are_kept_nothing_is_made(tmp_path: Path):
    assert forget_layers(tmp_path, 10**18) == 0
    assert list(tmp_path.iterdir()) == []


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
