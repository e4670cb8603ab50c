"""The page of an analysed image."""

from __future__ import annotations

import re
from dataclasses import replace
from urllib.parse import quote

import httpx
import pytest

from buildprof.analysis.growth import ImageGrowth, LayerGrowth
from buildprof.model.build import Image
from buildprof.model.image import (
    FileGrowth,
    ImageAnalysis,
    ImageReport,
    LayerStep,
    LayerSummary,
    Waste,
    WasteKind,
)
from buildprof.model.image_document import image_document
from buildprof.web.app import create_app
from tests.web.conftest import SCOPE, a_build
from tests.web.pages.tags import HOSTILE, repeated_ids, tags, text

MB = 1_000_000
ID = "sha256:" + "ab12" * 16


def a_layer(index: int, command: str, size_mb: int, wasted_mb: int = 0, *, is_base: bool = False) -> LayerSummary:
    return LayerSummary(
        index, f"sha256:{index}", size_mb * MB, None, command, is_base, 30 + index, 2, 1, wasted_mb * MB
    )


def a_report(image: str = "shop-web:latest", id_: str = ID, ref: str = "k6g3ggdn", **changes) -> ImageReport:
    """An image of 100 MB in three layers, of which 30 MB are wasted."""
    waste = (
        Waste("usr/lib/old.so", 20 * MB, WasteKind.REMOVED, 1, 2),
        Waste("app/data/a.bin", 10 * MB, WasteKind.OVERWRITTEN, 1, 2),
        Waste("app/b.bin", 5 * MB, WasteKind.DUPLICATE, 2, 2, same_as="app/a.bin"),
    )
    analysis = ImageAnalysis(
        stored_bytes=100 * MB,
        visible_bytes=70 * MB,
        own_wasted_bytes=30 * MB,
        layers=(a_layer(0, "FROM base", 50, is_base=True), a_layer(1, "RUN make", 40, 30), a_layer(2, "", 10)),
        waste=waste,
        waste_bytes={one.kind: one.bytes for one in waste},
        waste_count={one.kind: 1 for one in waste},
    )
    steps = (None, LayerStep(ref, "s1", (4, 5)), LayerStep(ref, "s2"))
    return replace(ImageReport(image, id_, analysis, 100 * MB, steps), **changes)


def analysed(site, report: ImageReport, at_ns: int = 1) -> None:
    site.writer.save_image("default", image_document(report), [], scope=SCOPE, at_ns=at_ns)


def built(site, ref: str = "k6g3ggdn", minutes: int = 0, id_: str = ID, size_mb: int = 100, **changes) -> None:
    site.save(a_build(ref, minutes=minutes, image=Image(id_, ("shop-web:latest",), size_mb * MB, 3), **changes))


async def page(site, path="/images/shop-web:latest", client=None):
    response = await (client or site.client).get(path)
    assert response.status_code == 200, response.text
    assert repeated_ids(response.text) == []
    return response.text


def knowing(site, growth) -> httpx.AsyncClient:
    """A client of the same site where it is known what grew."""
    app = create_app(replace(site.state, image_growth=growth))
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:19323")


async def test_it_reads_from_its_bytes_to_layers_to_waste_to_growth(site):
    built(site)
    analysed(site, a_report())
    said = text(await page(site))
    order = ["Stored 100 MB in 3 layers", "Visible 70 MB", "Wasted 30 MB", "Efficiency 0.700", "shop/web"]
    places = [said.index(one) for one in [*order, "Made by", "Where it lies", "No earlier image of this target"]]
    assert places == sorted(places)


async def test_each_layer_has_its_command_its_bytes_and_the_step_that_made_it(site):
    built(site)
    analysed(site, a_report())
    html = await page(site)
    base, make, unknown = (text(one) for one in re.findall(r'<tr id="layer-\d">.*?</tr>', html, re.DOTALL))
    assert base == "1 FROM base base 50 MB, of which 0 B wasted 50 MB 0 B 30 2 1"
    assert make == "2 RUN make line 4 of build k6g3ggdn 40 MB, of which 30 MB wasted 40 MB 30 MB 31 2 1"
    assert unknown.startswith("3 (unknown) step of build k6g3ggdn")
    assert "<title>40 MB, of which 30 MB wasted</title>" in html


async def test_waste_is_told_by_kind_and_by_where_it_lies(site):
    analysed(site, a_report())
    html = await page(site)
    (kinds,) = re.findall(r'<table class="kinds">.*?</table>', html, re.DOTALL)
    assert text(kinds).endswith("removed 20 MB 1 overwritten 10 MB 1 duplicate not counted as waste 5 MB 1")
    (tree,) = re.findall(r'<ul class="tree">.*</ul>', html, re.DOTALL)
    assert text(tree).index("usr/lib/old.so 20 MB 66.7%") < text(tree).index("app/data/a.bin 10 MB 33.3%")
    assert "5 MB in 1 file whose bytes are there twice; they are no waste" in text(html)


async def test_an_image_without_waste_says_so(site):
    report = a_report()
    analysis = replace(report.analysis, visible_bytes=100 * MB, waste=(), waste_bytes={}, waste_count={})
    analysed(site, replace(report, analysis=analysis))
    said = text(await page(site))
    assert "Nothing is wasted in this image." in said
    assert "no build that is known here" in said


@pytest.mark.parametrize("name", ["shop:1", "web:1", "docker.io/library/web:1", "web"])
async def test_its_heading_is_the_name_that_was_asked_for(site, name):
    site.save(a_build(image=Image(ID, ("shop:1", "web:1", "web:latest"), 100 * MB, 3)))
    analysed(site, a_report("shop:1"))
    assert f"<h1>{name}</h1>" in await page(site, f"/images/{name}")


