"""Settings: flags, then the environment (BUILDPROF_*), then a TOML file, then defaults."""

from __future__ import annotations

import ipaddress
import os
import pwd
import re
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from buildprof.docker_context import (
    DEFAULT_SOCKET,
    ContextError,
    active_docker_host,
    cert_dir_from_environment,
    docker_config_dir,
)
from buildprof.model.text import clean
from buildprof.store_location import (
    CONFIG_FILES,
    ENV_PREFIX,
    checked_data_dir,
    checked_database_url,
    default_data_dir,
    home,
    store_url,
)

MAX_CONFIG_BYTES = 1_000_000
_NO_SHELLS = {"nologin", "false", "sync", "shutdown", "halt"}


class ConfigError(Exception):
    """A setting cannot be used. The message is one line that names the key and never repeats its value."""


def _default_docker_host() -> str:
    try:
        return active_docker_host(os.environ, home()).url
    except ContextError as error:
        raise ConfigError(f"docker_host: {error}") from error


def _default_buildx_dirs() -> tuple[Path, ...]:
    if chosen := os.environ.get("BUILDX_CONFIG"):
        return (Path(chosen),)
    own = [docker_config_dir(os.environ, home()) / "buildx", home() / ".docker" / "buildx"]
    if os.geteuid() == 0:
        own += [Path(user.pw_dir) / ".docker" / "buildx" for user in pwd.getpwall() if _may_build(user)]
    return tuple(dict.fromkeys(own))


def _may_build(user: pwd.struct_passwd) -> bool:
    """Whether somebody builds as this user: one who can log in, or one who has used docker, as CI services do."""
    # Not Path.is_dir: it raises where a home may not even be looked at, as on some network file systems.
    if not user.pw_dir.startswith("/") or not os.path.isdir(user.pw_dir):  # noqa: PTH112
        return False
    return Path(user.pw_shell).name not in _NO_SHELLS or os.path.isdir(f"{user.pw_dir}/.docker")  # noqa: PTH112


def _default_log_format() -> Literal["console", "json"]:
    return "console" if sys.stderr.isatty() else "json"


Positive = Annotated[int, Field(gt=0)]


class Settings(BaseSettings):
    """All settings, checked. Make one with `load_settings`; the keys are those of the TOML file."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, env_ignore_empty=True, extra="forbid", frozen=True, hide_input_in_errors=True
    )

    docker_host: str = Field(default_factory=_default_docker_host)
    builders: tuple[str, ...] = ()
    watch: tuple[Path, ...] = ()
    watch_builds: bool = True
    buildx_dirs: tuple[Path, ...] = Field(default_factory=_default_buildx_dirs)
    data_dir: Path = Field(default_factory=default_data_dir)
    database_url: str = Field(default="", repr=False)
    analyse_images: bool = True
    listen: str = "127.0.0.1:19323"
    insecure_listen: bool = False
    retention_days: Positive = 90
    max_projects: Positive = 100
    max_targets: Positive = 20
    redact: tuple[str, ...] = Field(default=(), repr=False)
    allow_build_args: tuple[str, ...] = ()
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["console", "json"] = Field(default_factory=_default_log_format)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003  # pydantic-settings passes it by name
        init_settings: PydanticBaseSettingsSource,
        *_: Any,
        **__: Any,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what it is made with: `load_settings` merges the sources, to know which one a bad value came from."""
        return (init_settings,)

    @property
    def docker_cert_dir(self) -> Path | None:
        """TLS files for `docker_host`: the docker context's, or what DOCKER_TLS_VERIFY and DOCKER_CERT_PATH say."""
        try:
            active = active_docker_host(os.environ, home())
        except ContextError:
            active = None
        if active is not None and active.url == self.docker_host:
            return active.cert_dir
        return cert_dir_from_environment(os.environ, home()) if self.docker_host.startswith("tcp://") else None

    @property
    def store_url(self) -> str:
        """The store's URL: `database_url`, or else SQLite in `data_dir`."""
        return store_url(self.database_url, self.data_dir)

    @property
    def listen_address(self) -> tuple[str, int]:
        """Host (an IPv6 address without brackets) and port of `listen`."""
        host, _, port = self.listen.rpartition(":")
        return host.removeprefix("[").removesuffix("]"), int(port)

    @field_validator("docker_host")
    @classmethod
    def _check_docker_host(cls, value: str) -> str:
        if not re.fullmatch(r"unix:///.+|(tcp|ssh)://[^/\s].*", value):
            raise ValueError("use unix:///path, tcp://host:port or ssh://user@host")
        return value

    @field_validator("data_dir")
    @classmethod
    def _check_data_dir(cls, value: Path) -> Path:
        return checked_data_dir(value)

    @field_validator("watch", "buildx_dirs")
    @classmethod
    def _make_all_absolute(cls, value: tuple[Path, ...]) -> tuple[Path, ...]:
        return tuple(path.expanduser().absolute() for path in value)

    @field_validator("database_url")
    @classmethod
    def _check_database_url(cls, value: str) -> str:
        return checked_database_url(value)

    @field_validator("listen")
    @classmethod
    def _check_listen(cls, value: str) -> str:
        found = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]\s/]+):(\d{1,5})", value)
        if not found or int(found[2]) > 65535:
            raise ValueError("use HOST:PORT, such as 127.0.0.1:19323 or [::1]:19323")
        return value

    @field_validator("redact")
    @classmethod
    def _check_patterns(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for number, pattern in enumerate(value, 1):
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"pattern {number} is no regular expression: {error.msg}") from error
        return value

    @model_validator(mode="after")
    def _refuse_strangers(self) -> Settings:
        # Raised as it is rather than as pydantic's error: it concerns two keys, and no value of theirs is wrong.
        if not self.insecure_listen and not _is_loopback(self.listen_address[0]):
            raise ConfigError("listen: anyone who reaches that address could read your builds; say --insecure-listen")
        return self


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class _Environment(EnvSettingsSource):
    """The environment: every list in it is a JSON list, or one value as it is, which no list begins like."""

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        if isinstance(value, str) and not value.lstrip().startswith("["):
            return (value,)
        try:
            return super().decode_complex_value(field_name, field, value)
        except ValueError:
            raise ConfigError(f'{ENV_PREFIX}{field_name.upper()}: use a JSON list, such as \'["a", "b"]\'') from None


