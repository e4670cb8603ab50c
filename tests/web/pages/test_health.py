"""The page of the agent's health."""

from __future__ import annotations

import re
import time
from contextlib import asynccontextmanager
from dataclasses import replace

import httpx
import pytest

from buildprof.model.check import Check, CheckStatus
from buildprof.model.standing import AgentStanding, SourceStanding, WatchedDirectory
from buildprof.web.app import create_app
from tests.store.test_images import a_document
from tests.web.conftest import SCOPE, a_build
from tests.web.pages.tags import HOSTILE, repeated_ids, tags, text

MINUTE_NS = 60_000_000_000

CHECKS = (
    Check("docker engine", CheckStatus.OK, "Docker 28.5.2, API 1.51"),
    Check("cache records", CheckStatus.MISSING, "the engine refuses to tell", "give the agent the socket"),
    Check("watches", CheckStatus.DEGRADED, "8,192 of 8,192 are taken", "raise fs.inotify.max_user_watches"),
)

STANDING = AgentStanding(
    sources=(
        SourceStanding("history", "default", "up", "", 75.0, None, 12, 1, 0),
        SourceStanding("docker_events", "remote", "waiting", "connection refused", 0.0, None, 0, 7, 3),
    ),
    directories=(
        WatchedDirectory("/srv/shop", "watched", 4, 120, 0, 0),
        WatchedDirectory("/srv/blog", "read again at each build", 9, 33, 9, 2),
    ),
    projects_labelled=3, max_projects=100, targets_labelled=2, max_targets=20, retention_days=90,
    data_dir="/var/lib/buildprof", files=(("buildprof.db", 1_200_000), ("layers.db", 48_000)),
)  # fmt: skip


@asynccontextmanager
async def client_of(site, standing=None, checks=None):
    """A client of the same site by an agent that stands so and finds that."""
    state = replace(site.state, standing=lambda: standing, checks=None if checks is None else lambda: checks)
    transport = httpx.ASGITransport(create_app(state), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:19323") as client:
        yield client


async def page(site, standing=None, checks=None):
    async with client_of(site, standing, checks) as client:
        response = await client.get("/health")
    assert response.status_code == 200, response.text
    assert repeated_ids(response.text) == []
    return response.text


async def test_what_cannot_be_observed_comes_first_with_what_to_do(site):
    html = await page(site, checks=CHECKS)
    assert "Of 3 things that were looked at, 1 cannot be observed, 1 only in part." in text(html)
    assert [text(one) for one in re.findall(r'<li class="check .*?</li>', html, re.DOTALL)] == [
        "not observed cache records the engine refuses to tell What to do: give the agent the socket",
        "in part watches 8,192 of 8,192 are taken What to do: raise fs.inotify.max_user_watches",
        "observed docker engine Docker 28.5.2, API 1.51",
    ]
    assert re.search(r"Looked at <time [^>]*>just now</time>", html)


async def test_where_all_is_well_it_says_so_and_what_runs_here(site):
    said = text(await page(site, checks=CHECKS[:1]))
    assert "All that was looked at can be observed." in said
    assert "buildprof 0.1.0 Python 3." in said
    assert "Engine Docker 28.5.2" in said


async def test_each_source_says_how_it_stands(site):
    seen = replace(STANDING.sources[0], last_event_ns=time.time_ns() - 2 * MINUTE_NS)
    html = await page(site, replace(STANDING, sources=(seen, STANDING.sources[1])))
    (table,) = re.findall(r'<table class="builds sources">.*?</table>', html, re.DOTALL)
    up, down = (text(one) for one in re.findall(r"<tr>.*?</tr>", table, re.DOTALL)[1:])
    assert up == "history default up for 1 m 15 s 2 minutes ago 12 1 0"
    assert down == "docker_events remote waiting connection refused – 0 7 3"  # noqa: RUF001  # the dash of the pages
    assert '<span class="worse">waiting</span>' in table
    assert '<span class="worse">3</span>' in table


async def test_watched_directories_say_what_is_not_watched(site):
    html = await page(site, STANDING)
    (table,) = re.findall(r'<table class="builds directories">.*?</table>', html, re.DOTALL)
    assert text(table).endswith("/srv/shop watched 120 4 0 0 /srv/blog read again at each build 33 9 9 2")
    assert "None yet. The context directory of each build is watched" in text(
        await page(site, replace(STANDING, directories=()))
    )


async def test_storage_is_counted_and_measured(site):
    site.save(a_build("one"))
    site.save(a_build("two"))
    site.writer.save_image("default", a_document(), [], scope=SCOPE, at_ns=1)
    said = text(await page(site, STANDING))
    assert "Rows 2 builds, 2 steps, 1 analysed image Kept" in said
    assert re.search(r"Store \d+ kB /\S*store\.db", said)
    assert "Kept for 90 days; metrics for ever" in said
    assert "/var/lib/buildprof ; buildprof.db 1.2 MB; layers.db 48 kB" in said
    assert "3 of 100 projects; at most 2 of 20 targets in one" in said
    assert "No room for more" not in said
    assert "No room for more" in text(await page(site, replace(STANDING, projects_labelled=100)))


async def test_an_agent_that_is_not_ready_says_why(site):
    site.unready.append("the history of builder default is being read")
    assert "Not ready yet: the history of builder default is being read" in text(await page(site))


async def test_where_nobody_can_look_it_names_the_command(site):
    said = text(await page(site))
    assert "Run buildprof doctor to see what can be observed here." in said
    assert "Sources" not in said
    assert "None" not in said


async def test_checks_that_fail_do_not_break_the_page(site, capsys):
    def fail():
        raise OSError("no socket")

    state = replace(site.state, checks=fail)
    transport = httpx.ASGITransport(create_app(state), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:19323") as client:
        response = await client.get("/health")
    assert response.status_code == 200
    assert "This is still being looked at, or could not be" in text(response.text)
    assert "no socket" in capsys.readouterr().out


@pytest.mark.parametrize("hostile", HOSTILE)
async def test_no_name_adds_an_element_or_an_attribute(site, hostile):
    seen = []
    for name in ("x", hostile):
        checks = [Check(f"n{name}", CheckStatus.MISSING, f"d{name}", f"r{name}"), replace(CHECKS[0], detail=f"v{name}")]
        standing = replace(
            STANDING,
            sources=(SourceStanding(f"s{name}", f"b{name}", f"u{name}", f"w{name}", 0.0),),
            directories=(WatchedDirectory(f"/d{name}", f"t{name}"),),
            data_dir=f"/a{name}",
            files=((f"f{name}", 1),),
        )
        site.unready[:] = [f"y{name}"]
        seen.append(await page(site, standing, checks))
    plain, html = seen
    assert tags(html) == tags(plain)
    assert len(html) < 20_000
    assert not set(html) & set("\u202e\u2066\u200b\x1b\x00\x07")
