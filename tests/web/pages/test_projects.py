"""The list of projects."""

from __future__ import annotations

import re

import pytest

from buildprof.model.build import DEFAULT_TARGET, Image, Status, Summary
from buildprof.web.pages.render import NOT_KNOWN
from tests.web.pages.lately import save, worsened
from tests.web.pages.tags import HOSTILE, repeated_ids, tags, text

DAY = 1440


async def page(site, path="/projects", **parameters):
    response = await site.client.get(path, params=parameters or None)
    assert response.status_code == 200, response.text
    assert repeated_ids(response.text) == []
    return response.text


def rows(html: str) -> list[str]:
    """What each row of the table says."""
    return [text(one) for one in re.findall(r"<tr>.*?</tr>", html, re.DOTALL) if "<td" in one]


def cell(html: str, name: str) -> list[str]:
    return [text(one) for one in re.findall(rf'data-name="{name}">(.*?)</td>', html, re.DOTALL)]


async def test_the_project_that_took_most_time_comes_first(site):
    save(site, "a", project="little", summary=Summary(executed_seconds=1.0))
    save(site, "b", project="much", target=DEFAULT_TARGET, summary=Summary(executed_seconds=90.0))
    first, second = rows(await page(site))
    assert first.startswith("much ")
    assert second.startswith("little/web ")


async def test_each_target_has_its_figures_with_their_units(site):
    summary = Summary(steps=1, cacheable_steps=4, cache_hits=3, cache_misses=1, executed_seconds=1.5, saved_seconds=12)
    for number, (seconds, size) in enumerate(((10, 100_000_000), (10, 100_000_000), (15, 120_000_000))):
        image = Image("sha256:i", ("shop",), size, 3)
        save(site, f"b{number}", 30 - number, seconds=seconds, lost=0.5, summary=summary, image=image)
    save(site, "b3", 1, status=Status.FAILED, image=None, summary=Summary())
    html = await page(site)
    names = ("builds", "failed", "hits", "executed", "saved", "lost", "median", "trend", "image", "grown")
    assert [cell(html, name) for name in names] == [
        ["4"], ["1"], ["75%"], ["4.5 s"], ["36.0 s"], ["1.5 s"], ["10.0 s"], ["+50%"], ["120 MB"], ["+20 MB"],
    ]  # fmt: skip
    assert 'class="worse">+50%' in html
    assert re.search(r'<time datetime="[^"]+" title="[^"]+ UTC" data-ns="\d+">\d+ (second|minute)s? ago</time>', html)


async def test_what_is_not_known_is_a_dash(site):
    save(site, "a", image=None, summary=Summary(), steps=(), status=Status.FAILED)
    (row,) = rows(await page(site))
    assert "None" not in row
    assert row.count(NOT_KNOWN) == 8


async def test_a_row_leads_to_its_project_and_target(site):
    save(site, "a", project="team/shop a", target="we b")
    (link,) = re.findall(r'href="(/projects/[^"]*)"', await page(site))
    assert "team/shop a/we b" in text(await page(site, link))


async def test_lost_time_is_that_of_the_last_days(site):
    save(site, "old", 10 * DAY, lost=60.0)
    save(site, "new", 1, lost=2.0)
    assert cell(await page(site), "lost") == ["2.0 s"]
    html = await page(site, since="30d")
    assert cell(html, "lost") == ["1 m 2 s"]
    assert "since the last 30 days" in text(html)


async def test_what_got_worse_is_told_with_the_build_that_began_it(site):
    worsened(site, save(site, "slow", 5, seconds=30))
    html = await page(site)
    said = text(html)
    assert said.index("Worse than usual") < said.index("Median")
    assert "build time 30.0 s, usually 10.0 s and at most 13.0 s since build slow" in said
    assert "RUN make takes 18 s longer." in said
    assert 'href="/builds/slow"' in html
    assert "1 worse" in said


async def test_a_filter_stands_in_the_address_and_in_the_form(site):
    save(site, "a", project="shop")
    worsened(site, save(site, "b", project="blog"))
    html = await page(site, project="shop", since="1d")
    assert [one.split()[0] for one in rows(html)] == ["shop/web"]
    assert '<input name="project" value="shop"' in html
    assert '<option value="1d" selected>' in html
    assert "Worse than usual" not in text(html)
    assert set(re.findall(r'<option value="(shop|blog)">', html)) == {"shop", "blog"}
    odd = await page(site, since="36h")
    assert "<option selected>36h</option>" in odd


async def test_where_no_project_fits_and_where_there_is_none_it_says_what_to_do(site):
    assert "No build seen yet. Run docker build ." in text(await page(site))
    save(site, "a")
    assert "No project has this name. Show all projects" in text(await page(site, project="nobody"))


async def test_further_targets_are_a_page_further(site):
    for number in range(60):
        save(site, f"b{number}", project=f"p{number:02}", summary=Summary(executed_seconds=100.0 - number))
    first = await page(site)
    assert [f"p{number}/web" in text(first) for number in (10, 49, 50)] == [True, True, False]
    second = await page(site, "/projects?from=50")
    assert [f"p{number}/web" in text(second) for number in (49, 50, 59)] == [False, True, True]
    assert "60 targets" in text(second)
    assert 'href="/projects?from=50"' in first
    assert "data-live" in first
    assert "data-live" not in second


@pytest.mark.parametrize(
    "query", [{"since": "soon"}, {"from": "x"}, {"from": "-1"}, {"from": "²"}, {"project": "\x00"}]
)
async def test_a_parameter_that_means_nothing_is_refused(site, query):
    assert (await site.client.get("/projects", params=query)).status_code == 400


@pytest.mark.parametrize("hostile", HOSTILE)
async def test_no_name_adds_an_element_or_an_attribute(site, hostile):
    seen = []
    for name in ("x", hostile):
        build = save(site, "one", 1, lost=1.0, project=f"p{name}", target=f"t{name}", builder="default")
        worsened(site, build, f"it is {name}", dockerfile=f"d{name}", platform=f"l{name}")
        seen.append(await page(site))
    plain, html = seen
    assert tags(html) == tags(plain)
    assert len(html) < 20_000
    assert not set(html) & set("\u202e\u2066\u200b\x1b\x00\x07")
