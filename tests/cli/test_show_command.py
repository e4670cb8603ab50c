"""`buildprof show` as a file for other programs."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Run


def test_a_trace_is_one_document_whose_events_have_a_place_and_a_length(run: Run, filled_store: Path) -> None:
    done = run("show", "completed", "--trace", "--data-dir", str(filled_store))
    assert (done.returncode, done.stderr) == (0, "")
    events = json.loads(done.stdout)["traceEvents"]
    complete = [one for one in events if one["ph"] == "X"]
    assert complete
    assert all({"ts", "dur", "pid", "tid", "name"} <= set(one) for one in complete)


def test_a_trace_of_hostile_names_is_ascii_without_control_characters(run: Run, filled_store: Path) -> None:
    printed = run("show", "hostile", "--trace", "--data-dir", str(filled_store)).stdout
    assert all(" " <= character <= "~" or character == "\n" for character in printed)
    assert json.loads(printed)["traceEvents"]


def test_a_trace_and_json_exclude_each_other(run: Run, filled_store: Path) -> None:
    done = run("show", "completed", "--trace", "--json", "--data-dir", str(filled_store))
    assert done.returncode == 2
    assert done.stdout == ""
    assert "exclude each other" in done.stderr


def test_a_trace_of_no_build_is_one_line(run: Run, filled_store: Path) -> None:
    done = run("show", "nothing", "--trace", "--data-dir", str(filled_store))
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1
