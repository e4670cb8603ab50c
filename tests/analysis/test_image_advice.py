import pytest

from buildprof.analysis.image import analyse
from buildprof.analysis.image_advice import image_advice
from buildprof.model.image import ImageLayer
from buildprof.model.layer_files import EntryKind
from tests.images import MadeEntry, MadeLayer, layer_files

BIG = bytes(5000)


def file(path: bytes, data: bytes = BIG, mode: int = 0o644) -> MadeEntry:
    return MadeEntry(path, EntryKind.FILE, data, mode=mode)


def gone(path: bytes) -> MadeEntry:
    return MadeEntry(path, EntryKind.WHITEOUT)


def advice(*layers: tuple[str, MadeLayer], base: int = 0) -> list[str]:
    made = [
        ImageLayer(str(n), layer_files(layer), command, None, n < base) for n, (command, layer) in enumerate(layers)
    ]
    return image_advice(analyse(made))


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        (("RUN make", (file(b"tmp/o"),)), ("RUN rm", (gone(b"tmp"),)), "remove it in the same RUN, or build it in a stage."),
        (("RUN apt", (file(b"var/cache/apt/a"),)), ("RUN rm", (gone(b"var"),)), "--mount=type=cache,target=/var/cache/apt"),
        (("COPY . .", (file(b"app/a"),)), ("RUN rm", (gone(b"app"),)), "leave it out with .dockerignore, or mount it."),
        (("RUN a", (file(b"a", b"x" * 5000),)), ("RUN b", (file(b"a"),)), "RUN b) replaces 5 kB in 1 file"),
        (("COPY a .", (file(b"a"),)), ("RUN chmod", (file(b"a", mode=0o755),)), "give COPY --chown or --chmod."),
        (("RUN a", (file(b"a"),)), ("RUN chmod", (file(b"a", mode=0o755),)), "set owner and mode in that RUN."),
        (("RUN a", (file(b"a"),)), ("COPY b .", (file(b"b"),)), "the same bytes are there under another name"),
    ],
)  # fmt: skip
def test_each_kind_of_waste_has_its_remedy(first: tuple[str, MadeLayer], second: tuple[str, MadeLayer], said: str):
    (sentence,) = advice(first, second)
    assert said in sentence


def test_what_the_base_image_does_to_itself_is_not_ours_and_what_we_remove_of_it_stays():
    base = [("", (file(b"old"), file(b"doc/a"))), ("", (gone(b"old"),))]
    assert advice(*base, base=2) == []
    (sentence,) = advice(*base, ("RUN rm -r /doc", (gone(b"doc"),)), base=2)
    assert sentence.startswith("layer 3 (RUN rm -r /doc) removes 5 kB in 1 file of the base image")


def test_the_dearest_stands_first_and_trifles_are_left_out():
    layers = [
        ("RUN a", (file(b"small", b"1"), file(b"a", bytes(9000)), file(b"b", b"2" * 8000))),
        ("RUN rm a", (gone(b"a"),)),
        ("RUN rm b", (gone(b"b"),)),
        ("RUN rm small", (gone(b"small"),)),
    ]
    assert [sentence[:17] for sentence in advice(*layers)] == ["layer 2 (RUN rm a", "layer 3 (RUN rm b"]
