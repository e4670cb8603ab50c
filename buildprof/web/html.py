"""A page as a response: what it may load, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import HTMLResponse, Response

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none';"
    " form-action 'self'; frame-ancestors 'none'"
)
"""Of pages: what is ours is loaded from here, nothing else is, and nothing that stands in a page itself runs."""


def page_response(html: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Make a response that holds a page."""
    return HTMLResponse(html, status, {**(headers or {}), "content-security-policy": CONTENT_SECURITY_POLICY})
