"""What can be observed here and what not, why, and what to do: each check asks the real thing."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from grpclib.exceptions import GRPCError, StreamTerminatedError

from buildprof.config import Settings
from buildprof.model.check import Check, CheckStatus
from buildprof.model.text import clean
from buildprof.sources.buildkit.connection import connect
from buildprof.sources.buildkit.history import listen
from buildprof.sources.buildx_state import list_instances
from buildprof.sources.docker_api import DockerApi
from buildprof.sources.docker_sdk import as_endpoint_error, connect_sdk
from buildprof.sources.endpoint import Endpoint, EndpointError, UnsupportedError, parse_endpoint
from buildprof.sources.tree.database import FILE_NAME, TreeNote, read_notes
from buildprof.store.connect import describe, open_store
from buildprof.store.errors import StoreError
from buildprof.store_location import sqlite_file

_IMPORT = "docker buildx build{} --progress=rawjson . 2>&1 | buildprof import -"
_IMPORT_REMEDY = (
    f"update to Engine 24 or later; until then, with buildx 0.13 or later, import builds: {_IMPORT.format('')}"
)

_PERMISSION_REMEDY = "run as root, or: usermod -aG docker $USER and log in again"

_BUILDX_DIRS_EXAMPLE = """BUILDPROF_BUILDX_DIRS='["/home/me/.docker/buildx"]'"""

_EVENTS_SECONDS = 10

_INOTIFY_LIMIT = Path("/proc/sys/fs/inotify/max_user_watches")
_FEW_WATCHES = 65_536
_NOTED_NS = 7 * 86_400 * 10**9
_NAMED = 3


def run_checks(settings: Settings) -> list[Check]:
    """Ask the engine, its BuildKit, buildx' state and the store. Takes seconds at most; never raises for what is missing."""
    return asyncio.run(_run_checks(settings))


async def _run_checks(settings: Settings) -> list[Check]:
    checks: list[Check] = []
    try:
        main = parse_endpoint(settings.docker_host, settings.docker_cert_dir)
        checks += await _engine_checks(main)
    except EndpointError as error:
        checks.append(
            Check("docker engine", CheckStatus.MISSING, str(error), "set docker_host to the engine's address")
        )
    for url in settings.builders:
        try:
            checks.append(await _buildkit_check(f"builder {url}", parse_endpoint(url)))
        except EndpointError as error:
            checks.append(Check(f"builder {url}", CheckStatus.MISSING, str(error), "correct `builders`"))
    checks += _builder_checks(settings)
    checks += _buildx_checks(settings.buildx_dirs)
    checks.append(_watching_check(settings))
    checks.append(_store_check(settings))
    return checks


def _watching_check(settings: Settings) -> Check:
    """Whether files that make steps miss can be told: each directory takes one of inotify's watches."""
    name = "context directories"
    lost = [one for one in settings.watch if not os.access(one, os.R_OK | os.X_OK)]
    if lost:
        detail = f"{clean(lost[0], 200)} cannot be read"
        return Check(name, CheckStatus.DEGRADED, detail, "correct `watch`, or run the agent as who may read it")
    try:
        limit = int(_INOTIFY_LIMIT.read_text())
    except (OSError, ValueError):
        detail = "no inotify: directories are read again at every build"
        return Check(name, CheckStatus.DEGRADED, detail, observes=False)
    if (told := _told_by_agent(settings.data_dir / FILE_NAME)) is not None:
        return Check(name, CheckStatus.DEGRADED, *told, observes=False)
    builds = "and those of builds" if settings.watch_builds else "none of builds (`watch_builds` is off)"
    detail = f"up to {limit:,} directories can be watched; {len(settings.watch)} from the start, {builds}"
    if limit < _FEW_WATCHES:
        remedy = "for large directories: sysctl fs.inotify.max_user_watches=524288"
        return Check(name, CheckStatus.DEGRADED, detail, remedy, observes=False)
    return Check(name, CheckStatus.OK, detail, observes=False)


def _told_by_agent(trees: Path) -> tuple[str, str] | None:
    """What the agent that runs here, or ran last, noted of directories that it cannot watch as it should; what to do."""
    notes = read_notes(trees, time.time_ns() - _NOTED_NS)
    unwatched = [one for one in notes if one.unwatched]
    if unwatched:
        count = sum(one.unwatched for one in unwatched)
        detail = f"inotify's watches ran out: {count:,} directories are read again at every build ({_names(unwatched)})"
        return detail, "sysctl fs.inotify.max_user_watches=524288"
    refused = [one for one in notes if one.state.startswith("refused")]
    if refused:
        detail = f"{_names(refused)}: not watched ({refused[0].state.removeprefix('refused: ')})"
        return detail, "build from a directory of the project's own, or leave more out with .dockerignore"
    overflowed = [one for one in notes if one.overflows]
    if overflowed:
        count = max(one.overflows for one in overflowed)
        detail = f"inotify's queue overflowed {count:,} times; all was read again each time ({_names(overflowed)})"
        return detail, "sysctl fs.inotify.max_queued_events=65536"
    return None


def _names(notes: Sequence[TreeNote]) -> str:
    return ", ".join(clean(os.fsdecode(one.directory), 200) for one in notes[:_NAMED])


async def _engine_checks(main: Endpoint) -> list[Check]:
    api = DockerApi(main)
    try:
        info = await api.engine_info()
    except EndpointError as error:
        remedy = _reach_remedy(main, error, "start docker, or give --docker-host")
        return [Check("docker engine", CheckStatus.MISSING, str(error), remedy)]
    finally:
        await api.close()
    store = "containerd image store" if info.containerd_store else f"{info.storage_driver} image store"
    return [
        Check(
            "docker engine", CheckStatus.OK, f"Docker {info.version}, {store}, API {info.api_version}", observes=False
        ),
        await _events_check(main),
        await _buildkit_check("buildkit", main),
    ]


