from __future__ import annotations

import pytest

from tests.store.test_images import a_document
from tests.web.conftest import SCOPE, Site


@pytest.mark.parametrize(
    "name", ["registry.example:5000/shop/web:1", "registry.example:5000%2Fshop%2Fweb:1", "sha256:abcd", "abcd"]
)
async def test_an_image_is_served_by_its_name_with_slashes_and_by_its_id(site: Site, name: str) -> None:
    document = a_document("sha256:abcd99", "registry.example:5000/shop/web:1")
    site.writer.save_image("default", document, [], scope=SCOPE, at_ns=1)
    response = await site.client.get(f"/api/v1/images/{name}")
    assert (response.status_code, response.json()) == (200, document)


@pytest.mark.parametrize("name", ["none", "%00", "a%0ab", "x" * 300, "..%2f..%2fetc"])
async def test_an_image_that_is_not_known_is_a_problem(site: Site, name: str) -> None:
    response = await site.client.get(f"/api/v1/images/{name}")
    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"
    assert "build" not in response.json()["detail"]
