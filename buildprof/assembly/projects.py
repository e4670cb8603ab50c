"""Which project and target a build belongs to."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from buildprof.model.build import DEFAULT_TARGET, UNKNOWN_PROJECT
from buildprof.model.events import BuildRecord, LocalState
from buildprof.model.text import clean

MAX_NAME_CHARS = 100

_COMPOSE_PROJECT = "label:com.docker.compose.project"
_COMPOSE_SERVICE = "label:com.docker.compose.service"
# What the client puts for a context that it sends itself; no place on earth.
_SESSION_URL = "http://buildkit-session"
_URL = re.compile(r"[a-z][a-z0-9+.-]{0,20}://", re.IGNORECASE)
_SCP_LIKE = re.compile(r"[\w.-]{1,100}@[\w.-]{1,250}:[^:\s]")
_ARCHIVE_ENDINGS = (".git", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst", ".tar", ".zip")


class How(StrEnum):
    """What a placement rests on."""

    LOCAL_STATE = "local_state"
    COMPOSE_LABELS = "compose_labels"
    VCS = "vcs"
    REMOTE_CONTEXT = "remote_context"
    DOCKERFILE = "dockerfile"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class TreeFacts:
    """What the disk says of a context directory: absolute paths, "" for what is not there.

    `compose_project` is the name by the compose file of `compose_directory`, the context's or the top level's.
    """

    directory: str = ""
    git_top_level: str = ""
    compose_project: str = ""
    compose_directory: str = ""


@dataclass(frozen=True, slots=True)
class KnownProject:
    """A project that was placed before and had a Dockerfile of the same text."""

    project: str
    directory: str = ""


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a build belongs. `project` and `target` are never empty, clean, and 100 characters at most.

    `directory` is the project's root on this machine, `context` what was sent or fetched and `dockerfile` the path
    of the Dockerfile, each "" if unknown; `group` ties the builds of one bake or compose call.
    """

    project: str = UNKNOWN_PROJECT
    target: str = DEFAULT_TARGET
    directory: str = ""
    group: str = ""
    context: str = ""
    dockerfile: str = ""
    how: How = How.UNKNOWN


def project_name(text: str) -> str:
    """A name that a project can have: text for one line, which no address takes for a way through directories."""
    name = clean(text, MAX_NAME_CHARS)
    return UNKNOWN_PROJECT if name in {"", ".", ".."} else name


def place(
    record: BuildRecord,
    local_state: LocalState | None = None,
    tree: TreeFacts | None = None,
    known: KnownProject | None = None,
) -> Placement:
    """Place a build by the best that is known of it.

    buildx's local state comes first, then compose labels, then VCS attributes, then a context that was fetched, then
    a known Dockerfile. A compose project's name is the project's name whatever gave the directory, so that its builds
    by compose and by hand stand together.

    `tree` is what the disk says of the local state's directory; `known` a project that has this Dockerfile's text.
    """
    attrs = record.frontend_attrs
    tree = tree or TreeFacts()
    has_directory = local_state is not None and local_state.context_path.startswith("/")
    name, how = _project(attrs, local_state if has_directory else None, tree)
    directory = (_root(local_state, tree) if local_state else "") if has_directory else ""
    if not name and known is not None:
        name, how, directory = known.project, How.DOCKERFILE, known.directory
    return Placement(
        project=project_name(name),
        target=_target(attrs, local_state),
        directory=directory,
        group=local_state.group_id if local_state else "",
        context=_context(attrs, local_state),
        dockerfile=local_state.dockerfile_path if local_state else "",
        how=how if name else How.UNKNOWN,
    )


def _project(attrs: Mapping[str, str], local_state: LocalState | None, tree: TreeFacts) -> tuple[str, How]:
    compose = clean(attrs.get(_COMPOSE_PROJECT, ""), MAX_NAME_CHARS)
    if local_state is not None:
        directory = tree.git_top_level or local_state.context_path
        # A build of the file system's root has no name of its own.
        name = compose or tree.compose_project or posixpath.basename(posixpath.normpath(directory))
        if name:
            return name, How.LOCAL_STATE
    if compose:
        return compose, How.COMPOSE_LABELS
    if name := repository_name(attrs.get("vcs:source", "")):
        return name, How.VCS
    return (repository_name(_remote_context(attrs)), How.REMOTE_CONTEXT)


def _root(local_state: LocalState, tree: TreeFacts) -> str:
    return tree.git_top_level or tree.compose_directory or posixpath.normpath(local_state.context_path)


def _target(attrs: Mapping[str, str], local_state: LocalState | None) -> str:
    """The bake target or compose service, else the Dockerfile's target, else "default"."""
    invoked = local_state.target if local_state and local_state.target != DEFAULT_TARGET else ""
    for candidate in (invoked, attrs.get(_COMPOSE_SERVICE, ""), attrs.get("target", "")):
        if name := clean(candidate, MAX_NAME_CHARS):
            return name
    return DEFAULT_TARGET


def _context(attrs: Mapping[str, str], local_state: LocalState | None) -> str:
    return without_credentials(_remote_context(attrs) or (local_state.context_path if local_state else ""))


def _remote_context(attrs: Mapping[str, str]) -> str:
    """The URL of a context that the builder fetched itself; "" if the client sent it."""
    url = attrs.get("context", "")
    is_remote = (_URL.match(url) or _SCP_LIKE.match(url)) and not url.startswith(_SESSION_URL)
    return url if is_remote else ""


def repository_name(url: str) -> str:
    """The last part of a repository's URL, path or scp-like address, without `.git`; "" if it has none."""
    location, _, _ = without_credentials(url.strip()).partition("#")
    location = location.partition("?")[0]
    path = _URL.sub("", location, count=1)
    # Without a path there is but a host.
    if path != location and "/" not in path.rstrip("/"):
        return ""
    name = re.split(r"[/\\:]", path.rstrip("/\\"))[-1]
    for ending in _ARCHIVE_ENDINGS:
        name = name.removesuffix(ending)
    return clean(name, MAX_NAME_CHARS)


def without_credentials(url: str) -> str:
    """A URL without user and password; anything else, `git@host:path` too, as it is."""
    scheme = _URL.match(url)
    if scheme is None:
        return url
    authority, slash, path = url[scheme.end() :].partition("/")
    return scheme[0] + authority.rpartition("@")[2] + slash + path


def compose_name(directory_name: str) -> str:
    """A directory's name as compose spells a project: lower case, only letters, digits, "-" and "_".

    After compose-go's NormalizeProjectName.
    """
    return re.sub(r"[^a-z0-9_-]", "", directory_name.lower()).lstrip("_-")[:MAX_NAME_CHARS]
