"""What a page says of itself while it is open: live only if it is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.scenes import Scenes

pytestmark = pytest.mark.engine

HIDE = """isHidden => {
    Object.defineProperty(document, "hidden", { configurable: true, get: () => isHidden });
    document.dispatchEvent(new Event("visibilitychange"));
}"""


@pytest.fixture
def page(browser: Browser, scenes: Scenes) -> Iterator[Page]:
    """The list of builds, on a console where failed requests may be told."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(scenes.address + "/")
    page.locator("#live", has_text="live").wait_for()
    yield page
    context.close()


def test_tabs_that_nobody_looks_at_leave_their_connection_to_others(page: Page, scenes: Scenes):
    page.evaluate(HIDE, True)
    for _ in range(8):
        other = page.context.new_page()
        other.goto(scenes.address + "/", timeout=10_000)
        other.locator("#live", has_text="live").wait_for()
        other.evaluate(HIDE, True)
    page.evaluate(HIDE, False)
    page.locator("#live", has_text="live").wait_for()


@pytest.mark.parametrize(("status", "said"), [(404, "this is gone"), (503, "what is shown is not of now")])
def test_a_page_that_cannot_be_had_again_says_so_until_it_can(page: Page, scenes: Scenes, status: int, said: str):
    page.route(scenes.address + "/", lambda route: route.fulfill(status=status, body=""))
    page.evaluate("document.dispatchEvent(new Event('buildprof:stale'))")
    page.locator("#live", has_text=said).wait_for()
    assert page.locator("td.what").count() > 0
    page.unroute(scenes.address + "/")
    page.evaluate("document.dispatchEvent(new Event('buildprof:stale'))")
    page.locator("#live", has_text="live").wait_for()


def test_a_stream_that_is_refused_is_asked_for_again(page: Page, scenes: Scenes):
    page.route("**/api/v1/events", lambda route: route.fulfill(status=503, body=""))
    page.reload()
    page.locator("#live", has_text="not connected").wait_for()
    page.unroute("**/api/v1/events")
    page.locator("#live", has_text="live").wait_for(timeout=20_000)
