"""What can be observed here and what not, why, and what to do: each check asks the real thing."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

from grpclib.exceptions import GRPCError, StreamTerminatedError

from buildprof.config import Settings
from buildprof.model.check import Check, CheckStatus
from buildprof.sources.buildkit.connection import connect
from buildprof.sources.buildkit.history import listen
from buildprof.sources.docker_api import DockerApi
from buildprof.sources.endpoint import Endpoint, EndpointError, UnsupportedError, parse_endpoint
from buildprof.store.connect import open_store
from buildprof.store.errors import StoreError

_IMPORT_REMEDY = (
    "update to Engine 24 or later; until then, pipe builds into the importer: "
    "docker build --progress=rawjson … |& buildprof import -"
)


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
    checks += _buildx_checks(settings.buildx_dirs)
    checks.append(_store_check(settings))
    return checks


async def _engine_checks(main: Endpoint) -> list[Check]:
    api = DockerApi(main)
    try:
        info = await api.engine_info()
    except EndpointError as error:
        return [Check("docker engine", CheckStatus.MISSING, str(error), "start docker, or give --docker-host")]
    store = "containerd image store" if info.containerd_store else f"{info.storage_driver} image store"
    return [
        Check(
            "docker engine", CheckStatus.OK, f"Docker {info.version}, {store}, API {info.api_version}", observes=False
        ),
        Check("docker events", CheckStatus.OK, "images, prunes and classic builds are seen"),
        await _buildkit_check("buildkit", main),
    ]


async def _buildkit_check(name: str, endpoint: Endpoint) -> Check:
    try:
        channel, version = await connect(endpoint)
    except UnsupportedError as error:
        return Check(name, CheckStatus.MISSING, str(error), _IMPORT_REMEDY)
    except EndpointError as error:
        return Check(name, CheckStatus.MISSING, str(error), "see that the builder runs and may be reached")
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
        "build once with buildx, or set buildx_dirs; in a container, mount the user's ~/.docker/buildx",
        observes=False,
    )


def _store_check(settings: Settings) -> Check:
    try:
        open_store(settings.store_url).dispose()
    except StoreError as error:
        return Check(
            "store", CheckStatus.MISSING, str(error), "choose another --data-dir or --database-url", observes=False
        )
    return Check("store", CheckStatus.OK, f"usable, in {settings.data_dir}", observes=False)
