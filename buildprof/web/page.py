"""The page at `/`: the latest builds as a plain table. Every value is cleaned, bounded and escaped."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from html import escape

from buildprof.model.build import Build
from buildprof.model.text import clean, human_age, human_duration, human_size

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color-scheme:light dark}"
    "table{border-collapse:collapse;width:100%}th,td{padding:.3rem .8rem .3rem 0;text-align:left;"
    "border-bottom:1px solid #8885}.n{text-align:right}td,code{overflow-wrap:anywhere}"
)
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

CONTENT_SECURITY_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Nothing is loaded, nothing runs, and no style but ours is applied, even if something slipped through the escaping."""

_COLUMNS = ("Build", "Status", "Started", "Time", "Cache hits", "Image", "Ref")


def landing_page(builds: Iterable[Build], now_ns: int, version: str) -> str:
    """Make the page as HTML. `now_ns` is what ages are reckoned from."""
    rows = "".join(_row(build, now_ns) for build in builds)
    head = "".join(f'<th scope="col">{name}</th>' for name in _COLUMNS)
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>" if rows else "<p>No builds yet.</p>"
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>buildprof</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head><body>'
        f"<h1>buildprof</h1><h2>Latest builds</h2>{table}"
        '<p><a href="/metrics">Metrics</a> · <a href="/api/v1/builds">Builds as JSON</a> · '
        '<a href="/api/v1/projects">Projects as JSON</a> · <a href="/api/v1/openapi.json">API</a></p>'
        f"<p>Version {_text(version)}</p></body></html>"
    )


def _row(build: Build, now_ns: int) -> str:
    duration, summary = build.duration_seconds, build.summary
    size = build.image.size_bytes if build.image else None
    cells = (
        _text(f"{build.project}/{build.target}"),
        _text(build.status.value),
        _text(human_age((now_ns - build.started_ns) / 1e9)),
        "" if duration is None else _text(human_duration(duration)),
        "" if summary.looked_up is None else _text(f"{summary.cache_hits} of {summary.looked_up}"),
        "" if size is None else _text(human_size(size)),
        f"<code>{_text(build.ref)}</code>",
    )
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _text(text: str) -> str:
    return escape(clean(text, 120))
