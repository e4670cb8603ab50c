"""The list of images."""

from __future__ import annotations

import re
import time

import pytest

from buildprof.model.build import Image
from buildprof.web.pages.images import PAGE_IMAGES
from buildprof.web.pages.render import NOT_KNOWN
from tests.store.test_images import a_document
from tests.web.conftest import SCOPE, a_build
from tests.web.pages.tags import HOSTILE, repeated_ids, tags, text

MINUTE_NS = 60_000_000_000


async def page(site):
    response = await site.client.get("/images")
    assert response.status_code == 200, response.text
    assert repeated_ids(response.text) == []
    return response.text


def analysed(site, id_="sha256:abcd", name="shop-web:latest", minutes_ago=0, **sizes):
    at_ns = time.time_ns() - minutes_ago * MINUTE_NS
    site.writer.save_image("default", a_document(id_, name, **sizes), [], scope=SCOPE, at_ns=at_ns)


def rows(html: str) -> list[str]:
    return [text(one) for one in re.findall(r"<tr>.*?</tr>", html, re.DOTALL) if "<td" in one]


async def test_the_image_that_was_analysed_last_comes_first_with_its_figures(site):
    site.save(a_build("k6g3", image=Image("sha256:abcd", ("shop-web:latest",), 214_000_000, 9)))
    analysed(site, "sha256:ffff", "blog:1", 8)
    analysed(site, minutes_ago=3, stored_bytes=200_000_000, wasted_bytes=50_000_000)
    assert rows(await page(site)) == [
        "shop-web:latest shop/web , k6g3 200 MB 50 MB 0.750 3 minutes ago",
        f"blog:1 {NOT_KNOWN} 10 B 1 B 0.900 8 minutes ago",
    ]


async def test_of_a_name_the_last_image_stands_for_all(site):
    analysed(site, "sha256:aaaa", minutes_ago=5)
    analysed(site, "sha256:bbbb", minutes_ago=3)
    (row,) = rows(await page(site))
    assert row.startswith("shop-web:latest and 1 earlier")


@pytest.mark.parametrize(
    "name", ["registry.example:5000/team/shop:1.2", "", "a b?c#d%2f:1", "\N{CYRILLIC SMALL LETTER SHA}" * 120 + ":1"]
)
async def test_a_row_leads_to_its_image(site, name):
    analysed(site, "sha256:" + "ab" * 32, name)
    (link,) = re.findall(r'<a href="(/images/[^"]*)"', await page(site))
    response = await site.client.get(link)
    assert response.status_code == 200
    assert (name or "sha256:abab") in response.text


async def test_without_images_it_says_how_to_get_one(site):
    assert "No image is analysed yet. Build one with the agent running" in text(await page(site))


async def test_only_so_many_are_listed_and_it_is_said(site):
    analysed(site, "sha256:0000", "n0")
    assert "1 image, by the time of the analysis" in text(await page(site))
    for number in range(1, PAGE_IMAGES + 2):
        analysed(site, f"sha256:{number:04}", f"n{number}")
    html = await page(site)
    assert f"The last {PAGE_IMAGES} images, by the time" in text(html)
    assert len(rows(html)) == PAGE_IMAGES


@pytest.mark.parametrize("hostile", HOSTILE)
async def test_no_name_adds_an_element_or_an_attribute(site, hostile):
    seen = []
    for name in ("x", hostile):
        id_ = f"sha256:{name}"
        site.save(a_build("one", project=f"p{name}", target=f"t{name}", image=Image(id_, (name,), 10, 1)))
        analysed(site, id_, f"n{name}")
        seen.append(await page(site))
        site.writer.delete_older_than(2**62)
    plain, html = seen
    assert tags(html) == tags(plain)
    assert len(html) < 20_000
    assert not set(html) & set("\u202e\u2066\u200b\x1b\x00\x07")
