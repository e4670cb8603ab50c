"""The page of a build, as somebody uses it."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest

from tests.browser.scenes import Scenes, running_build

pytestmark = pytest.mark.engine


def test_the_bar_of_a_running_build_moves_and_nothing_jumps(scenes: Scenes, open_page):
    with running_build(scenes, "moves", seconds=9) as ref:
        page = open_page(f"/builds/{ref}")
        bar = page.locator("rect.running").first
        bar.wait_for()
        heading = page.locator("h1")
        top, shapes = heading.bounding_box(), []
        for _ in range(4):
            shapes.append((bar.get_attribute("x"), bar.get_attribute("width")))
            page.wait_for_timeout(1100)
        # It grows to the right; when it has reached the edge the axis becomes longer.
        assert len(set(shapes)) >= 3
        widths = [float((width or "").removesuffix("%")) for _, width in shapes]
        assert any(later > earlier + 1 for earlier, later in pairwise(widths))
        assert heading.bounding_box() == top
        page.locator("rect.running").wait_for(state="detached")
        assert "running" not in heading.inner_text()


def test_the_reason_and_the_file_are_read_before_the_waterfall(scenes: Scenes, open_page):
    text = open_page(f"/builds/{scenes.last}").locator("main").inner_text()
    assert text.index("package.json changed") < text.index("Waterfall")


def test_a_failed_build_shows_its_error_and_the_last_lines_of_its_log(scenes: Scenes, open_page):
    text = open_page(f"/builds/{scenes.failed}").locator("main").inner_text()
    assert "exit code: 3" in text
    assert "the test failed" in text


def test_the_arrow_keys_walk_through_the_steps(scenes: Scenes, open_page):
    page = open_page(f"/builds/{scenes.last}")
    rows = page.locator("table.waterfall tr[tabindex]")
    rows.first.focus()
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.id") == rows.nth(1).get_attribute("id")
    page.keyboard.press("ArrowUp")
    assert page.evaluate("document.activeElement.id") == rows.first.get_attribute("id")


def test_zoom_widens_the_drawing_adds_ticks_and_keeps_the_moment_in_the_middle(scenes: Scenes, open_page):
    page = open_page(f"/builds/{scenes.last}")
    ticks, table = page.locator(".axis text"), page.locator("table.waterfall")
    before, width = ticks.all_inner_texts(), table.bounding_box()["width"]
    page.get_by_role("link", name="Zoom in").click()
    page.get_by_role("link", name="Zoom in").click()
    ticks.nth(2 * len(before)).wait_for(state="attached")
    assert table.bounding_box()["width"] == pytest.approx(4 * width, rel=0.3)
    assert page.url.endswith("?zoom=2")
    page.reload()
    assert page.locator("table.waterfall.z2").count() == 1
    page.locator("table.waterfall tr[tabindex='0']").focus()
    page.keyboard.press("0")
    ticks.nth(len(before)).wait_for(state="detached")
    assert ticks.all_inner_texts() == before
    assert "zoom" not in page.url


def test_the_trace_is_a_file_for_viewers(scenes: Scenes, open_page):
    page = open_page(f"/builds/{scenes.last}")
    with page.expect_download() as download:
        page.get_by_role("link", name="trace").click()
    trace = json.loads(download.value.path().read_text())
    assert any("npm" in one["name"] or "RUN" in one["name"] for one in trace["traceEvents"])


def test_a_step_that_is_chosen_shows_what_it_waits_for_and_what_waits_for_it(scenes: Scenes, open_page):
    page = open_page(f"/builds/{scenes.last}")
    row = page.locator("table.waterfall tr.step[data-in]:visible").last
    sources = (row.get_attribute("data-in") or "").split()
    row.focus()
    lines = page.locator("#links polyline.input")
    assert 1 <= lines.count() <= len(sources)
    # Each line ends where the bar of the chosen step begins.
    bar, frame = row.locator("rect").bounding_box(), page.locator("#waterfall-box").bounding_box()
    for line in lines.all():
        x, y = map(float, (line.get_attribute("points") or "").split()[-1].split(","))
        assert x == pytest.approx(bar["x"] - frame["x"], abs=2)
        assert y == pytest.approx(bar["y"] + bar["height"] / 2 - frame["y"], abs=2)
    page.locator("h1").click()
    page.locator(".brand").focus()
    assert page.locator("#links polyline").count() == 0
