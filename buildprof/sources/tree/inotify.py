"""Watches on directories: one inotify instance for all trees, by watchdog's `InotifyFD` (7.1)."""

from __future__ import annotations

import itertools
import logging
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from watchdog.observers.inotify_c import CallbackId, InotifyConstants, InotifyEvent, InotifyFD, Mask, WatchDescriptor

_MASK = Mask(
    InotifyConstants.IN_CREATE
    | InotifyConstants.IN_DELETE
    | InotifyConstants.IN_MODIFY
    | InotifyConstants.IN_CLOSE_WRITE  # memory that is mapped for writing tells of nothing before
    | InotifyConstants.IN_ATTRIB
    | InotifyConstants.IN_MOVED_FROM
    | InotifyConstants.IN_MOVED_TO
    | InotifyConstants.IN_DELETE_SELF
    | InotifyConstants.IN_MOVE_SELF
    | InotifyConstants.IN_ONLYDIR
    | InotifyConstants.IN_DONT_FOLLOW
    | InotifyConstants.IN_EXCL_UNLINK
)
_MARKER_MASK = Mask(InotifyConstants.IN_CREATE | InotifyConstants.IN_ONLYDIR)

MAX_NAMES = 2000
"""Names of one directory that are kept until it is read; past that it is read as a whole."""

_log = logging.getLogger(__name__)


class Inotify:
    """The instance, its thread, and a directory of ours in which a file is made to see that all before it was heard."""

    def __init__(self, markers: Path) -> None:
        self._ids = itertools.count(1)
        self._markers = markers
        self._barriers: dict[bytes, threading.Event] = {}
        self._fd: InotifyFD | None = None
        try:
            markers.mkdir(parents=True, exist_ok=True)
            for left in markers.iterdir():
                left.unlink()
            self._fd = InotifyFD()
            self._fd.start()
            self._fd.add_callback(os.fsencode(markers), _MARKER_MASK, self, self._next_id())
        except OSError as error:
            _log.warning("directories are read at every build instead of watched: %s", error)
            self._stop()

    @property
    def is_available(self) -> bool:
        """Whether there is an instance at all."""
        return self._fd is not None

    def add(self, path: bytes, watches: Watches) -> tuple[WatchDescriptor, CallbackId] | None:
        """Watch a directory; None if that cannot be done. The directory may have the same descriptor as before."""
        if self._fd is None:
            return None
        id_ = self._next_id()
        with suppress(OSError):
            descriptor = self._fd.add_callback(path, _MASK, watches, id_)
            if descriptor != -1:
                return descriptor, id_
            self._fd.remove_callbacks([(descriptor, id_)])  # EACCES is no error to watchdog
        return None

    def remove(self, registered: list[tuple[WatchDescriptor, CallbackId]]) -> None:
        """Watch these no more."""
        if self._fd is not None:
            for one in registered:
                with suppress(OSError):
                    self._fd.remove_callbacks([one])

    def barrier(self, timeout_seconds: float) -> bool:
        """Wait until all that happened before this call was heard of; False if that cannot be known."""
        if self._fd is None:
            return False
        name = f"{threading.get_ident()}-{next(self._ids)}"
        heard = self._barriers[os.fsencode(name)] = threading.Event()
        marker = self._markers / name
        try:
            marker.touch()
            return heard.wait(timeout_seconds)
        except OSError:
            return False
        finally:
            del self._barriers[os.fsencode(name)]
            with suppress(OSError):
                marker.unlink()

    def close(self) -> None:
        """End the thread and all watches."""
        self._stop()

    def on_event(self, event: InotifyEvent) -> None:
        """A marker was made."""
        if barrier := self._barriers.get(event.name):
            barrier.set()

    def on_watch_deleted(self, wd: WatchDescriptor) -> None:
        """The markers' directory is gone; barriers fail from now on, and trees are read as a whole."""

    def on_queue_overflow(self) -> None:
        """The trees hear of it themselves."""

    def _next_id(self) -> CallbackId:
        return CallbackId(next(self._ids))

    def _stop(self) -> None:
        stopped, self._fd = self._fd, None
        if stopped is not None:
            stopped.stop()
            if stopped.is_alive():
                stopped.join(5)


