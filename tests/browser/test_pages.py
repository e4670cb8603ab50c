"""Every page, wide and narrow, light and dark: nothing overflows, nothing complains, everybody can read it."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from tests.browser.scenes import Scenes

PAGES = ("builds", "build", "failed", "compare", "projects", "project", "images", "image", "health")
SERIOUS = ("serious", "critical")

pytestmark = pytest.mark.engine


def overflow_pixels(page: Page) -> int:
    """How far one can scroll sideways."""
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("name", PAGES)
def test_a_page_fits_and_can_be_read(scenes: Scenes, open_page, name: str, width: int, scheme: str):
    page = open_page(scenes.paths[name], viewport={"width": width, "height": 900}, color_scheme=scheme)
    assert page.locator("h1").count() == 1
    assert overflow_pixels(page) <= 0
    found = [one for one in Axe().run(page).response["violations"] if one["impact"] in SERIOUS]
    assert [(one["id"], [node["target"] for node in one["nodes"]][:3]) for one in found] == []


@pytest.mark.parametrize("name", PAGES)
def test_a_page_says_the_same_without_a_script(scenes: Scenes, open_page, name: str):
    with_script, without = (
        open_page(scenes.paths[name], java_script_enabled=enabled).locator("h1, h2").all_inner_texts()
        for enabled in (True, False)
    )
    assert without == with_script
    assert without


@pytest.mark.parametrize("name", PAGES)
def test_the_keyboard_reaches_the_content_first(scenes: Scenes, open_page, name: str):
    page = open_page(scenes.paths[name])
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.url.endswith("#main")


def test_each_outcome_has_a_shape_of_its_own(scenes: Scenes, open_page):
    page = open_page("/")
    drawn = {
        kind: page.evaluate(
            """kind => {
                const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
                const rect = svg.appendChild(document.createElementNS("http://www.w3.org/2000/svg", "rect"));
                rect.setAttribute("class", kind);
                document.body.append(svg);
                const style = getComputedStyle(rect);
                return [style.fill === "none", style.stroke !== "none", style.strokeDasharray !== "none"];
            }""",
            kind,
        )
        for kind in ("hit", "miss", "canceled", "skipped")
    }
    outline, solid, dashed = [True, True, False], [False, False, False], [True, True, True]
    assert drawn == {"hit": outline, "miss": solid, "canceled": dashed, "skipped": dashed}
    assert page.locator("pattern#hatch").count() == page.locator("pattern#dots").count() == 1


def test_a_telephone_shows_the_drawing_beside_the_steps(scenes: Scenes, open_page):
    page = open_page(scenes.paths["build"], viewport={"width": 390, "height": 900})
    box, track = (page.locator(one).bounding_box() for one in ("#waterfall-box", "table.waterfall thead .track"))
    assert box["x"] + box["width"] - track["x"] > 120
