"""Addresses of the pages: the one place that spells them."""

from __future__ import annotations

from urllib.parse import quote, urlencode


class Address(str):
    """An address on this site. All in it is quoted, so that nothing of it has to be cleaned; cut off it leads nowhere."""

    __slots__ = ()


def address(path: str, **parameters: object) -> Address:
    """A path with those of the parameters that have a value."""
    given = {name: str(value) for name, value in parameters.items() if value not in (None, "")}
    return Address(f"{path}?{urlencode(given, errors='replace')}" if given else path)


def build_path(ref: str, zoom: int = 0) -> Address:
    """A build's page, with its waterfall so much larger."""
    return address(f"/builds/{_part(ref)}", zoom=zoom or None)


def trace_path(ref: str) -> Address:
    """A build as a file for trace viewers."""
    return Address(f"/api/v1/builds/{_part(ref)}/trace")


def compare_path(before: str, after: str) -> Address:
    """Two builds side by side, the earlier one first."""
    return Address(f"/compare/{_part(before)}/{_part(after)}")


def project_path(project: str, target: str = "") -> Address:
    """A project's page, of one of its targets if that is named."""
    return address(f"/projects/{_part(project)}", target=target)


def image_path(image: str) -> Address:
    """An analysed image's page, by a name or an id."""
    return Address(f"/images/{quote(image.encode('utf-8', 'replace'), safe='/:@')}")


def _part(text: str) -> str:
    return quote(text.encode("utf-8", "replace"), safe="")
