"""The page of a project's target."""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape

import pytest

from buildprof.analysis.sentences import CAUSE_NAMES
from buildprof.model.build import DEFAULT_TARGET, Image, Status, Summary
from buildprof.model.explanation import Cause
from buildprof.model.regression import Reading
from buildprof.model.step import Layer
from buildprof.model.text import clean
from buildprof.web.pages.project import CHART_BUILDS
from buildprof.web.pages.render import NOT_KNOWN
from tests.web.conftest import SCOPE, STEP
from tests.web.pages.lately import save, worsened
from tests.web.pages.tags import HOSTILE, repeated_ids, tags, text

DAY = 1440


async def page(site, path="/projects/shop", **parameters):
    response = await site.client.get(path, params=parameters or None)
    assert response.status_code == 200, response.text
    assert repeated_ids(response.text) == []
    return response.text


def figure(html: str, name: str) -> str:
    """What a figure at the head of the page says."""
    return text(re.findall(rf"<dt>{name}</dt><dd>(.*?)</dd>", html, re.DOTALL)[0])


def chart(html: str, name: str) -> str:
    return re.findall(rf'<figure class="chart" id="{name}">.*?</figure>', html, re.DOTALL)[0]


def points(html: str, name: str) -> list[tuple[str, str]]:
    """Where the places of a chart lead to, and what they say."""
    return re.findall(r'<a href="([^"]*)" tabindex="-1"><title>([^<]*)</title>', chart(html, name))


async def test_it_reads_from_what_is_worse_to_charts_to_losses_to_steps_to_builds(site):
    worsened(site, save(site, "one", 5, lost=1.0, files=("README.md",)))
    said = text(await page(site))
    order = ["shop/web", "Worse than usual", "Median build time", "Over time", "Lost, by cause", "Lost, by file"]
    places = [said.index(one) for one in [*order, "Slowest steps", "All builds of shop/web"]]
    assert places == sorted(places)


async def test_the_target_that_was_built_last_is_shown_unless_another_is_asked_for(site):
    save(site, "one", 5, target=DEFAULT_TARGET)
    save(site, "two", 1, target="api")
    html = await page(site)
    assert "<h1>shop/api</h1>" in html
    assert "<option selected>api</option>" in html
    html = await page(site, target=DEFAULT_TARGET)
    assert "<h1>shop</h1>" in html
    assert "/builds/two" not in html


async def test_figures_at_its_head_have_units(site):
    summary = Summary(cacheable_steps=4, cache_hits=3, cache_misses=1, executed_seconds=1.5, saved_seconds=12)
    for number, (seconds, size) in enumerate(((10, 100_000_000), (10, 100_000_000), (20, 120_000_000))):
        image = Image("sha256:i", ("shop",), size, 3)
        save(site, f"b{number}", 30 - number, seconds=seconds, lost=0.5, summary=summary, image=image)
    html = await page(site)
    assert figure(html, "Builds").startswith("3 0 failed, last 28 minutes ago")
    assert figure(html, "Median build time") == "10.0 s of the last 20 builds; last 20.0 s, +100%"
    assert figure(html, "Cache hits") == "75% of the last 20 builds"
    assert figure(html, "Lost to misses") == "1.5 s by the builds shown here"
    assert figure(html, "Image") == "120 MB +20 MB since the build before"


async def test_each_build_has_its_place_in_the_charts_and_leads_to_its_page(site):
    save(site, "first", 9, seconds=10, summary=Summary(cache_hits=1, cache_misses=3))
    save(site, "second", 5, seconds=12, status=Status.FAILED)
    html = await page(site)
    (first, told), (second, failed) = points(html, "duration")
    assert (first, second) == ("/builds/first", "/builds/second")
    assert re.fullmatch(r"first, \d{4}-\d\d-\d\d \d\d:\d\d UTC: 10\.0 s", told)
    assert failed.endswith("UTC, failed: 12.0 s")
    assert points(html, "hits")[0][1].endswith("25%")
    assert points(html, "image")[0][1].endswith("214 MB")
    assert 'aria-label="Build time: from 10.0 s to 12.0 s, last 12.0 s"' in html


