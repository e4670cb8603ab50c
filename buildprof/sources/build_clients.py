"""Clients that build on this machine now: the classic builder tells no directory, but its client's command does.

A process is looked at as /proc shows it to this user: root sees all, others their own. One in another mount namespace
names paths of another machine, as far as files go, and is passed over.
"""

from __future__ import annotations

import os
import re
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from buildprof.model.events import BuildCommand, LocalState

MAX_CLIENTS = 64
MAX_COMMAND_BYTES = 65_536

_PROC = Path("/proc")
_VARIABLES = frozenset({b"DOCKER_HOST", b"DOCKER_BUILDKIT", b"PWD"})
_NAMES = frozenset({b"docker", b"docker.io"})
_BUILDS = (("build",), ("image", "build"), ("builder", "build"))
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_REMOTE = re.compile(r"[a-z][a-z0-9+.-]{0,20}://|git@|github\.com/", re.IGNORECASE)

_SWITCHES = frozenset({
    "-D", "--debug", "--tls", "--tlsverify", "--compress", "--disable-content-trust", "--force-rm", "--no-cache", "--pull",
    "-q", "--quiet", "--rm", "--squash", "--stream",
})  # fmt: skip
"""Options of `docker` and `docker build` that take no value (docker/cli, cli/flags and command/image/build.go)."""


def build_clients() -> tuple[BuildCommand, ...]:
    """The `docker build` commands of the classic builder that run now.

    None where /proc cannot be read, nor where there are more than MAX_CLIENTS: of some nobody could say that they are all.
    """
    found: list[BuildCommand] = []
    try:
        own = os.stat("/proc/self/ns/mnt").st_ino  # noqa: PTH116  # a file of the kernel's
        names = [entry for entry in os.listdir(_PROC) if entry.isdigit()]  # noqa: PTH208  # as above
    except OSError:
        return ()
    for name in names:
        process = _PROC / name
        with suppress(OSError, ValueError):  # it has ended, or is somebody else's
            words = _command(process)
            if words and (process / "ns/mnt").stat().st_ino == own and (client := _client(process, words)) is not None:
                found.append(client)
    return tuple(found) if len(found) <= MAX_CLIENTS else ()


def _client(process: Path, words: Sequence[str]) -> BuildCommand | None:
    environment = _environment(process)
    if environment.get("DOCKER_BUILDKIT") == "1":
        return None
    directory = os.readlink(process / "cwd")  # noqa: PTH115  # text
    told = environment.get("PWD", "")
    # Go's Getwd: `..` of a directory that was reached by a link is the link's parent.
    with suppress(OSError):
        directory = told if told.startswith("/") and Path(told).samefile(directory) else directory
    client = client_of(words, directory, process.stat().st_uid)
    if client is None:
        return None
    place = client.place
    if place.dockerfile_path == f"{place.context_path}/Dockerfile" and not os.path.lexists(place.dockerfile_path):
        place = replace(place, dockerfile_path=f"{place.context_path}/dockerfile")  # which the classic client takes too
    place = replace(place, context_path=os.path.realpath(place.context_path))
    host = client.host or environment.get("DOCKER_HOST", "")
    return replace(client, place=place, host=host, started_ns=_started_ns(process), pid=int(process.name))


def client_of(words: Sequence[str], directory: str, uid: int) -> BuildCommand | None:
    """What a command builds that a user runs in a directory; None if it builds nothing, or no directory here."""
    options, rest = _read(words[1:])
    command = next((one for one in _BUILDS if tuple(rest[: len(one)]) == one), None)
    if command is None or len(rest) != len(command) + 1:
        return None
    last = {name: values[-1] for name, values in options.items()}
    context, file = rest[-1], last.get("-f", last.get("--file", ""))
    if "-" in (context, file) or _REMOTE.match(context):
        return None
    context_path = os.path.normpath(os.path.join(directory, context))  # noqa: PTH118  # text, as the client joins it
    file_path = os.path.normpath(os.path.join(directory, file or f"{context_path}/Dockerfile"))  # noqa: PTH118
    if not context_path.startswith("/") or _CONTROL.search(context_path + file_path):
        return None
    place = LocalState("", last.get("--target", "")[:200], context_path, file_path, owner_uid=uid)
    tags = (*options.get("-t", ()), *options.get("--tag", ()))
    return BuildCommand(place, tags, last.get("-H", last.get("--host", "")))


def _command(process: Path) -> list[str]:
    """The words of a docker command; [] of any other process, at little cost."""
    with (process / "cmdline").open("rb") as file:
        start = file.read(4096)
        program = start.partition(b"\0")[0]
        if program.rpartition(b"/")[2] not in _NAMES or b"build" not in start:
            return []
        return [os.fsdecode(word) for word in (start + file.read(MAX_COMMAND_BYTES)).rstrip(b"\0").split(b"\0")]


def _environment(process: Path) -> dict[str, str]:
    """What decides about a build's place; nothing else is looked at."""
    with (process / "environ").open("rb") as file:
        variables = [one.partition(b"=") for one in file.read(MAX_COMMAND_BYTES).split(b"\0")]
    return {name.decode(): os.fsdecode(value) for name, _, value in variables if name in _VARIABLES}


def _started_ns(process: Path) -> int:
    """When a process was started, up to a hundredth of a second too late (proc_pid_stat(5), `starttime`).

    It has read no directory by then.
    """
    fields = (process / "stat").read_text(errors="replace").rpartition(")")[2].split()
    since_boot_ns = (int(fields[19]) + 1) * (1_000_000_000 // os.sysconf("SC_CLK_TCK"))
    return time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME) + since_boot_ns


def _read(words: Sequence[str]) -> tuple[dict[str, list[str]], list[str]]:
    """Options with their values, and the other words."""
    options: defaultdict[str, list[str]] = defaultdict(list)
    rest: list[str] = []
    waiting: Iterator[str] = iter(words)
    for word in waiting:
        if word == "--":
            rest += waiting
        elif word == "-" or not word.startswith("-"):
            rest.append(word)
        elif "=" in word and (word.startswith("--") or word[2:3] == "="):
            name, _, value = word.partition("=")
            options[name].append(value)
        elif not word.startswith("--") and len(word) > 2 and word[:2] not in _SWITCHES:
            options[word[:2]].append(word[2:])
        elif word in _SWITCHES or (not word.startswith("--") and word[:2] in _SWITCHES):
            options[word].append("")
        else:
            options[word].append(next(waiting, ""))
    return options, rest
