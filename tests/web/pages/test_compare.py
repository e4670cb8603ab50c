"""Two builds side by side."""

from __future__ import annotations

import re
from dataclasses import replace

import httpx
import pytest

from buildprof.analysis.growth import ImageGrowth, LayerGrowth
from buildprof.model.build import Image
from buildprof.model.image import FileGrowth
from buildprof.model.recipe import Recipe, Written
from buildprof.model.step import Outcome
from buildprof.web.app import create_app
from tests.cli.sample_builds import build, linked, shop, step
from tests.web.conftest import a_build, an_explanation
from tests.web.pages.tags import HOSTILE, tags, text


async def page(site, before: str, after: str) -> str:
    response = await site.client.get(f"/compare/{before}/{after}")
    assert response.status_code == 200, response.text
    ids = re.findall(r' id="([^"]*)"', response.text)
    assert len(ids) == len(set(ids))
    return response.text


def written(text_: str, line: int) -> Recipe:
    return Recipe(written=Written(text_, (line, line)))


async def test_what_differs_is_told_and_what_does_not_is_folded(site):
    old = step("RUN make", Outcome.MISS, 0, 2.0, place=("app", 2, 3), recipe=written("RUN make", 2))
    new = step("RUN make all", Outcome.MISS, 0, 9.0, place=("app", 2, 3), recipe=written("RUN make all", 2))
    same = step("COPY a .", Outcome.HIT, 0, 0, place=("app", 1, 3), recipe=written("COPY a .", 1))
    site.save(build(linked(same, old), ref="before"))
    site.save(build(linked(same, new), ref="after"))
    said = text(await page(site, "before", "after"))
    assert "RUN make all" in said
    assert "+7.0 s" in said
    assert "as before" in said


async def test_builds_of_different_targets_are_said_to_be_that(site):
    site.save(a_build("one"))
    site.save(a_build("two", target="api"))
    said = text(await page(site, "one", "two"))
    assert "different" in said or "other target" in said


@pytest.mark.parametrize("path", ["/compare/one/none", "/compare/none/one", "/compare/one"])
async def test_a_build_that_is_not_known_is_a_problem(site, path):
    site.save(a_build("one"))
    assert (await site.client.get(path)).status_code == 404


@pytest.mark.parametrize("hostile", HOSTILE)
async def test_no_name_adds_an_element_or_an_attribute(site, hostile):
    for name, ref in (("x", "plain"), (hostile, "hostile")):
        slow = step(f"RUN {name}", Outcome.MISS, 0, 9.0, place=(f"s{name}", 1, 1), recipe=written(f"RUN {name}", 1))
        quick = replace(slow, completed_ns=slow.started_ns, duration_seconds=0.1)
        for one, suffix in ((quick, "1"), (slow, "2")):
            site.save(build(linked(one), ref=ref + suffix, project=f"p{name}", target=f"t{name}"))
    plain, html = await page(site, "plain1", "plain2"), await page(site, "hostile1", "hostile2")
    assert tags(html) == tags(plain)
    assert not set(html) & set("\u202e\u2066\u200b\x1b\x00\x07")


MB = 1_000_000


def grown_images(name: str = "x") -> ImageGrowth:
    layers = (LayerGrowth(1, 1, f"RUN {name}", 20 * MB, 40 * MB), LayerGrowth(2, 2, "COPY . .", 5, 5))
    files = (FileGrowth(f"app/{name}", None, 30 * MB, 1), FileGrowth("app/old.bin", 10 * MB, None, 1))
    return ImageGrowth(80 * MB, 100 * MB, 60 * MB, 80 * MB, 1, layers, files, 5, 30 * MB, 10 * MB)


def with_two_images(site, growth: ImageGrowth) -> httpx.AsyncClient:
    """A client of the same site, with two builds of different images of which it is known what grew."""
    site.save(a_build("one", image=Image("sha256:1", (), 80 * MB, 3)))
    site.save(a_build("two", minutes=1, image=Image("sha256:2", (), 100 * MB, 3)))
    app = create_app(replace(site.state, image_growth=lambda _before, _after: growth))
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:19323")


