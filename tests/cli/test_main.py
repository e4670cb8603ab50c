from __future__ import annotations

import importlib
import json
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest

from buildprof import __version__
from buildprof.cli.documented import DocumentedCommand
from buildprof.cli.failure import _EXIT_CODES, describe_failure
from buildprof.cli.main import COMMANDS, EXAMPLES, cli
from buildprof.cli.options import Where
from buildprof.cli.stored import opened_store
from buildprof.store.errors import StoreError
from tests.cli.conftest import Run, clean_environment
from tests.nobody import as_nobody, public_directory


def test_the_version_is_that_of_the_distribution(run: Run) -> None:
    assert importlib.metadata.version("docker-buildprof") == __version__
    assert run("version").stdout.startswith(f"buildprof {__version__} ")
    assert run("--version").stdout == run("version").stdout
    assert json.loads(run("version", "--json").stdout)["version"] == __version__


@pytest.mark.parametrize(
    "arguments", [("version",), ("--help",), ("show", "--help"), ("explain", "--help"), ("projects", "--help")]
)
def test_help_and_version_load_no_heavy_library(arguments: tuple[str, ...], tmp_path: Path) -> None:
    code = (
        "import sys\nfrom buildprof.cli.main import main\n"
        f"sys.argv[1:] = {list(arguments)}\n"
        "try: main()\nexcept SystemExit: pass\n"
        "heavy = {'sqlalchemy', 'docker', 'rich', 'pydantic', 'asyncio', 'structlog', 'alembic', 'grpclib'}\n"
        "print(heavy & set(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=clean_environment(tmp_path)
    )
    assert done.stderr == "set()\n"


