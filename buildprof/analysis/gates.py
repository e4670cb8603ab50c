"""Limits that an image has to keep, as a CI job sets them. Pure."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from buildprof.model.text import human_size

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kKMGT]?)(i?)B?", re.ASCII)
_POWERS = "kMGT"
_NUMBER = re.compile(r"\d{1,6}(\.\d{1,6})?|\.\d{1,6}", re.ASCII)


def parse_size(text: str) -> int:
    """Bytes: `200MB` is 200,000,000 as docker counts, `200MiB` 200 times 1,048,576, a bare number bytes. ValueError else."""
    match = _SIZE.fullmatch(text.strip()) if len(text) < 40 else None
    if match is None:
        raise ValueError("a size such as 200MB or 1.5GiB")
    number, prefix, binary = match.groups()
    power = _POWERS.index(prefix.replace("K", "k")) + 1 if prefix else 0
    unit: int = (1024 if binary else 1000) ** power
    return round(float(number) * unit)


def parse_share(text: str) -> float:
    """`0.95` or `95%`. ValueError for what is neither, or above the whole."""
    head = text.strip().removesuffix("%").rstrip()
    if not _NUMBER.fullmatch(head):
        raise ValueError("a share such as 0.95 or 95%")
    share = float(head) / (100 if text.strip().endswith("%") else 1)
    if share > 1:
        raise ValueError("a share of at most 1, such as 0.95 or 95%")
    return share


@dataclass(frozen=True, slots=True)
class Growth:
    """How much an image may grow: by a share of the one before, or by bytes."""

    share: float | None = None
    bytes: int | None = None

    def allows(self, grown_bytes: int, before_bytes: int) -> bool:
        """Whether the growth is within it."""
        return grown_bytes <= (before_bytes * self.share if self.share is not None else self.bytes or 0)

    def __str__(self) -> str:
        return f"{self.share * 100:g}%" if self.share is not None else human_size(self.bytes or 0)


def parse_growth(text: str) -> Growth:
    """`5%` or a size. ValueError for neither."""
    head = text.strip().removesuffix("%").strip()
    if text.strip().endswith("%"):
        if not _NUMBER.fullmatch(head):
            raise ValueError("a share such as 5%, or a size such as 10MB")
        return Growth(share=float(head) / 100)
    return Growth(bytes=parse_size(text))


@dataclass(frozen=True, slots=True)
class Gates:
    """The limits; None is no limit."""

    max_size_bytes: int | None = None
    min_efficiency: float | None = None
    max_wasted_bytes: int | None = None
    max_growth: Growth | None = None


def broken_gates(  # noqa: PLR0913  # each is a figure
    gates: Gates,
    *,
    size_bytes: int,
    wasted_bytes: int,
    efficiency: float,
    base_wasted_bytes: int | None = None,
    grown_bytes: int | None = None,
    before_bytes: int | None = None,
) -> list[str]:
    """A clause for each limit that an image does not keep.

    `base_wasted_bytes` is what of the waste the base image brings along, None where the base is not known.
    `grown_bytes` is against the image before, of `before_bytes`, both as the engine counts; None of a first image.
    """
    found = []
    if gates.max_size_bytes is not None and size_bytes > gates.max_size_bytes:
        found.append("size {} is above {}".format(*_told_apart(size_bytes, gates.max_size_bytes)))
    is_wasteful = False
    if gates.min_efficiency is not None and efficiency < gates.min_efficiency:
        shown = math.floor(efficiency * 10_000) / 10_000  # rounded up it could be the limit
        found.append(f"efficiency {shown:.4f} is below {gates.min_efficiency:g}")
        is_wasteful = True
    if gates.max_wasted_bytes is not None and wasted_bytes > gates.max_wasted_bytes:
        found.append("wasted {} is above {}".format(*_told_apart(wasted_bytes, gates.max_wasted_bytes)))
        is_wasteful = True
    if is_wasteful and base_wasted_bytes is not None:
        amount = human_size(base_wasted_bytes) if base_wasted_bytes else "none"
        found.append(f"{amount} of the waste is the base image's")
    if gates.max_growth is None or grown_bytes is None or before_bytes is None:
        return found
    if not gates.max_growth.allows(grown_bytes, before_bytes):
        grown, before = human_size(grown_bytes), human_size(before_bytes)
        found.append(f"growth of {grown} from {before} is above {gates.max_growth}")
    return found


def _told_apart(size_bytes: int, limit_bytes: int) -> tuple[str, str]:
    """Both as people read them, to the byte where they would read the same."""
    shown = human_size(size_bytes), human_size(limit_bytes)
    return shown if shown[0] != shown[1] else (f"{size_bytes:,} B", f"{limit_bytes:,} B")
