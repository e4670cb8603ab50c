from __future__ import annotations

from dataclasses import replace

from buildprof.analysis.image_words import WASTE_NAMES, doubles_words, wasted_words
from buildprof.model.image import ImageAnalysis, LayerSummary, WasteKind

LAYER = LayerSummary(0, "sha256:a", 100, None, "RUN make", False, 3, 0, 0, 10)


def analysis(wasted: int = 0, *, is_base: bool = False, **kinds: tuple[int, int]) -> ImageAnalysis:
    """An image of 100 MB with so much waste; kinds are (bytes, count)."""
    return ImageAnalysis(
        stored_bytes=100_000_000,
        visible_bytes=100_000_000 - wasted,
        own_wasted_bytes=wasted // 4,
        layers=(replace(LAYER, is_base=is_base),),
        waste=(),
        waste_bytes={WasteKind(kind): size for kind, (size, _) in kinds.items()},
        waste_count={WasteKind(kind): count for kind, (_, count) in kinds.items()},
    )


def test_every_kind_of_waste_has_a_name():
    assert set(WASTE_NAMES) == set(WasteKind)


def test_waste_is_told_with_the_number_of_its_files_and_without_duplicates():
    one = analysis(12_000_000, removed=(9_000_000, 1200), overwritten=(3_000_000, 1), duplicate=(5_000_000, 30))
    assert wasted_words(one) == "12 MB in 1,201 files"
    assert doubles_words(one) == "5 MB in 30 files whose bytes are there twice"


def test_of_an_image_with_a_known_base_it_is_told_what_is_its_own():
    one = analysis(12_000_000, is_base=True, removed=(12_000_000, 1))
    assert wasted_words(one) == "12 MB in 1 file · 3 MB by the layers above the base image"


def test_an_image_without_waste_and_without_doubles_says_so():
    assert wasted_words(analysis()) == "nothing"
    assert doubles_words(analysis()) == ""
