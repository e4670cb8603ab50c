"""Every way to a layer gives the same entries, and their analysis is the truth of images that were made to be known."""

import io
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings

from buildprof.analysis.image import analyse
from buildprof.model.image import ImageAnalysis, ImageLayer
from buildprof.sources.layers.archive import read_archive
from buildprof.sources.layers.scan import scan_layer
from tests.images import MadeLayer, image_archive, image_layers, images, truth, write_upper_directory


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
