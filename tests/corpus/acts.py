"""What a scenario does, as data; paths are relative to its directory. `perform.py` does it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class File:
    """A file with a mode; a plain `str` in a tree is a file of mode 644."""

    text: str
    mode: int = 0o644


@dataclass(frozen=True, slots=True)
class Link:
    """A symbolic link."""

    target: str


@dataclass(frozen=True, slots=True)
class Directory:
    """An empty directory."""


Tree: TypeAlias = Mapping[str, str | File | Link | Directory]


@dataclass(frozen=True, slots=True)
class Put:
    """Write these files, links and directories over what is there, in place."""

    tree: Tree


@dataclass(frozen=True, slots=True)
class Switch:
    """Make the directory this tree and nothing else, as a change of branches does: what is equal is left alone."""

    tree: Tree


@dataclass(frozen=True, slots=True)
class Edit:
    """Replace a text that stands exactly once in a file; the new file takes the old one's place, as editors do it."""

    path: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Touch:
    """Set a file's time to now or, in seconds, to another."""

    path: str
    at_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class EditUnseen:
    """Write a text of the same size in place and put the old time back."""

    path: str
    text: str


@dataclass(frozen=True, slots=True)
class Chmod:
    path: str
    mode: int


@dataclass(frozen=True, slots=True)
class Chown:
    path: str
    owner: int


@dataclass(frozen=True, slots=True)
class Rename:
    path: str
    to: str


@dataclass(frozen=True, slots=True)
class Remove:
    path: str


@dataclass(frozen=True, slots=True)
class Build:
    """`docker build` of the directory. It must fail if `fails`.

    `context` is the directory's part that is built, or "-" for a tar of it on stdin. `meanwhile` is done once the
    step that begins with `at` runs, where `interrupt` is Ctrl-C.
    """

    options: Sequence[str] = ()
    file: str = "Dockerfile"
    context: str = "."
    classic: bool = False
    fails: bool = False
    second: bool = False
    at: str = ""
    meanwhile: Sequence[Act] = ()
    interrupt: bool = False


@dataclass(frozen=True, slots=True)
class Compose:
    """`docker compose build` of so many services, which share a Dockerfile."""

    services: int
    file: str = "Dockerfile"


@dataclass(frozen=True, slots=True)
class Bake:
    """`docker buildx bake` of so many targets of `bake.hcl`, which share a Dockerfile."""

    targets: int
    file: str = "Dockerfile"


@dataclass(frozen=True, slots=True)
class Import:
    """Give an image's name to a busybox that also has these files; at the start each scenario has one without any."""

    image: str
    files: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Serve:
    """What `http://server/PATH` answers from now on; None is 404."""

    path: str
    text: str | None


@dataclass(frozen=True, slots=True)
class Prune:
    """`docker builder prune` with options."""

    options: Sequence[str] = ("--all",)


@dataclass(frozen=True, slots=True)
class PruneByHttp:
    """`POST /build/prune`, as old clients and scripts do it."""


@dataclass(frozen=True, slots=True)
class PruneRecord:
    """Remove the one cache record whose description has this in it, and nothing else."""

    description: str


@dataclass(frozen=True, slots=True)
class CollectGarbage:
    """Restart the engine with room for almost no cache, until the record with this description is gone, and as it was.

    Its cache must be more than 1 kB by then.
    """

    until_gone: str


@dataclass(frozen=True, slots=True)
class RestartAgent:
    """Stop the agent, do something, start it again."""

    meanwhile: Sequence[Act] = ()


@dataclass(frozen=True, slots=True)
class RestartEngine:
    """Restart the engine as it was."""


Act: TypeAlias = (
    Put
    | Switch
    | Edit
    | Touch
    | EditUnseen
    | Chmod
    | Chown
    | Rename
    | Remove
    | Build
    | Compose
    | Bake
    | Import
    | Serve
    | Prune
    | PruneByHttp
    | PruneRecord
    | CollectGarbage
    | RestartAgent
    | RestartEngine
)