@pytest.mark.parametrize("arguments", [(), *((name,) for name in COMMANDS)])
def test_every_command_has_help_with_examples_in_80_columns(arguments: tuple[str, ...], run: Run) -> None:
    done = run(*arguments, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Examples:\n  " in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_every_example_is_a_valid_command_line() -> None:
    with click.Context(cli) as context:
        commands = [cli.get_command(context, name) for name in COMMANDS]
        examples = [*EXAMPLES, *(one for c in commands if isinstance(c, DocumentedCommand) for one in c.examples)]
        assert len(examples) > len(COMMANDS)
        for example in examples:
            name, *arguments = example.partition(" > ")[0].partition("buildprof ")[2].split()
            command = cli.get_command(context, name)
            assert command is not None
            command.make_context(name, arguments, parent=context)


def test_all_query_commands_take_json_and_the_stores_place(run: Run) -> None:
    for name in ("builds", "show", "explain", "projects", "compare", "import", "doctor"):
        text = run(name, "--help").stdout
        assert all(option in text for option in ("--json", "--data-dir", "--database-url", "--config")), name
    assert "--json" in run("catalog", "--help").stdout


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("nonsense",), "buildprof: No such command 'nonsense'. See `buildprof --help`.\n"),
        (("show",), "buildprof: Missing argument 'REF'. See `buildprof show --help`.\n"),
        (("show", "a", "b"), "buildprof: Got unexpected extra argument (b). See `buildprof show --help`.\n"),
        (("builds", "--status", "odd"), "buildprof: Invalid value for '--status': 'odd' is not one of"),
        (("builds", "--limit", "0"), "buildprof: Invalid value for '--limit': 0 is not in the range"),
        (("builds", "--since", "7y"), "buildprof: Invalid value for '--since': use a length such as"),
        (("builds", "--since", "\x1b[2J\n"), "buildprof: Invalid value for '--since': use a length such as"),
        (("\x1b[2J\u202e",), "buildprof: No such command"),
        (("builds", "--config", "/none.toml"), "buildprof: /none.toml: cannot be read: No such file or directory\n"),
        (("builds", "--database-url", "mysql://me:sesame@h/d"), "buildprof: --database-url: use sqlite:///path or"),
        (("agent", "--listen", "0.0.0.0:1"), "buildprof: listen: anyone who reaches that address"),
        (("agent", "--retention-days", "0"), "buildprof: --retention-days: should be greater than 0\n"),
        (("agent", "--docker-host", "x"), "buildprof: --docker-host: use unix:///path"),
        (("doctor", "--docker-host", "x"), "buildprof: --docker-host: use unix:///path"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(arguments: tuple[str, ...], expected: str, run: Run) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert done.stderr.startswith(expected)
    assert done.stderr.count("\n") == 1
    assert not {"\x1b", "\u202e"} & set(done.stderr)
    assert "sesame" not in done.stderr
    assert done.stdout == ""


def test_no_arguments_is_wrong_usage_and_shows_the_help(run: Run) -> None:
    done = run()
    assert done.returncode == 2
    assert "Commands:" in done.stderr


def test_an_unknown_setting_in_the_environment_is_named(run: Run) -> None:
    done = run("builds", BUILDPROF_RETENTOIN="1")
    assert (done.returncode, done.stderr) == (2, "buildprof: BUILDPROF_RETENTOIN: unknown setting\n")


@pytest.mark.parametrize(
    "command", [("builds",), ("projects",), ("show", "last"), ("explain", "last"), ("compare", "a", "b")]
)
def test_no_store_means_no_builds_and_makes_none(command: tuple[str, ...], run: Run, tmp_path: Path) -> None:
    done = run(*command)
    assert done.returncode == 1
    file = tmp_path / ".local/state/buildprof/buildprof.db"
    said = f"buildprof: no store at {file} yet; start `buildprof agent`, or give --data-dir\n"
    assert done.stderr == said
    assert list(tmp_path.iterdir()) == []


def test_a_data_directory_that_is_none_is_exit_code_3(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = run("builds", "--data-dir", str(tmp_path / "file"))
    assert done.returncode == 3
    assert done.stderr.startswith(f"buildprof: {tmp_path}/file: is no directory")
    assert done.stderr.count("\n") == 1


def test_a_data_directory_of_somebody_else_is_exit_code_3() -> None:
    with public_directory() as directory:
        (directory / "data").mkdir(mode=0o700)
        said = as_nobody(lambda: refused(directory / "data"))
    assert said == (3, f"{directory}/data: may not be read; run as its owner or root")


def refused(data_dir: Path) -> tuple[int, str]:
    try:
        with opened_store(Where(None, data_dir, None)):
            return 0, ""
    except StoreError as error:
        failure = describe_failure(error)
        assert failure is not None
        return failure.exit_code, failure.message


def test_a_foreign_file_instead_of_a_store_is_exit_code_3(run: Run, tmp_path: Path) -> None:
    (tmp_path / "buildprof.db").write_text("this is no database, whatever its name" * 100)
    done = run("builds", "--data-dir", str(tmp_path))
    assert done.returncode == 3
    assert done.stderr.startswith(f"buildprof: {tmp_path}/buildprof.db: is not a database")
    assert done.stderr.count("\n") == 1


def test_a_database_server_that_is_not_there_is_exit_code_3(run: Run) -> None:
    done = run("builds", "--database-url", "postgresql://me:sesame@127.0.0.1:1/none")
    assert done.returncode == 3
    assert done.stderr.startswith("buildprof: postgresql://127.0.0.1:1/none: cannot be reached")
    assert done.stderr.count("\n") == 1
    assert "sesame" not in done.stderr


def test_doctor_says_no_when_nothing_can_be_observed(run: Run, tmp_path: Path) -> None:
    place = ("--docker-host", f"unix://{tmp_path}/none.sock", "--data-dir", str(tmp_path))
    done = run("doctor", *place)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.startswith("missing   docker engine")
    done = run("doctor", "--json", *place)
    assert done.returncode == 1
    checks = json.loads(done.stdout)["checks"]
    assert all(list(check) == ["name", "status", "detail", "remedy"] for check in checks)


@pytest.mark.parametrize("content", [b"", b"garbage", b"\x00\xff" * 100, b'{"vertexes": 3}', b"PK\x03\x04 cut off"])
def test_a_foreign_file_to_import_is_one_line_and_exit_code_2(content: bytes, run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(content)
    done = run("import", "file", "--data-dir", str(tmp_path))
    assert done.returncode == 2
    assert done.stderr.startswith("buildprof: ")
    assert done.stderr.count("\n") == 1


def test_a_file_to_import_that_is_not_there_is_one_line_and_exit_code_2(run: Run, tmp_path: Path) -> None:
    done = run("import", "none", "--data-dir", str(tmp_path))
    assert done.returncode == 2
    assert done.stderr == "buildprof: none: cannot be read: No such file or directory. See `buildprof import --help`.\n"


def test_errors_that_are_told_apart_by_name_have_that_name() -> None:
    for name in _EXIT_CODES:
        module, _, kind = name.rpartition(".")
        assert issubclass(getattr(importlib.import_module(module), kind), Exception)


def test_a_bug_is_not_taken_for_a_mistake_of_the_user() -> None:
    assert describe_failure(ValueError("x")) is None


def test_interrupting_ends_quietly(tmp_path: Path) -> None:
    code = (
        "import signal, os\nfrom buildprof.cli import main, version_command\n"
        "version_command.command.callback = lambda **_: os.kill(os.getpid(), signal.SIGINT)\n"
        "import sys; sys.argv[1:] = ['version']\nmain.main()"
    )
    environment = clean_environment(tmp_path)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, env=environment)
    assert (done.returncode, done.stderr.strip()) == (128 + signal.SIGINT, b"")


def test_the_agents_help_says_what_it_watches_and_reads(run: Run) -> None:
    said = run("agent", "--help").stdout
    assert "--watch DIR" in said
    assert "~/.docker/buildx" in said
