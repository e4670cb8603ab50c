"""The JSON API: queries of the store, checked parameters in and documents out."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Engine

from buildprof.analysis.sentences import told
from buildprof.analysis.trace_events import trace_document
from buildprof.model.build import Build, Status
from buildprof.model.document import build_document
from buildprof.model.regression_document import project_with_regressions
from buildprof.model.text import parse_since
from buildprof.store.baselines import active_regressions
from buildprof.store.errors import Ambiguous, NotFound
from buildprof.store.explanations import stored_explanation
from buildprof.store.images import stored_image
from buildprof.store.project_facts import list_projects
from buildprof.store.queries import BuildFilter, find_build, list_builds
from buildprof.web.openapi import DEFAULT_LIMIT, MAX_LIMIT
from buildprof.web.problems import Problem

MAX_TEXT = 255
_MAX_NS = 2**63 - 1
"""What the store's columns hold; also later than any build."""


def builds_body(store: Engine, wanted: BuildFilter) -> bytes:
    """Make `{"builds": [..], "next"}`: heads of builds, and what to give as `before` for the page after, null on the last.

    Blocks; raises StoreError.
    """
    limit = wanted.limit or DEFAULT_LIMIT
    builds = list_builds(store, wanted)
    following = page_token(builds[-1]) if len(builds) == limit else None
    return encode({"builds": [build_document(build, with_steps=False) for build in builds], "next": following})


def build_body(store: Engine, ref: str) -> bytes:
    """Make the document of one build with its steps. Blocks; raises StoreError, NotFound and Ambiguous among them."""
    return encode(build_document(find_build(store, ref)))


def explain_body(store: Engine, ref: str) -> bytes:
    """Make the document of why a build's steps missed. Blocks; raises Problem 404 until it is explained, and StoreError."""
    build = find_build(store, ref)
    explanation = stored_explanation(store, build)
    if explanation is None:
        if build.status is Status.RUNNING:
            raise Problem(404, "this build still runs: it is explained when it has ended")
        raise Problem(404, "this build is known, but it is not explained")
    return encode(told(explanation, build))


def trace_body(store: Engine, ref: str) -> tuple[bytes, str]:
    """Make a build's trace, and the name of the file for it. Blocks; raises StoreError, NotFound and Ambiguous among them."""
    build = find_build(store, ref)
    document = trace_document(build, stored_explanation(store, build), time.time_ns())
    name = "".join(one for one in build.ref[:64] if one.isascii() and (one.isalnum() or one in "-_"))
    return encode(document), f"build-{name}.trace.json"


def image_body(store: Engine, image: str) -> bytes:
    """Make the document of an analysed image. Blocks; raises StoreError, and Problem where none, or several, are meant."""
    try:
        return encode(stored_image(store, image))
    except NotFound:
        raise Problem(404, "no analysed image is known by this name or id") from None
    except Ambiguous:
        raise Problem(400, "more than one image has an id that begins like this: give more of it") from None


def projects_body(store: Engine) -> bytes:
    """Make `{"projects": [..]}`. Blocks; raises StoreError."""
    regressed = active_regressions(store)
    told = [project_with_regressions(one, regressed.get((one.project, one.target), ())) for one in list_projects(store)]
    return encode({"projects": told})


def encode(document: Mapping[str, Any]) -> bytes:
    """Write compact JSON in ASCII."""
    return json.dumps(document, separators=(",", ":")).encode()


def parse_filter(query: Mapping[str, str], names: list[str]) -> BuildFilter:
    """Check the parameters of `/api/v1/builds`; `names` are all that were given, repeated ones too. Raises Problem 400."""
    if not set(names) <= {"project", "target", "status", "since", "limit", "before"} or len(set(names)) < len(names):
        raise Problem(400, "parameters are project, target, status, since, limit and before, each once")
    status, since, before = query.get("status"), query.get("since"), query.get("before")
    return BuildFilter(
        project=_text(query, "project"),
        target=_text(query, "target"),
        status=None if status is None else _status(status),
        since_ns=None if since is None else _since(since),
        limit=_limit(query.get("limit", str(DEFAULT_LIMIT))),
        before=None if before is None else _page(before),
    )


def parse_ref(ref: str) -> str:
    """Check a ref from a path. Raises Problem 404 for what cannot be one."""
    if not _is_plain(ref):
        raise Problem(404, "no build has this ref")
    return ref


def parse_image(image: str) -> str:
    """Check an image's name or id from a path. Raises Problem 404 for what cannot be one."""
    if not _is_plain(image):
        raise Problem(404, "no analysed image is known by this name or id")
    return image


def _is_plain(text: str) -> bool:
    return 1 <= len(text) <= MAX_TEXT and text.isprintable()


def _text(query: Mapping[str, str], name: str) -> str | None:
    text = query.get(name)
    if text is not None and not _is_plain(text):
        raise Problem(400, f"{name}: 1 to {MAX_TEXT} printable characters")
    return text


def _status(text: str) -> Status:
    try:
        return Status(text)
    except ValueError:
        raise Problem(400, f"status: one of {', '.join(Status)}") from None


def _since(text: str) -> int:
    try:
        return min(parse_since(text[:MAX_TEXT], time.time_ns()), _MAX_NS)
    except ValueError as error:
        raise Problem(400, f"since: {error}") from None


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 6 and 1 <= int(text) <= MAX_LIMIT):
        raise Problem(400, f"limit: a number from 1 to {MAX_LIMIT}")
    return int(text)


def page_token(last: Build) -> str:
    """What to give as `before` for the page after the one that ends with a build."""
    return f"{last.started_ns}.{last.ref}"


def _page(token: str) -> tuple[int, str]:
    started, dot, ref = token.partition(".")
    if not (dot and started.isascii() and started.isdigit() and len(started) <= 19 and _is_plain(ref)):
        raise Problem(400, "before: the `next` of the page before")
    return min(int(started), _MAX_NS), ref
