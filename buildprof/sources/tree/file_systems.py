"""Which file systems hold files at all, and which tell of every change: mountinfo knows each device's (proc(5))."""

from __future__ import annotations

import os
from contextlib import suppress

_PSEUDO = frozenset(
    """
    autofs binfmt_misc bpf cgroup cgroup2 configfs debugfs devpts devtmpfs efivarfs fusectl hugetlbfs mqueue nsfs proc
    pstore rpc_pipefs securityfs selinuxfs sysfs tracefs
    """.split()  # noqa: SIM905  # easier to read
)
_SHARED = frozenset(
    """
    9p acfs afs beegfs ceph cifs fakeowner gfs2 gpfs grpcfuse lustre ncpfs nfs nfs4 ocfs2 orangefs prl_fs smb3 smbfs
    vboxsf virtiofs vmhgfs
    """.split()  # noqa: SIM905
)
"""Another machine, or the host of a virtual one, changes files in them, of which inotify does not tell (inotify(7))."""


class FileSystems:
    """Answers by device number (st_dev), each device looked up once."""

    def __init__(self) -> None:
        self._types: dict[int, str] = {}

    def are_pseudo(self, device: int) -> bool:
        """Whether it is no place for files."""
        return self._type(device) in _PSEUDO

    def tell_all(self, device: int) -> bool:
        """Whether inotify hears of every change; a file system in user space can be anything."""
        kind = self._type(device)
        return kind not in _SHARED and not kind.startswith("fuse")

    def _type(self, device: int) -> str:
        """The type as mount(8) names it; "" where mountinfo has no such device, as of subvolumes."""
        if device not in self._types:
            wanted = f"{os.major(device)}:{os.minor(device)}"
            self._types[device] = ""
            with suppress(OSError), open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as mounts:  # noqa: PTH123
                for line in mounts:
                    fields = line.split()
                    if len(fields) > 6 and fields[2] == wanted and "-" in fields:
                        self._types[device] = fields[fields.index("-") + 1]
                        break
        return self._types[device]
