"""What the disk says of a directory that was built: its git top level, its compose project, its Dockerfile."""

from __future__ import annotations

import os
import re
import stat
from contextlib import suppress
from pathlib import Path

from buildprof.assembly.projects import TreeFacts, compose_name

MAX_PARENTS = 64
MAX_COMPOSE_BYTES = 256 * 1024

_COMPOSE_FILES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
_COMPOSE_NAME = re.compile(r"""^name:[ \t]*(["']?)([a-z0-9][a-z0-9_-]{0,99})\1[ \t]*(?:#.*)?$""", re.MULTILINE)


def tree_facts(directory: Path) -> TreeFacts:
    """What can be read of a context directory. All is "" where the directory is not on this machine or not readable."""
    if not directory.is_absolute() or not directory.is_dir():
        return TreeFacts()
    top_level = git_top_level(directory)
    places = [directory] if top_level is None or top_level == directory else [directory, top_level]
    projects = [(place, name) for place in places if (name := compose_project(place))]
    compose_directory, compose = projects[0] if projects else ("", "")
    return TreeFacts(str(directory), str(top_level or ""), compose, str(compose_directory))


def git_top_level(directory: Path) -> Path | None:
    """The nearest directory upwards that git takes for a work tree's root; None if there is none. Runs no git.

    That is one with a `.git` directory that has a HEAD, or with a `.git` file that points to one (a submodule, a
    linked work tree).
    """
    for place in [directory, *directory.parents][:MAX_PARENTS]:
        with suppress(OSError):
            dot_git = place / ".git"
            if (dot_git / "HEAD").is_file() or (_read_text(dot_git, 4096) or "").startswith("gitdir:"):
                return place
    return None


def compose_project(directory: Path) -> str:
    """The name that compose gives the project of a directory; "" if it has no compose file.

    The file's top-level `name` if that is plain text, else the directory's name in compose's spelling. A name given
    by `-p` or by COMPOSE_PROJECT_NAME cannot be seen from here; builds by compose carry it in a label.
    """
    for file_name in _COMPOSE_FILES:
        text = _read_text(directory / file_name, MAX_COMPOSE_BYTES)
        if text is not None:
            named = _COMPOSE_NAME.search(text)
            return named[2] if named else compose_name(directory.name)
    return ""


def read_dockerfile(path: Path, max_bytes: int, reader_uid: int | None = None) -> str | None:
    """The text of a Dockerfile by its absolute path.

    None if it is absent, no regular file, larger than `max_bytes`, or a link to somewhere out of its own directory.
    `reader_uid` is the user who named it: an agent that runs as root reads no more for a user than the user may.
    """
    if not path.is_absolute():
        return None
    with suppress(OSError, RuntimeError, ValueError):
        resolved = path.resolve()
        if resolved.is_relative_to(path.parent.resolve()) and _may_read(resolved, reader_uid):
            return _read_text(resolved, max_bytes)
    return None


def _may_read(path: Path, uid: int | None) -> bool:
    """Whether a user may read a file, by owner and by what others may; groups are left out, on the safe side."""
    if uid in (None, 0):
        return True
    file = path.stat()
    readable = file.st_mode & (stat.S_IRUSR if file.st_uid == uid else stat.S_IROTH)
    places = (place.stat() for place in path.parents)
    return bool(readable) and all(
        place.st_mode & (stat.S_IXUSR if place.st_uid == uid else stat.S_IXOTH) for place in places
    )


def _read_text(path: Path, max_bytes: int) -> str | None:
    """The text of a regular file, odd bytes replaced. A FIFO is not waited for, the last link not followed."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return None
    with suppress(OSError), open(descriptor, "rb") as file:  # noqa: PTH123  # a descriptor
        if stat.S_ISREG(os.fstat(descriptor).st_mode) and len(content := file.read(max_bytes + 1)) <= max_bytes:
            return content.decode("utf-8", "replace")
    return None
