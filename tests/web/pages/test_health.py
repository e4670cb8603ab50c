"""The page of health, and the checks that it shows."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace

import httpx
import pytest

from buildprof.model.check import Check, CheckStatus
from buildprof.model.standing import AgentStanding, SourceStanding, WatchedDirectory
from buildprof.web.app import create_app
from buildprof.web.checks import KeptChecks
from tests.web.pages.tags import HOSTILE, tags, text

CHECKS = (
    Check("docker engine", CheckStatus.OK, "Docker 28.5.2"),
    Check("buildkit", CheckStatus.MISSING, "no history", "use a newer engine"),
)


def standing(name: str = "buildkit", directory: str = "/srv/shop") -> AgentStanding:
    return AgentStanding(
        sources=(SourceStanding(name, "default", "up", "", 31.7, None, 53, 1, 0),),
        directories=(WatchedDirectory(directory, "watched", 3, 12),),
        projects_labelled=3, max_projects=100, targets_labelled=2, max_targets=20,
        retention_days=90, data_dir="/var/lib/buildprof", files=(("trees.db", 152_000),),
    )  # fmt: skip


async def page(site, **more) -> str:
    transport = httpx.ASGITransport(create_app(replace(site.state, **more)), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:19323") as client:
        response = await client.get("/health")
    assert response.status_code == 200, response.text
    return response.text


async def test_sources_directories_and_storage_are_shown(site):
    said = text(await page(site, standing=standing, checks=lambda: CHECKS))
    for shown in (
        "buildkit default",
        "up for 31.7 s",
        "53",
        "/srv/shop",
        "90 days",
        "3 of 100 projects",
        "trees.db 152 kB",
    ):
        assert shown in said
    assert "0 builds, 0 steps" in said


async def test_what_cannot_be_observed_says_what_to_do(site):
    said = text(await page(site, standing=standing, checks=lambda: CHECKS))
    assert "no history" in said
    assert "What to do: use a newer engine" in said


async def test_an_agent_that_is_not_ready_says_why(site):
    site.unready.append("default: the build history is being read")
    assert "Not ready yet: default: the build history is being read" in text(await page(site))


async def test_checks_are_asked_once_for_all_who_want_to_know():
    asked = threading.Event()
    count = 0

    def ask():
        nonlocal count
        count += 1
        asked.wait(10)
        return CHECKS

    checks = KeptChecks(ask, wait_seconds=10)
    waiting = [asyncio.create_task(checks.found()) for _ in range(3)]
    await asyncio.sleep(0.05)
    asked.set()
    found = await asyncio.gather(*waiting)
    assert [one.checks for one in found if one] == [CHECKS] * 3
    assert (await checks.found()) is found[0]
    assert count == 1


async def test_checks_that_take_long_keep_no_page_waiting():
    over = threading.Event()

    def ask():
        over.wait(10)
        return CHECKS

    checks = KeptChecks(ask, wait_seconds=0.05)
    assert await checks.found() is None
    over.set()
    async with asyncio.timeout(10):
        while (found := await checks.found()) is None:
            await asyncio.sleep(0.01)
    assert found.checks == CHECKS


async def test_checks_that_fail_are_asked_again():
    answers = iter([RuntimeError("no"), CHECKS])

    def ask():
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    checks = KeptChecks(ask)
    assert await checks.found() is None
    found = await checks.found()
    assert found is not None


@pytest.mark.parametrize("hostile", HOSTILE)
async def test_no_name_adds_an_element_or_an_attribute(site, hostile):
    def told(name: str):
        return {
            "standing": lambda: standing(f"s{name}", f"/d{name}"),
            "checks": lambda: (Check(f"c{name}", CheckStatus.DEGRADED, f"d{name}", f"r{name}"),),
        }

    plain, html = await page(site, **told("x")), await page(site, **told(hostile))
    assert tags(html) == tags(plain)
    assert not set(html) & set("\u202e\u2066\u200b\x1b\x00\x07")
