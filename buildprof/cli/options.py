"""Options that several commands share."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from buildprof.model.text import parse_since
from buildprof.store_location import plain_place, plain_store_url

if TYPE_CHECKING:
    from buildprof.config import Settings

UNKNOWN = "–"  # noqa: RUF001  # a dash, as one writes for "none"
"""What a table shows where a figure is not known."""

Command = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Where:
    """Where the store is, as the flags say: read by `settings`, which takes a quarter of a second to import."""

    config_file: Path | None
    data_dir: Path | None
    database_url: str | None

    def store_url(self) -> str:
        """The store's URL, by the short way where there is one.

        Raises:
            ConfigError: an unknown key or a bad value.
        """
        if self.config_file is None:
            url = plain_store_url({"data_dir": self.data_dir, "database_url": self.database_url})
            if url is not None:
                return url
        return self.settings().store_url

    def plain_place(self) -> tuple[Path, str] | None:
        """The data directory and the store's URL by the short way; None if all settings have to be read."""
        if self.config_file is not None:
            return None
        return plain_place({"data_dir": self.data_dir, "database_url": self.database_url})

    def settings(self, *, for_engine: bool = False, **flags: object) -> Settings:
        """All settings, with these flags first.

        Raises:
            ConfigError: an unknown key or a bad value.
        """
        from buildprof.config import load_settings

        given = {"data_dir": self.data_dir, "database_url": self.database_url, **flags}
        return load_settings(given, self.config_file, for_engine=for_engine)


def where_options(command: Command) -> Command:
    """Add `--config`, `--data-dir` and `--database-url`; the command gets them as `where: Where`."""

    @click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="Settings, as TOML.")
    @click.option("--data-dir", type=click.Path(path_type=Path), metavar="DIR", help="Where the store lives.")
    @click.option("--database-url", metavar="URL", help="The store, as an SQLAlchemy URL.")
    @wraps(command)
    def with_where(
        *args: object, config: Path | None, data_dir: Path | None, database_url: str | None, **rest: object
    ) -> object:
        return command(*args, where=Where(config, data_dir, database_url), **rest)

    return with_where


json_option = click.option("--json", "as_json", is_flag=True, help="Print the same facts as JSON.")


class Since(click.ParamType[int]):
    """A length of time before now, or a time, as nanoseconds since the epoch."""

    name = "since"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Turn text into nanoseconds; what is wrong with it becomes a usage error."""
        if isinstance(value, int):
            return value
        try:
            return parse_since(str(value), time.time_ns())
        except ValueError as error:
            self.fail(str(error), param, ctx)
