from __future__ import annotations

import json
import threading
from dataclasses import replace
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from buildprof.analysis.sentences import told
from buildprof.exporters.prometheus.collector import StoredSeries
from buildprof.model.build import Status
from buildprof.model.document import build_document
from buildprof.model.regression import Regression, Signal
from buildprof.store.errors import StoreError
from buildprof.web.app import create_app
from buildprof.web.openapi import OPERATIONS
from tests.store.test_images import a_document
from tests.web.conftest import SCOPE, START_NS, a_build, an_explanation


def assert_problem(response: httpx.Response, status: int) -> None:
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    document = response.json()
    assert document.keys() == {"type", "title", "status", "detail"}
    assert document["status"] == status
    assert "\n" not in document["detail"]


async def test_it_is_healthy_while_it_lives(site):
    response = await site.client.get("/-/healthy")
    assert (response.status_code, response.text) == (200, "healthy\n")


async def test_it_is_ready_once_history_has_been_read(site):
    site.unready.append("the engine's history is being read")
    response = await site.client.get("/-/ready")
    assert response.status_code == 503
    assert response.json() == {"ready": False, "reason": "the engine's history is being read"}
    site.unready.clear()
    response = await site.client.get("/-/ready")
    assert (response.status_code, response.json()) == (200, {"ready": True, "reason": None})


async def test_metrics_are_given_in_the_format_asked_for(site):
    site.save(a_build())
    text = await site.client.get("/metrics")
    assert text.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert 'buildprof_builds_total{builder="default",project="shop",target="web"} 1.0' in text.text
    accept = {"accept": "application/openmetrics-text;version=1.0.0"}
    openmetrics = await site.client.get("/metrics", headers=accept)
    assert openmetrics.headers["content-type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert {family.name for family in text_string_to_metric_families(openmetrics.text)} >= {"buildprof_builds"}


async def test_builds_are_listed_newest_first_without_steps(site):
    for minutes, ref in enumerate(("first", "second", "third")):
        site.save(a_build(ref, minutes=minutes))
    document = (await site.client.get("/api/v1/builds")).json()
    assert [build["ref"] for build in document["builds"]] == ["third", "second", "first"]
    assert document["builds"][2] == build_document(a_build("first"), with_steps=False)
    assert document["next"] is None


async def test_builds_are_filtered_by_what_is_asked(site):
    site.save(a_build("a"))
    site.save(a_build("b", minutes=1, target="worker", status=Status.FAILED))
    site.save(a_build("c", minutes=2, project="blog"))

    async def refs(query: str) -> list[str]:
        return [build["ref"] for build in (await site.client.get(f"/api/v1/builds?{query}")).json()["builds"]]

    assert await refs("project=shop") == ["b", "a"]
    assert await refs("project=shop&target=web") == ["a"]
    assert await refs("status=failed") == ["b"]
    assert await refs("since=2023-11-14T22:15:00Z") == ["c"]
    assert await refs("since=9999-12-31T00:00:00Z") == []
    assert await refs("since=1s") == []


async def test_pages_follow_each_other_until_there_is_no_next(site):
    for number in range(5):
        site.save(a_build(f"ref{number}", minutes=number // 2))
    seen, query = [], {"limit": "2"}
    while True:
        page = (await site.client.get("/api/v1/builds", params=query)).json()
        seen += [build["ref"] for build in page["builds"]]
        if page["next"] is None:
            break
        query["before"] = page["next"]
    assert seen == ["ref4", "ref3", "ref2", "ref1", "ref0"]


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=501",
        "limit=-1",
        "limit=1e3",
        "limit=٣",
        "limit=999999999999999999999999",
        "status=broken",
        "since=yesterday",
        "since=" + "9" * 300 + "d",
        "before=",
        "before=12",
        "before=.ref",
        "before=99999999999999999999.ref",
        "project=",
        "project=" + "x" * 256,
        "project=a%00b",
        "target=%1b[31m",
        "project=a&project=b",
        "sort=asc",
        "%3Cscript%3E=1",
    ],
)
async def test_a_bad_parameter_is_one_clear_problem(site, query):
    response = await site.client.get(f"/api/v1/builds?{query}")
    assert_problem(response, 400)
    assert "script" not in response.text


async def test_a_build_is_found_by_ref_prefix_and_last(site):
    site.save(a_build("abc123"))
    site.save(a_build("abd456", minutes=1))
    expected = build_document(a_build("abc123"))
    for ref in ("abc123", "abc"):
        assert (await site.client.get(f"/api/v1/builds/{ref}")).json() == json.loads(json.dumps(expected))
    assert (await site.client.get("/api/v1/builds/last")).json()["ref"] == "abd456"
    assert_problem(await site.client.get("/api/v1/builds/ab"), 400)
    assert_problem(await site.client.get("/api/v1/builds/nobody"), 404)


@pytest.mark.parametrize(
    "ref",
    [
        "%",
        "%25",
        "..%2f..%2fetc%2fpasswd",
        "a%2Fb",
        "%00",
        "a%0d%0aX-Header:%201",
        "%F0%9F%92%A9",
        "%ff",
        "x" * 256,
        "'%20OR%201",
    ],
)
async def test_a_weird_ref_is_no_build(site, ref):
    site.save(a_build())
    response = await site.client.get(f"/api/v1/builds/{ref}")
    assert_problem(response, 404)
    assert "x-header" not in response.headers


async def test_a_build_is_explained(site):
    explanation = an_explanation("abc123")
    site.save(a_build("abc123"), explanation)
    document = (await site.client.get("/api/v1/builds/abc/explain")).json()
    assert document == json.loads(json.dumps(told(explanation, a_build("abc123"))))
    assert document["misses"][0]["text"] == (
        "RUN make missed because the build was asked not to use the cache (--no-cache)."
    )


async def test_a_build_that_is_not_known_runs_or_is_not_explained_is_a_404_that_says_which(site):
    site.save(a_build("abc123"))
    site.writer.save_build(a_build("def456", status=Status.RUNNING, completed_ns=None), scope="here")
    for ref, words in (("nobody", "no build has"), ("abc123", "not explained"), ("def456", "still runs")):
        response = await site.client.get(f"/api/v1/builds/{ref}/explain")
        assert_problem(response, 404)
        assert words in response.json()["detail"]


async def test_projects_are_told(site):
    site.save(a_build())
    (project,) = (await site.client.get("/api/v1/projects")).json()["projects"]
    assert (project["project"], project["target"], project["builds"]) == ("shop", "web", 1)
    assert project["hit_ratio"] == 0.0
    assert project["trend"] == 1.0
    assert project["saved_seconds"] is None
    assert project["regressions"] == []


async def test_what_got_worse_is_told_with_its_project(site):
    site.save(a_build())
    slower = Regression(
        Signal.DURATION_SECONDS,
        "default",
        "Dockerfile",
        "",
        False,
        "k6g3ggdn",
        START_NS,
        "k6g3ggdn",
        3,
        20.0,
        10.0,
        11.0,
    )
    site.writer.save_regressions("shop", "web", [slower], [], scope="here")
    (project,) = (await site.client.get("/api/v1/projects")).json()["projects"]
    (told,) = project["regressions"]
    assert (told["signal"], told["value"], told["baseline_threshold"]) == ("duration_seconds", 20.0, 11.0)
    assert told["since"]["ref"] == "k6g3ggdn"


@pytest.mark.parametrize("path", ["/nothing", "/metrics/", "/api/v1", "/api/v1/builds/a/b", "/-/", "/%2e%2e/"])
async def test_an_unknown_path_is_a_404_problem_and_no_redirect(site, path):
    assert_problem(await site.client.get(path), 404)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
async def test_only_get_and_head_are_allowed(site, method):
    response = await site.client.request(method, "/api/v1/builds")
    assert_problem(response, 405)
    assert set(response.headers["allow"].split(", ")) == {"GET", "HEAD"}
    assert (await site.client.head("/api/v1/builds")).status_code == 200
    assert (await site.client.head("/api/v1/events")).status_code == 200


async def test_a_store_that_cannot_be_read_is_a_503_that_hides_its_address(site):
    def broken(_seq):
        raise StoreError("postgresql://db.internal/builds: cannot be reached")

    state = replace(site.state, stored_series=StoredSeries(broken))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(create_app(state)), base_url="http://[::1]") as client:
        response = await client.get("/metrics")
    assert_problem(response, 503)
    assert "internal" not in response.text


