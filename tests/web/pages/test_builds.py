"""The list of builds."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from buildprof.model.build import BuildError, Status, Summary
from buildprof.model.step import Outcome
from buildprof.web.pages.render import NOT_KNOWN
from tests.web.conftest import SCOPE, STEP, a_build, an_explanation
from tests.web.pages.tags import HOSTILE, tags, text


async def page(site, path="/", **parameters):
    response = await site.client.get(path, params=parameters or None)
    assert response.status_code == 200, response.text
    return response.text


async def test_the_page_shows_the_latest_builds_newest_first(site):
    site.save(a_build("older"))
    site.save(a_build("newer", minutes=1, project="blog", target="default"), an_explanation("newer"))
    html = await page(site)
    assert html.index("/builds/newer") < html.index("/builds/older")
    for shown in ("shop /web", "blog", "2.0 s", "214 MB", "1.5 s"):
        assert shown in text(html)


async def test_without_builds_it_says_what_to_do(site):
    assert "No build seen yet. Run docker build . in any directory" in text(await page(site))


async def test_filters_stand_in_the_address_and_in_the_form(site):
    site.save(a_build("one"))
    site.save(a_build("two", project="blog"))
    html = await page(site, project="blog", status="completed", since="", target="")
    assert "/builds/two" in html
    assert "/builds/one" not in html
    assert '<input name="project" value="blog"' in html
    assert "<option selected>completed</option>" in html


async def test_where_no_build_fits_it_says_so(site):
    site.save(a_build("one"))
    assert "No build fits." in text(await page(site, project="nobody"))


@pytest.mark.parametrize("query", [{"status": "lost"}, {"since": "soon"}, {"before": "x"}])
async def test_a_filter_that_means_nothing_is_refused(site, query):
    assert (await site.client.get("/", params=query)).status_code == 400


async def test_older_builds_are_a_page_further(site):
    for number in range(60):
        site.save(a_build(f"b{number:02}", minutes=number))
    first = await page(site, project="shop")
    (following,) = [part.partition('"')[0] for part in first.split('href="') if "before=" in part.partition('"')[0]]
    second = await page(site, following.replace("&amp;", "&"))
    assert [f"/builds/b{number:02}" in first for number in (59, 10, 9)] == [True, True, False]
    assert [f"/builds/b{number:02}" in second for number in (10, 9, 0)] == [False, True, True]
    assert 'href="/?project=shop"' in second
    assert "data-live" not in second


async def test_a_running_build_moves_and_says_so(site):
    site.save(a_build(status=Status.COMPLETED))
    assert "data-running" not in await page(site)
    site.writer.save_build(
        a_build("now", status=Status.RUNNING, completed_ns=None, image=None, summary=Summary()), scope=SCOPE
    )
    html = await page(site)
    assert html.count("data-running") == 1
    assert "running" in text(html)


async def test_what_is_not_known_is_a_dash(site):
    site.save(a_build(image=None, summary=Summary(), steps=()))
    html = text(await page(site))
    assert "None" not in html
    assert html.count(NOT_KNOWN) == 3


async def test_the_bar_says_what_it_shows(site):
    outcomes = ["hit"] * 4 + ["miss"] * 3 + ["failed"] + ["skipped"] * 2 + ["none"]
    steps = tuple(
        replace(STEP, id=str(at), outcome=Outcome(outcome), cacheable=outcome != "none")
        for at, outcome in enumerate(outcomes)
    )
    site.save(a_build(steps=steps, status=Status.FAILED, error=BuildError("no", None)))
    html = await page(site)
    assert "<title>4 hit, 3 missed, 1 failed, 2 skipped</title>" in html
    (bar,) = re.findall(r'<svg class="bar".*?</svg>', html)
    parts = re.findall(r'<rect class="(\w+)" x="([\d.]+)%" y="1" width="([\d.]+)%"', bar)
    assert parts == [
        ("hit", "0.0", "40.0"),
        ("miss", "40.0", "30.0"),
        ("failed", "70.0", "10.0"),
        ("skipped", "80.0", "20.0"),
    ]


async def test_each_figure_stands_in_its_column(site):
    summary = Summary(steps=1, cacheable_steps=1, cache_hits=0, cache_misses=1, executed_seconds=1.5, saved_seconds=7.0)
    site.save(a_build(summary=summary), an_explanation())
    html = await page(site)
    assert re.findall(r'data-name="(\w+)">([^<]+)<', html) == [
        ("took", "2.0 s"),
        ("saved", "7.0 s"),
        ("lost", "1.5 s"),
        ("to", "cache turned off"),
        ("image", "214 MB"),
    ]


async def test_a_build_that_lost_nothing_and_one_that_is_not_explained_say_what_their_own_pages_say(site):
    hits = replace(STEP, outcome=Outcome.HIT, duration_seconds=0.0)
    for ref, summary, steps in (
        ("hits", Summary(steps=1, cacheable_steps=1, cache_hits=1, cache_misses=0, executed_seconds=0.0), (hits,)),
        ("unexplained", Summary(steps=1, cacheable_steps=1, cache_misses=1, executed_seconds=1.5), (STEP,)),
    ):
        site.save(a_build(ref, summary=summary, steps=steps))
        (row,) = re.findall(rf'<tr id="b-{ref}".*?</tr>', await page(site), re.DOTALL)
        (lost,) = re.findall(r'data-name="lost">([^<]+)<', row)
        (told,) = re.findall(r"<dt>Lost to misses</dt><dd>([^<]+)<", (await site.client.get(f"/builds/{ref}")).text)
        assert lost == told


async def test_a_trend_ends_with_its_build_and_rises_where_builds_got_slower(site):
    for at, seconds in enumerate((1, 2, 9)):
        one = a_build(f"b{at}", minutes=at)
        site.save(replace(one, completed_ns=one.started_ns + seconds * 10**9))
    html = await page(site)
    drawn = re.findall(r'<tr id="b-(b\d)".*?<title>the last \d completed builds took ([^<]*)</title>', html, re.DOTALL)
    assert drawn == [("b2", "1.0 s, 2.0 s, 9.0 s"), ("b1", "1.0 s, 2.0 s")]
    for points in re.findall(r'<polyline points="([^"]*)"', html):
        heights = [float(point.split(",")[1]) for point in points.split()]
        assert heights == sorted(heights, reverse=True)  # the smaller, the higher up


async def test_the_legend_calls_what_a_running_build_has_not_come_to_as_its_bar_does(site):
    step = replace(STEP, outcome=Outcome.NONE, started_ns=None, completed_ns=None, duration_seconds=None)
    running = a_build(status=Status.RUNNING, completed_ns=None, image=None, summary=Summary(), steps=(step,))
    site.writer.save_build(running, scope=SCOPE)
    html = await page(site)
    assert "<title>1 to come</title>" in html
    (legend,) = re.findall(r'<ul class="legend">.*?</ul>', html)
    assert text(legend) == "to come"


async def test_the_legend_has_what_the_bars_have(site):
    site.save(a_build())
    html = await page(site)
    (legend,) = re.findall(r'<ul class="legend">.*?</ul>', html)
    assert text(legend) == "missed"


@pytest.mark.parametrize("hostile", HOSTILE)
async def test_no_name_adds_an_element_or_an_attribute(site, hostile):
    site.save(a_build())
    plain = tags(await page(site))
    site.save(a_build(project=f"p{hostile}", target=f"t{hostile}", image=None))
    html = await page(site)
    assert tags(html) == plain
    assert len(html) < 20_000
    assert not set(html) & set("\u202e\u2066\u200b\x1b\x00\x07")


async def test_the_policy_lets_nothing_in_the_page_run(site):
    policy = (await site.client.get("/")).headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    html = await page(site)
    assert " style=" not in html
    assert "<style" not in html
    assert html.count("<script") == html.count('<script defer src="/static/')


@pytest.mark.parametrize("name", ["buildprof.css", "buildprof.js", "idiomorph-0.8.0-0BSD.min.js", "icon.svg"])
async def test_what_a_page_loads_is_served(site, name):
    response = await site.client.get(f"/static/{name}")
    assert response.status_code == 200
    assert response.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", ["/static/", "/static/../app.py", "/static/%2e%2e/app.py", "/static/none.css"])
async def test_nothing_else_is_served(site, path):
    assert (await site.client.get(path)).status_code == 404
