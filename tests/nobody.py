"""What a process without rights meets: root may do everything, so that tests which run as root need somebody else."""

from __future__ import annotations

import os
import pickle
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

NOBODY = 65534


def as_nobody(work: Callable[[], T]) -> T:
    """What some work gives in a child process that is not root. An error of its own fails the test."""
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads, none of which the child needs
        child = os.fork()
    if child == 0:
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(NOBODY)
                os.setuid(NOBODY)
            answer: tuple[bool, object] = (True, work())
        except BaseException as error:  # noqa: BLE001 - nothing may leave the child but by its pipe
            answer = (False, repr(error))
        os.write(writer, pickle.dumps(answer))
        os._exit(0)
    os.close(writer)
    with open(reader, "rb") as file:  # noqa: PTH123 - a descriptor
        is_done, result = pickle.load(file)
    os.waitpid(child, 0)
    assert is_done, result
    return result  # type: ignore[no-any-return]


@contextmanager
def public_directory() -> Iterator[Path]:
    """A directory that everybody may enter and only its owner may write; pytest's own ones nobody else may enter."""
    with tempfile.TemporaryDirectory(prefix="buildprof-test-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        yield directory
