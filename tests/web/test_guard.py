from __future__ import annotations

from dataclasses import replace

import httpx
import pytest

from buildprof.web.app import create_app
from buildprof.web.guard import SECURITY_HEADERS, names_loopback


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("LOCALHOST:19323", True),
        ("127.0.0.1", True),
        ("127.8.9.1:80", True),
        ("[::1]:19323", True),
        ("::1", True),
        ("evil.example", False),
        ("localhost.evil.example:19323", False),
        ("127.0.0.1.evil.example", False),
        ("192.168.1.2", False),
        ("0.0.0.0", False),
        ("[::]", False),
        ("", False),
        ("127.0.0.1@evil.example", False),
        ("localhost:80@evil.example", False),
        ("[::1]@evil.example", False),
        ("localhost:", True),
    ],
)
def test_a_host_names_loopback_or_not(host, expected):
    assert names_loopback(host) is expected


@pytest.mark.parametrize("path", ["/", "/metrics", "/api/v1/builds", "/api/v1/events", "/nothing"])
async def test_a_name_that_was_rebound_to_this_machine_is_refused_everywhere(site, path):
    response = await site.client.get(path, headers={"host": "evil.example:19323"})
    assert response.status_code == 421
    assert response.headers["content-type"] == "application/problem+json"
    assert "evil" not in response.text


async def test_any_host_is_served_where_others_may_connect(site):
    app = create_app(replace(site.state, loopback_only=False))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://ci.example") as client:
        assert (await client.get("/-/healthy")).status_code == 200


@pytest.mark.parametrize("path", ["/", "/metrics", "/api/v1/builds", "/nothing", "/-/healthy"])
async def test_every_response_has_security_headers(site, path):
    headers = (await site.client.get(path)).headers
    assert SECURITY_HEADERS.keys() <= headers.keys()
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert "access-control-allow-origin" not in headers


async def test_a_body_is_refused(site):
    for content in (b"x", b"x" * 1_000_000):
        response = await site.client.request("GET", "/metrics", content=content)
        assert response.status_code == 413
        assert response.headers["connection"] == "close"


async def test_a_chunked_body_is_refused(site):
    async def endless():
        yield b"x"

    assert (await site.client.request("GET", "/metrics", content=endless())).status_code == 413


async def test_an_address_that_is_too_long_is_refused(site):
    assert (await site.client.get("/api/v1/builds?project=" + "x" * 5000)).status_code == 414
    assert (await site.client.get("/" + "x" * 5000)).status_code == 414
