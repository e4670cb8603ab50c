"""The list of builds, as somebody uses it."""

from __future__ import annotations

import pytest

from tests.browser.scenes import Scenes, running_build
from tests.e2e.agents import build, project

pytestmark = pytest.mark.engine


def test_a_build_appears_and_ends_without_a_reload(scenes: Scenes, open_page):
    page = open_page("/")
    page.evaluate("window.mine = true")
    with running_build(scenes, "appears", seconds=2) as ref:
        row = page.locator(f"#b-{ref}")
        row.get_by_text("running").wait_for()
        row.get_by_text("running").wait_for(state="detached")
        row.get_by_role("img").first.wait_for()
    assert page.evaluate("window.mine") is True


def test_what_somebody_is_typing_stays_when_a_build_ends(scenes: Scenes, open_page):
    page = open_page("/")
    page.get_by_label("Status").select_option("failed")
    page.get_by_label("Project").press_sequentially("sho")
    ref = build(scenes.engine, project(scenes.directory / "typed", "FROM base:latest\nRUN echo typed\n"))
    page.locator(f"#b-{ref}").wait_for()
    assert page.get_by_label("Project").input_value() == "sho"
    assert page.get_by_label("Status").input_value() == "failed"
    assert page.evaluate("document.activeElement.name") == "project"


def test_filters_are_in_the_address_and_the_way_back_works(scenes: Scenes, open_page):
    page = open_page("/")
    page.get_by_label("Project").fill("api")
    page.keyboard.press("Enter")
    page.wait_for_url("**/?project=api**")
    names = page.locator("td.what a").all_inner_texts()
    assert set(names) == {"api"}
    page.get_by_label("Status").select_option("failed")
    page.get_by_role("button", name="Show").click()
    page.wait_for_url("**status=failed**")
    assert page.locator("td.what").count() == 1
    page.go_back()
    page.go_back()
    assert page.get_by_label("Project").input_value() == ""
    assert page.locator("td.what").count() > 1


def test_a_build_opens_by_the_keyboard(scenes: Scenes, open_page):
    page = open_page("/?project=shop")
    page.locator("td.what a").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/builds/**")
    assert "shop" in page.locator("h1").inner_text()
