"""What `doctor` finds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class CheckStatus(StrEnum):
    """Whether something can be observed: in full, in part, or not at all."""

    OK = "ok"
    DEGRADED = "degraded"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at. `detail` says what was found, `remedy` what to do about it ("" if nothing).

    `observes` is true for what facts of builds come from, false for the rest, such as the store's directory.
    """

    name: str
    status: CheckStatus
    detail: str
    remedy: str = ""
    observes: bool = True
