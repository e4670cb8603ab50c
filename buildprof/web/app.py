"""The HTTP face: which route gives what. Queries of the store run in threads, never in the loop that follows builds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from sqlalchemy import Engine
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from buildprof.analysis.growth import ImageGrowth
from buildprof.exporters.prometheus.collector import (
    OPENMETRICS_CONTENT_TYPE,
    TEXT_CONTENT_TYPE,
    StoredSeries,
    scrape,
    wants_openmetrics,
)
from buildprof.exporters.prometheus.selfmetrics import SelfMetrics
from buildprof.model.build import Build
from buildprof.model.check import Check
from buildprof.model.standing import AgentStanding
from buildprof.store.errors import NotFound
from buildprof.web.api import (
    build_body,
    builds_body,
    encode,
    explain_body,
    image_body,
    parse_filter,
    parse_image,
    parse_ref,
    projects_body,
    trace_body,
)
from buildprof.web.checks import KeptChecks
from buildprof.web.guard import Guard
from buildprof.web.html import page_response
from buildprof.web.live import EventStream, LiveEvents
from buildprof.web.openapi import openapi_document
from buildprof.web.problems import HANDLERS, Problem

if TYPE_CHECKING:
    from buildprof.web.pages.every import Pages

QUERY_THREADS = 2
QUERY_SECONDS = 20.0
"""How long a request waits for the store."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class AppState:
    """What the routes serve from. `unready` gives the reason why history has not been read yet, None once it has.

    `image_growth` tells what made the images of two builds differ, None where it is not known. `standing` tells how the
    agent's parts stand. `checks` are those of `doctor`: they block for seconds.
    """

    store: Engine
    stored_series: StoredSeries
    self_metrics: SelfMetrics
    live: LiveEvents
    unready: Callable[[], str | None]
    version: str
    loopback_only: bool = True
    image_growth: Callable[[Build, Build], ImageGrowth | None] = lambda _before, _after: None
    standing: Callable[[], AgentStanding | None] = lambda: None
    checks: Callable[[], Sequence[Check]] | None = None


def create_app(state: AppState) -> ASGIApp:
    """Make the application. `state.loopback_only` says whether requests must name this machine's loopback address."""
    routes = [Route(path, endpoint, methods=["GET"]) for path, endpoint in _Endpoints(state).by_path().items()]
    starlette = Starlette(
        routes=[*routes, Mount("/static", StaticFiles(packages=[("buildprof.web", "static")]))],
        exception_handlers=HANDLERS,
    )
    starlette.router.redirect_slashes = False
    starlette.state.version = state.version
    return Guard(starlette, loopback_only=state.loopback_only)


class _Threads:
    """A few threads for work that blocks. When they are busy, requests wait in line."""

    def __init__(self, name: str, count: int) -> None:
        # Threads start with the first work that there is, so an agent that nobody asks has none.
        self._executor = ThreadPoolExecutor(count, thread_name_prefix=name)

    async def run(self, work: Callable[[], T]) -> T:
        """Give the work's result. Raises what it raises, and Problem 503 when it takes more than QUERY_SECONDS."""
        loop = asyncio.get_running_loop()
        try:
            return await asyncio.wait_for(loop.run_in_executor(self._executor, work), QUERY_SECONDS)
        except TimeoutError:
            raise Problem(
                503, f"the answer took longer than {QUERY_SECONDS:.0f} s: too much is asked for at once"
            ) from None