def load_settings(
    flags: Mapping[str, object] | None = None, config_file: Path | None = None, *, for_engine: bool = True
) -> Settings:
    """Read all sources. `flags` maps keys to values that win over everything; None and () mean "not given".

    Without `config_file`, the first of `CONFIG_FILES` that exists is read. Without `for_engine`, the active docker
    context is not looked up, so that a broken one does not stop those who only ask the store.

    Raises:
        ConfigError: an unknown key, a bad value, or a file that cannot be read.
    """
    given = {key: value for key, value in (flags or {}).items() if value is not None and value != ()}
    path = config_file or next((file for file in CONFIG_FILES if file.is_file()), None)
    table = _read_toml(path) if path else {}
    _refuse_unknown_environment()
    values: dict[str, Any] = {**table, **_Environment(Settings)(), **given}
    if not for_engine:
        values.setdefault("docker_host", DEFAULT_SOCKET)
    try:
        return Settings(**values)
    except ValidationError as error:
        _raise_one_line(error, given, table, path)


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_CONFIG_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{clean(path)}: cannot be read: {error.strerror}") from error
    if len(data) > MAX_CONFIG_BYTES:
        raise ConfigError(f"{clean(path)}: larger than {MAX_CONFIG_BYTES} bytes")
    try:
        return tomllib.loads(data.decode())
    except UnicodeDecodeError:
        raise ConfigError(f"{clean(path)}: not UTF-8 text") from None
    except tomllib.TOMLDecodeError as error:
        where = re.search(r"\(at [^)]*\)", str(error))
        raise ConfigError(f"{clean(path)}: not TOML {where[0] if where else ''}".rstrip()) from None


def _refuse_unknown_environment() -> None:
    for name in sorted(os.environ):
        if name.startswith(ENV_PREFIX) and name.removeprefix(ENV_PREFIX).lower() not in Settings.model_fields:
            raise ConfigError(f"{clean(name)}: unknown setting")


def _raise_one_line(
    error: ValidationError, flags: Mapping[str, object], table: Mapping[str, object], path: Path | None
) -> NoReturn:
    """Name the first bad key as its source writes it. pydantic's messages speak of types, never of the value."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    key = str(first["loc"][0]) if first["loc"] else "settings"
    if key in flags:
        name = f"--{key.replace('_', '-')}"
    elif os.environ.get(variable := f"{ENV_PREFIX}{key.upper()}"):
        name = variable
    else:
        name = f"{path}: {key}" if path and key in table else key
    if first["type"] == "extra_forbidden":
        raise ConfigError(f"{clean(name)}: unknown setting") from None
    if first["type"] == "path_type":
        raise ConfigError(f"{clean(name)}: should be a path, or a list of them") from None
    reason = first["msg"].removeprefix("Value error, ").removeprefix("Input ").replace("valid tuple", "list")
    raise ConfigError(f"{clean(name)}: {clean(reason)}") from None
