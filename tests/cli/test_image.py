from __future__ import annotations

from dataclasses import replace

import pytest
from rich.cells import cell_len

from buildprof.analysis.growth import growth
from buildprof.analysis.image import analyse
from buildprof.cli.growth import growth_lines
from buildprof.cli.image import image_lines
from buildprof.cli.lines import plain
from buildprof.model.image import ImageLayer, ImageReport, LayerStep
from buildprof.model.layer_files import EntryKind
from tests.cli.test_profile import is_harmless
from tests.images import MadeEntry, MadeLayer, layer_files


def file(path: bytes, data: bytes, mode: int = 0o644) -> MadeEntry:
    return MadeEntry(path, EntryKind.FILE, data, mode=mode)


def layers(*made: tuple[str, MadeLayer]) -> list[ImageLayer]:
    return [
        ImageLayer(f"sha256:{n}", layer_files(layer), command, None, n == 0) for n, (command, layer) in enumerate(made)
    ]


SHOP = layers(
    ("", (file(b"bin/sh", bytes(2000)),)),
    ("RUN npm ci && npm cache clean", (file(b"root/.npm/a", b"a" * 90_000), file(b"root/.npm/b", b"b" * 5000))),
    ("RUN rm -rf /root/.npm", (MadeEntry(b"root/.npm", EntryKind.WHITEOUT),)),
    ("COPY . /srv", (file(b"srv/index.js", b"i" * 3000), file(b"srv/copy.js", b"i" * 3000))),
)
REPORT = ImageReport(
    "shop-web:latest",
    "sha256:99a3137d7da4",
    analyse(SHOP),
    103_000,
    (None, *(LayerStep("r", str(n), (n, n)) for n in (2, 3, 4))),
)


def shown(report: ImageReport = REPORT, width: int = 80) -> list[str]:
    return [plain(line) for line in image_lines(report, width)]


def test_what_the_engine_counts_stands_apart_where_it_is_another_size():
    report = replace(REPORT, image="registry.example/a/name/that/is/long:latest", size_bytes=41_000)
    assert shown(report)[:2] == [
        "registry.example/a/name/that/is/long:latest  103 kB in 4 layers  id 99a3137d7da4",
        "engine    counts 41 kB",
    ]


def test_what_an_image_wastes_is_read_from_top_to_bottom():
    assert shown() == [
        "shop-web:latest  103 kB in 4 layers  id 99a3137d7da4",
        "visible   8 kB of 103 kB stored · efficiency 0.078",
        "wasted    95 kB in 2 files · 95 kB by the layers above the base image",
        "doubles   3 kB in 1 file whose bytes are there twice",
        "",
        "   layer                          line  size  wasted  added  changed  removed",
        "   base image, 1 layer                    2k              1",
        "2  RUN npm ci && npm cache clean  :2     95k     95k      2",
        "3  RUN rm -rf /root/.npm          :3       0                                2",
        "4  COPY . /srv                    :4      6k              2",
        "",
        "waste  where it lies",
        "   95k   root/.npm/                                  removed             2 files",
        "   90k     a                                         removed",
        "    5k     b                                         removed",
        "",
        "do        layer 3 (RUN rm -rf /root/.npm) removes 95 kB in 2 files that stays in",
        "          layer 2 (RUN npm ci && npm cache clean): give that RUN",
        "          --mount=type=cache,target=/root/.npm, or remove it there.",
        "          3 kB in 1 file of layer 4 (COPY . /srv): the same bytes are there",
        "          under another name: link to it, or copy them once.",
    ]


@pytest.mark.parametrize("width", [60, 80, 160])
def test_no_name_breaks_out_of_its_line(width: int):
    evil = "\x1b[31m<b>\u202eevil\n" + "x" * 500
    made = [replace(layer, command=evil) for layer in SHOP]
    report = replace(REPORT, image=evil, id=evil, analysis=analyse(made))
    report = replace(
        report, analysis=replace(report.analysis, waste=tuple(replace(one, path=evil) for one in report.analysis.waste))
    )
    assert all(is_harmless(line) and cell_len(line) <= width for line in shown(report, width))


def test_an_image_without_waste_says_so():
    lines = shown(replace(REPORT, analysis=analyse(SHOP[:1]), steps=(), size_bytes=None))
    assert "wasted    nothing" in lines
    assert len(lines) == 6


def test_growth_names_layers_and_files_the_largest_first():
    later = [*SHOP[:3], replace(SHOP[3], digest="sha256:new", files=layer_files((file(b"srv/index.js", b"j" * 9000),)))]
    assert [plain(line) for line in growth_lines(growth(SHOP, later), 80)] == [
        "",
        "layers    +3 kB stored, 3 layers in common",
        "      +3k COPY . /srv",
        "files     2 files differ: +6 kB and -3 kB",
        "      +6k srv/index.js",
        "      -3k srv/copy.js (gone)",
    ]
