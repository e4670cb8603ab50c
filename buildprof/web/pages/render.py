"""Templates, and how values become text in them. Whatever a template shows is cleaned, bounded and escaped."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from buildprof.model.text import clean, human_age, human_size, plural, rfc3339, said_duration
from buildprof.web.pages import paths
from buildprof.web.pages.drawing import PATTERNS

MAX_SHOWN = 500
"""Characters of one value, unless a template asks for another number."""

NOT_KNOWN = "–"  # noqa: RUF001  # a dash, as one writes for "none"


class Cleaned(str):
    """Text that is clean, and as long as its template wants it."""

    __slots__ = ()


def render(template: str, values: Mapping[str, object]) -> bytes:
    """A page, in UTF-8. `values` are the template's names; a name that is missing is an error."""
    return _environment().get_template(template).render(values).encode("utf-8", "replace")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("buildprof.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        finalize=_shown,
    )
    environment.filters |= {
        "at_most": at_most,
        "duration": duration,
        "size": size,
        "change": change,
        "percent": percent,
        "plural": plural,
    }
    environment.globals |= {
        "PATTERNS": PATTERNS,
        "build_path": paths.build_path,
        "compare_path": paths.compare_path,
        "image_path": paths.image_path,
        "moment": moment,
        "now_ms": lambda: round(time.time() * 1000),
        "project_path": paths.project_path,
        "trace_path": paths.trace_path,
    }
    return environment


_SAFE = (Markup, paths.Address, Cleaned)


def _shown(value: object) -> object:
    """What an expression of a template becomes: text without control characters, a dash for what is not known."""
    if isinstance(value, _SAFE):
        return value
    if value is None:
        return NOT_KNOWN
    if not isinstance(value, str):
        return value
    is_plain = len(value) <= MAX_SHOWN and value.isascii() and value.isprintable()
    return value if is_plain else clean(value, MAX_SHOWN)


def at_most(value: object, limit: int) -> Cleaned:
    """Text of so many characters, of which there may be more than MAX_SHOWN."""
    return Cleaned(clean(value, limit))


def duration(seconds: float | None) -> str | None:
    """Such as "41.8 s", or "18 ms"."""
    return None if seconds is None else said_duration(seconds)


def size(size_bytes: float | None) -> str | None:
    """Such as "214 MB"."""
    return None if size_bytes is None else human_size(round(size_bytes))


def change(size_bytes: int | None) -> str | None:
    """Such as "+1.2 MB"; "unchanged" for none."""
    if size_bytes is None:
        return None
    return f"{'+' if size_bytes > 0 else ''}{human_size(size_bytes)}" if size_bytes else "unchanged"


def percent(share: float | None) -> str | None:
    """Such as "87%", of a share of 1."""
    return None if share is None else f"{100 * share:.0f}%"


def moment(time_ns: int | None, now_ns: int) -> Markup | str:
    """A time as its age, with the time itself for machines and on hover."""
    if time_ns is None:
        return NOT_KNOWN
    exact = rfc3339(time_ns)
    shown = f"{datetime.fromtimestamp(time_ns / 1e9, UTC):%Y-%m-%d %H:%M:%S} UTC"
    age = human_age((now_ns - time_ns) / 1e9)
    return Markup('<time datetime="{}" title="{}" data-ns="{}">{}</time>').format(exact, shown, time_ns, age)
