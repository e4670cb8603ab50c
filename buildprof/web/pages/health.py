"""How the agent stands, at `/health`: what it can observe and what not, its sources, directories, labels and storage."""

from __future__ import annotations

import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Engine

from buildprof.model.check import Check, CheckStatus
from buildprof.model.standing import AgentStanding
from buildprof.store.connect import describe
from buildprof.store.image_lists import stored_rows
from buildprof.store.queries import store_size_bytes
from buildprof.web.checks import Checkup
from buildprof.web.pages.render import render

_VERSIONS = {"docker engine": "Engine", "buildkit": "BuildKit"}
"""Checks whose words have a version in them."""

_RANKS = (CheckStatus.MISSING, CheckStatus.DEGRADED, CheckStatus.OK)
_WORDS = {CheckStatus.MISSING: "not observed", CheckStatus.DEGRADED: "in part", CheckStatus.OK: "observed"}


@dataclass(frozen=True, slots=True)
class Line:
    """One check. `word` is its status for people."""

    check: Check
    word: str


@dataclass(frozen=True, slots=True)
class Health:
    """What the page is made of: None and empty where nobody tells."""

    unready: str | None
    standing: AgentStanding | None
    checkup: Checkup | None
    can_check: bool


def page(store: Engine, health: Health, version: str) -> bytes:
    """Make the page. Blocks; raises StoreError."""
    checks = health.checkup.checks if health.checkup else ()
    values = {
        "title": "Health",
        "here": "Health",
        "version": version,
        "live": "",
        "now_ns": time.time_ns(),
        "health": health,
        "standing": health.standing,
        "summary": _summary(checks),
        "lines": [Line(one, _WORDS[one.status]) for one in sorted(checks, key=lambda one: _RANKS.index(one.status))],
        "versions": _versions(checks, version),
        "store": describe(store.url),
        "store_bytes": store_size_bytes(store),
        "rows": stored_rows(store),
    }
    return render("health.html", values)


def _summary(checks: Sequence[Check]) -> str:
    """The checks in one sentence; "" without any."""
    if not checks:
        return ""
    missing = sum(one.status is CheckStatus.MISSING for one in checks)
    degraded = sum(one.status is CheckStatus.DEGRADED for one in checks)
    if not missing and not degraded:
        return "All that was looked at can be observed."
    told = [f"{count} {what}" for count, what in ((missing, "cannot be observed"), (degraded, "only in part")) if count]
    return f"Of {len(checks)} things that were looked at, {', '.join(told)}."


def _versions(checks: Sequence[Check], version: str) -> Mapping[str, str]:
    told = {_VERSIONS[one.name]: one.detail for one in checks if one.name in _VERSIONS and one.status is CheckStatus.OK}
    return {"buildprof": version, "Python": platform.python_version(), **told}
