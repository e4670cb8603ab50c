"""The page of a build."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from itertools import chain

import pytest

from buildprof.model.build import Build, BuildError, Engine, Image, Options, Source, Status, Vcs
from buildprof.model.explanation import Cause, Confidence, Explanation, Finding, Miss
from buildprof.model.image_document import image_document
from buildprof.model.step import Outcome
from tests.cli import sample_builds, sample_explanations
from tests.cli.sample_builds import build, linked, step
from tests.web.conftest import SCOPE
from tests.web.pages.tags import HOSTILE, tags, text
from tests.web.pages.test_image import ID, MB, a_report

DOCKERFILE = (
    "FROM node AS deps\nCOPY package.json .\nRUN npm ci\n\nFROM deps\nCOPY . .\n# build it\nRUN npm run build\n"
)


def save(site, one: Build, explanation=None) -> Build:
    if one.completed_ns is None:
        site.writer.save_build(one, scope=SCOPE)
    else:
        site.save(one, explanation)
    return one


async def page(site, one: Build) -> str:
    response = await site.client.get(f"/builds/{one.ref}")
    assert response.status_code == 200, response.text
    html = response.text
    ids = re.findall(r' id="([^"]*)"', html)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]+)"', html)) <= set(ids)
    return html


async def test_it_reads_from_what_happened_to_why_to_the_steps(site):
    sample, explanation = sample_explanations.readme()
    said = text(await page(site, save(site, sample, explanation)))
    order = ["completed in", "steps hit", "Why steps missed", "README.md changed", "Waterfall", "Dockerfile", "Layers"]
    places = [said.rindex(one) for one in order]
    assert places == sorted(places)


async def test_a_miss_says_what_followed_and_leads_to_its_row(site):
    sample, explanation = sample_explanations.readme()
    html = await page(site, save(site, sample, explanation))
    assert "It took 2 steps with it" in text(html)
    rows = set(re.findall(r'<tr id="(s-[0-9a-f]+)"', html))
    linked_rows = set(re.findall(r'href="#(s-[0-9a-f]+)"', html))
    assert linked_rows
    assert linked_rows <= rows


@pytest.mark.parametrize("name", sorted(set(sample_builds.ALL) - {"hostile"}))
async def test_every_step_has_a_row_with_its_outcome_as_text(site, name):
    sample = sample_builds.ALL[name]()
    html = await page(site, save(site, sample))
    assert len(re.findall(r'<tr id="s-', html)) == len(sample.steps)
    assert "None" not in text(html)


async def test_a_failed_build_shows_its_error_before_anything_else(site):
    said = text(await page(site, save(site, sample_builds.failed())))
    assert said.index("Error") < said.index("Waterfall")
    sample = sample_builds.failed()
    assert sample.error is not None
    assert sample.error.log_tail[-1].split()[-1] in said


async def test_a_running_build_is_followed_and_an_ended_one_stays(site):
    running = await page(site, save(site, sample_builds.running()))
    assert "data-running" in running
    assert f'data-live="{sample_builds.running().ref}"' in running
    assert "A build is explained when it has ended." in text(running)
    ended = await page(site, save(site, replace(sample_builds.shop(), ref="ended")))
    assert "data-running" not in ended


async def test_a_running_step_has_a_bar_to_now(site):
    html = await page(site, save(site, sample_builds.running()))
    widths = [float(one) for one in re.findall(r'<rect class="running"[^>]* width="([\d.]+)%"', html)]
    assert widths
    assert min(widths) > 1


async def test_each_line_of_the_dockerfile_has_its_instruction_s_time_and_outcome(site):
    one = build(
        linked(
            step("FROM node", begin=0, end=0.1, place=("deps", 1, 3), lines=(1, 1)),
            step("COPY package.json .", Outcome.HIT, 0.1, 0.1, place=("deps", 2, 3), lines=(2, 2)),
            step("RUN npm ci", Outcome.MISS, 0.1, 12.4, place=("deps", 3, 3), lines=(3, 3), size=1_500_000),
            step("RUN npm run build", Outcome.MISS, 12.4, 15.0, place=("stage-1", 2, 2), lines=(8, 8)),
        ),
        dockerfile_text=DOCKERFILE,
        dockerfile_digest="d",
    )
    html = await page(site, save(site, one))
    (table,) = re.findall(r'<table class="dockerfile">(.*?)</table>', html, re.DOTALL)
    rows = [text(row) for row in re.findall(r"<tr.*?</tr>", table, re.DOTALL)][1:]
    assert len(rows) == len(DOCKERFILE.splitlines())
    assert [row for row in rows if "12.3 s" in row and "RUN npm ci" in row]
    assert [row for row in rows if "hit" in row and "COPY package.json" in row]
    said = text(html)
    assert "# build it" in said
    assert "1.5 MB" in said


async def test_without_a_dockerfile_it_says_so(site):
    said = text(await page(site, save(site, replace(sample_builds.shop(), dockerfile_text=""))))
    assert said.rindex("Dockerfile") > said.rindex("Waterfall")
    assert "The engine hands on the Dockerfile of builds that succeeded." in said


async def test_a_page_of_300_steps_is_below_300_kilobytes(site):
    steps = [
        step(
            f"RUN make part-{number} && install -D build/part-{number} /usr/local/lib/parts/{number}",
            Outcome.MISS if number % 3 else Outcome.HIT, number * 0.5, number * 0.5 + 0.5, size=1000 * number,
            place=(f"stage-{number // 30}", number % 30 + 1, 30), lines=(number + 1, number + 1),
        )
        for number in range(300)
    ]  # fmt: skip
    text_ = "".join(
        f"RUN make part-{number} && install -D build/part-{number} /usr/lib/{number}\n" for number in range(300)
    )
    stages = [linked(*steps[first : first + 30]) for first in range(0, 300, 30)]  # an image has 127 layers at most
    one = save(site, build(tuple(chain(*stages)), dockerfile_text=text_, dockerfile_digest="d"))
    assert len((await page(site, one)).encode()) < 300_000


@pytest.mark.parametrize(("size_mb", "said"), [(100, "100 MB 3 layers"), (40, "40 MB 3 layers, 100 MB unpacked")])
async def test_where_the_engine_counts_packed_layers_the_unpacked_bytes_are_told_too(site, size_mb, said):
    made = step("RUN make", Outcome.MISS, 0, 1, place=("app", 1, 1))
    one = save(site, build(linked(made), image=Image(ID, ("shop-web:latest",), size_mb * MB, 3)))
    site.writer.save_image("default", image_document(a_report()), [], scope=SCOPE, at_ns=1)
    assert f"Image {said}" in text(await page(site, one))


async def test_a_canceled_build_is_no_error_and_a_classic_failure_says_why_it_has_no_log(site):
    error = BuildError("context canceled", None)
    canceled = text(await page(site, save(site, build((), ref="c", status=Status.CANCELED, error=error))))
    assert "Canceled context canceled" in canceled
    assert "Error" not in canceled
    failed = build((), ref="f", status=Status.FAILED, error=BuildError("no", None), source=Source.CLASSIC)
    assert "Error no The classic builder tells what a step printed to its client alone" in text(
        await page(site, save(site, failed))
    )


async def test_of_a_build_of_many_thousand_steps_the_first_are_shown(site):
    steps = [
        step(f"RUN {number}", Outcome.MISS, number, number + 1, size=1, place=("app", number + 1, 2100))
        for number in range(2100)
    ]
    html = await page(site, save(site, build(linked(*steps))))
    said = text(html)
    assert html.count('<tr id="s-') == 2000
    assert "app 2100 steps" in said
    assert "And 100 more steps: all of them as JSON" in said
    assert "And 1600 more." in said


@pytest.mark.parametrize("hostile", HOSTILE)
async def test_no_name_adds_an_element_or_an_attribute(site, hostile):
    def sample(name: str, ref: str) -> Build:
        return build(
            linked(
                step(f"FROM {name}", begin=0, end=0.1, place=(f"s{name}", 1, 3), lines=(1, 1)),
                step(f"RUN {name}", Outcome.MISS, 0.1, 3, place=(f"s{name}", 2, 3), lines=(2, 2), size=9),
            ),
            ref=ref, project=f"p{name}", target=f"t{name}", builder=f"b{name}", dockerfile=f"d{name}", context=f"c{name}",
            dockerfile_text=f"FROM {name.replace(chr(10), '')}\nRUN {name}\n", image=Image("sha256:i", (f"i{name}",), 5, 2), dockerfile_digest=f"sha256:{ref}",
        )  # fmt: skip

    plain = await page(site, save(site, sample("x", "plain")))
    html = await page(site, save(site, sample(hostile, "hostile")))
    assert tags(html) == tags(plain)
    assert len(html) < 60_000
    assert not set(html) & set("\u202e\u2066\u200b\x1b\x00\x07")


@pytest.mark.parametrize("hostile", HOSTILE)
async def test_what_a_build_failed_of_missed_and_was_asked_adds_no_element_either(site, hostile):
    def sample(name: str, ref: str) -> tuple[Build, Explanation]:
        steps = linked(
            step("FROM node", begin=0, end=0.1, place=("a", 1, 3)),
            step(f"COPY {name}", Outcome.MISS, 0.1, 1, place=("a", 2, 3), platform="x"),
            step(f"RUN {name}", Outcome.FAILED, 1, 3, place=("a", 3, 3), error=f"e{name}", platform=f"y{name}"),
        )
        one = build(
            steps, ref=ref, status=Status.FAILED, group=f"g{name}", engine=Engine(f"n{name}", f"v{name}"), platforms=(f"l{name}",),
            error=BuildError(f"m{name}", steps[2].id, tuple(f"{at}{name}" for at in range(15))),
            vcs=Vcs(f"https://{name}", f"r{name}"),
            options=Options(build_args={f"A{name}": f"v{name}", "B": None}, cache_from=(f"f{name}",), cache_to=(f"t{name}",)),
        )  # fmt: skip
        evidence = {
            "changed": [f"c{name}"] * 9,
            "added": [f"a{name}"],
            "before": f"b{name}",
            "after": f"a{name}",
            "bytes": 5,
        }
        finding = Finding(Cause.SOURCE_CHANGED, Confidence.LIKELY, evidence)
        miss = Miss(steps[1].id, finding, (), f"x{name}", 1.0, (steps[2].id,), 1.0)
        return one, Explanation(ref, one.project, one.target, f"o{name}", (miss,), 1.0)

    plain = await page(site, save(site, *sample("x", "plain")))
    html = await page(site, save(site, *sample(hostile, "hostile")))
    assert tags(html) == tags(plain)
    assert len(html) < 100_000
    assert not set(html) & set("\u202e\u2066\u200b\x1b\x00\x07")


@pytest.mark.parametrize("cause", list(Cause))
@pytest.mark.parametrize("hostile", HOSTILE[:5])
async def test_evidence_of_any_cause_adds_no_element(site, cause, hostile):
    def sample(name: str, ref: str) -> tuple[Build, Explanation]:
        steps = linked(
            step("FROM node", begin=0, end=0.1, place=("a", 1, 2)),
            step("RUN x", Outcome.MISS, 0.1, 1, place=("a", 2, 2)),
        )
        evidence = {
            "before": f"b{name}", "after": f"a{name}", "image": f"i{name}", "names": [f"n{name}"], "url": f"u{name}",
            "option": f"o{name}", "by": f"b{name}", "builder": f"b{name}", "ref": f"r{name}", "checked": [f"c{name}"],
            "changed": [f"f{name}"], "lost_at": [f"l{name}", f"l{name}"],
        }  # fmt: skip
        miss = Miss(steps[1].id, Finding(cause, Confidence.CERTAIN, evidence), (), "", 1.0, (), 1.0)
        return build(steps, ref=ref), Explanation(ref, "shop", "web", "before", (miss,), 1.0)

    plain = await page(site, save(site, *sample("x", "plain")))
    assert tags(await page(site, save(site, *sample(hostile, "hostile")))) == tags(plain)


async def test_a_build_of_nothing_but_hostile_megabytes_has_a_page(site):
    save(site, replace(sample_builds.hostile(), ref="bad"))
    html = (await site.client.get("/builds/bad")).text
    assert "<script>alert" not in html
    assert len(html) < 300_000


async def test_zoom_is_a_part_of_the_address_and_works_without_a_script(site):
    sample = save(site, sample_builds.shop())
    usual = await page(site, sample)
    path = f"/builds/{sample.ref}"
    links = re.findall(r'href="([^"#]+)#waterfall" data-zoom="\w+" aria-label="([^"]+)"', usual)
    assert links == [(path, "Zoom out"), (path, "Fit all"), (f"{path}?zoom=1", "Zoom in")]
    zoomed = (await site.client.get(f"/builds/{sample.ref}?zoom=2")).text
    assert 'class="waterfall z2"' in zoomed
    assert f'href="/builds/{sample.ref}?zoom=3#waterfall"' in zoomed
    assert len(re.findall("<text", zoomed)) > 2 * len(re.findall("<text", usual))


@pytest.mark.parametrize("zoom", ["7", "-1", "x", "1.0", "٣", "1" * 2000])
async def test_a_zoom_that_there_is_not_is_one_clear_problem(site, zoom):
    sample = save(site, sample_builds.shop())
    response = await site.client.get(f"/builds/{sample.ref}", params={"zoom": zoom})
    assert (response.status_code, response.json()["detail"]) == (400, "zoom: a number from 0 to 6")


@pytest.mark.parametrize("path", ["/builds/none", "/builds/%00", f"/builds/{'x' * 300}"])
async def test_a_build_that_is_not_known_is_a_problem(site, path):
    assert (await site.client.get(path)).status_code == 404


async def test_the_trace_is_a_file_whose_events_nest(site):
    sample, explanation = sample_explanations.several()
    save(site, sample, explanation)
    response = await site.client.get(f"/api/v1/builds/{sample.ref}/trace")
    assert "attachment" in response.headers["content-disposition"]
    trace = json.loads(response.text)
    names = {one["args"]["name"] for one in trace["traceEvents"] if one["name"] == "thread_name"}
    assert "app" in names
    causes = [one["args"].get("cause") for one in trace["traceEvents"] if one["ph"] == "X"]
    assert "source_changed" in causes or "base_changed" in causes