async def test_layers_and_files_that_grew_are_told_largest_first_and_how_many_more(site):
    async with with_two_images(site, grown_images("new.bin")) as client:
        said = text((await client.get("/compare/one/two")).text)
    grew = said[said.index("What grew in the image") :]
    assert "+20 MB RUN new.bin" in grew
    assert "COPY . ." not in grew
    assert grew.index("+30 MB app/new.bin new") < grew.index("-10 MB app/old.bin gone") < grew.index("And 3 more.")


@pytest.mark.parametrize("hostile", HOSTILE)
async def test_no_name_of_a_layer_or_a_file_adds_an_element(site, hostile):
    shown = []
    for name in ("x", hostile):
        async with with_two_images(site, grown_images(name)) as client:
            shown.append((await client.get("/compare/one/two")).text)
    assert tags(shown[0]) == tags(shown[1])
    assert not set(shown[1]) & set("\u202e\u2066\u200b\x1b\x00\x07")


async def test_a_base_image_that_is_another_now_is_named(site):
    for minutes, (ref, digest) in enumerate((("before", "1"), ("after", "2"))):
        images = (("docker.io/library/python:3.12", f"sha256:{digest * 64}"),)
        recipe = replace(written("RUN make", 2), images=images)
        one = step("RUN make", Outcome.MISS, 0, 1, place=("app", 1, 1), recipe=recipe)
        site.save(build((one,), ref=ref, started_ns=a_build(minutes=minutes).started_ns))
    assert "python:3.12 is another image: 2222" in text(await page(site, "before", "after"))


async def test_why_steps_of_the_later_build_missed_is_told_with_what_it_was_compared_with(site):
    site.save(a_build("one"))
    site.save(a_build("two", minutes=1), replace(an_explanation("two"), compared_to="zero"))
    html = await page(site, "one", "two")
    said = text(html)
    assert "RUN make missed because" in said
    assert "comparing with build zero" in said
    (anchor,) = re.findall(r'href="/builds/two#(why-[^"]+)"', html)
    assert f'id="{anchor}"' in (await site.client.get("/builds/two")).text


async def test_the_same_build_twice_is_no_difference(site):
    site.save(shop())
    assert (await site.client.get(f"/compare/{shop().ref}/{shop().ref}")).status_code == 200


async def test_the_earlier_build_is_shown_first_whichever_was_named_first(site):
    site.save(a_build("early"))
    site.save(a_build("late", minutes=5))
    straight, swapped = await page(site, "early", "late"), await page(site, "late", "early")
    assert "The later build was named first" in text(swapped)
    assert "The later build was named first" not in text(straight)
    for html in (straight, swapped):
        assert html.index("/builds/early") < html.index("/builds/late")


async def test_builds_of_two_dockerfiles_are_said_to_be_that(site):
    site.save(a_build("one", dockerfile="Dockerfile"))
    site.save(a_build("two", minutes=5, dockerfile="Dockerfile.slim"))
    assert "different Dockerfiles: Dockerfile and Dockerfile.slim" in text(await page(site, "one", "two"))


async def test_what_came_and_went_has_one_side_only(site):
    kept = step("RUN a", Outcome.HIT, 0, 0, place=("app", 1, 2), recipe=written("RUN a", 1))
    new = step("RUN b", Outcome.MISS, 0, 3, place=("app", 2, 2), recipe=written("RUN b", 2))
    site.save(build(linked(kept), ref="before"))
    site.save(build(linked(kept, new), ref="after"))
    assert "new app 2/2 RUN b miss 3.0 s" in text(await page(site, "before", "after"))


async def test_without_an_image_or_with_the_same_one_it_says_why_nothing_grew(site):
    site.save(a_build("one"))
    site.save(a_build("two", minutes=1))
    site.save(a_build("three", minutes=2, image=None))
    assert "Both builds made the same image." in text(await page(site, "one", "two"))
    assert "at least one of these builds made no image" in text(await page(site, "one", "three"))


async def test_without_steps_it_says_of_which_build(site):
    site.save(a_build("one", steps=()))
    site.save(a_build("two", minutes=1))
    assert "No steps are known of the build before." in text(await page(site, "one", "two"))
