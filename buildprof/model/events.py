"""Facts as sources emit them: immutable, in the words of whoever told them, before anyone says what they mean."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Vertex:
    """One report on one vertex, of BuildKit's `Status` stream; later reports of a digest amend earlier ones."""

    digest: str
    name: str
    inputs: tuple[str, ...] = ()
    cached: bool = False
    started_ns: int | None = None
    completed_ns: int | None = None
    error: str = ""
    group_id: str = ""


@dataclass(frozen=True, slots=True)
class VertexStatus:
    """Progress of one thing inside a vertex: a layer that is pulled, a context that is sent. `current` of `total`."""

    id: str
    vertex: str
    name: str
    current: int
    total: int
    timestamp_ns: int | None = None
    started_ns: int | None = None
    completed_ns: int | None = None


@dataclass(frozen=True, slots=True)
class VertexLog:
    """Bytes that a step wrote. `stream` is 1 for stdout, 2 for stderr."""

    vertex: str
    data: bytes
    stream: int = 1
    timestamp_ns: int | None = None


@dataclass(frozen=True, slots=True)
class StatusUpdate:
    """One message of a `Status` stream, or one line of a client's `--progress=rawjson`."""

    vertices: tuple[Vertex, ...] = ()
    statuses: tuple[VertexStatus, ...] = ()
    logs: tuple[VertexLog, ...] = ()


class RecordState(StrEnum):
    """Which event brought a build record."""

    STARTED = "started"
    COMPLETE = "complete"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class BuildRecord:
    """A record of BuildKit's build history.

    `result_digest` is the image's: of its configuration in the classic image store, of its manifest or index in
    containerd's. `attestations` are (platform, digest) of provenance blobs, the platform "" where there is one.
    """

    ref: str
    state: RecordState
    generation: int
    created_ns: int
    completed_ns: int | None = None
    frontend_attrs: dict[str, str] = field(default_factory=dict)
    exporters: tuple[tuple[str, dict[str, str]], ...] = ()
    exporter_response: dict[str, str] = field(default_factory=dict)
    error_code: int | None = None
    error_message: str = ""
    result_digest: str = ""
    attestations: tuple[tuple[str, str], ...] = ()
    trace_digest: str = ""


@dataclass(frozen=True, slots=True)
class LocalState:
    """What buildx wrote on disk about a ref: absolute paths, the target's name in bake, the id of its group.

    `owner_uid` is the user who wrote it, None where that is not this machine's: what it names is read with that
    user's rights only.
    """

    ref: str
    target: str
    context_path: str
    dockerfile_path: str
    group_id: str = ""
    builder: str = ""
    owner_uid: int | None = None


@dataclass(frozen=True, slots=True)
class BuildCommand:
    """What a client's command says: the directory that it builds, the image's names, and the engine's address if any.

    `started_ns` is when the client was started, 0 if unknown; `pid` its process.
    """

    place: LocalState
    tags: tuple[str, ...] = ()
    host: str = ""
    started_ns: int = 0
    pid: int = 0

    @property
    def key(self) -> tuple[int, str, str]:
        """What tells this client from all others; not its start, which is reckoned anew each time."""
        return self.pid, self.place.context_path, self.place.dockerfile_path


@dataclass(frozen=True, slots=True)
class EngineEvent:
    """One event of the Docker events stream. `attributes` are the actor's."""

    type: str
    action: str
    id: str
    at_ns: int
    attributes: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One entry of `/images/{id}/history`. `id` is "" where the engine says `<missing>`."""

    id: str
    created_ns: int
    created_by: str
    size_bytes: int
    tags: tuple[str, ...] = ()
