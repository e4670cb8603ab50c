"""After builds, what their images are made of: analysed in a process of its own, when nothing else is to be done."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable
from functools import partial

import structlog

from buildprof.assembly.image_names import familiar
from buildprof.capture.desk import Desk, RefusedError
from buildprof.capture.quiet import until_quiet
from buildprof.config import Settings
from buildprof.model.build import Build, Status
from buildprof.model.document import Document

QUIET_SECONDS = 2.0
"""No build may have run for so long before an image is looked at."""

BUSY_SECONDS = 600.0
"""And at most so long for the builds that run: then it has the lowest priority all the same."""

LOOK_SECONDS = 0.5
MAX_SECONDS = 300.0
"""An image that takes longer is given up; `buildprof image` takes the time that it needs."""

MAX_WAITING = 64
MAX_DOCUMENT_BYTES = 64 * 1024 * 1024
_STOP_SECONDS = 1.0

_log = structlog.get_logger(__name__)


class ImageAnalyst:
    """Analyses the images of one engine's builds, the last of each project and target, one at a time.

    In a process of its own: at the lowest priority of processor and disk, and its memory is given back.
    """

    def __init__(self, settings: Settings, desk: Desk, is_busy: Callable[[], bool]) -> None:
        self._settings = settings
        self._desk = desk
        self._is_busy = is_busy
        self._waiting: dict[tuple[str, str, str], Build] = {}
        self._wanted = asyncio.Event()

    def want(self, build: Build) -> None:
        """Analyse the image of a build that has ended, if it has one."""
        if not self._settings.analyse_images or build.status is not Status.COMPLETED or build.image is None:
            return
        # Of builds that could not be placed, the image's name tells them apart.
        key = build.project, build.target, next(iter(build.image.tags), build.image.id)
        if key in self._waiting or len(self._waiting) < MAX_WAITING:
            self._waiting[key] = build
            self._wanted.set()

    async def run(self) -> None:
        """Analyse what is wanted, until cancelled."""
        while True:
            await self._wanted.wait()
            await until_quiet(
                self._is_busy,
                quiet_seconds=QUIET_SECONDS,
                at_most_seconds=BUSY_SECONDS,
                look_seconds=LOOK_SECONDS,
            )
            build = self._waiting.pop(next(iter(self._waiting)))
            if not self._waiting:
                self._wanted.clear()
            try:
                if document := await self._analyse(build):
                    await self._desk.write(partial(self._desk.ingest.save_image, build, document))
            except (OSError, RefusedError, KeyError, TypeError) as error:  # as much as one image can bring about
                _log.warning("an image was not analysed", ref=build.ref, reason=f"{type(error).__name__}: {error}")

    async def _analyse(self, build: Build) -> Document | None:
        """What `buildprof image` prints of the build's image; None if it can make nothing of it."""
        image = build.image.id if build.image else ""
        command = [sys.executable, "-m", "buildprof", "image", image, "--json", "--background", "--build", build.ref]
        command += ["--docker-host", self._settings.docker_host, "--data-dir", str(self._settings.data_dir)]
        environment = os.environ | {
            "BUILDPROF_DATABASE_URL": self._settings.store_url,
            "BUILDPROF_REDACT": json.dumps(self._settings.redact),
        }
        process = await asyncio.create_subprocess_exec(
            *command,
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=MAX_DOCUMENT_BYTES,
        )
        try:
            async with asyncio.timeout(MAX_SECONDS):
                out, said = await process.communicate()
        except TimeoutError:
            _log.warning("an image takes too long to be analysed", ref=build.ref, seconds=MAX_SECONDS)
            return None
        finally:
            await _end(process)
        if process.returncode != 0:
            reason = said.decode("utf-8", "replace").strip().rpartition("\n")[2][:300]
            _log.info("an image was not analysed", ref=build.ref, reason=reason.removeprefix("buildprof: "))
            return None
        try:
            document: Document = json.loads(out)
        except ValueError:
            _log.warning("an image was not analysed", ref=build.ref, reason="no document")
            return None
        tags = build.image.tags if build.image else ()
        redact = partial(self._desk.redact_of, build.ref)
        return redacted(document, redact) | {"image": familiar(tags[0]) if tags else document["image"]}


def redacted(document: Document, redact: Callable[[str], str]) -> Document:
    """The document with its commands and paths without secrets."""
    layers = [{**layer, "command": redact(layer["command"])} for layer in document["layers"]]
    waste = [
        {**one, **{name: redact(one[name]) for name in ("path", "same_as") if name in one}} for one in document["waste"]
    ]
    return document | {"layers": layers, "waste": waste}


async def _end(process: asyncio.subprocess.Process) -> None:
    """See a process gone."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGKILL)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), _STOP_SECONDS)
