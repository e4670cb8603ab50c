from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buildprof.analysis.image import MAX_WASTE, analyse, display_path
from buildprof.analysis.stack import TooDeepError
from buildprof.model.image import ImageAnalysis, ImageLayer, Waste, WasteKind
from buildprof.model.layer_files import EntryKind, LayerEntry, LayerFilesBuilder
from tests.images import MadeEntry, MadeLayer, Truth, image_layers, images, truth, wild_layers

REPOSITORY = Path(__file__).parents[2]


def file(path: bytes, data: bytes = b"data", mode: int = 0o644) -> MadeEntry:
    return MadeEntry(path, EntryKind.FILE, data, mode=mode)


def link(path: bytes, target: bytes) -> MadeEntry:
    return MadeEntry(path, EntryKind.HARD_LINK, target=target)


def directory(path: bytes) -> MadeEntry:
    return MadeEntry(path, EntryKind.DIRECTORY)


def gone(path: bytes) -> MadeEntry:
    return MadeEntry(path, EntryKind.WHITEOUT)


def opaque(path: bytes) -> MadeEntry:
    return MadeEntry(path, EntryKind.OPAQUE_DIRECTORY)


def analysed(*layers: MadeLayer, base_layers: int = 0) -> ImageAnalysis:
    return analyse(image_layers(layers, base_layers))


def wasted(*layers: MadeLayer) -> list[tuple[str, WasteKind, int, int]]:
    return [(one.path, one.kind, one.layer, one.caused_by_layer) for one in analysed(*layers).waste]


def changes(analysis: ImageAnalysis) -> list[tuple[int, int, int]]:
    return [(one.files_added, one.files_changed, one.files_removed) for one in analysis.layers]


def assert_true(layers: Sequence[MadeLayer], base_layers: int) -> None:
    found, true = analysed(*layers, base_layers=base_layers), truth(layers, base_layers)
    assert (found.stored_bytes, found.visible_bytes, found.own_wasted_bytes) == (
        true.stored_bytes,
        true.visible_bytes,
        true.own_wasted_bytes,
    )
    assert [(one.size_bytes, one.wasted_bytes) for one in found.layers] == [
        (one.size_bytes, one.wasted_bytes) for one in true.layers
    ]
    assert changes(found) == [(one.files_added, one.files_changed, one.files_removed) for one in true.layers]
    assert Counter(found.waste) == expected_waste(true)
    assert found.waste_count == {kind: sum(one.kind is kind for one in true.waste) for kind in WasteKind}
    assert found.waste_bytes == {kind: sum(one.bytes for one in true.waste if one.kind is kind) for kind in WasteKind}
    assert found.wasted_bytes == sum(one.bytes for one in found.waste if one.kind is not WasteKind.DUPLICATE)


def expected_waste(true: Truth) -> Counter[Waste]:
    return Counter(
        Waste(display_path(one.path), one.bytes, one.kind, one.layer, one.caused_by_layer, display_path(one.same_as))
        for one in true.waste
    )


@settings(deadline=None, max_examples=300)
@given(images(links_below=True), st.integers(0, 3))
def test_every_figure_of_a_random_image_is_what_counting_by_hand_gives(layers: list[MadeLayer], base: int) -> None:
    assert_true(layers, base)


@settings(deadline=None, max_examples=300)
@given(wild_layers(), st.integers(0, 3))
def test_every_figure_of_an_archive_in_any_order_is_what_counting_by_hand_gives(
    layers: list[MadeLayer], base: int
) -> None:
    assert_true(layers, base)


def test_an_image_of_nothing_is_efficient() -> None:
    assert (analysed().stored_bytes, analysed().efficiency, analysed(()).layers[0].size_bytes) == (0, 1.0, 0)


def test_the_efficiency_is_the_visible_share() -> None:
    found = analysed((file(b"a", b"1234"),), (file(b"a", b"12345678"),))
    assert (found.visible_bytes, found.wasted_bytes, found.efficiency) == (8, 4, 8 / 12)


