from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator

import pytest
import structlog

from buildprof.log import MAX_VALUE, configure_logging, get_logger


@pytest.fixture(autouse=True)
def restore_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def test_json_lines_have_time_level_part_and_event() -> None:
    stream = io.StringIO()
    configure_logging("info", "json", stream)
    get_logger("store").warning("slow write", seconds=1.5)
    line = json.loads(stream.getvalue())
    assert line.pop("timestamp").endswith("Z")
    assert line == {"event": "slow write", "level": "warning", "part": "store", "seconds": 1.5}


def test_the_level_is_kept_to() -> None:
    stream = io.StringIO()
    configure_logging("warning", "console", stream)
    get_logger("x").info("quiet")
    logging.getLogger("docker").info("quiet too")
    assert stream.getvalue() == ""


def test_libraries_speak_in_the_same_form_from_warnings_on() -> None:
    stream = io.StringIO()
    configure_logging("info", "json", stream)
    logging.getLogger("urllib3").info("connecting")
    logging.getLogger("urllib3").warning("retrying %s", "\x1b[2Jhost")
    line = json.loads(stream.getvalue())
    assert (line["logger"], line["level"], line["event"]) == ("urllib3", "warning", "retrying host")


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_hostile_values_neither_break_lines_nor_grow_without_bound(log_format: str) -> None:
    stream = io.StringIO()
    configure_logging("info", log_format, stream)
    nested: list[object] = []
    nested.append(nested)
    get_logger("x").info("a\nb\x1b[31m", name="\u202e\x07" + "x" * 1_000_000, rows=list(range(10_000)), ring=nested)
    text = stream.getvalue()
    assert text.count("\n") == 1
    assert not set(text) & {"\x1b", "\x07", "\u202e"}
    assert len(text) < 5 * MAX_VALUE


def test_a_traceback_is_kept_with_its_end() -> None:
    stream = io.StringIO()
    configure_logging("info", "console", stream)
    try:
        int("x" * 100_000 + "\x1b[2J the end")
    except ValueError:
        get_logger("x").exception("failed")
    assert "Traceback" not in stream.getvalue()[:10]
    assert len(stream.getvalue()) < 20_000
    assert "\x1b" not in stream.getvalue()


def test_logging_does_not_load_rich() -> None:
    code = "import sys, buildprof.log; sys.exit(any(name.split('.')[0] == 'rich' for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
