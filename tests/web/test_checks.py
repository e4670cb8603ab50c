from __future__ import annotations

import asyncio
import threading

from buildprof.model.check import Check, CheckStatus
from buildprof.web.checks import KeptChecks

OK = Check("engine", CheckStatus.OK, "here")


async def test_what_was_found_is_kept_for_a_while():
    asked = []

    def ask():
        asked.append(1)
        return [OK]

    checks = KeptChecks(ask, kept_seconds=60)
    first = await checks.found()
    assert first is not None
    assert first.checks == (OK,)
    assert await checks.found() is first
    assert len(asked) == 1
    forgetful = KeptChecks(ask, kept_seconds=0)
    await forgetful.found()
    await forgetful.found()
    assert len(asked) == 3


async def test_however_many_want_to_know_it_is_asked_once():
    asked, may_end = [], threading.Event()

    def ask():
        asked.append(1)
        may_end.wait(10)
        return [OK]

    checks = KeptChecks(ask)
    waiting = [asyncio.create_task(checks.found()) for _ in range(5)]
    await asyncio.sleep(0)
    may_end.set()
    assert {one.checks for one in await asyncio.gather(*waiting) if one} == {(OK,)}
    assert len(asked) == 1


async def test_nobody_waits_long_for_what_does_not_answer():
    may_end = threading.Event()

    def ask():
        may_end.wait(10)
        return [OK]

    checks = KeptChecks(ask, wait_seconds=0.01)
    assert await checks.found() is None
    may_end.set()
    patient = KeptChecks(ask)
    assert await patient.found() is not None


async def test_checks_that_fail_are_asked_again():
    answers = [None, [OK]]

    def ask():
        if (answer := answers.pop(0)) is None:
            raise OSError("no socket")
        return answer

    checks = KeptChecks(ask)
    assert await checks.found() is None
    found = await checks.found()
    assert found is not None
    assert found.checks == (OK,)
