"""Pictures of the pages for the README: docs/pages/*.png, of builds on a real engine (`make screenshots`)."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from playwright.sync_api import sync_playwright  # noqa: E402  # the checkout is on the path only now

from benchmarks.harness import engine_with_base, running_agent  # noqa: E402
from tests.browser.scenes import perform  # noqa: E402

DIRECTORY = ROOT / "docs/pages"
PICTURES = {
    "builds": ("builds", 1280, 640, "light"),
    "build": ("build", 1280, 1180, "light"),
    "build-dark": ("build", 1280, 1180, "dark"),
    "project": ("project", 1280, 980, "light"),
    "image": ("image", 1280, 860, "light"),
    "build-narrow": ("build", 390, 840, "light"),
}
"""The page, width and height in pixels, and the colours."""


def main() -> int:
    """Make the pictures; the exit code."""
    chromium = shutil.which("chromium")
    if chromium is None:
        print("screenshots: chromium is not installed (Debian: apt-get install chromium)", file=sys.stderr)
        return 3
    DIRECTORY.mkdir(exist_ok=True)
    with (
        engine_with_base("forky") as engine,
        running_agent(engine) as agent,
        tempfile.TemporaryDirectory(prefix="projects-") as made,
        sync_playwright() as playwright,
    ):
        print("building what the pages show (half a minute)")
        scenes = perform(engine, agent, Path(made))
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for name, (page_name, width, height, scheme) in PICTURES.items():
            page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
            page.goto(scenes.address + scenes.paths[page_name])
            page.wait_for_timeout(500)  # milliseconds; the page says that it is live
            page.screenshot(path=DIRECTORY / f"{name}.png")
            print(f"docs/pages/{name}.png")
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
