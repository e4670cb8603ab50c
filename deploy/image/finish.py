"""Finishes the agent's image, run by its own interpreter in its own root.

Programs and libraries lose what only a debugger reads; then all of the agent is imported. So a library that the root lacks,
or a module that was cut too short, fails the build and not the agent; and what was imported leaves its byte code behind:
the agent starts quickly, and modules that nobody loads take no more room than their source.
"""

from __future__ import annotations

import importlib
import pkgutil
import shutil
import struct
import sys
from pathlib import Path

import buildprof

LOADED_LATER = (
    "alembic.command",
    "encodings.idna",
    "http.client",
    "rich.progress",
    "rich.table",
    "sqlalchemy.dialects.postgresql.psycopg",
    "sqlalchemy.dialects.sqlite",
    "uvicorn.lifespan.off",
    "uvicorn.protocols.http.h11_impl",
)
"""What the agent and its commands import only when they run."""


def loadable_bytes(elf: bytes) -> bytes | None:
    """The part of a 64-bit little-endian ELF file that is loaded, which its program headers tell; None for other files.

    Sections are for linkers and debuggers: their table is taken out of the header (elf(5): e_shoff, e_shnum, e_shstrndx).
    """
    if elf[:6] != b"\x7fELF\x02\x01":
        return None
    headers_at, header_size, headers = *struct.unpack_from("<Q", elf, 32), *struct.unpack_from("<HH", elf, 54)
    end = headers_at + header_size * headers
    for at in range(headers_at, end, header_size):
        offset, size = struct.unpack_from("<Q", elf, at + 8)[0], struct.unpack_from("<Q", elf, at + 32)[0]
        end = max(end, offset + size)
    return elf[:40] + bytes(8) + elf[48:60] + bytes(4) + elf[64:end]


def shorten(path: Path) -> None:
    """Keep of a program or a library what is loaded. As a new file: the old one may be in use by this process."""
    if (loadable := loadable_bytes(path.read_bytes())) is not None:
        shorter = path.with_name(f"{path.name}.new")
        shorter.write_bytes(loadable)
        shutil.copystat(path, shorter)
        shorter.rename(path)


def main() -> None:
    libraries = (path for top in ("/lib", "/lib64", "/usr", sys.prefix) for path in Path(top).rglob("*.so*"))
    for path in [Path(sys.executable).resolve(), *libraries]:
        if path.is_file() and not path.is_symlink():
            shorten(path)
    modules = pkgutil.walk_packages(buildprof.__path__, "buildprof.", onerror=print)
    own = [one.name for one in modules if ".migrations" not in one.name and not one.name.endswith("__main__")]
    for name in [*own, *LOADED_LATER]:
        importlib.import_module(name)


main()
