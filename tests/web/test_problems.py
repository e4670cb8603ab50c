"""Errors: a page for a person, a document for a program."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from tests.web.conftest import a_build
from tests.web.pages.tags import HOSTILE, tags, text

BROWSER = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/nowhere", 404, "Not Found There is nothing here."),
        ("/builds/nope", 404, "Not Found No build has this ref."),
        ("/builds/a", 400, "Bad Request"),
        ("/compare/nope/nope", 404, "Not Found No build has this ref."),
    ],
)
async def test_a_browser_gets_a_page_that_says_what_was_wrong_and_where_to_go(site, path, status, said):
    site.save(a_build("aa1"))
    site.save(a_build("aa2"))
    response = await site.client.get(path, headers=BROWSER)
    assert response.status_code == status
    assert response.headers["content-type"].startswith("text/html")
    assert "script-src 'self'" in response.headers["content-security-policy"]
    assert said in text(response.text)
    assert 'href="/projects"' in response.text


@pytest.mark.parametrize("path", ["/api/v1/builds/nope", "/api/v1/nowhere", "/metrics/", "/-/nowhere", "/static/no.js"])
async def test_what_programs_ask_for_is_a_document_also_in_a_browser(site, path):
    response = await site.client.get(path, headers=BROWSER)
    assert (response.status_code, response.headers["content-type"]) == (404, "application/problem+json")


async def test_who_does_not_ask_for_a_page_gets_a_document(site):
    response = await site.client.get("/nowhere", headers={"accept": "*/*"})
    assert response.json() == {
        "type": "about:blank",
        "title": "Not Found",
        "status": 404,
        "detail": "there is nothing here",
    }


async def test_a_store_that_cannot_be_read_is_told_on_a_page(site):
    with site.state.store.begin() as connection:
        connection.exec_driver_sql("DROP TABLE steps")
        connection.exec_driver_sql("DROP TABLE builds")
    response = await site.client.get("/", headers=BROWSER)
    assert response.status_code == 503
    assert "The store cannot be read at the moment; the agent's log says why." in text(response.text)


async def test_a_page_of_an_error_repeats_nothing_that_was_asked_for(site):
    usual = tags((await site.client.get("/nowhere", headers=BROWSER)).text)
    for name in HOSTILE[:-1]:
        response = await site.client.get("/builds/x" + quote(name, safe=""), headers=BROWSER)
        assert tags(response.text) == usual
        assert name not in response.text


async def test_a_method_that_is_not_allowed_keeps_its_header(site):
    response = await site.client.post("/projects", headers=BROWSER)
    assert (response.status_code, set(response.headers["allow"].split(", "))) == (405, {"GET", "HEAD"})
