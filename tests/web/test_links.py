"""Links from Grafana's panels land on the page of what the panel shows."""

from __future__ import annotations

import json
import re
from urllib.parse import quote

import pytest

from tests.grafana.boards import BOARDS
from tests.web.conftest import a_build
from tests.web.pages.tags import text

LINKS = sorted({url for board in BOARDS.values() for url in re.findall(r'"\$\{agent:raw\}([^"]*)"', json.dumps(board))})


def filled(url: str, project: str, target: str) -> str:
    """As Grafana fills it: `percentencode` leaves no character that an address gives a meaning."""
    for name, value in (("project", project), ("target", target)):
        url = re.sub(r"\$\{[\w.]*" + name + r":percentencode\}", quote(value, safe="!'()*"), url)
    assert "$" not in url
    return url


def test_all_dashboards_lead_to_the_pages():
    assert {url.partition("$")[0].partition("?")[0] for url in LINKS} == {"/", "/health", "/projects/"}


@pytest.mark.parametrize("project", ["shop", "team/shop", "a b?c=d&e#f%2F", "Größe"])
@pytest.mark.parametrize("url", LINKS)
async def test_a_link_lands_on_what_it_is_of(site, url, project):
    site.save(a_build(project=project, target="web"))
    site.save(a_build("other", project="other", target="web"))
    response = await site.client.get(filled(url, project, "web"))
    assert response.status_code == 200
    if "project" in url:
        assert f"{project}/web" in text(response.text).replace(" /", "/")
        assert "/builds/k6g3ggdn" in response.text
        assert "/builds/other" not in response.text
