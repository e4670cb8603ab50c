"""The pages of projects: all of them, and one over time."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from buildprof.model.build import Image, Status, Summary
from buildprof.model.explanation import Cause, Confidence, Explanation, Finding, Miss
from buildprof.model.regression import Changes, Regression, Signal
from buildprof.model.text import clean
from tests.web.conftest import SCOPE, START_NS, STEP, a_build
from tests.web.pages.tags import HOSTILE, tags, text


async def page(site, path: str) -> str:
    response = await site.client.get(path)
    assert response.status_code == 200, response.text
    ids = re.findall(r' id="([^"]*)"', response.text)
    assert len(ids) == len(set(ids))
    return response.text


def lost_to(ref: str, path: str, seconds: float = 12.0) -> Explanation:
    finding = Finding(Cause.SOURCE_CHANGED, Confidence.CERTAIN, {"changed": [path], "added": [], "removed": []})
    return Explanation(ref, "shop", "web", None, (Miss(STEP.id, finding, (), "", 1.5, (), seconds),), seconds)


def history(site, count: int = 6, **more) -> None:
    for number in range(count):
        ref = f"b{number}"
        size = Image("sha256:i", ("shop-web:latest",), 200_000_000 + number * 10_000_000, 9)
        summary = Summary(
            cacheable_steps=4, cache_hits=number % 4, cache_misses=4 - number % 4, executed_seconds=2.0 + number
        )
        step = replace(STEP, identity="make", duration_seconds=1.0 + number)
        site.save(
            a_build(ref, minutes=number, image=size, summary=summary, steps=(step,), **more), lost_to(ref, "README.md")
        )


def worse(ref: str) -> Regression:
    changes = Changes(sentence="RUN make takes 12 s, 2 s before.")
    where = ("default", "Dockerfile", "linux/amd64")
    return Regression(Signal.DURATION_SECONDS, *where, False, ref, START_NS, "b5", 3, 30.0, 10.0, 13.0, changes)


async def test_all_projects_stand_with_their_figures(site):
    history(site)
    site.save(a_build("other", project="blog", target="default"))
    html = await page(site, "/projects")
    assert 'href="/projects/shop?target=web"' in html
    assert 'href="/projects/blog' in html
    said = text(html)
    assert "shop /web" in said or "shop/web" in said
    assert "250 MB" in said


async def test_without_builds_it_says_what_to_do(site):
    assert "docker build" in text(await page(site, "/projects"))


async def test_a_regression_is_told_with_the_build_that_began_it(site):
    history(site)
    site.writer.save_regressions("shop", "web", [worse("b3")], [], scope=SCOPE)
    for path in ("/projects", "/projects/shop"):
        html = await page(site, path)
        assert "usually 10.0 s and at most 13.0 s" in text(html)
        assert "RUN make takes 12 s, 2 s before." in text(html)
        assert 'href="/builds/b3"' in html


async def test_charts_lead_to_builds_and_say_their_figures(site):
    history(site)
    html = await page(site, "/projects/shop")
    for number in range(6):
        assert f'href="/builds/b{number}"' in html
    said = text(html)
    for title in ("Build time", "Cache hits", "Time lost, by cause", "Image size"):
        assert title in said
    assert len(re.findall(r"<svg[^>]*", html)) >= 4


async def test_what_files_cost_and_which_steps_are_slow(site):
    history(site)
    said = text(await page(site, "/projects/shop"))
    assert "README.md" in said
    assert "1 m 12 s" in said  # six builds lost twelve seconds each
    assert "RUN make" in said
    assert "3.5 s 6.0 s 6" in said  # the median, the 95th percentile, and how often it ran


async def test_the_target_that_was_built_last_is_shown_and_others_can_be_chosen(site):
    history(site)
    site.save(a_build("api", minutes=99, target="api"))
    assert "<h1>shop/api" in (await page(site, "/projects/shop")).replace("\n", "")
    assert "<h1>shop/web" in (await page(site, "/projects/shop?target=web")).replace("\n", "")


@pytest.mark.parametrize("path", ["/projects/none", "/projects/shop?target=none", "/projects/%00"])
async def test_what_is_not_known_is_a_problem(site, path):
    history(site, 1)
    assert (await site.client.get(path)).status_code in (400, 404)


async def test_a_filter_that_means_nothing_is_refused(site):
    history(site, 1)
    assert (await site.client.get("/projects/shop?since=soon")).status_code == 400


async def test_a_project_whose_builds_all_failed_has_a_page(site):
    site.save(a_build(status=Status.FAILED, image=None, summary=Summary(), steps=()))
    assert "None" not in text(await page(site, "/projects/shop"))


async def test_a_project_with_a_slash_in_its_name_has_a_page(site):
    site.save(a_build(project="team/shop"))
    assert "team/shop" in text(await page(site, "/projects/team%2Fshop"))
    assert 'href="/projects/team%2Fshop' in await page(site, "/projects")


@pytest.mark.parametrize("hostile", HOSTILE)
async def test_no_name_adds_an_element_or_an_attribute(site, hostile):
    names = {"plain": "x", "hostile": hostile}
    found = {}
    for kind, name in names.items():
        step = replace(STEP, identity=kind, command=f"c{name}", stage=f"s{name}", duration_seconds=2.0)
        site.save(
            a_build(f"{kind}1", project=f"p{clean(name, 90)}", target="web", steps=(step,)),
            lost_to(f"{kind}1", f"f{name}"),
        )
        site.save(
            a_build(f"{kind}2", project=f"p{clean(name, 90)}", target="web", steps=(step,), minutes=1),
            lost_to(f"{kind}2", f"f{name}"),
        )
    for kind, name in names.items():
        address = re.findall(r'href="(/projects/p[^"]*)"', await page(site, "/projects"))
        (path,) = [
            one for one in address if (one.startswith("/projects/px?") or one == "/projects/px") is (name == "x")
        ]
        found[kind] = await page(site, path.replace("&amp;", "&"))
    assert tags(found["hostile"]) == tags(found["plain"])
    assert not set(found["hostile"]) & set("\u202e\u2066\u200b\x1b\x00\x07")