async def test_a_store_whose_tables_are_gone_is_a_503(site):
    with site.state.store.begin() as connection:
        connection.exec_driver_sql("DROP TABLE steps")
        connection.exec_driver_sql("DROP TABLE builds")
    for path in ("/", "/api/v1/builds", "/api/v1/builds/last", "/api/v1/projects"):
        assert_problem(await site.client.get(path), 503)


async def test_a_bug_is_a_500_problem_with_security_headers(site):
    state = replace(site.state, unready=lambda: 1 / 0)
    transport = httpx.ASGITransport(create_app(state), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        response = await client.get("/-/ready")
    assert_problem(response, 500)
    assert response.headers["x-content-type-options"] == "nosniff"
    assert "ZeroDivision" not in response.text


async def test_queries_run_outside_of_the_event_loops_thread(site):
    threads = []

    def changes(seq):
        threads.append(threading.current_thread())
        return [], seq

    state = replace(site.state, stored_series=StoredSeries(changes))
    transport = httpx.ASGITransport(create_app(state))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        await client.get("/metrics")
    assert threads
    assert threading.main_thread() not in threads


async def test_the_api_document_tells_of_every_route_and_of_no_other(site):
    document = (await site.client.get("/api/v1/openapi.json")).json()
    assert document["openapi"].startswith("3.1")
    assert document["paths"].keys() == {operation.path for operation in OPERATIONS}
    site.save(a_build(), an_explanation())
    site.writer.save_image("default", a_document(image="shop:latest"), [], scope=SCOPE, at_ns=1)
    for path, item in document["paths"].items():
        response = await site.client.head(path.replace("{ref}", "last").replace("{image}", "shop"))
        assert response.status_code == 200
        (media_type,) = item["get"]["responses"]["200"]["content"]
        assert response.headers["content-type"].startswith(media_type)
        in_path = [p["name"] for p in item["get"]["parameters"] if p["in"] == "path"]
        assert in_path == [name for name in ("ref", "image") if f"{{{name}}}" in path]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(ref=st.binary(max_size=60), name=st.sampled_from(["project", "since", "limit", "before"]), value=st.binary())
async def test_no_ref_or_parameter_is_a_fault(site, ref, name, value):
    assert (await site.client.get(f"/api/v1/builds/x{quote(ref, safe='')}")).status_code == 404
    query = f"{name}={quote(value[:500])}"
    assert (await site.client.get(f"/api/v1/builds?{query}")).status_code in {200, 400}
