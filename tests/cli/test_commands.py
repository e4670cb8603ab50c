"""Commands in processes of their own, on a real store."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from rich.cells import cell_len

from buildprof.capture.imported import import_file
from buildprof.cli.options import UNKNOWN
from buildprof.config import Settings
from buildprof.model.build import UNKNOWN_PROJECT, Status, Summary
from tests.cli.conftest import Run, clean_environment, moved, save
from tests.cli.sample_builds import at, running, shop
from tests.cli.test_profile import is_harmless
from tests.sources.recordings import PROGRESS

QUERIES = (
    ("builds",),
    ("projects",),
    ("compare", "earlier", "completed"),
    ("catalog",),
    *(("show", name) for name in ("completed", "failed", "canceled", "running", "multi_platform", "wide", "[bold")),
)


def ask(run: Run, store: Path, *arguments: str) -> str:
    place = () if arguments[0] == "catalog" else ("--data-dir", str(store))
    done = run(*arguments, *place)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize("query", [query for query in QUERIES if query[-1] != "[bold"])
def test_answers_fit_80_columns_and_hold_no_control_characters(
    query: tuple[str, ...], run: Run, filled_store: Path
) -> None:
    lines = ask(run, filled_store, *query).splitlines()
    assert lines
    assert all(is_harmless(line) and cell_len(line) <= 80 for line in lines)


@pytest.mark.parametrize("query", [query for query in QUERIES if query[-1] != "[bold"])
def test_every_answer_can_be_had_as_json_in_ascii(query: tuple[str, ...], run: Run, filled_store: Path) -> None:
    text = ask(run, filled_store, *query, "--json")
    assert all(" " <= character <= "~" or character == "\n" for character in text)
    assert isinstance(json.loads(text), dict)


def test_builds_are_listed_newest_first(run: Run, filled_store: Path) -> None:
    builds = json.loads(ask(run, filled_store, "builds", "--json"))["builds"]
    started = [build["started_at"] for build in builds]
    assert started == sorted(started, reverse=True)
    assert len(builds) == 8
    assert "steps" not in builds[0]


def test_builds_can_be_chosen(run: Run, filled_store: Path) -> None:
    def refs(*options: str) -> list[str]:
        builds = json.loads(ask(run, filled_store, "builds", "--json", *options))["builds"]
        return [build["ref"].partition("k6g3")[0] for build in builds]

    assert refs("--status", "running") == ["running"]
    assert refs("--project", "shop", "--target", "default") == ["failed"]
    assert refs("--project", "shop/default") == ["failed"]
    assert refs("--limit", "1") == ["canceled"]
    assert len(refs("--since", "3h")) == 2
    assert len(refs("--since", "2020-01-01T00:00:00Z")) == 8


def test_refs_in_the_list_tell_builds_apart(run: Run, tmp_path: Path) -> None:
    now_ns = time.time_ns()
    twins = [moved(replace(shop(), ref=f"same-start-{last}rest"), now_ns - 10**9) for last in "ab"]
    save(tmp_path, *twins)
    lines = ask(run, tmp_path, "builds").splitlines()[1:]
    assert {line.split()[0] for line in lines} == {"same-start-a", "same-start-b"}


def test_nothing_found_is_exit_code_1(run: Run, filled_store: Path) -> None:
    for arguments, said in (
        (("show", "nope"), "no build has the ref 'nope'"),
        (("builds", "--project", "nope"), "no builds with --project nope; see `buildprof projects`"),
    ):
        done = run(*arguments, "--data-dir", str(filled_store))
        assert (done.returncode, done.stderr, done.stdout) == (1, f"buildprof: {said}\n", "")


def test_a_prefix_of_several_builds_is_wrong_usage(run: Run, filled_store: Path) -> None:
    done = run("show", "", "--data-dir", str(filled_store))
    assert done.returncode == 1
    done = run("show", "c", "--data-dir", str(filled_store))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1


def test_show_gives_the_same_facts_to_people_and_to_scripts(run: Run, filled_store: Path) -> None:
    document = json.loads(ask(run, filled_store, "show", "completed", "--json"))
    text = ask(run, filled_store, "show", "completed")
    assert document["summary"]["cache_hits"] == 3
    assert "3 of 6 steps hit" in text
    assert "214 MB in 9 layers\n" in text


def test_an_image_is_compared_with_that_of_the_last_completed_build(run: Run, tmp_path: Path) -> None:
    now_ns, first = time.time_ns(), shop()
    assert first.image is not None
    smaller = replace(first, ref="first", image=replace(first.image, size_bytes=213_000_000))
    save(tmp_path, moved(smaller, now_ns - 10**12), moved(first, now_ns - 10**11))
    assert "(+1 MB since the last build)" in ask(run, tmp_path, "show", "last")


def test_builds_that_could_not_be_placed_are_not_compared(run: Run, tmp_path: Path) -> None:
    now_ns, unplaced = time.time_ns(), replace(shop(), project=UNKNOWN_PROJECT)
    save(tmp_path, moved(replace(unplaced, ref="first"), now_ns - 10**12), moved(unplaced, now_ns - 10**11))
    assert "since the last build" not in ask(run, tmp_path, "show", "last")
    assert "unknown/web       2" in ask(run, tmp_path, "projects")
    (project,) = json.loads(ask(run, tmp_path, "projects", "--json"))["projects"]
    assert (project["trend"], project["previous_image_size_bytes"]) == (None, None)


def test_a_build_of_unknown_duration_has_a_dash_and_no_trend(run: Run, tmp_path: Path) -> None:
    now_ns = time.time_ns() - 10**12
    for number in range(3):
        build = moved(replace(shop(), ref=f"image-level-{number}", steps=(), summary=Summary()), now_ns + number)
        save(tmp_path, replace(build, completed_ns=build.started_ns))
    assert ask(run, tmp_path, "builds").splitlines()[1].split()[-4:] == [*[UNKNOWN] * 3, "214M"]
    assert ask(run, tmp_path, "projects").splitlines()[1].split()[3:7] == [UNKNOWN] * 4
    assert "completed, time not known" in ask(run, tmp_path, "show", "last")
    head = json.loads(ask(run, tmp_path, "builds", "--json"))["builds"][0]
    assert head["duration_seconds"] is None
    assert head["summary"] == dict.fromkeys(head["summary"]) | {"steps": 0}


def test_as_much_of_a_ref_is_shown_as_can_be_typed(run: Run, tmp_path: Path) -> None:
    now_ns = time.time_ns()
    save(tmp_path, *(moved(replace(shop(), ref=f"0123456789{last}rest"), now_ns - 10**9) for last in "ab"))
    for last in "ab":
        shown = ask(run, tmp_path, "show", f"0123456789{last}")
        assert f"ref 0123456789{last}   builder" in shown


def test_a_narrow_place_clips_rows_and_wraps_none(run: Run, filled_store: Path) -> None:
    wide = ask(run, filled_store, "show", "completed").splitlines()
    for columns, widest in (("40", 40), ("100", 100), ("nonsense", 80), ("0", 80)):
        done = run("show", "completed", "--data-dir", str(filled_store), COLUMNS=columns)
        lines = done.stdout.splitlines()
        assert len(lines) <= len(wide) + 1
        assert max(map(cell_len, lines)) <= widest
        assert max(map(cell_len, lines)) > widest - 10


def test_builds_are_compared_older_first_however_they_are_given(run: Run, filled_store: Path) -> None:
    straight = ask(run, filled_store, "compare", "earlier", "completed").splitlines()
    turned = ask(run, filled_store, "compare", "completed", "earlier").splitlines()
    assert turned[2] == "swapped   the later build was given first"
    assert turned[:2] + turned[3:] == straight
    assert straight[0].startswith("before    earlier")


def test_a_miss_is_told_how_to_see_what_changed(run: Run, tmp_path: Path) -> None:
    now_ns = time.time_ns()
    save(
        tmp_path,
        *(moved(replace(shop(), ref=f"{name}-build"), now_ns - age) for name, age in (("a", 10**12), ("b", 10**11))),
    )
    assert "   buildprof compare a-build b-build shows what changed\n" in ask(run, tmp_path, "show", "b")
    assert "buildprof compare" not in ask(run, tmp_path, "show", "a")


def test_projects_that_lost_most_stand_first_and_the_last_line_is_a_legend(run: Run, filled_store: Path) -> None:
    lines = ask(run, filled_store, "projects").splitlines()
    assert lines[1].startswith("shop/web")
    assert " s " in lines[1]
    assert " MB " in lines[1]
    assert lines[-1].startswith("usual = median")


def test_an_import_of_what_an_agent_has_stored_says_so(run: Run, tmp_path: Path) -> None:
    stream = str(PROGRESS / "docker-28-cold.json")
    options = ("--data-dir", str(tmp_path / "ours"), "--project", "mine")
    (build,) = import_file(Settings(data_dir=tmp_path / "theirs"), Path(stream), "shop", "web")
    (tmp_path / "ours").mkdir()
    save(tmp_path / "ours", replace(build, builder="default", ref="seen-by-agent"))
    done = run("import", stream, *options)
    assert done.returncode == 0
    assert done.stderr == "already stored as shop/web by the agent; --project and --target are ignored\n"
    assert done.stdout.startswith("shop/web  completed")
    assert run("import", stream, *options[:2]).stderr == "already stored as shop/web by the agent\n"


def test_a_reader_that_has_seen_enough_is_no_error(filled_store: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "buildprof", "show", "completed", "--json", "--data-dir", str(filled_store)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_environment(tmp_path), pipesize=4096
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(30) == 141


def test_a_terminal_without_unicode_gets_ascii(run: Run, filled_store: Path) -> None:
    done = run("show", "completed", "--data-dir", str(filled_store), PYTHONIOENCODING="ascii")
    assert done.stdout.isascii()
    assert "?" not in done.stdout
    assert "###" in done.stdout


class Terminal:
    """`buildprof` on a pseudo-terminal."""

    def __init__(self, home: Path, *arguments: str) -> None:
        self.ours, theirs = pty.openpty()
        environment = clean_environment(home) | {"TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"}
        command = [sys.executable, "-m", "buildprof", *arguments]
        self.process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
        os.close(theirs)
        self.text = ""

    def read_until(self, wanted: str | None) -> str:
        """What came until some text appears, or until the end."""
        give_up = time.monotonic() + 60
        while time.monotonic() < give_up and (wanted is None or wanted not in self.text):
            if select.select([self.ours], [], [], 0.1)[0]:
                try:
                    data = os.read(self.ours, 65536)
                except OSError:  # Linux says so when the other end is closed
                    break
                self.text += data.decode(errors="replace")
        return self.text

    def close(self) -> int:
        self.process.terminate()
        os.close(self.ours)
        return self.process.wait(30)


def test_on_a_terminal_there_is_colour_and_in_a_pipe_none(run: Run, filled_store: Path, tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, "show", "completed", "--data-dir", str(filled_store))
    assert "\x1b[" in terminal.read_until(None)
    terminal.close()
    assert "\x1b" not in ask(run, filled_store, "show", "completed")


def test_show_follows_a_running_build_to_its_end(tmp_path: Path) -> None:
    started_ns = time.time_ns()
    save(tmp_path, moved(running(), started_ns))
    terminal = Terminal(tmp_path, "show", "last", "--data-dir", str(tmp_path))
    try:
        assert "running for" in terminal.read_until("RUN make")
        assert terminal.text.count("\r\n") >= 5, "rows stand on lines of their own"
        ended = replace(
            running(),
            status=Status.COMPLETED,
            completed_ns=at(12.5),
            steps=tuple(
                replace(
                    step, completed_ns=step.completed_ns or at(12.0), duration_seconds=step.duration_seconds or 11.5
                )
                for step in running().steps
            ),
        )
        save(tmp_path, moved(ended, started_ns))
        assert "completed in 12.5 s" in terminal.read_until("completed in")
        terminal.read_until(None)
        assert terminal.process.wait(30) == 0
    finally:
        terminal.close()


def test_no_follow_shows_a_running_build_once(tmp_path: Path) -> None:
    save(tmp_path, moved(running(), time.time_ns()))
    terminal = Terminal(tmp_path, "show", "last", "--no-follow", "--data-dir", str(tmp_path))
    text = terminal.read_until(None)
    assert terminal.process.wait(30) == 0
    terminal.close()
    assert text.count("running for") == 1
