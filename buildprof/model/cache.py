"""What the builder's cache holds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CacheRecord:
    """One record of BuildKit's cache, as `DiskUsage` gives it. Times are nanoseconds since the epoch."""

    id: str
    size_bytes: int
    description: str
    record_type: str
    in_use: bool
    shared: bool
    created_ns: int
    last_used_ns: int | None = None
    parents: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CacheUsage:
    """All records of a builder's cache at one moment."""

    builder: str
    at_ns: int
    records: tuple[CacheRecord, ...]
