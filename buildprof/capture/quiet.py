"""Waiting for a moment in which no build runs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable


async def until_quiet(
    is_busy: Callable[[], bool], *, quiet_seconds: float, at_most_seconds: float, look_seconds: float
) -> None:
    """Return when `is_busy` has said no for so long, but wait for that at most so long. It is asked at each look."""
    quiet_since = time.monotonic()
    deadline = quiet_since + at_most_seconds
    while (now := time.monotonic()) - quiet_since < quiet_seconds and now < deadline:
        await asyncio.sleep(look_seconds)
        if is_busy():
            quiet_since = time.monotonic()