async def test_a_figure_that_is_not_known_has_no_place_in_its_chart(site):
    save(site, "first", 9, image=None)
    save(site, "second", 5)
    html = await page(site)
    assert [href for href, _ in points(html, "image")] == ["/builds/second"]
    save(site, "second", 5, image=None)
    assert 'id="image"' not in await page(site)


async def test_what_got_worse_is_marked_at_the_build_that_began_it(site):
    for number in range(4):
        save(site, f"ok{number}", 20 - number, seconds=10)
    worsened(site, save(site, "slow", 5, seconds=30))
    save(site, "slower", 2, seconds=31)
    html = await page(site)
    assert "build time 30.0 s, usually 10.0 s and at most 13.0 s" in text(html)
    drawn = chart(html, "duration")
    assert re.search(r'<a href="/builds/slow"><text class="began"[^>]*>worse since</text></a>', drawn)
    assert "usual 10.0 s" in drawn
    assert "worse beyond 13.0 s" in drawn
    assert drawn.count('<circle class="worse"') == 2
    assert "began" not in chart(html, "hits")


async def test_a_cold_build_looks_and_reads_as_one(site):
    build = save(site, "cold", 5)
    reading = Reading(build.ref, build.builder, "", "", build.started_ns, build.completed_ns, is_cold=True)
    site.writer.save_build(replace(build, generation=1), scope=SCOPE, reading=reading)
    html = await page(site)
    assert '<circle class="cold"' in chart(html, "duration")
    assert points(html, "duration")[0][1].endswith("UTC, cold: 2.0 s")


async def test_lost_time_is_told_by_build_by_cause_and_by_file(site):
    save(site, "one", 9, lost=30.0, files=("README.md",))
    save(site, "two", 5, lost=4.0, cause=Cause.NO_CACHE)
    html = await page(site)
    assert [told.partition("UTC: ")[2] for _, told in points(html, "lost")] == [
        f"{CAUSE_NAMES[Cause.SOURCE_CHANGED]} 30.0 s",
        f"{CAUSE_NAMES[Cause.NO_CACHE]} 4.0 s",
    ]
    (by_cause, by_file) = re.findall(r"<h2>Lost, by .*?</table>", html, re.DOTALL)
    assert "30.0 s" in text(by_cause)
    assert "4.0 s" in text(by_cause)
    assert "README.md usually no step needs it; see .dockerignore 30.0 s 1" in text(by_file)
    assert figure(html, "Lost to misses").startswith("34.0 s")


async def test_time_that_was_lost_before_the_builds_shown_is_not_counted(site):
    save(site, "old", 3 * DAY, lost=500.0, cause=Cause.EVICTED)
    save(site, "new", 5, lost=4.0, cause=Cause.NO_CACHE)
    html = await page(site, since="1d")
    assert figure(html, "Lost to misses").startswith("4.0 s")
    assert "8 m 20 s" not in text(html)


async def test_the_slowest_steps_have_median_percentile_and_their_longest_run(site):
    for number, seconds in enumerate((1.0, 2.0, 61.0)):
        steps = (replace(STEP, identity="make", duration_seconds=seconds),)
        save(site, f"b{number}", 9 - number, steps=steps)
    (table,) = re.findall(r'<table class="steps">.*?</table>', await page(site), re.DOTALL)
    assert text(table).endswith("RUN make web 2.0 s 1 m 1 s 3 b2")


async def test_layers_are_drawn_one_on_another_and_named(site):
    for ref, size in (("one", 5_000_000), ("two", 7_000_000)):
        save(site, ref, 9 if ref == "one" else 5, steps=(replace(STEP, layer=Layer("sha256:1", size)),))
    html = await page(site)
    assert [told.partition("UTC: ")[2] for _, told in points(html, "layers")] == ["RUN make 5 MB", "RUN make 7 MB"]
    assert "RUN make</li>" in chart(html, "layers")


async def test_builds_are_listed_newest_first_each_compared_with_the_completed_one_before(site):
    save(site, "one", 9, image=Image("i", ("s",), 100_000_000, 1))
    save(site, "two", 7, status=Status.CANCELED, image=None)
    save(site, "three", 5, image=Image("i", ("s",), 101_500_000, 1))
    html = await page(site)
    (table,) = re.findall(r'<table class="builds">.*?</table>', html, re.DOTALL)
    assert re.findall(r'href="(/builds/[^"]*)"', table) == ["/builds/three", "/builds/two", "/builds/one"]
    assert re.findall(r'href="(/compare/[^"]*)"', table) == ["/compare/one/three", "/compare/one/two"]
    assert "+1.5 MB" in text(table)
    assert "canceled" in text(table)


