"""What the tests of trees share: a tree on disk by a mapping, and what a real engine's COPY gives."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from buildprof.sources.tree.database import Database
from buildprof.sources.tree.index import Index
from buildprof.sources.tree.inotify import Inotify
from tests.engines.engine import Engine


def make(root: Path, files: Mapping[str, str]) -> Path:
    """Files by relative path; a text "-> X" makes a link to X, a path with a slash at the end a directory."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("/"):
            path.mkdir(parents=True, exist_ok=True)
        elif text.startswith("-> "):
            path.symlink_to(text[3:])
        else:
            path.write_text(text)
    return root


def build(engine: Engine, context: Path, dockerfile: str, *options: str) -> dict[str, str]:
    """What a build of this Dockerfile puts into its image: text by path, "/" behind directories, "-> X" for links."""
    (context.parent / "Dockerfile.test").write_text(dockerfile)
    command = [
        "docker",
        "build",
        "-q",
        "-f",
        str(context.parent / "Dockerfile.test"),
        "-o",
        "-",
        *options,
        str(context),
    ]
    done = subprocess.run(command, env=engine.environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    found = {}
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as tar:
        for member in tar:
            if member.isdir():
                found[member.name.rstrip("/") + "/"] = ""
            elif member.issym():
                found[member.name] = f"-> {member.linkname}"
            else:
                found[member.name] = tar.extractfile(member).read().decode()
    return found


@contextmanager
def index_of(context: Path, own: Path) -> Iterator[tuple[Database, Index]]:
    """An index of a directory, read once."""
    own.mkdir(exist_ok=True)
    database = Database(own / "trees.db")
    inotify = Inotify(own / "markers")
    index = Index(os.fsencode(context), os.fsencode(context / ".dockerignore"), database, inotify)
    try:
        index.catch_up()
        yield database, index
    finally:
        inotify.close()
        database.close()
