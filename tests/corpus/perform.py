"""Does the acts of a scenario, on real engines and real files."""

from __future__ import annotations

import contextlib
import functools
import http.client
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tarfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.harness import Agent, start_agent, stop_agent
from tests.corpus import acts
from tests.corpus.acts import Act, Build, Directory, File, Link, Tree
from tests.corpus.server import Server
from tests.engines.compose import bake, compose
from tests.engines.engine import Engine
from tests.engines.images import busybox_tarball

PATIENCE_SECONDS = 60.0
"""How long to wait for what must happen; far more than it takes, so that a busy machine fails no scenario."""

_OWN_IMAGE = re.compile(r"\b(base|tools):latest\b")
_OWN_SERVER = "http://server/"
_USERS = "root:x:0:0::/:/bin/sh\none:x:1:1::/:/bin/sh\ntwo:x:2:2::/:/bin/sh\n"
_GROUPS = "root:x:0:\none:x:1:\ntwo:x:2:\n"
_SMALL_CACHE = '{"builder": {"gc": {"enabled": true, "defaultKeepStorage": "1KB"}}}'


class ScenarioError(Exception):
    """A scenario could not be run; the message says why."""


@dataclass(slots=True)
class Place:
    """An engine and an agent beside it, which scenarios may restart if they are alone there."""

    engine: Engine
    data_dir: Path
    server: Server
    agent: Agent | None = None
    second: Engine | None = None
    environment: Mapping[str, str] = field(default_factory=dict)

    def running_agent(self) -> Agent:
        if self.agent is None:
            environment = {"BUILDPROF_ANALYSE_IMAGES": "false", **self.environment}  # nothing is asked about images
            self.agent = start_agent(self.engine, self.data_dir, environment=environment)
        return self.agent

    def stop_agent(self) -> None:
        if self.agent is not None:
            stop_agent(self.agent)
            self.agent = None


@dataclass(slots=True)
class Site:
    """One scenario on its way: `refs` are those of its builds so far, those of the last act in `last_refs`."""

    name: str
    directory: Path
    place: Place
    refs: list[str] = field(default_factory=list)
    last_refs: list[str] = field(default_factory=list)
    dockerfile: str = ""

    def fill(self, text: str) -> str:
        """A text with the scenario's own images and server in it."""
        own = _OWN_IMAGE.sub(rf"{self.name}-\1:latest", text)
        return own.replace(_OWN_SERVER, self.place.server.url(self.name))

    def path(self, path: str) -> Path:
        return self.directory / path

    def put(self, tree: Tree) -> None:
        for name, entry in tree.items():
            _put(self.path(name), File(self.fill(entry)) if isinstance(entry, str) else entry)


def _put(path: Path, entry: File | Link | Directory) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_symlink() or (path.exists() and path.is_dir() != isinstance(entry, Directory)):
        _remove(path)
    match entry:
        case File(text, mode):
            if not path.exists() or path.read_text() != text:
                path.write_text(text)
            path.chmod(mode)
        case Link(target):
            path.unlink(missing_ok=True)
            path.symlink_to(target)
        case Directory():
            path.mkdir(exist_ok=True)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


@functools.singledispatch
def perform(act: Act, site: Site) -> None:
    """Do one act; ScenarioError or an error of the client if it cannot be done."""
    raise TypeError(f"nobody knows how to do {act}")


@perform.register
def _(act: acts.Put, site: Site) -> None:
    site.put(act.tree)


@perform.register
def _(act: acts.Switch, site: Site) -> None:
    kept = {site.path(name) for name in act.tree}
    for path in [path for path in site.directory.rglob("*") if path.is_symlink() or path.is_file()]:
        if path not in kept:
            path.unlink()
    site.put(act.tree)


@perform.register
def _(act: acts.Edit, site: Site) -> None:
    path = site.path(act.path)
    text, old = path.read_text(), site.fill(act.old)
    if text.count(old) != 1:
        raise ScenarioError(f"{act.path} has {old!r} {text.count(old)} times")
    new = path.with_name(f".{path.name}.swp")
    new.write_text(text.replace(old, site.fill(act.new)))
    new.chmod(path.stat().st_mode & 0o7777)
    new.replace(path)


@perform.register
def _(act: acts.Touch, site: Site) -> None:
    path = site.path(act.path)
    os.utime(path, None if act.at_seconds is None else (act.at_seconds, act.at_seconds))


@perform.register
def _(act: acts.EditUnseen, site: Site) -> None:
    path = site.path(act.path)
    before = path.stat()
    path.write_text(act.text)
    if path.stat().st_size != before.st_size:
        raise ScenarioError(f"{act.path} is to keep its size")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@perform.register