async def test_builds_of_one_ref_on_two_builders_are_two_rows(site):
    save(site, "same", 9)
    save(site, "same", 5, builder="remote")
    assert len(re.findall(r'<tr id="b-\d+">', await page(site))) == 2


async def test_only_so_many_builds_are_drawn_and_it_is_said(site):
    for number in range(CHART_BUILDS + 5):
        save(site, f"b{number}", CHART_BUILDS + 5 - number)
    html = await page(site)
    assert f"The last {CHART_BUILDS} builds" in text(html)
    assert len(points(html, "duration")) == CHART_BUILDS
    assert points(html, "duration")[0][0] == "/builds/b5"
    (line,) = re.findall(r'<polyline points="([^"]*)"', chart(html, "duration"))
    assert len(re.findall(r"[\d.]+,[\d.]+(?: |$)", line)) == CHART_BUILDS


async def test_where_no_build_ended_in_a_time_it_leads_to_the_last_ones(site):
    save(site, "old", 20 * DAY)
    html = await page(site, since="7d")
    assert f"No build of it has ended in this time. Show the last {CHART_BUILDS} builds" in text(html)
    assert 'href="/projects/shop?target=web"' in html
    assert '<option value="7d" selected>' in html
    assert "<option selected>36h</option>" in await page(site, since="36h")


async def test_a_build_that_tells_nothing_has_dashes(site):
    save(site, "bare", 5, seconds=0, image=None, summary=Summary(), steps=())
    html = await page(site)
    assert "None" not in text(html)
    (row,) = re.findall(r'<tr id="b-\d+">.*?</tr>', html, re.DOTALL)
    assert text(row).count(NOT_KNOWN) == 7
    for nothing in ("No miss is explained in this time.", "No file made a step miss", "No step ran in this time"):
        assert nothing in text(html)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/projects/nobody", 404),
        ("/projects/shop?target=nothing", 404),
        ("/projects/shop?since=soon", 400),
        ("/projects/%00", 400),
        ("/projects/" + "x" * 300, 400),
    ],
)
async def test_what_is_not_known_or_means_nothing_is_a_problem(site, path, status):
    save(site, "one")
    assert (await site.client.get(path)).status_code == status


@pytest.mark.parametrize("hostile", HOSTILE)
async def test_no_name_adds_an_element_or_an_attribute_and_the_page_is_found(site, hostile):
    seen = []
    for name in ("x", hostile):
        project = clean(f"p{name}", 200)  # as projects are named
        step = replace(STEP, name=f"n{name}", command=f"c{name}", stage=f"s{name}", identity=f"i{name}")
        step = replace(step, layer=Layer("sha256:1", 5_000_000))
        told = {
            "project": project,
            "target": clean(f"t{name}", 100),
            "builder": clean(f"b{name}", 60),
            "steps": (step,),
        }
        for number in (1, 2):
            build = save(site, clean(f"{number}r{name}", 60), 9 - number, lost=2.0, files=(f"f{name}",), **told)
        worsened(site, build, f"it is {name}", dockerfile=f"d{name}", platform=f"l{name}")
        (link, *_) = re.findall(r'href="(/projects/p[^"]*)"', (await site.client.get("/projects")).text)
        seen.append(await page(site, unescape(link)))
        site.writer.delete_older_than(2**62)
    plain, html = seen
    assert tags(html) == tags(plain)
    assert len(html) < 60_000
    assert not set(html) & set("\u202e\u2066\u200b\x1b\x00\x07")


async def test_whether_something_is_worse_is_told_as_soon_as_it_can_be(site):
    save(site, "a", 5)
    assert "is told when 8 completed builds of one kind are known" in text(await page(site))


async def test_a_difference_that_chance_makes_has_no_colour_of_worse(site):
    for number in range(4):
        save(site, f"b{number}", 20 - number, seconds=2)
    save(site, "last", 1, seconds=2.5)
    html = await page(site)
    assert "+25%" in text(html)
    assert 'class="worse">+25%' not in html
