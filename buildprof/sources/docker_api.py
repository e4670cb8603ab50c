"""What is asked of a Docker Engine's API, by the docker SDK in threads."""

from __future__ import annotations

import asyncio
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

import docker
from docker.errors import NotFound

from buildprof.assembly.build import ImageFacts
from buildprof.assembly.classic_facts import (
    Answers,
    ContainerQuestion,
    ContainerRecord,
    ImageQuestion,
    ImageRecord,
    Question,
)
from buildprof.model.events import HistoryEntry
from buildprof.model.text import NANOSECONDS, clean
from buildprof.sources.docker_sdk import as_endpoint_error, connect_sdk
from buildprof.sources.endpoint import Endpoint

T = TypeVar("T")

MAX_HISTORY = 1000
MAX_WORDS = 200
MAX_LABELS = 200
REMEMBERED_TIMES = 4096
MOMENT_SECONDS = 0.5

_MAX_COMMAND_CHARS = 8192
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)")


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """An engine as it describes itself."""

    id: str
    name: str
    version: str
    api_version: str
    storage_driver: str
    containerd_store: bool


class DockerApi:
    """Questions to one engine. Every call raises EndpointError where the engine cannot be reached or makes no sense.

    The connection is made by the first call, and anew after a failure: an engine may come back as another version.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._client: docker.APIClient | None = None
        self._created: OrderedDict[str, int] = OrderedDict()
        self._last_image: dict[str, tuple[float, ImageRecord | None]] = {}
        self._lock = asyncio.Lock()

    async def engine_info(self) -> EngineInfo:
        """Who the engine is."""
        return await self._ask(lambda client: _engine_info(client.info(), client.version()))

    async def image_history(self, image: str) -> tuple[HistoryEntry, ...] | None:
        """The history of an image by id or name, newest first; None if there is no such image.

        The engine gives seconds; where an entry has an id, its image tells the nanoseconds, asked once for each.
        """
        return await self._ask_of(lambda client: self._history(client, image)[0])

    async def inspect_image(self, image: str) -> ImageRecord | None:
        """An image with its history; None if there is no such image.

        The end of a build and the event of its tag ask for the same image at once: an answer serves for a moment.
        """
        asked_at, record = self._last_image.get(image, (0.0, None))
        if record is None or time.monotonic() - asked_at > MOMENT_SECONDS:
            record = await self._ask_of(lambda client: self._image(client, image))
            self._last_image = {image: (time.monotonic(), record)}
        return record

    async def image_facts(self, image: str) -> ImageFacts | None:
        """An image's size, layers and history; None if there is no such image."""
        record = await self.inspect_image(image)
        return ImageFacts(record.id, record.tags, record.size_bytes, record.layers, record.history) if record else None

    async def inspect_container(self, container_id: str) -> ContainerRecord | None:
        """A container; None if it is gone."""
        return await self._ask_of(lambda client: _container(client.inspect_container(container_id)))

    async def answer(self, questions: list[Question]) -> Answers:
        """The answers to questions on events, in their order: containers live for milliseconds, so put them first."""
        found: dict[Question, ContainerRecord | ImageRecord | None] = {}
        for question in questions:
            match question:
                case ContainerQuestion(container_id):
                    found[question] = await self.inspect_container(container_id)
                case ImageQuestion(image):
                    found[question] = await self.inspect_image(image)
        return found

    async def close(self) -> None:
        """Give the connection back."""
        client, self._client = self._client, None
        if client is not None:
            await asyncio.to_thread(client.close)

    async def _ask_of(self, ask: Callable[[docker.APIClient], T]) -> T | None:
        def find(client: docker.APIClient) -> T | None:
            try:
                return ask(client)
            except NotFound:
                return None

        return await self._ask(find)

    async def _ask(self, ask: Callable[[docker.APIClient], T]) -> T:
        async with self._lock:  # the SDK's session is not made for several threads
            return await asyncio.to_thread(self._ask_now, ask)

    def _ask_now(self, ask: Callable[[docker.APIClient], T]) -> T:
        try:
            if self._client is None:
                self._client = connect_sdk(self._endpoint)
            return ask(self._client)
        except Exception as error:
            client, self._client = self._client, None
            if client is not None:
                client.close()
            raise as_endpoint_error(self._endpoint, error) from error

    def _image(self, client: docker.APIClient, image: str) -> ImageRecord:
        found = _mapping(client.inspect_image(image))  # type: ignore[no-untyped-call]
        history, is_buildkit = self._history(client, image)
        return _image_record(found, history, is_buildkit=is_buildkit)

    def _history(self, client: docker.APIClient, image: str) -> tuple[tuple[HistoryEntry, ...], bool]:
        found = [_mapping(entry) for entry in client.history(image)[:MAX_HISTORY]]  # type: ignore[no-untyped-call]
        entries = tuple(self._history_entry(client, entry) for entry in found)
        # The comment is BuildKit's mark: `buildkit.dockerfile.v0`.
        return entries, bool(found) and str(found[0].get("Comment", "")).startswith("buildkit.")

    def _history_entry(self, client: docker.APIClient, entry: Mapping[str, Any]) -> HistoryEntry:
        image_id = str(entry.get("Id") or "")[:200]
        image_id = "" if image_id == "<missing>" else image_id
        seconds_ns = _integer(entry.get("Created")) * NANOSECONDS
        return HistoryEntry(
            id=image_id,
            created_ns=self._created_ns(client, image_id, seconds_ns) if image_id else seconds_ns,
            created_by=str(entry.get("CreatedBy") or "")[:_MAX_COMMAND_CHARS],
            size_bytes=_integer(entry.get("Size")),
            tags=_texts(entry.get("Tags")),
        )

    def _created_ns(self, client: docker.APIClient, image_id: str, otherwise_ns: int) -> int:
        if image_id not in self._created:
            try:
                created = _mapping(client.inspect_image(image_id)).get("Created")  # type: ignore[no-untyped-call]
            except NotFound:
                created = None
            self._created[image_id] = parse_time_ns(created) or otherwise_ns
            while len(self._created) > REMEMBERED_TIMES:
                self._created.popitem(last=False)
        return self._created[image_id]


