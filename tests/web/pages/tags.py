"""What a page is made of, to compare pages by."""

from __future__ import annotations

import re
from html.parser import HTMLParser


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, tuple[str, ...]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, tuple(name for name, _ in attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def _parsed(html: str) -> _Tags:
    parser = _Tags()
    parser.feed(html)
    parser.close()
    return parser


def tags(html: str) -> list[tuple[str, tuple[str, ...]]]:
    """All elements, each with the names of its attributes."""
    return _parsed(html).found


def text(html: str) -> str:
    """What there is to read, blanks as one."""
    return " ".join(" ".join(_parsed(html).text).split())


HOSTILE = (
    "<script>alert(1)</script>",
    "\"' onload=x autofocus",
    "<!--",
    "&lt;b&gt;",
    "</td></table><img src=x onerror=alert(1)>",
    "{{ 7 * 7 }}{% raw %}",
    "javascript:alert(1)",
    "a\u202eb\u2066c\u200bd",
    "\x1b[2J\x00\x07",
    "../../etc/passwd?a=b#c%2f",
    "é" * 3000,
)
"""Names that somebody gave a project, a target, a step."""


def repeated_ids(html: str) -> list[str]:
    """Ids that more than one element has: none may, since the script of the pages tells elements by them."""
    ids = re.findall(r'\sid="([^"]*)"', html)
    return sorted({one for one in ids if ids.count(one) > 1})