def test_a_removed_file_is_wasted_by_the_layer_that_removed_it() -> None:
    assert wasted((file(b"a"),), (), (gone(b"a"),)) == [("a", WasteKind.REMOVED, 0, 2)]


def test_a_removed_directory_wastes_all_that_was_in_it() -> None:
    found = wasted((file(b"d/e/a"), file(b"d/b", b"other")), (gone(b"d"),))
    assert found == [("d/b", WasteKind.REMOVED, 0, 1), ("d/e/a", WasteKind.REMOVED, 0, 1)]


def test_an_opaque_directory_hides_what_lower_layers_had_in_it_and_nothing_else() -> None:
    below = (file(b"d/a", b"one"), file(b"d/e/b", b"two"), file(b"c", b"three"))
    found = analysed(below, (directory(b"d"), file(b"d/new", b"four"), opaque(b"d")))
    assert [one.path for one in found.waste] == ["d/a", "d/e/b"]
    assert changes(found) == [(3, 0, 0), (1, 0, 2)]


def test_a_whiteout_does_not_touch_its_own_layer() -> None:
    found = analysed((file(b"a", b"old"),), (file(b"a", b"new"), gone(b"a")))
    assert [(one.path, one.kind) for one in found.waste] == [("a", WasteKind.OVERWRITTEN)]
    assert changes(found) == [(1, 0, 0), (0, 1, 0)]


def test_the_same_bytes_once_more_are_a_change_of_metadata() -> None:
    assert wasted((file(b"a"),), (file(b"a", mode=0o600),)) == [("a", WasteKind.METADATA_ONLY, 0, 1)]


def test_a_change_of_mode_of_a_hard_linked_file_wastes_nothing_while_one_name_is_left() -> None:
    below = (file(b"a"), link(b"b", b"a"))
    assert analysed(below, (file(b"b", mode=0o600),)).wasted_bytes == 0
    both = analysed(below, (file(b"a", mode=0o600), link(b"b", b"a")))
    assert [(one.path, one.kind, one.bytes) for one in both.waste] == [("a", WasteKind.METADATA_ONLY, 4)]


def test_bytes_that_were_not_read_equal_nothing() -> None:
    builder = LayerFilesBuilder()
    builder.add(LayerEntry(b"a", EntryKind.FILE, 4))
    builder.add(LayerEntry(b"b", EntryKind.FILE, 4))
    layer = ImageLayer("sha256:0", builder.build())
    assert [one.kind for one in analyse([layer, layer]).waste] == [WasteKind.OVERWRITTEN] * 2


def test_a_file_over_a_directory_removes_what_was_in_it() -> None:
    found = analysed((file(b"d/a"), file(b"d/b", b"2")), (file(b"d", b"now a file"),))
    assert [(one.path, one.kind) for one in found.waste] == [("d/a", WasteKind.REMOVED), ("d/b", WasteKind.REMOVED)]
    assert changes(found)[1] == (1, 0, 2)


def test_a_directory_over_a_file_replaces_it_even_if_only_what_is_in_it_says_so() -> None:
    assert wasted((file(b"d"),), (directory(b"d"),)) == [("d", WasteKind.OVERWRITTEN, 0, 1)]
    assert wasted((file(b"d"),), (file(b"d/e/a", b"1"),)) == [("d", WasteKind.OVERWRITTEN, 0, 1)]


def test_a_symbolic_link_over_a_file_replaces_it() -> None:
    found = wasted((file(b"a"),), (MadeEntry(b"a", EntryKind.SYMLINK, target=b"b"),))
    assert found == [("a", WasteKind.OVERWRITTEN, 0, 1)]


def test_a_link_to_a_file_of_a_lower_layer_shares_it() -> None:
    linked = ((file(b"a"),), (link(b"b", b"a"),))
    assert analysed(*linked, (gone(b"a"),)).wasted_bytes == 0
    assert wasted(*linked, (gone(b"a"),), (gone(b"b"),)) == [("a", WasteKind.REMOVED, 0, 3)]