def parse_time_ns(text: object) -> int | None:
    """A time of the API, RFC 3339 with up to nine digits, in nanoseconds since the epoch; None for what is none."""
    match = _TIME.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        return None
    try:
        seconds = int(datetime.fromisoformat(match[1] + match[3].replace("Z", "+00:00")).timestamp())
    except (ValueError, OverflowError):
        return None
    return seconds * NANOSECONDS + int((match[2] or "0").ljust(9, "0"))


def _engine_info(info: Mapping[str, Any], version: Mapping[str, Any]) -> EngineInfo:
    # The containerd store says so in its driver's status (moby/moby daemon/containerd; seen on Engine 28.5).
    status = info.get("DriverStatus") or ()
    return EngineInfo(
        id=clean(info.get("ID") or "", 200),
        name=clean(info.get("Name") or "", 200),
        version=clean(version.get("Version") or "", 100),
        api_version=clean(version.get("ApiVersion") or "", 20),
        storage_driver=clean(info.get("Driver") or "", 100),
        containerd_store=any("io.containerd.snapshotter" in str(value) for pair in status for value in pair),
    )


def _image_record(found: Mapping[str, Any], history: tuple[HistoryEntry, ...], *, is_buildkit: bool) -> ImageRecord:
    config = _mapping(found.get("Config") or {})
    labels = _mapping(config.get("Labels") or {})
    layers = _mapping(found.get("RootFS") or {}).get("Layers")
    platform = "/".join(
        str(part) for part in (found.get("Os"), found.get("Architecture"), found.get("Variant")) if part
    )
    return ImageRecord(
        id=str(found.get("Id", ""))[:200],
        parent=str(found.get("Parent") or "")[:200],
        created_ns=parse_time_ns(found.get("Created")) or 0,
        tags=_texts(found.get("RepoTags")),
        labels={clean(key, 200): clean(value, 500) for key, value in list(labels.items())[:MAX_LABELS]},
        size_bytes=_integer(found.get("Size")),
        layers=len(layers) if isinstance(layers, list) else None,
        platform=clean(platform, 100),
        is_buildkit=is_buildkit,
        history=history,
        digests=_texts(layers),
    )


def _container(found: object) -> ContainerRecord:
    container = _mapping(found)
    config = _mapping(container.get("Config") or {})
    log_config = _mapping(_mapping(container.get("HostConfig") or {}).get("LogConfig") or {})
    words, environment = config.get("Cmd"), config.get("Env")
    return ContainerRecord(
        id=str(container.get("Id", ""))[:200],
        image=str(config.get("Image") or "")[:500],
        command=tuple(str(word)[:_MAX_COMMAND_CHARS] for word in words[:MAX_WORDS]) if isinstance(words, list) else (),
        log_driver=str(log_config.get("Type") or "")[:100],
        is_running=_mapping(container.get("State") or {}).get("Running") is True,
        environment=tuple(str(one)[:_MAX_COMMAND_CHARS] for one in environment[:MAX_WORDS])
        if isinstance(environment, list)
        else (),
    )


def _mapping(value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise TypeError(f"expected an object, got {type(value).__name__}")
    return value


def _integer(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 62 else 0


def _texts(value: object) -> tuple[str, ...]:
    return tuple(clean(text, 300) for text in value[:100]) if isinstance(value, list) else ()
