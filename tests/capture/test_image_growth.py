"""What made the images of two builds differ, from what was kept of their layers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from buildprof.capture.image_growth import image_growth
from buildprof.config import Settings
from buildprof.model.build import Build, Image
from buildprof.model.layer_files import EntryKind, LayerEntry, LayerFilesBuilder
from buildprof.sources.layers.kept import FILE_NAME, KeptLayers
from buildprof.store.connect import open_store
from buildprof.store.writer import Writer
from tests.store.samples import T0, make_build
from tests.store.test_images import SCOPE, a_document

BUILDS = [make_build(ref, started_ns=T0 + at, image=Image(f"sha256:{ref}", (), 10, 1)) for at, ref in enumerate("ab")]


def layer(digest: str) -> dict[str, Any]:
    return {"digest": digest, "command": "RUN make", "base": False}


@pytest.fixture
def store(tmp_path: Path) -> Engine:
    """Two builds whose images have one layer each, of one file that grew."""
    kept = KeptLayers(tmp_path / FILE_NAME)
    engine = open_store(f"sqlite:///{tmp_path}/store.db")
    writer = Writer(engine)
    for one, size_bytes in zip(BUILDS, (10, 25), strict=True):
        files = LayerFilesBuilder()
        files.add(LayerEntry(b"srv/token-hunter2", EntryKind.FILE, size_bytes, bytes([size_bytes]) * 16))
        kept.keep(f"sha256:of-{one.ref}", files.build())
        writer.save_build(one, scope=SCOPE)
        assert one.image is not None
        document = a_document(one.image.id, layers=[layer(f"sha256:of-{one.ref}")])
        writer.save_image(one.builder, document, [], scope=SCOPE, at_ns=1)
    kept.close()
    return engine


def found(store: Engine, tmp_path: Path, builds: list[Build] = BUILDS, **options: Any):
    settings = Settings(data_dir=tmp_path, redact=("hunter2",))
    return image_growth(store, lambda: settings, *builds, **options)


def test_the_file_that_grew_is_found_and_what_is_secret_of_its_path_is_not_told(store: Engine, tmp_path: Path):
    growth = found(store, tmp_path)
    assert growth is not None
    (file,) = growth.files
    assert (file.before_bytes, file.after_bytes) == (10, 25)
    assert file.path.startswith("srv/token-")
    assert "hunter2" not in file.path


@pytest.mark.parametrize(("most_entries", "is_told"), [(2, True), (1, False)])
def test_more_entries_than_somebody_waits_for_are_not_compared(store: Engine, tmp_path: Path, most_entries, is_told):
    assert (found(store, tmp_path, most_entries=most_entries) is not None) == is_told


def test_without_the_files_of_a_layer_nothing_is_known(store: Engine, tmp_path: Path):
    (tmp_path / FILE_NAME).unlink()
    assert found(store, tmp_path) is None


def test_of_an_image_that_was_not_analysed_nothing_is_known_and_no_setting_asked(store: Engine):
    other = make_build("c", image=Image("sha256:c", (), 10, 1))
    assert image_growth(store, lambda: pytest.fail("asked"), BUILDS[0], other) is None
