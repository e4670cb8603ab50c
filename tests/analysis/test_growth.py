from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from buildprof.analysis.growth import MAX_GROWTHS, LayerGrowth, growth
from buildprof.analysis.image import analyse, display_path
from buildprof.model.image import FileGrowth, ImageLayer
from buildprof.model.layer_files import EntryKind, LayerEntry, LayerFilesBuilder
from tests.images import MadeEntry, MadeLayer, image_layers, images, truth


def file(path: bytes, data: bytes = b"data", mode: int = 0o644) -> MadeEntry:
    return MadeEntry(path, EntryKind.FILE, data, mode=mode)


def layers(*commands_and_layers: tuple[str, MadeLayer]) -> list[ImageLayer]:
    made = image_layers([layer for _, layer in commands_and_layers])
    return [replace(one, command=command) for one, (command, _) in zip(made, commands_and_layers, strict=True)]


BASE: tuple[str, MadeLayer] = ("ADD base", (file(b"bin/sh", b"x" * 100),))


@st.composite
def two_images(draw: st.DrawFn) -> tuple[tuple[MadeLayer, ...], tuple[MadeLayer, ...]]:
    """With some first layers in common."""
    before, other = draw(images(links_below=True)), draw(images(links_below=True))
    return before, (*before[: draw(st.integers(0, len(before)))], *other)


@settings(deadline=None, max_examples=200)
@given(two_images())
def test_the_sums_are_exact_whatever_the_images(made: tuple[tuple[MadeLayer, ...], tuple[MadeLayer, ...]]) -> None:
    before, after = map(image_layers, made)
    found, earlier, later = growth(before, after), analyse(before), analyse(after)
    assert (found.stored_before_bytes, found.stored_after_bytes) == (earlier.stored_bytes, later.stored_bytes)
    assert (found.visible_before_bytes, found.visible_after_bytes) == (earlier.visible_bytes, later.visible_bytes)
    assert sum(one.difference_bytes for one in found.layers) == later.stored_bytes - earlier.stored_bytes
    assert found.grown_bytes - found.shrunk_bytes == later.visible_bytes - earlier.visible_bytes
    assert found.file_count == len(found.files)
    assert sum((one.after_bytes or 0) - (one.before_bytes or 0) for one in found.files) == (
        later.visible_bytes - earlier.visible_bytes
    )


@settings(deadline=None, max_examples=200)
@given(images(), images())
def test_of_images_without_links_the_files_that_differ_are_those_with_other_bytes(
    before: tuple[MadeLayer, ...], after: tuple[MadeLayer, ...]
) -> None:
    before, after = _without_links(before), _without_links(after)
    old, new = truth(before).visible, truth(after).visible
    expected = {
        display_path(path): (
            None if path not in old else len(old[path]),
            None if path not in new else len(new[path]),
        )
        for path in old.keys() | new.keys()
        if old.get(path) != new.get(path)
    }
    found = growth(image_layers(before), image_layers(after))
    assert {one.path: (one.before_bytes, one.after_bytes) for one in found.files} == expected


def _without_links(made: tuple[MadeLayer, ...]) -> tuple[MadeLayer, ...]:
    return tuple(tuple(entry for entry in layer if entry.kind is not EntryKind.HARD_LINK) for layer in made)


@given(images(links_below=True))
def test_an_image_does_not_differ_from_itself(made: tuple[MadeLayer, ...]) -> None:
    found = growth(image_layers(made), image_layers(made))
    assert (found.common_layers, found.layers, found.files) == (len(made), (), ())


def test_layers_are_paired_by_their_commands_and_files_by_their_paths() -> None:
    before = layers(BASE, ("RUN install", (file(b"lib/a", b"1"), file(b"lib/b", b"12"))), ("COPY . .", (file(b"app"),)))
    after = layers(
        BASE,
        ("RUN update", (file(b"etc/list", b"x" * 30),)),
        ("RUN install", (file(b"lib/a", b"1234567"), file(b"lib/c", b"123"))),
        ("COPY . .", (file(b"app"),)),
    )
    found = growth(before, after)
    assert found.common_layers == 1
    assert found.layers == (
        LayerGrowth(None, 1, "RUN update", 0, 30),
        LayerGrowth(1, 2, "RUN install", 3, 10),
        LayerGrowth(2, 3, "COPY . .", 4, 4),
    )
    assert found.files == (
        FileGrowth("etc/list", None, 30, 1),
        FileGrowth("lib/a", 1, 7, 2),
        FileGrowth("lib/c", None, 3, 2),
        FileGrowth("lib/b", 2, None, 1),
    )
    assert (found.file_count, found.grown_bytes, found.shrunk_bytes) == (4, 39, 2)


def test_a_layer_that_went_is_told_of_last() -> None:
    found = growth(layers(BASE, ("RUN more", (file(b"a"),))), layers(("ADD other", (file(b"b"),))))
    assert [(one.before, one.after, one.difference_bytes) for one in found.layers] == [
        (None, 0, 4),
        (0, None, -100),
        (1, None, -4),
    ]


def test_a_change_of_mode_grows_a_layer_and_no_file() -> None:
    found = growth(layers(BASE), layers(BASE, ("RUN chmod", (file(b"bin/sh", b"x" * 100, 0o700),))))
    assert [one.difference_bytes for one in found.layers] == [100]
    assert (found.files, found.visible_before_bytes) == ((), found.visible_after_bytes)


def test_a_file_of_a_common_layer_that_lost_one_of_its_names_does_not_differ() -> None:
    common: tuple[str, MadeLayer] = ("RUN ln", (file(b"a"), MadeEntry(b"b", EntryKind.HARD_LINK, target=b"a")))
    removed: tuple[str, MadeLayer] = ("RUN rm", (MadeEntry(b"a", EntryKind.WHITEOUT),))
    assert growth(layers(common), layers(common, removed)).files == ()


def test_other_bytes_of_the_same_size_differ_by_nothing() -> None:
    found = growth(layers(("RUN a", (file(b"a", b"1"),))), layers(("RUN a", (file(b"a", b"2"),))))
    assert (found.files, found.grown_bytes) == ((FileGrowth("a", 1, 1, 0),), 0)


def test_bytes_that_were_not_read_differ_unless_the_layer_is_the_same() -> None:
    builder = LayerFilesBuilder()
    builder.add(LayerEntry(b"a", EntryKind.FILE, 4))
    one, other = ImageLayer("sha256:1", builder.build()), ImageLayer("sha256:2", builder.build())
    assert growth([one], [one]).file_count == 0
    assert growth([one], [other]).file_count == 1


def test_the_largest_differences_are_listed_and_all_are_counted() -> None:
    count = 20 * MAX_GROWTHS
    many = tuple(file(b"%d" % number, b"x" * (1 + number * 7 % count)) for number in range(count))
    found = growth(layers(("RUN", many)), [])
    assert [one.before_bytes for one in found.files] == list(range(count, count - MAX_GROWTHS, -1))
    assert (found.file_count, found.shrunk_bytes) == (count, count * (count + 1) // 2)
