"""Addresses of the pages: the one place that spells them."""

from __future__ import annotations

from urllib.parse import quote, urlencode


def address(path: str, **parameters: object) -> str:
    """A path with those of the parameters that have a value."""
    given = {name: str(value) for name, value in parameters.items() if value not in (None, "")}
    return f"{path}?{urlencode(given, errors='replace')}" if given else path


def build_path(ref: str) -> str:
    """A build's page."""
    return f"/builds/{_part(ref)}"


def trace_path(ref: str) -> str:
    """A build as a file for trace viewers."""
    return f"/api/v1/builds/{_part(ref)}/trace"


def compare_path(before: str, after: str) -> str:
    """Two builds side by side, the earlier one first."""
    return f"/compare/{_part(before)}/{_part(after)}"


def project_path(project: str, target: str = "") -> str:
    """A project's page, of one of its targets if that is named."""
    return address(f"/projects/{_part(project)}", target=target)


def image_path(image: str) -> str:
    """An analysed image's page, by a name or an id."""
    return f"/images/{quote(image.encode('utf-8', 'replace'), safe='/:@')}"


def _part(text: str) -> str:
    return quote(text.encode("utf-8", "replace"), safe="")