def _(act: acts.Chmod, site: Site) -> None:
    site.path(act.path).chmod(act.mode)


@perform.register
def _(act: acts.Chown, site: Site) -> None:
    os.chown(site.path(act.path), act.owner, act.owner)


@perform.register
def _(act: acts.Rename, site: Site) -> None:
    site.path(act.path).rename(site.path(act.to))


@perform.register
def _(act: acts.Remove, site: Site) -> None:
    _remove(site.path(act.path))


@perform.register
def _(act: acts.Import, site: Site) -> None:
    import_image(site, act.image, act.files)


@perform.register
def _(act: acts.Serve, site: Site) -> None:
    site.place.server.serve(site.name, act.path, act.text)


@perform.register
def _(act: Build, site: Site) -> None:
    engine = site.place.engine
    if act.second:
        if site.place.second is None:
            raise ScenarioError("there is no second engine")
        engine = site.place.second
    site.dockerfile = site.path(act.file).read_text()
    before = _refs(site)
    ref = _build_classic(act, site, engine) if act.classic else _build(act, site, engine)
    if ref:
        _await(lambda: _has_ended(site, ref), "the build in the store")
        site.last_refs = [ref]
        site.refs.append(ref)
    else:
        _await_refs(site, before, 1)


def _has_ended(site: Site, ref: str) -> bool:
    head = ask(site, f"/api/v1/builds/{ref}")
    return head is not None and head["status"] != "running"


def _build_classic(act: Build, site: Site, engine: Engine) -> str:
    """Run it. Classic builds have no ref that a client is told."""
    command = ["build", "--network=host", "-t", f"{site.name}:classic", *map(site.fill, act.options)]
    if act.file != "Dockerfile":
        command.append(f"--file={act.file}")
    result = engine.docker(*command, act.context, cwd=site.directory, check=not act.fails, DOCKER_BUILDKIT="0")
    if act.fails and result.returncode == 0:
        raise ScenarioError("the build was to fail")
    return ""


def _build(act: Build, site: Site, engine: Engine) -> str:
    """Run it and give its ref, "" if it did not end well: the client then writes none down."""
    metadata = site.directory.with_name(f"{site.name}.{len(site.refs)}.json")
    command = ["docker", "build", "--network=host", "--progress=plain", *map(site.fill, act.options)]
    command.append(f"--metadata-file={metadata}")
    if act.file != "Dockerfile":
        command.append(f"--file={act.file}")
    environment = engine.environment | {"DOCKER_BUILDKIT": "1"}
    told = site.directory.with_name(f"{site.name}.{len(site.refs)}.progress")
    with told.open("wb") as progress:
        client = subprocess.Popen(
            [*command, act.context],
            cwd=site.directory,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=progress,
            stderr=progress,
            start_new_session=True,
        )
    assert client.stdin is not None
    with client.stdin as stdin, contextlib.suppress(BrokenPipeError):
        if act.context == "-":
            stdin.write(_tar(site.directory))
    if act.at:
        _await(lambda: act.at in told.read_text() and client.poll() is None, f"{act.at} to run")
        time.sleep(0.3)  # the client prints a step when it begins: a container that is just starting cannot be killed
        for one in act.meanwhile:
            perform(one, site)
        if act.interrupt:
            os.killpg(client.pid, signal.SIGINT)
    code = client.wait(PATIENCE_SECONDS)
    if (code != 0) != (act.fails or act.interrupt):
        raise ScenarioError(f"docker build ended with {code}: {told.read_text()[-2000:]}")
    return json.loads(metadata.read_text())["buildx.build.ref"].rpartition("/")[2] if code == 0 else ""


def _tar(directory: Path) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:  # clients know no other
        archive.add(directory, ".")
    return buffer.getvalue()


@perform.register
def _(act: acts.Compose, site: Site) -> None:
    site.dockerfile = site.path(act.file).read_text()
    before = _refs(site)
    compose(site.place.engine, "build", cwd=site.directory)
    _await_refs(site, before, act.services)


@perform.register
def _(act: acts.Bake, site: Site) -> None:
    site.dockerfile = site.path(act.file).read_text()
    before = _refs(site)
    bake(site.place.engine, "--file=bake.hcl", cwd=site.directory)
    _await_refs(site, before, act.targets)


@perform.register
def _(act: acts.Prune, site: Site) -> None:
    site.place.engine.docker("builder", "prune", "--force", *act.options)