def test_a_file_can_be_renamed_by_a_link_and_a_whiteout_in_any_order() -> None:
    for layer in ((link(b"b", b"a"), gone(b"a")), (gone(b"a"), link(b"b", b"a"))):
        found = analysed((file(b"a"),), layer)
        assert (found.wasted_bytes, changes(found)[1]) == (0, (1, 0, 1))


def test_a_link_to_a_lower_file_with_the_same_bytes_has_them_not_once_more() -> None:
    below = (file(b"a"), file(b"b"))
    assert wasted(below, (link(b"b", b"a"),)) == [("b", WasteKind.OVERWRITTEN, 0, 1)]


def test_a_link_that_its_own_layer_takes_again_was_never_there() -> None:
    found = analysed((file(b"a"),), (link(b"d/b", b"a"), file(b"d", b"now a file")))
    assert (found.wasted_bytes, changes(found)[1]) == (0, (1, 0, 0))


def test_of_a_name_that_is_twice_in_a_layer_the_last_counts() -> None:
    found = analysed((file(b"a", b"first"), file(b"a", b"second")))
    assert [(one.kind, one.bytes, one.layer, one.caused_by_layer) for one in found.waste] == [
        (WasteKind.OVERWRITTEN, 5, 0, 0)
    ]
    assert changes(found) == [(1, 0, 0)]


def test_duplicates_are_all_but_the_first_and_are_not_wasted() -> None:
    found = analysed((file(b"b"), file(b"a"), link(b"c", b"a")), (file(b"0"), file(b"empty", b""), file(b"none", b"")))
    assert [(one.path, one.same_as, one.layer) for one in found.waste] == [("b", "a", 0), ("0", "a", 1)]
    assert (found.waste_bytes[WasteKind.DUPLICATE], found.wasted_bytes) == (8, 0)


def test_waste_that_the_base_has_caused_is_not_ones_own() -> None:
    found = analysed((file(b"a"), file(b"b", b"12")), (gone(b"a"),), (gone(b"b"),), base_layers=2)
    assert (found.wasted_bytes, found.own_wasted_bytes) == (6, 2)


def test_the_largest_of_each_kind_are_listed_and_all_are_counted() -> None:
    count = 20 * MAX_WASTE
    layer = tuple(file(b"%d" % number, b"x" * (1 + number * 7 % count)) for number in range(count))
    found = analysed(layer, (file(b"kept", b"x"), *(gone(entry.path) for entry in layer)))
    assert [one.bytes for one in found.waste] == list(range(count, count - MAX_WASTE, -1))
    assert found.waste_count[WasteKind.REMOVED] == count
    assert found.waste_bytes[WasteKind.REMOVED] == found.wasted_bytes == count * (count + 1) // 2


def test_a_path_is_shown_as_one_line_without_control_characters() -> None:
    assert display_path(b"a\x1b[31mb\nc\xff") == "ab c"
    assert len(display_path(b"x" * 10_000)) == 4096


def test_names_that_are_nested_too_deep_are_refused_before_they_take_the_memory() -> None:
    layer = tuple(file(b"%d/" % number + b"a/" * 2000 + b"file") for number in range(100))
    with pytest.raises(TooDeepError, match="nested too deep"):
        analysed(layer)
    assert analysed(layer[:3]).layers[0].files_added == 3


def test_a_million_files_take_bounded_memory() -> None:
    program = """
import resource
from buildprof.analysis.image import analyse
from buildprof.model.image import ImageLayer
from buildprof.model.layer_files import EntryKind, LayerEntry, LayerFilesBuilder

builder = LayerFilesBuilder()
for number in range(1_000_000):
    path = b"usr/lib/node_modules/package-%05d/file-%02d.js" % divmod(number, 20)
    builder.add(LayerEntry(path, EntryKind.FILE, 4096, number.to_bytes(16, "big")))
layer = ImageLayer("sha256:0", builder.build())
del builder
before = int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()
open("/proc/self/clear_refs", "w").write("5")  # the peak begins anew (proc(5))
assert analyse([layer]).layers[0].files_added == 1_000_000
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(int(peak.split()[1]) * 1024 - before)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, check=True, capture_output=True, text=True)
    assert int(done.stdout) < 250 * 2**20
