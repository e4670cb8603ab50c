"""Where the store is. Apart from `config`, so that a question to the store need not wait for the settings' imports."""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Mapping
from pathlib import Path

ENV_PREFIX = "BUILDPROF_"
CONFIG_FILES = (Path("buildprof.toml"), Path("/etc/buildprof/buildprof.toml"))
SERVICE_DATA_DIR = Path("/var/lib/buildprof")
STORE_FILE = "buildprof.db"


def home() -> Path:
    """The user's home directory."""
    return Path(os.environ.get("HOME") or pwd.getpwuid(os.getuid()).pw_dir)


def default_data_dir() -> Path:
    """A service has its directory from systemd in STATE_DIRECTORY; INVOCATION_ID alone is also set in user sessions."""
    if state := os.environ.get("STATE_DIRECTORY"):
        return Path(state.split(":")[0])
    if os.environ.get("INVOCATION_ID") and os.geteuid() == 0:
        return SERVICE_DATA_DIR
    return Path(os.environ.get("XDG_STATE_HOME") or home() / ".local" / "state") / "buildprof"


def checked_data_dir(path: Path) -> Path:
    """The absolute path.

    Raises:
        ValueError: a database URL cannot hold it.
    """
    if "?" in str(path) or "%" in str(path):
        raise ValueError("a question or percent mark cannot stand in it: a database URL gives them a meaning")
    return path.expanduser().absolute()


def checked_database_url(url: str) -> str:
    """The URL as it is.

    Raises:
        ValueError: it is not one of SQLite or PostgreSQL.
    """
    if url and not re.match(r"(sqlite|postgresql)(\+\w+)?://", url):
        raise ValueError("use sqlite:///path or postgresql://user@host/name")
    return url


def store_url(database_url: str, data_dir: Path) -> str:
    """`database_url`, or else SQLite in `data_dir`."""
    return database_url or f"sqlite:///{data_dir / STORE_FILE}"


def sqlite_file(database_url: str) -> Path | None:
    """The file of an SQLite store; None for other databases."""
    found = re.match(r"sqlite(?:\+\w+)?:///([^?]+)", database_url)
    return Path(found[1]) if found else None


def plain_store_url(flags: Mapping[str, object]) -> str | None:
    """The store's URL by `plain_place`."""
    place = plain_place(flags)
    return None if place is None else place[1]


def plain_place(flags: Mapping[str, object]) -> tuple[Path, str] | None:
    """The data directory and the store's URL where only flags, the environment and defaults tell them, and all is good.

    None if there is a configuration file, another setting in the environment, or something wrong: then the settings
    have to be read in full, to find what holds or what to complain about.
    """
    own = {"data_dir": f"{ENV_PREFIX}DATA_DIR", "database_url": f"{ENV_PREFIX}DATABASE_URL"}
    others = [name for name in os.environ if name.startswith(ENV_PREFIX) and name not in own.values()]
    if others or any(file.exists() for file in CONFIG_FILES):
        return None
    chosen = {key: str(flags.get(key) or os.environ.get(variable) or "") for key, variable in own.items()}
    try:
        data_dir = checked_data_dir(Path(chosen["data_dir"]) if chosen["data_dir"] else default_data_dir())
        return data_dir, store_url(checked_database_url(chosen["database_url"]), data_dir)
    except (ValueError, OSError, RuntimeError):
        return None
