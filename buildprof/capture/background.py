"""Work that must not be in the way: the lowest priority of processor and disk, and a bound on what is read a second."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import signal
import time

BYTES_PER_SECOND = 200_000_000
MAX_SECONDS = 600

_LOWEST = 19
_IOPRIO_SET = {"x86_64": 251, "aarch64": 30, "riscv64": 30, "ppc64le": 273, "s390x": 282}
"""The number of the system call, which has no function in the C library (ioprio_set(2))."""

_IDLE_CLASS = 3 << 13
_WHO_PROCESS = 1
_SET_PARENT_DEATH_SIGNAL = 1


def work_in_background() -> None:
    """Take the lowest priority for this process.

    It ends with the one that started it (prctl(2), PR_SET_PDEATHSIG), and after MAX_SECONDS at the latest. What the
    system does not allow is left as it is.
    """
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, _LOWEST)
    signal.alarm(MAX_SECONDS)
    library = ctypes.CDLL(None, use_errno=True)
    with contextlib.suppress(OSError, AttributeError):
        library.prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    if (number := _IOPRIO_SET.get(platform.machine())) is not None:
        with contextlib.suppress(OSError, AttributeError):
            library.syscall(number, _WHO_PROCESS, 0, _IDLE_CLASS)


class Throttle:
    """Told what was read, it sleeps so that it is no more than `bytes_per_second` from the first call on."""

    def __init__(self, bytes_per_second: int = BYTES_PER_SECOND) -> None:
        self._bytes_per_second = bytes_per_second
        self._started = time.monotonic()
        self._read = 0

    def __call__(self, size_bytes: int) -> None:
        """So many bytes more were read."""
        self._read += size_bytes
        ahead_seconds = self._read / self._bytes_per_second - (time.monotonic() - self._started)
        if ahead_seconds > 0:
            time.sleep(min(ahead_seconds, 1.0))
