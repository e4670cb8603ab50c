"""What a browser shows where there is no page: what was wrong, and where to go from there."""

from __future__ import annotations

from http import HTTPStatus

from buildprof.web.pages.render import render


def page(status: int, detail: str, version: str) -> bytes:
    """Make the page. `detail` is a sentence of our own, without its capital and its full stop."""
    title = HTTPStatus(status).phrase
    return render("problem.html", {"title": title, "here": "", "version": version, "live": "", "detail": detail})
