"""The pages of images."""

from __future__ import annotations

import re

import pytest

from buildprof.model.build import Image
from tests.store.test_images import a_document
from tests.web.conftest import SCOPE, a_build
from tests.web.pages.tags import HOSTILE, tags, text


def document(id_: str = "sha256:abcd99", image: str = "shop-web:latest", name: str = "rm -r /big"):
    layers = [
        {
            "index": index, "digest": f"sha256:{index}", "size_bytes": size, "compressed_bytes": None, "command": command,
            "base": index == 0, "step": None, "files_added": 3, "files_changed": 0, "files_removed": index, "wasted_bytes": wasted,
        }
        for index, (command, size, wasted) in enumerate((("base", 50_000_000, 0), ("RUN make", 8_000_000, 8_000_000), (f"RUN {name}", 0, 0)))
    ]  # fmt: skip
    waste = [{"path": f"{name}/part", "bytes": 8_000_000, "kind": "removed", "layer": 1, "caused_by_layer": 2}]
    kinds = ("removed", "overwritten", "metadata_only", "duplicate")
    return a_document(
        id_, image, layers=layers, waste=waste, size_bytes=58_000_000, stored_bytes=58_000_000, visible_bytes=50_000_000,
        wasted_bytes=8_000_000, own_wasted_bytes=8_000_000, efficiency=0.862,
        waste_bytes=dict.fromkeys(kinds, 0) | {"removed": 8_000_000}, waste_count=dict.fromkeys(kinds, 0) | {"removed": 1},
    )  # fmt: skip


def save(site, one) -> None:
    site.writer.save_image("default", one, [], scope=SCOPE, at_ns=1)


async def page(site, path: str) -> str:
    response = await site.client.get(path)
    assert response.status_code == 200, response.text
    ids = re.findall(r' id="([^"]*)"', response.text)
    assert len(ids) == len(set(ids))
    return response.text


async def test_analysed_images_are_listed_with_their_waste(site):
    save(site, document())
    html = await page(site, "/images")
    assert "/images/" in html
    said = text(html)
    assert "shop-web:latest" in said
    assert "8 MB" in said


async def test_without_an_image_it_says_what_to_do(site):
    assert "buildprof image" in text(await page(site, "/images"))


@pytest.mark.parametrize("name", ["shop-web:latest", "shop-web", "abcd99", "sha256:abcd99"])
async def test_an_image_has_its_layers_its_waste_and_what_to_do(site, name):
    save(site, document())
    said = text(await page(site, f"/images/{name}"))
    assert f"<h1>{name}" in (await page(site, f"/images/{name}")) or name.removeprefix("sha256:") == "abcd99"
    for shown in ("58 MB", "50 MB", "8 MB", "RUN make", "rm -r /big", "removed", "What to do"):
        assert shown in said


async def test_an_image_that_is_not_analysed_says_how_to_analyse_it(site):
    response = await site.client.get("/images/none:1")
    assert response.status_code == 404
    assert "buildprof image" in text(response.text)


@pytest.mark.parametrize("path", ["/images/%00", "/images/" + "x" * 300])
async def test_what_can_be_no_image_is_a_problem(site, path):
    assert (await site.client.get(path)).status_code == 404


async def test_an_image_belongs_to_the_build_that_made_it(site):
    site.save(a_build("made", image=Image("sha256:abcd99", ("shop-web:latest",), 58_000_000, 3)))
    save(site, document())
    html = await page(site, "/images/shop-web:latest")
    assert 'href="/builds/made"' in html
    assert 'href="/projects/shop?target=web"' in html


@pytest.mark.parametrize("hostile", HOSTILE)
async def test_no_name_adds_an_element_or_an_attribute(site, hostile):
    save(site, document("sha256:aaaa", "plain:1", "xy"))
    save(site, document("sha256:bbbb", "hostile:1", f"x{hostile}y".replace("/", "")))
    plain, html = await page(site, "/images/aaaa"), await page(site, "/images/bbbb")
    assert tags(html) == tags(plain)
    assert not set(html) & set("\u202e\u2066\u200b\x1b\x00\x07")