class Watches:
    """What is watched of one tree, and what has changed in it since `take` was last called.

    Paths are relative to the tree's root. Called from the thread of the inotify instance and from the tree's.
    """

    def __init__(self, inotify: Inotify, root: bytes, on_overflow: Callable[[], None]) -> None:
        self._inotify = inotify
        self._root = root
        self._lock = threading.Lock()
        self._paths: dict[WatchDescriptor, tuple[bytes, CallbackId]] = {}
        self._descriptors: dict[bytes, WatchDescriptor] = {}
        self._dirty: dict[bytes, set[bytes] | None] = {}
        self._dirty_names = 0
        self._is_lost = False
        self._on_overflow = on_overflow

    @property
    def dirty_names(self) -> int:
        """About how many names have changed."""
        return self._dirty_names

    def watch(self, directory: bytes) -> bool:
        """Watch a directory, or see that the one of this name is watched; False if it cannot be."""
        path = b"%b/%b" % (self._root, directory) if directory else self._root
        added = self._inotify.add(path, self)
        old: list[tuple[WatchDescriptor, CallbackId]] = []
        with self._lock:
            before = self._descriptors.pop(directory, None)
            if before is not None and (added is None or before != added[0]) and before in self._paths:
                old.append((before, self._paths.pop(before)[1]))
            if added is not None:
                descriptor, id_ = added
                if descriptor in self._paths:  # moved here, or the same as before
                    path_before, id_before = self._paths[descriptor]
                    old.append((descriptor, id_before))
                    if self._descriptors.get(path_before) == descriptor:
                        del self._descriptors[path_before]
                self._paths[descriptor] = directory, id_
                self._descriptors[directory] = descriptor
        self._inotify.remove(old)
        return added is not None

    def forget(self, directory: bytes) -> None:
        """Watch a directory no more."""
        with self._lock:
            descriptor = self._descriptors.pop(directory, None)
            old = self._paths.pop(descriptor, None) if descriptor is not None else None
        if descriptor is not None and old is not None:
            self._inotify.remove([(descriptor, old[1])])

    def is_watched(self, directory: bytes) -> bool:
        """Whether a directory has a watch that still lives."""
        return directory in self._descriptors

    def take(self) -> dict[bytes, set[bytes] | None] | None:
        """What changed: names by directory, None for a directory to be read as a whole; None if all has to be."""
        with self._lock:
            dirty, self._dirty, self._dirty_names = self._dirty, {}, 0
            lost, self._is_lost = self._is_lost, False
        return None if lost else dirty

    def close(self) -> None:
        """Drop all watches."""
        with self._lock:
            old = [(descriptor, id_) for descriptor, (_, id_) in self._paths.items()]
            self._paths, self._descriptors = {}, {}
        self._inotify.remove(old)

    def on_event(self, event: InotifyEvent) -> None:
        """Note what has changed."""
        with self._lock:
            known = self._paths.get(event.wd)
            if known is None:
                return
            directory = known[0]
            if not event.name:
                if event.mask & InotifyConstants.IN_UNMOUNT:
                    self._is_lost = True
                return
            names = self._dirty.setdefault(directory, set())
            if names is not None:
                names.add(event.name)
                self._dirty_names += 1
                if len(names) > MAX_NAMES:
                    self._dirty[directory] = None

    def on_watch_deleted(self, wd: WatchDescriptor) -> None:
        """A directory is gone; its parent tells so too."""
        with self._lock:
            known = self._paths.pop(wd, None)
            if known is not None and self._descriptors.get(known[0]) == wd:
                del self._descriptors[known[0]]

    def on_queue_overflow(self) -> None:
        """Events were lost."""
        with self._lock:
            self._is_lost = True
            self._dirty, self._dirty_names = {}, 0
        self._on_overflow()
