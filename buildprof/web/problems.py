"""Errors as RFC 9457 problem documents, or as a page for a browser. They say what was wrong, and never repeat what the client sent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from buildprof.log import get_logger
from buildprof.store.errors import Ambiguous, NotFound, StoreError
from buildprof.web.html import page_response

MEDIA_TYPE = "application/problem+json"

_FOR_PROGRAMS = ("/api/", "/metrics", "/-/", "/static/")

_log = get_logger("web")


class Problem(Exception):  # noqa: N818 - RFC 9457's word
    """An answer other than the one that was asked for. `detail` is a sentence of our own."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


def problem_body(status: int, detail: str) -> bytes:
    """Make the document: `title` is the status' own phrase, `detail` what to do about it."""
    document = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    return json.dumps(document).encode()


def problem_response(status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    """Make a response that holds the document."""
    return Response(problem_body(status, detail), status, headers, MEDIA_TYPE)


async def on_problem(request: Request, error: Exception) -> Response:
    """Answer a Problem."""
    assert isinstance(error, Problem)  # noqa: S101 - registered for nothing else
    return await _answer(request, error.status, error.detail)


async def on_http_error(request: Request, error: Exception) -> Response:
    """Answer what the router raises: 404 and 405."""
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for nothing else
    detail = {404: "there is nothing here", 405: "only GET and HEAD are allowed"}.get(error.status_code, "refused")
    return await _answer(request, error.status_code, detail, error.headers)


async def on_store_error(request: Request, error: Exception) -> Response:
    """Answer what the store raises. The log has the reason, which may name a path or a server."""
    if isinstance(error, NotFound):
        return await _answer(request, 404, "no build has this ref")
    if isinstance(error, Ambiguous):
        return await _answer(request, 400, "more than one build has a ref that begins like this: give more of it")
    _log.warning("the store cannot be read", error=str(error))
    return await _answer(request, 503, "the store cannot be read at the moment; the agent's log says why")


async def on_bug(request: Request, _error: Exception) -> Response:
    """Answer any other exception; the server logs its traceback."""
    return await _answer(request, 500, "a fault of buildprof; the agent's log says more")


async def _answer(request: Request, status: int, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    """A page for a person who looks for one, else the document."""
    if request.url.path.startswith(_FOR_PROGRAMS) or "text/html" not in request.headers.get("accept", ""):
        return problem_response(status, detail, dict(headers or {}))
    version = request.app.state.version

    def page() -> bytes:
        from buildprof.web.pages import problem  # noqa: PLC0415  # loaded with the first page, as all of them are

        return problem.page(status, detail, version)

    return page_response(await asyncio.to_thread(page), status, headers)


HANDLERS = {Problem: on_problem, HTTPException: on_http_error, StoreError: on_store_error, Exception: on_bug}