@pytest.mark.parametrize("name", [ID, ID[:20], ID[7:20]])
async def test_asked_for_by_its_id_it_shows_its_name(site, name):
    analysed(site, a_report())
    assert "<h1>shop-web:latest</h1>" in await page(site, f"/images/{name}")


async def test_earlier_images_of_the_target_are_listed_newest_first_with_what_they_grew(site):
    built(site, "one", 0, "sha256:1111", 80)
    built(site, "other", 1, "sha256:2222", 500, target="api")
    built(site, "two", 2, ID, 100)
    built(site, "later", 3, "sha256:3333", 300)
    analysed(site, a_report(ref="two"))
    html = await page(site)
    (table,) = re.findall(r'<table class="builds versions">.*?</table>', html, re.DOTALL)
    assert re.findall(r'href="(/builds/[^"]*)"', table) == ["/builds/two", "/builds/one"]
    assert 'href="/compare/one/two"' in table
    assert "+20 MB" in text(table)
    assert "two this image" in text(table)
    assert 'href="?growth=files#growth"' in html


async def test_what_grew_is_told_when_it_is_asked_for(site):
    asked = []

    def growth(before, after):
        asked.append((before.ref, after.ref))
        layers = (LayerGrowth(1, 1, "RUN make", 20 * MB, 40 * MB), LayerGrowth(2, 2, "COPY . .", 5, 5))
        files = (FileGrowth("app/new.bin", None, 30 * MB, 1), FileGrowth("app/old.bin", 10 * MB, None, 1))
        return ImageGrowth(80 * MB, 100 * MB, 60 * MB, 80 * MB, 1, layers, files, 2, 30 * MB, 10 * MB)

    built(site, "one", 0, "sha256:1111", 80)
    built(site, "two", 2)
    analysed(site, a_report(ref="two"))
    async with knowing(site, growth) as client:
        await page(site, client=client)
        assert asked == []
        said = text(await page(site, "/images/shop-web:latest?growth=files", client))
    assert asked == [("one", "two")]
    assert "+20 MB stored; 1 layer in common; 2 files changed: +30 MB and -10 MB." in said
    assert "layer +20 MB RUN make" in said
    assert "COPY . ." not in said
    assert "file +30 MB app/new.bin new" in said
    assert "file -10 MB app/old.bin gone" in said


async def test_where_nobody_knows_what_grew_it_says_so(site):
    built(site, "one", 0, "sha256:1111", 80)
    built(site, "two", 2)
    analysed(site, a_report(ref="two"))
    assert "What differs is not known" in text(await page(site, "/images/shop-web:latest?growth=files"))


async def test_an_image_that_is_not_analysed_has_a_page_that_says_what_to_do(site):
    response = await site.client.get("/images/none:1")
    assert response.status_code == 404
    assert "<h1>none:1</h1>" in response.text
    assert "No analysed image is known by this name or id." in text(response.text)
    assert "default-src 'none'" in response.headers["content-security-policy"]


@pytest.mark.parametrize(
    ("path", "status"), [("/images/%00", 404), (f"/images/{'x' * 300}", 404), ("/images/abcd", 400)]
)
async def test_a_name_that_means_nothing_or_several_is_a_problem(site, path, status):
    analysed(site, a_report("one:1", "sha256:abcd1"))
    analysed(site, a_report("two:1", "sha256:abcd2"), 2)
    response = await site.client.get(path)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("hostile", HOSTILE)
async def test_no_name_adds_an_element_or_an_attribute(site, hostile):
    seen = []
    for number, name in enumerate(("x", hostile)):
        id_ = f"sha256:{number}{number}{number}{number}"
        for minutes, one in enumerate(("sha256:0", id_)):
            site.save(
                a_build(
                    f"r{number}{minutes}", minutes=minutes, project=f"p{name}", target=f"t{name}",
                    image=Image(one, (f"n{name}",), MB, 3),
                )
            )  # fmt: skip
        report = a_report(f"n{name}", id_, f"r{number}1")
        layers = tuple(replace(one, command=f"c{name}", digest=f"d{name}") for one in report.analysis.layers)
        waste = tuple(
            replace(one, path=f"{one.path.partition('/')[0]}/{name}".replace("..", "x"))
            for one in report.analysis.waste
        )
        report = replace(report, analysis=replace(report.analysis, layers=layers, waste=waste))
        analysed(site, report)

        def growth(_before, _after, name=name):
            layers = (LayerGrowth(1, 1, f"c{name}", 1, 3),)
            return ImageGrowth(1, 3, 1, 3, 1, layers, (FileGrowth(f"f{name}", 1, 3, 1),), 1, 2, 0)

        async with knowing(site, growth) as client:
            seen.append(await page(site, f"/images/{id_}?growth=files", client))
    plain, html = seen
    assert [one for one in tags(html) if one[0] != "details"] == [
        one for one in tags(plain) if one[0] != "details"
    ] or tags(html) == tags(plain)
    assert len(html) < 40_000
    assert not set(html) & set("\u202e\u2066\u200b\x1b\x00\x07")


@pytest.mark.parametrize("hostile", [one for one in HOSTILE if one.isprintable() and len(one) < 200])
async def test_a_hostile_name_that_is_not_known_is_shown_as_text(site, hostile):
    plain = await site.client.get("/images/x")
    response = await site.client.get(f"/images/{quote(hostile, safe='')}")
    assert (response.status_code, tags(response.text)) == (404, tags(plain.text))
