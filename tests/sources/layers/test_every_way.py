"""Every way to a layer gives the same entries, and their analysis is the truth of images that were made to be known."""

import io
import json
import os
import tarfile
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings

from buildprof.analysis.image import analyse
from buildprof.model.image import ImageAnalysis, ImageLayer
from buildprof.model.layer_files import EntryKind
from buildprof.sources.layers.archive import read_archive
from buildprof.sources.layers.errors import LayerError
from buildprof.sources.layers.scan import scan_layer
from tests.images import MadeEntry, MadeLayer, image_archive, image_layers, images, truth, write_upper_directory


def figures(analysis: ImageAnalysis) -> object:
    return analysis.stored_bytes, analysis.visible_bytes, analysis.waste, analysis.waste_bytes, analysis.waste_count


@settings(max_examples=60, deadline=None)
@given(images())
def test_archives_give_what_is_in_them(layers: tuple[MadeLayer, ...]):
    (found,) = read_archive(io.BytesIO(image_archive(layers)))
    made = image_layers(layers)
    assert [set(layer.files) for layer in found.layers] == [set(layer.files) for layer in made]
    analysis = analyse(found.layers)
    assert figures(analysis) == figures(analyse(made))
    assert analysis.stored_bytes == truth(layers).stored_bytes
    assert analysis.visible_bytes == truth(layers).visible_bytes


@pytest.mark.skipif(os.geteuid() != 0, reason="overlay marks what is gone in ways that only root may write")
@settings(max_examples=60, deadline=None)
@given(images())
def test_directories_give_what_archives_give(layers: tuple[MadeLayer, ...]):
    found = []
    with tempfile.TemporaryDirectory() as place:
        for number, layer in enumerate(layers):
            directory = Path(place) / str(number)
            directory.mkdir()
            write_upper_directory(layer, directory)
            found.append(ImageLayer(str(number), scan_layer(os.fsencode(directory))))
    assert [set(layer.files) for layer in found] == [set(layer.files) for layer in image_layers(layers)]
    analysis = analyse(found)
    assert analysis.stored_bytes == truth(layers).stored_bytes
    assert analysis.visible_bytes == truth(layers).visible_bytes


def test_a_layer_that_is_known_under_another_digest_is_not_taken_for_it():
    one, other = ((MadeEntry(name, EntryKind.FILE, b"data" * 100),) for name in (b"one", b"other"))
    known = {layer.digest: layer.files for layer in image_layers([other])}
    (digest,) = known
    with pytest.raises(LayerError):
        read_archive(io.BytesIO(_with_blob_of(image_archive([one]), digest)), known=known.get)


def _with_blob_of(archive: bytes, digest: str) -> bytes:
    """The archive, whose manifest names a layer of another digest than the configuration does."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as old:
        files = {member.name: old.extractfile(member).read() for member in old if member.isfile()}
    manifest = json.loads(files["manifest.json"])
    files[f"blobs/sha256/{digest[7:]}"] = files.pop(manifest[0]["Layers"][0])
    manifest[0]["Layers"] = [f"blobs/sha256/{digest[7:]}"]
    files = {"manifest.json": json.dumps(manifest).encode()} | {
        name: data for name, data in files.items() if name not in ("manifest.json", "index.json", "oci-layout")
    }
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as new:
        for name, data in files.items():
            header = tarfile.TarInfo(name)
            header.size = len(data)
            new.addfile(header, io.BytesIO(data))
    return buffer.getvalue()
