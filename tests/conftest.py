"""What holds for all tests: the fixtures of real engines, clean ends, and no test that is left out in silence."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Generator
from typing import NoReturn, TypeVar

import pytest

pytest_plugins = ["tests.engines.fixtures", "tests.postgres"]

_Report = TypeVar("_Report", pytest.TestReport, pytest.CollectReport)

EVERYTHING_MUST_RUN = os.environ.get("CI") == "true" or os.environ.get("TESTS_MUST_RUN") == "1"
"""A test that cannot run here (no engine, no PostgreSQL, no promtool) fails instead of being skipped."""


def pytest_configure() -> None:
    """Take a polite kill as Ctrl-C, so that fixtures stop what they started."""

    def interrupt(_signal: int, _frame: object) -> NoReturn:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup ignores it on purpose
        signal.signal(signal.SIGHUP, interrupt)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    return _fail_if_skipped(report)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    return _fail_if_skipped(report)


def _fail_if_skipped(report: _Report) -> _Report:
    if EVERYTHING_MUST_RUN and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"left out, where every test must run: {_reason(report)}"
    return report


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    return str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr).removeprefix("Skipped: ")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    left_out = Counter(_reason(report) for report in terminalreporter.stats.get("skipped", ()))
    if left_out:
        terminalreporter.section("not covered by this run")
        for reason, tests in left_out.most_common():
            terminalreporter.line(f"{tests} test{'s'[: tests - 1]}: {reason}")
