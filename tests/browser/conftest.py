"""A browser, and an agent that has seen real builds on a real engine."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from benchmarks.harness import running_agent
from tests.browser.scenes import Scenes, perform
from tests.engines.engine import Engine


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Debian's Chromium. Root has no sandbox to give it; it sees nothing but our own pages."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium (package chromium) is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def scenes(shared_engine: Callable[[str], Engine], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scenes]:
    """Builds of two projects, and the agent that saw them."""
    engine = shared_engine("forky")
    with running_agent(engine) as agent:
        yield perform(engine, agent, tmp_path_factory.mktemp("scenes"))


@pytest.fixture
def open_page(browser: Browser, scenes: Scenes) -> Iterator[Callable[..., Page]]:
    """`open_page(path, **options)` opens a page; a message on the console or a request elsewhere fails the test."""
    contexts: list[BrowserContext] = []
    troubles: list[str] = []

    def open_one(path: str, **options: object) -> Page:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.on("console", lambda message: troubles.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("request", lambda one: one.url.startswith(scenes.address) or troubles.append(f"asked {one.url}"))
        page.goto(scenes.address + path)
        return page

    yield open_one
    for context in contexts:
        context.close()
    assert troubles == []


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Where a failing test leaves what the browser showed."""
    return tmp_path