@perform.register
def _(act: acts.PruneByHttp, site: Site) -> None:
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as connection:
        connection.connect(str(site.place.engine.socket))
        connection.sendall(b"POST /build/prune?all=1 HTTP/1.0\r\nContent-Length: 0\r\n\r\n")
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        if answer.status != http.HTTPStatus.OK:
            raise ScenarioError(f"the prune was answered {answer.status}")


@perform.register
def _(act: acts.PruneRecord, site: Site) -> None:
    found = [id_ for id_, description in cache_records(site.place.engine).items() if act.description in description]
    if len(found) != 1:
        raise ScenarioError(f"{len(found)} cache records have {act.description!r}")
    site.place.engine.docker("builder", "prune", "--force", "--all", f"--filter=id={found[0]}")
    if found[0] in cache_records(site.place.engine):
        raise ScenarioError(f"the record of {act.description!r} is in use")


def cache_records(engine: Engine) -> dict[str, str]:
    """Ids and descriptions of the engine's cache records."""
    printed = engine.docker("buildx", "du", "--verbose").stdout
    return dict(re.findall(r"^ID:\s+(\S+)$.*?^Description:\s+(.*?)$", printed, re.MULTILINE | re.DOTALL))


@perform.register
def _(act: acts.CollectGarbage, site: Site) -> None:
    engine = site.place.engine
    settings, options = engine.run_dir / "daemon.json", engine.options
    settings.write_text(_SMALL_CACHE)
    engine.options = (*options, f"--config-file={settings}")
    engine.restart()
    _await(
        lambda: not any(act.until_gone in one for one in cache_records(engine).values()),
        "the engine to collect its garbage",
    )
    engine.options = options
    engine.restart()


@perform.register
def _(act: acts.RestartEngine, site: Site) -> None:
    site.place.engine.restart()


@perform.register
def _(act: acts.RestartAgent, site: Site) -> None:
    site.place.stop_agent()
    for one in act.meanwhile:
        perform(one, site)
    site.place.running_agent()


def import_image(site: Site, image: str, files: Mapping[str, str]) -> None:
    """Put a busybox that is the scenario's own under a name, the same image into both engines where there are two."""
    buffer = io.BytesIO(busybox_tarball())
    with tarfile.open(fileobj=buffer, mode="a") as archive:
        for path, text in {
            "etc/scenario": f"{site.name} {image}",
            "etc/passwd": _USERS,
            "etc/group": _GROUPS,
            **files,
        }.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
    engine, name = site.place.engine, site.fill(image)
    _pipe(engine, ["docker", "import", "-", name], buffer.getvalue())
    if site.place.second is not None:
        _pipe(site.place.second, ["docker", "load"], _pipe(engine, ["docker", "save", name], b""))


def _pipe(engine: Engine, command: list[str], data: bytes) -> bytes:
    return subprocess.run(command, env=engine.environment, input=data, check=True, capture_output=True).stdout


def ask(site: Site, path: str) -> Any:
    """What the agent answers as JSON; None for a 404."""
    status, body = site.place.running_agent().get(path)
    if status == http.HTTPStatus.NOT_FOUND:
        return None
    if status != http.HTTPStatus.OK:
        raise ScenarioError(f"{path}: {status} {body[:500].decode(errors='replace')}")
    return json.loads(body)


def _refs(site: Site) -> list[str]:
    """The scenario's builds that have ended, oldest first."""
    heads = ask(site, "/api/v1/builds?limit=60")["builds"]
    return [one["ref"] for one in reversed(heads) if one["status"] != "running" and _is_ours(one, site)]


def _is_ours(head: dict[str, Any], site: Site) -> bool:
    tags = (head["image"] or {"tags": []})["tags"]
    if any(tag.removeprefix("docker.io/library/").startswith(f"{site.name}:") for tag in tags):
        return True
    directory = str(site.directory)
    return head["project"] == site.name or f"{head['context'] or ''}/".startswith(f"{directory}/")


def _await_refs(site: Site, before: list[str], count: int) -> None:
    """Until the agent knows the new builds: who edits has seen the build end, and takes longer than the agent."""

    def new() -> list[str]:
        return [ref for ref in _refs(site) if ref not in before]

    _await(lambda: len(new()) >= count, f"{count} builds in the store")
    site.last_refs = new()
    site.refs += site.last_refs


def _await(true: Any, what: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not true():
        if time.monotonic() > deadline:
            raise ScenarioError(f"waited {PATIENCE_SECONDS:.0f} s in vain for: {what}")
        time.sleep(0.05)