def _reach_remedy(endpoint: Endpoint, error: EndpointError, otherwise: str) -> str:
    """What to do about an endpoint that cannot be reached."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, PermissionError):
            return _PERMISSION_REMEDY
        cause = cause.__cause__
    if endpoint.scheme in ("ssh", "tcp"):
        return f"check the address {endpoint.url}: that the host answers there, and that this user may connect"
    return otherwise


async def _events_check(main: Endpoint) -> Check:
    try:
        await asyncio.to_thread(_read_events, main)
    except EndpointError as error:
        detail = f"images, prunes and classic builds are not seen: {error}"
        return Check(
            "docker events", CheckStatus.MISSING, detail, "see who refuses GET /events: a proxy, or the engine"
        )
    return Check("docker events", CheckStatus.OK, "images, prunes and classic builds are seen")


def _read_events(endpoint: Endpoint) -> None:
    """Read a stream of events to its end: those of a second long past, so that it ends whatever the engine's clock says.

    Raises:
        EndpointError: it cannot be read.
    """
    try:
        with contextlib.closing(connect_sdk(endpoint, _EVENTS_SECONDS)) as client:
            events: Any = client.events(since=1, until=2, decode=True)
            events._response.raise_for_status()  # noqa: SLF001 - the SDK takes a refusal for a stream without events
            for _ in events:
                pass
    except Exception as error:
        raise as_endpoint_error(endpoint, error) from error


async def _buildkit_check(name: str, endpoint: Endpoint) -> Check:
    try:
        channel, version = await connect(endpoint)
    except UnsupportedError as error:
        return Check(name, CheckStatus.MISSING, str(error), _IMPORT_REMEDY)
    except EndpointError as error:
        remedy = _reach_remedy(endpoint, error, "see that the builder runs and may be reached")
        return Check(name, CheckStatus.MISSING, str(error), remedy)
    try:
        builds = [record async for record in listen(channel, early_exit=True)]
    except UnsupportedError as error:
        detail = f"{error}; its BuildKit builds appear as images only, without steps"
        return Check(name, CheckStatus.DEGRADED, detail, _IMPORT_REMEDY)
    except (GRPCError, StreamTerminatedError) as error:
        return Check(name, CheckStatus.MISSING, f"the build history cannot be read: {error}", "see the engine's log")
    finally:
        channel.close()
    shown = f"BuildKit {version}" if version and not version.startswith("v0.0.0") else "BuildKit"
    way = channel.transport.value
    return Check(name, CheckStatus.OK, f"{shown} over {way}, {len(builds)} builds in its history")


def _builder_checks(settings: Settings) -> Iterator[Check]:
    """Builders that somebody created beside the engine's own, and that are not followed."""
    instances = {one.name: one for directory in settings.buildx_dirs for one in list_instances(directory)}
    for instance in instances.values():
        # Of other drivers the endpoint is where the engine is that runs the builder, not the builder's own.
        nodes = instance.nodes if instance.driver == "remote" else ()
        addresses = [node.endpoint for node in nodes if node.endpoint.startswith(("unix://", "tcp://"))]
        unfollowed = [address for address in addresses if address not in settings.builders]
        if instance.driver == "docker" or (addresses and not unfollowed):
            continue
        remedy = f"build with the engine's own builder, or import: {_IMPORT.format(f' --builder {instance.name}')}"
        if unfollowed:
            remedy = f"put {' and '.join(clean(one, 200) for one in unfollowed[:5])} into `builders`"
        detail = f"is not followed; its builds are not seen (driver {instance.driver or 'unknown'} of buildx)"
        yield Check(f"builder {instance.name}", CheckStatus.MISSING, detail, remedy)


def _buildx_checks(buildx_dirs: tuple[Path, ...]) -> Iterator[Check]:
    """The local state of buildx is what ties a build to its directory."""
    readable = [path for path in buildx_dirs if os.access(path / "refs", os.R_OK | os.X_OK)]
    if readable:
        places = ", ".join(str(path) for path in readable[:5])
        yield Check("project directories", CheckStatus.OK, f"buildx notes them in {places}", observes=False)
        return
    looked = ", ".join(str(path) for path in buildx_dirs[:5]) or "nowhere"
    yield Check(
        "project directories",
        CheckStatus.DEGRADED,
        f"no buildx state is readable (looked in {looked}); builds are placed by labels, VCS or Dockerfile",
        f"build once with buildx, or say where its state is, in a container after mounting it: {_BUILDX_DIRS_EXAMPLE}",
        observes=False,
    )


def _store_check(settings: Settings) -> Check:
    """The store is opened if there is one; where there is none, none is made."""
    file = sqlite_file(settings.store_url)
    try:
        if file is not None and not os.path.lexists(file):
            return Check("store", CheckStatus.OK, _new_store(file), observes=False)
        store = open_store(settings.store_url, create=False)
    except StoreError as error:
        return Check(
            "store", CheckStatus.MISSING, str(error), "choose another --data-dir or --database-url", observes=False
        )
    store.dispose()
    return Check("store", CheckStatus.OK, f"usable: {describe(store.url)}", observes=False)


def _new_store(file: Path) -> str:
    """What will become of a store that is not there yet. StoreError if it cannot be made."""
    nearest = next(parent for parent in file.absolute().parents if os.path.lexists(parent))
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        raise StoreError(f"{file}: cannot be made: {nearest} is not a directory that can be written")
    return f"not there yet, will be made: {file}"
