from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from buildprof.config import ConfigError, Settings, load_settings
from buildprof.store_location import plain_store_url


@pytest.fixture(autouse=True)
def empty_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own, no settings in the environment, an empty working directory."""
    for name in tuple(os.environ):
        if name.startswith(("BUILDPROF_", "DOCKER_", "BUILDX_", "XDG_")) or name in {
            "STATE_DIRECTORY",
            "INVOCATION_ID",
        }:
            monkeypatch.delenv(name)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def complaint(flags: dict[str, object] | None = None, config_file: Path | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        load_settings(flags, config_file)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_defaults_are_those_of_the_documentation(empty_machine: Path) -> None:
    settings = load_settings()
    assert settings.docker_host == "unix:///var/run/docker.sock"
    assert settings.builders == settings.watch == settings.redact == settings.allow_build_args == ()
    assert settings.watch_builds is True
    assert settings.data_dir == empty_machine / "home/.local/state/buildprof"
    assert settings.store_url == f"sqlite:///{settings.data_dir}/buildprof.db"
    assert settings.listen_address == ("127.0.0.1", 19323)
    assert (settings.retention_days, settings.max_projects, settings.max_targets) == (90, 100, 20)
    assert (settings.log_level, settings.log_format) == ("info", "json")


def test_a_flag_wins_over_the_environment_over_the_file_over_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("buildprof.toml").write_text("retention_days = 1\nmax_projects = 1\nmax_targets = 1\n")
    monkeypatch.setenv("BUILDPROF_RETENTION_DAYS", "2")
    monkeypatch.setenv("BUILDPROF_MAX_PROJECTS", "2")
    settings = load_settings({"retention_days": 3, "max_projects": None})
    assert (settings.retention_days, settings.max_projects, settings.max_targets) == (3, 2, 1)


def test_a_file_that_is_named_wins_over_the_one_in_the_working_directory(tmp_path: Path) -> None:
    Path("buildprof.toml").write_text("retention_days = 1\n")
    named = tmp_path / "other.toml"
    named.write_text("max_targets = 7\n")
    settings = load_settings({}, named)
    assert (settings.retention_days, settings.max_targets) == (90, 7)


def test_lists_in_the_environment_are_json(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BUILDPROF_WATCH", '["a", "~/b"]')
    assert load_settings().watch == (tmp_path / "a", tmp_path / "home/b")
    monkeypatch.setenv("BUILDPROF_WATCH", '["a"')
    assert complaint().startswith("BUILDPROF_WATCH: use a JSON list")
    monkeypatch.setenv("BUILDPROF_WATCH", "")
    assert load_settings().watch == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nonsense = 1", "f.toml: nonsense: unknown setting"),
        ("[listen]\nport = 1", "f.toml: listen: should be a valid string"),
        ("retention_days = 0", "f.toml: retention_days: should be greater than 0"),
        ('watch = "x"', "f.toml: watch: should be a list"),
        ("watch = [1]", "f.toml: watch: should be a path, or a list of them"),
        ('log_level = "loud"', "f.toml: log_level: should be 'debug', 'info', 'warning' or 'error'"),
        (
            'redact = ["ok", "("]',
            "f.toml: redact: pattern 2 is no regular expression: missing ), unterminated subpattern",
        ),
        ('docker_host = "http://x"', "f.toml: docker_host: use unix:///path, tcp://host:port or ssh://user@host"),
        ('listen = "19323"', "f.toml: listen: use HOST:PORT, such as 127.0.0.1:19323 or [::1]:19323"),
        ('listen = "127.0.0.1:65536"', "f.toml: listen: use HOST:PORT, such as 127.0.0.1:19323 or [::1]:19323"),
        ('data_dir = "/a?b"', "f.toml: data_dir: a question or percent mark"),
        ("a =", "f.toml: not TOML"),
        ('"\\u001b[2Jx" = 1', "f.toml: x: unknown setting"),
    ],
)
def test_a_bad_file_is_one_line_that_names_the_key(text: str, expected: str) -> None:
    file = Path("f.toml")
    file.write_text(text)
    said = complaint({}, file)
    assert "\x1b" not in said
    assert said.startswith(expected)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    assert complaint({}, tmp_path / "none.toml") == f"{tmp_path}/none.toml: cannot be read: No such file or directory"
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    assert complaint({}, tmp_path / "binary.toml") == f"{tmp_path}/binary.toml: not UTF-8 text"


def test_an_unknown_key_in_the_environment_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUILDPROF_RETENTOIN_DAYS", "3")
    assert complaint() == "BUILDPROF_RETENTOIN_DAYS: unknown setting"


def test_the_source_of_a_bad_value_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUILDPROF_RETENTION_DAYS", "many")
    assert complaint().startswith("BUILDPROF_RETENTION_DAYS: should be a valid integer")
    assert complaint({"retention_days": -1}).startswith("--retention-days: should be greater than 0")


def test_no_error_and_no_repr_shows_a_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUILDPROF_DATABASE_URL", "mysql://me:sesame@host/db")
    assert "sesame" not in complaint()
    monkeypatch.setenv("BUILDPROF_DATABASE_URL", "postgresql://me:sesame@host/db")
    assert "sesame" not in repr(load_settings())
    monkeypatch.setenv("BUILDPROF_RETENTION_DAYS", "x")
    assert "sesame" not in complaint()


@pytest.mark.parametrize("listen", ["127.0.0.1:1", "127.8.8.8:1", "[::1]:1", "localhost:1"])
def test_loopback_is_served_as_it_is(listen: str) -> None:
    assert load_settings({"listen": listen}).listen == listen


@pytest.mark.parametrize("listen", ["0.0.0.0:1", "[::]:1", "192.0.2.1:1", "example.org:1"])
def test_other_addresses_need_consent(listen: str) -> None:
    assert complaint({"listen": listen}).endswith("say --insecure-listen")
    assert load_settings({"listen": listen, "insecure_listen": True}).listen == listen


def test_a_service_keeps_its_data_where_systemd_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/buildprof:/var/lib/other")
    assert load_settings().data_dir == Path("/var/lib/buildprof")
    monkeypatch.delenv("STATE_DIRECTORY")
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert load_settings().data_dir == Path("/state/buildprof")


def test_buildx_state_is_looked_for_where_buildx_keeps_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", "/config")
    assert load_settings().buildx_dirs[:2] == (Path("/config/buildx"), tmp_path / "home/.docker/buildx")
    monkeypatch.setenv("BUILDX_CONFIG", "/buildx")
    assert load_settings().buildx_dirs == (Path("/buildx"),)


def test_a_missing_docker_context_stops_only_those_who_need_an_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONTEXT", "gone")
    assert complaint().startswith("docker_host: docker context 'gone' does not exist")
    assert load_settings(for_engine=False).retention_days == 90
    assert load_settings({"docker_host": "tcp://h:1"}).docker_host == "tcp://h:1"


def test_settings_cannot_be_changed() -> None:
    settings = load_settings()
    with pytest.raises(ValueError, match="frozen"):
        settings.retention_days = 1


def test_every_setting_of_the_documentation_exists() -> None:
    assert list(Settings.model_fields) == [
        *("docker_host", "builders", "watch", "watch_builds", "buildx_dirs", "data_dir", "database_url"),
        *("analyse_images", "listen", "insecure_listen", "retention_days", "max_projects", "max_targets", "redact"),
        *("allow_build_args", "log_level", "log_format"),
    ]


def test_a_list_of_one_in_the_environment_needs_no_json(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BUILDPROF_BUILDX_DIRS", "~/state")
    monkeypatch.setenv("BUILDPROF_BUILDERS", "tcp://buildkit:1234")
    monkeypatch.setenv("BUILDPROF_REDACT", r"\d{16}")
    monkeypatch.setenv("BUILDPROF_ALLOW_BUILD_ARGS", "VERSION")
    settings = load_settings()
    assert settings.buildx_dirs == (tmp_path / "home/state",)
    assert settings.builders == ("tcp://buildkit:1234",)
    assert (settings.redact, settings.allow_build_args) == ((r"\d{16}",), ("VERSION",))


def test_as_root_the_homes_of_those_who_may_build_are_looked_at(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for path in ("ann", "ci/.docker", "daemon"):
        (tmp_path / path).mkdir(parents=True)
    shells = {"ann": "/bin/bash", "ci": "/bin/false", "daemon": "/usr/sbin/nologin", "gone": "/bin/sh"}
    users = [pwd.struct_passwd((name, "x", 1, 1, "", f"{tmp_path}/{name}", shell)) for name, shell in shells.items()]
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(pwd, "getpwall", lambda: users)
    assert load_settings().buildx_dirs[-2:] == (tmp_path / "ann/.docker/buildx", tmp_path / "ci/.docker/buildx")
    assert len(load_settings().buildx_dirs) == 3


@pytest.mark.parametrize(
    ("flags", "environment"),
    [
        ({}, {}),
        ({"data_dir": Path("here")}, {}),
        ({}, {"BUILDPROF_DATA_DIR": "~/there"}),
        ({"data_dir": Path("/flag")}, {"BUILDPROF_DATA_DIR": "/environment"}),
        ({"database_url": "sqlite:////x.db"}, {"BUILDPROF_DATA_DIR": "/environment"}),
        ({}, {"BUILDPROF_DATABASE_URL": "postgresql://h/d", "STATE_DIRECTORY": "/s"}),
        ({}, {"XDG_STATE_HOME": "/state", "BUILDPROF_DATABASE_URL": ""}),
    ],
)
def test_the_short_way_to_the_store_leads_where_the_settings_do(
    flags: dict[str, object], environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert plain_store_url(flags) == load_settings(flags).store_url


def test_the_short_way_is_not_taken_where_settings_have_to_be_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    assert plain_store_url({"database_url": "mysql://x"}) is None
    monkeypatch.setenv("BUILDPROF_ANY", "1")
    assert plain_store_url({}) is None
    monkeypatch.delenv("BUILDPROF_ANY")
    Path("buildprof.toml").write_text("")
    assert plain_store_url({}) is None
