"""The trace of a build as a file."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.cli import sample_explanations
from tests.web.conftest import SCOPE, a_build
from tests.web.pages.tags import HOSTILE


async def test_a_trace_is_a_file_to_save_named_for_its_build(site):
    site.save(a_build())
    response = await site.client.get("/api/v1/builds/k6g3/trace")
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.headers["content-disposition"] == 'attachment; filename="build-k6g3ggdn.trace.json"'
    assert [one["name"] for one in response.json()["traceEvents"] if one["ph"] == "X"] == []
    assert response.json()["otherData"]["ref"] == "k6g3ggdn"


async def test_a_trace_tells_why_steps_missed(site):
    sample, explanation = sample_explanations.readme()
    site.save(sample, explanation)
    events = json.loads((await site.client.get(f"/api/v1/builds/{sample.ref}/trace")).text)["traceEvents"]
    assert [one["args"]["cause"] for one in events if "cause" in one["args"]] == ["source_changed"] * 3


async def test_a_build_that_runs_has_a_trace_already(site):
    site.writer.save_build(replace(a_build(), completed_ns=None), scope=SCOPE)
    assert (await site.client.get("/api/v1/builds/k6g3ggdn/trace")).status_code == 200


@pytest.mark.parametrize("ref", ["none", "x" * 300])
async def test_a_trace_of_no_build_is_a_problem(site, ref):
    response = await site.client.get(f"/api/v1/builds/{ref}/trace")
    assert response.status_code in {400, 404}
    assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("hostile", HOSTILE)
async def test_no_ref_breaks_the_name_of_the_file(site, hostile):
    site.save(a_build(f"ref{hostile}"))
    response = await site.client.get("/api/v1/builds/ref/trace")
    name = response.headers["content-disposition"].removeprefix('attachment; filename="').removesuffix('"')
    assert name.replace("-", "").replace("_", "").replace(".", "").isalnum()
    assert len(name) < 90
