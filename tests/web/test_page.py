from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from buildprof.model.build import Status, Summary
from buildprof.web.page import CONTENT_SECURITY_POLICY, landing_page
from tests.web.conftest import START_NS, a_build

NOW_NS = START_NS + 180_000_000_000


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found: list[tuple[str, tuple[str, ...]]] = []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, tuple(name for name, _ in attrs)))


def tags(html: str) -> list[tuple[str, tuple[str, ...]]]:
    parser = Tags()
    parser.feed(html)
    parser.close()
    return parser.found


def test_the_page_shows_the_latest_builds():
    html = landing_page([a_build()], NOW_NS, "0.1.0")
    for text in ("shop/web", "completed", "3 minutes ago", "2.0 s", "0 of 1", "214 MB", "k6g3ggdn"):
        assert text in html


def test_a_page_without_builds_says_so():
    assert "No builds yet." in landing_page([], NOW_NS, "0.1.0")


def test_what_is_unknown_is_left_blank():
    begun = a_build(status=Status.RUNNING, completed_ns=None, image=None, steps=(), summary=Summary())
    html = landing_page([begun], NOW_NS, "0.1.0")
    assert "None" not in html
    assert "running" in html


@given(st.text(), st.text(), st.text(min_size=1))
def test_no_name_adds_an_element_or_an_attribute(project, target, ref):
    plain = landing_page([a_build()], NOW_NS, "0.1.0")
    for nasty in ("", "<script>alert(1)</script>", "\"' onload=x", "<!--", "&lt;", "</code></td>"):
        html = landing_page([a_build(ref + nasty, project=project + nasty, target=nasty + target)], NOW_NS, nasty)
        assert tags(html) == tags(plain)


def test_the_policy_allows_the_one_style_and_nothing_else():
    (style,) = re.findall("<style>(.*)</style>", landing_page([], NOW_NS, "0.1.0"))
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in CONTENT_SECURITY_POLICY
    assert "unsafe" not in CONTENT_SECURITY_POLICY
    assert "script" not in CONTENT_SECURITY_POLICY


async def test_the_page_is_served_with_its_policy(site):
    site.save(a_build("<b>ref</b>", project="<img src=x onerror=alert(1)>"))
    response = await site.client.get("/")
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
    assert "<img" not in response.text
    assert "&lt;img" in response.text