class _Endpoints:
    """One method for each path."""

    def __init__(self, state: AppState) -> None:
        self._state = state
        self._queries = _Threads("queries", QUERY_THREADS)
        self._scrapes = _Threads("scrapes", 1)  # its own, so that no query delays a scrape
        self._checks = KeptChecks(state.checks) if state.checks else None

    def by_path(self) -> dict[str, Callable[[Request], Awaitable[Response]]]:
        return {
            "/": self.page_of_builds,
            "/builds/{ref}": self.page_of_build,
            "/compare/{first}/{second}": self.page_of_comparison,
            "/projects": self.page_of_projects,
            "/projects/{project:path}": self.page_of_project,
            "/images": self.page_of_images,
            "/images/{image:path}": self.page_of_image,
            "/health": self.page_of_health,
            "/metrics": self.metrics,
            "/-/healthy": self.healthy,
            "/-/ready": self.ready,
            "/api/v1/builds": self.builds,
            "/api/v1/builds/{ref}": self.build,
            "/api/v1/builds/{ref}/explain": self.explain,
            "/api/v1/builds/{ref}/trace": self.trace,
            "/api/v1/projects": self.projects,
            "/api/v1/images/{image:path}": self.image,
            "/api/v1/events": self.events,
            "/api/v1/openapi.json": self.openapi,
        }

    async def page_of_builds(self, request: Request) -> Response:
        return await self._page(lambda pages: pages.builds(request.query_params))

    async def page_of_build(self, request: Request) -> Response:
        ref = parse_ref(request.path_params["ref"])
        return await self._page(lambda pages: pages.build(ref, request.query_params))

    async def page_of_comparison(self, request: Request) -> Response:
        first, second = (parse_ref(request.path_params[name]) for name in ("first", "second"))
        return await self._page(lambda pages: pages.comparison(first, second))

    async def page_of_projects(self, request: Request) -> Response:
        return await self._page(lambda pages: pages.projects(request.query_params))

    async def page_of_project(self, request: Request) -> Response:
        return await self._page(lambda pages: pages.project(request.path_params["project"], request.query_params))

    async def page_of_images(self, _request: Request) -> Response:
        return await self._page(lambda pages: pages.images())

    async def page_of_image(self, request: Request) -> Response:
        name = parse_image(request.path_params["image"])
        with_growth = request.query_params.get("growth") == "files"
        try:
            return await self._page(lambda pages: pages.image(name, with_growth=with_growth))
        except NotFound:
            return await self._page(lambda pages: pages.missing_image(name), status=404)

    async def page_of_health(self, _request: Request) -> Response:
        checkup = await self._checks.found() if self._checks else None
        return await self._page(lambda pages: pages.health(checkup, can_check=self._checks is not None))

    async def _page(self, make: Callable[[Pages], bytes], status: int = 200) -> Response:
        """A page, made in a thread. What pages need is loaded with the first: an agent that nobody looks at does without."""

        def page() -> bytes:
            from buildprof.web.pages.every import Pages  # noqa: PLC0415  # see above

            return make(Pages(self._state))

        return page_response(await self._queries.run(page), status)

    async def metrics(self, request: Request) -> Response:
        state, openmetrics = self._state, wants_openmetrics(",".join(request.headers.getlist("accept")))
        body = await self._scrapes.run(lambda: scrape(state.stored_series, state.self_metrics, openmetrics=openmetrics))
        content_type = OPENMETRICS_CONTENT_TYPE if openmetrics else TEXT_CONTENT_TYPE
        return Response(body, headers={"content-type": content_type, "vary": "accept"})

    async def healthy(self, _request: Request) -> Response:
        return Response("healthy\n", media_type="text/plain")

    async def ready(self, _request: Request) -> Response:
        reason = self._state.unready()
        return _json(encode({"ready": reason is None, "reason": reason}), 200 if reason is None else 503)

    async def builds(self, request: Request) -> Response:
        wanted = parse_filter(request.query_params, [name for name, _ in request.query_params.multi_items()])
        return _json(await self._queries.run(lambda: builds_body(self._state.store, wanted)))

    async def build(self, request: Request) -> Response:
        ref = parse_ref(request.path_params["ref"])
        return _json(await self._queries.run(lambda: build_body(self._state.store, ref)))

    async def explain(self, request: Request) -> Response:
        ref = parse_ref(request.path_params["ref"])
        return _json(await self._queries.run(lambda: explain_body(self._state.store, ref)))

    async def trace(self, request: Request) -> Response:
        ref = parse_ref(request.path_params["ref"])
        body, name = await self._queries.run(lambda: trace_body(self._state.store, ref))
        return Response(
            body,
            media_type="application/json",
            headers={"content-disposition": f'attachment; filename="{name}"'},
        )

    async def image(self, request: Request) -> Response:
        image = parse_image(request.path_params["image"])
        return _json(await self._queries.run(lambda: image_body(self._state.store, image)))

    async def projects(self, _request: Request) -> Response:
        return _json(await self._queries.run(lambda: projects_body(self._state.store)))

    async def events(self, request: Request) -> Response:
        if request.method == "HEAD":
            return Response(media_type=EventStream.media_type)
        return EventStream(self._state.live)

    async def openapi(self, _request: Request) -> Response:
        return _json(encode(openapi_document(self._state.version)))


def _json(body: bytes, status: int = 200) -> Response:
    return Response(body, status, media_type="application/json")
