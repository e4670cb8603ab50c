"""Steps that took other files than before."""

from __future__ import annotations

from collections.abc import Sequence

from tests.corpus.acts import (
    Act,
    Build,
    Chmod,
    Directory,
    Edit,
    EditUnseen,
    File,
    Link,
    Put,
    Remove,
    Rename,
    RestartAgent,
    Switch,
    Touch,
    Tree,
)
from tests.corpus.scenario import (
    ALONE,
    CONTAINERD,
    ENGINE_26,
    SHARED,
    Miss,
    Scenario,
    source_changed,
    source_changed_somehow,
)

ONE_FILE = "FROM base:latest\nCOPY a.txt /\nRUN cat /a.txt\n"
FOLDER = "FROM base:latest\nCOPY src /src\nRUN ls /src\n"
ALL = "FROM base:latest\nCOPY . /all\n"
FOLDER_FILES: Tree = {
    "src/a.txt": "a\n",
    "src/sub/b.txt": "b\n",
    "src/run.sh": "#!/bin/sh\n",
    "src/link": Link("a.txt"),
}


def changed(
    name: str,
    dockerfile: str,
    tree: Tree,
    acts: Sequence[Act],
    *misses: Miss,
    options: Sequence[str] = (),
    **more: object,
) -> Scenario:
    """Build, do something, build."""
    build = Build(options)
    return Scenario(name, {"Dockerfile": dockerfile, **tree}, [build, *acts, build], misses, **more)  # type: ignore[arg-type]  # fields of Scenario


def folder(name: str, acts: Sequence[Act], **differs: Sequence[str]) -> Scenario:
    """Something happens in the directory that is copied."""
    miss = source_changed("COPY src /src", collateral=["RUN ls /src"], **differs)
    return changed(name, FOLDER, FOLDER_FILES, acts, miss)


FILES = [
    changed(
        "file-edited",
        ONE_FILE,
        {"a.txt": "one\n"},
        [Edit("a.txt", "one", "two")],
        source_changed("COPY a.txt /", ["a.txt"], collateral=["RUN cat /a.txt"]),
        on=(SHARED, ENGINE_26, CONTAINERD),
    ),
    changed(
        "file-edited-in-place",
        ONE_FILE,
        {"a.txt": "one\n"},
        [Put({"a.txt": "two\n"})],
        source_changed("COPY a.txt /", ["a.txt"], collateral=["RUN cat /a.txt"]),
    ),
    changed(
        "file-edited-with-its-time-put-back-and-touched",
        ONE_FILE,
        {"a.txt": "one\n"},
        [EditUnseen("a.txt", "two\n"), Build(), Touch("a.txt")],
        source_changed("COPY a.txt /", ["a.txt"], collateral=["RUN cat /a.txt"]),
    ),
    changed(
        "file-made-executable",
        ONE_FILE,
        {"a.txt": "one\n"},
        [Chmod("a.txt", 0o755)],
        source_changed("COPY a.txt /", ["a.txt"], collateral=["RUN cat /a.txt"]),
        on=(SHARED, ENGINE_26),
    ),
    changed(
        "large-file-edited-at-its-end",
        ONE_FILE,
        {"a.txt": "x" * 3_000_000 + "one\n"},
        [Edit("a.txt", "one", "two")],
        source_changed("COPY a.txt /", ["a.txt"], collateral=["RUN cat /a.txt"]),
    ),
    changed(
        "only-one-of-two-files-edited",
        "FROM base:latest\nCOPY a.txt /\nRUN cat /a.txt\nCOPY b.txt /\nRUN cat /b.txt\n",
        {"a.txt": "a\n", "b.txt": "b\n"},
        [Put({"b.txt": "B\n"})],
        source_changed("COPY b.txt /", ["b.txt"], collateral=["RUN cat /b.txt"]),
    ),
    changed(
        "files-of-two-copies-edited",
        "FROM base:latest\nCOPY a.txt /\nCOPY b.txt /\n",
        {"a.txt": "a\n", "b.txt": "b\n"},
        [Put({"a.txt": "A\n", "b.txt": "B\n"})],
        source_changed("COPY a.txt /", ["a.txt"], collateral=["COPY b.txt /"]),
    ),
    changed(
        "files-of-two-branches-edited",
        "FROM base:latest AS left\nCOPY a.txt /\nFROM base:latest\nCOPY b.txt /\nCOPY --from=left /a.txt /\n",
        {"a.txt": "a\n", "b.txt": "b\n"},
        [Put({"a.txt": "A\n", "b.txt": "B\n"})],
        source_changed("COPY a.txt /", ["a.txt"]),
        source_changed("COPY b.txt /", ["b.txt"], collateral=["COPY --from=left /a.txt /"]),
    ),
    changed(
        "file-with-a-space-and-an-umlaut",
        'FROM base:latest\nCOPY ["a b/ünder.txt", "/"]\n',
        {"a b/ünder.txt": "one\n"},
        [Put({"a b/ünder.txt": "two\n"})],
        source_changed('COPY ["a b/ünder.txt", "/"]', ["a b/ünder.txt"]),
    ),
    changed(
        "file-behind-a-link-edited",
        "FROM base:latest\nCOPY link.txt /\n",
        {"link.txt": Link("real.txt"), "real.txt": "one\n"},
        [Put({"real.txt": "two\n"})],
        source_changed("COPY link.txt /", ["real.txt"]),
    ),
    changed(
        "added-file-edited",
        "FROM base:latest\nADD a.txt /\n",
        {"a.txt": "one\n"},
        [Put({"a.txt": "two\n"})],
        source_changed("ADD a.txt /", ["a.txt"]),
    ),
    changed(
        "wildcard-gains-a-file",
        "FROM base:latest\nCOPY *.txt /\n",
        {"a.txt": "a\n", "c.md": "c\n"},
        [Put({"b.txt": "b\n", "d.md": "d\n"})],
        source_changed("COPY *.txt /", added=["b.txt"]),
        on=(SHARED, ENGINE_26),
    ),
    changed(
        "wildcard-loses-a-file",
        "FROM base:latest\nCOPY conf/*.txt /\n",
        {"conf/a.txt": "a\n", "conf/b.txt": "b\n"},
        [Remove("conf/b.txt")],
        source_changed("COPY conf/*.txt /", removed=["conf/b.txt"]),
    ),
    changed(
        "bind-mounted-file-edited",
        "FROM base:latest\nRUN echo before\nRUN --mount=type=bind,source=a.txt,target=/a.txt cat /a.txt\n",
        {"a.txt": "one\n", "b.txt": "b\n"},
        [Put({"a.txt": "two\n", "b.txt": "B\n"})],
        source_changed("RUN --mount=type=bind,source=a.txt,target=/a.txt cat /a.txt", ["a.txt"]),
        on=(SHARED, ENGINE_26),
    ),
    changed(
        "bind-mounted-context-edited",
        "FROM base:latest\nRUN --mount=target=/all ls /all\n",
        {"a.txt": "one\n"},
        [Put({"b.txt": "b\n"})],
        source_changed("RUN --mount=target=/all ls /all", added=["b.txt"]),
    ),
    changed(
        "file-of-a-named-context-edited",
        "FROM base:latest\nCOPY a.txt /\nCOPY --from=lib x.txt /\n",
        {"a.txt": "a\n", "lib/x.txt": "x\n"},
        [Put({"lib/x.txt": "X\n"})],
        source_changed_somehow("COPY --from=lib x.txt /"),  # nothing tells where the directory of a named context is
        options=["--build-context=lib=lib"],
    ),
    changed(
        "file-of-a-copy-with-link-edited",
        "FROM base:latest\nCOPY --link a.txt /x/\nCOPY --link b.txt /y/\nRUN ls\n",
        {"a.txt": "a\n", "b.txt": "b\n"},
        [Put({"a.txt": "A\n"})],
        source_changed(
            "COPY --link a.txt /x/",
            ["a.txt"],
            collateral=["COPY --link b.txt /y/", "RUN ls"],
        ),
    ),
    Scenario(
        "file-of-a-subdirectory-that-is-the-context",
        {"app/Dockerfile": ONE_FILE, "app/a.txt": "one\n", "a.txt": "not this one\n"},
        [
            Build(context="app", file="app/Dockerfile"),
            Put({"app/a.txt": "two\n", "a.txt": "nor this\n"}),
            Build(context="app", file="app/Dockerfile"),
        ],
        [source_changed("COPY a.txt /", ["a.txt"], collateral=["RUN cat /a.txt"])],
    ),
    Scenario(
        "several-files-edited-by-a-change-of-branches",
        {"Dockerfile": ALL, "a.txt": "a\n", "b.txt": "b\n", "old/c.txt": "c\n"},
        [Build(), Switch({"Dockerfile": ALL, "a.txt": "A\n", "b.txt": "b\n", "new/d.txt": "d\n"}), Build()],
        [source_changed("COPY . /all", ["a.txt"], ["new/d.txt"], ["old/c.txt"])],
    ),
    Scenario(
        "file-edited-while-the-build-before-ran",
        {"Dockerfile": "FROM base:latest\nCOPY a.txt /\nRUN sleep 3; cat /a.txt\n", "a.txt": "one\n"},
        [Build(at="RUN sleep 3", meanwhile=[Put({"a.txt": "two\n"})]), Build()],
        [source_changed("COPY a.txt /", ["a.txt"], collateral=["RUN sleep 3; cat /a.txt"])],
    ),
    Scenario(
        "file-edited-while-the-agent-was-down",
        {"Dockerfile": ONE_FILE, "a.txt": "one\n"},
        [Build(), RestartAgent([Put({"a.txt": "two\n"})]), Build()],
        [source_changed("COPY a.txt /", ["a.txt"], collateral=["RUN cat /a.txt"])],
        on=(ALONE,),
    ),
    Scenario(
        "unwatched-directory",
        {"Dockerfile": ONE_FILE, "a.txt": "one\n"},
        [Build(), Put({"a.txt": "two\n"}), Build()],
        [Miss("COPY a.txt /", "source_changed", collateral=["RUN cat /a.txt"], confidence="likely")],
        on=(ALONE,),
        agent={"BUILDPROF_WATCH_BUILDS": "false"},
    ),
    Scenario(
        "context-on-stdin",
        {"Dockerfile": "FROM base:latest\nCOPY stdin.txt /\nRUN echo stdin\n", "stdin.txt": "one\n"},
        [Build(context="-"), Put({"stdin.txt": "two\n"}), Build(context="-")],
        [Miss("COPY stdin.txt /", "source_changed", collateral=["RUN echo stdin"], confidence="likely")],
        on=(ALONE,),
    ),
]

FOLDERS = [
    folder("folder-file-edited", [Put({"src/sub/b.txt": "B\n"})], changed=["src/sub/b.txt"]),
    folder("folder-gains-a-file", [Put({"src/sub/c.txt": "c\n"})], added=["src/sub/c.txt"]),
    folder("folder-loses-a-file", [Remove("src/a.txt"), Remove("src/link")], removed=["src/a.txt", "src/link"]),
    folder("folder-file-renamed", [Rename("src/run.sh", "src/go.sh")], added=["src/go.sh"], removed=["src/run.sh"]),
    folder("folder-file-made-executable", [Chmod("src/run.sh", 0o755)], changed=["src/run.sh"]),
    folder("folder-link-points-elsewhere", [Put({"src/link": Link("run.sh")})], changed=["src/link"]),
    folder("folder-gains-an-empty-directory", [Put({"src/empty": Directory()})], added=["src/empty"]),
    folder("folder-file-becomes-a-link", [Put({"src/run.sh": Link("a.txt")})], changed=["src/run.sh"]),
    folder(
        "folder-renamed-inside",
        [Rename("src/sub", "src/below")],
        added=["src/below/b.txt"],
        removed=["src/sub/b.txt"],
    ),
    folder(
        "folder-of-many-changes",
        [Put({"src/a.txt": "A\n", "src/new": File("n\n", 0o755)}), Remove("src/sub/b.txt"), Chmod("src/run.sh", 0o700)],
        changed=["src/a.txt", "src/run.sh"],
        added=["src/new"],
        removed=["src/sub/b.txt"],
    ),
    changed(
        "everything-copied-and-the-dockerfile-edited",
        ALL + 'CMD ["one"]\n',
        {"a.txt": "a\n"},
        [Edit("Dockerfile", "one", "two")],
        source_changed("COPY . /all", ["Dockerfile"]),
        on=(SHARED, ENGINE_26),
    ),
    changed(
        "everything-copied-and-a-readme-edited",
        "FROM base:latest\nWORKDIR /app\nCOPY . .\nRUN ls\n",
        {"README.md": "one\n", "src/a.txt": "a\n"},
        [Put({"README.md": "two\n"})],
        source_changed("COPY . .", ["README.md"], collateral=["RUN ls"]),
    ),
]

IGNORING = [
    changed(
        "ignored-but-for-one-file",
        ALL,
        {".dockerignore": "docs\n!docs/keep.md\n", "docs/keep.md": "k\n", "docs/other.md": "o\n"},
        [Put({"docs/keep.md": "K\n", "docs/other.md": "O\n"})],
        source_changed("COPY . /all", ["docs/keep.md"]),
        on=(SHARED, ENGINE_26),
    ),
    changed(
        "everything-ignored-but-one-folder",
        ALL,
        {".dockerignore": "*\n!src\n", "src/a.txt": "a\n", "b.txt": "b\n"},
        [Put({"src/a.txt": "A\n", "b.txt": "B\n"})],
        source_changed("COPY . /all", ["src/a.txt"]),
    ),
    changed(
        "the-dockerfile-s-own-ignore-file-comes-first",
        ALL,
        {
            ".dockerignore": "a.txt\n",
            "Dockerfile.dockerignore": "b.txt\n.dockerignore\n",
            "a.txt": "a\n",
            "b.txt": "b\n",
        },
        [Put({"a.txt": "A\n", "b.txt": "B\n"})],
        source_changed("COPY . /all", ["a.txt"]),
    ),
    changed(
        "ignore-file-lets-a-file-in",
        ALL,
        {".dockerignore": ".dockerignore\nDockerfile\nsecret.txt\n", "secret.txt": "s\n", "a.txt": "a\n"},
        [Edit(".dockerignore", "secret.txt\n", "")],
        source_changed("COPY . /all", added=["secret.txt"]),
    ),
    changed(
        "ignore-file-leaves-a-file-out",
        ALL,
        {".dockerignore": ".dockerignore\nDockerfile\n", "secret.txt": "s\n", "a.txt": "a\n"},
        [Edit(".dockerignore", "Dockerfile\n", "Dockerfile\nsecret.txt\n")],
        source_changed("COPY . /all", removed=["secret.txt"]),
    ),
    changed(
        "ignore-file-is-copied-and-edited",
        ALL,
        {".dockerignore": "docs\n", "docs/a.md": "a\n", "b.txt": "b\n"},
        [Put({".dockerignore": "# nothing\n"})],
        source_changed("COPY . /all", [".dockerignore"], ["docs/a.md"]),
    ),
    changed(
        "file-edited-beside-ignored-logs",
        FOLDER,
        {".dockerignore": "**/*.log\n", "src/a.txt": "a\n", "src/x/y.log": "1\n"},
        [Put({"src/a.txt": "A\n", "src/x/y.log": "2\n"})],
        source_changed("COPY src /src", ["src/a.txt"], collateral=["RUN ls /src"]),
    ),
    Scenario(
        "dockerfile-elsewhere-with-its-own-ignore-file",
        {
            "docker/web.Dockerfile": ALL,
            "docker/web.Dockerfile.dockerignore": "docker\nb.txt\n",
            "a.txt": "a\n",
            "b.txt": "b\n",
        },
        [
            Build(file="docker/web.Dockerfile"),
            Put({"a.txt": "A\n", "b.txt": "B\n"}),
            Build(file="docker/web.Dockerfile"),
        ],
        [source_changed("COPY . /all", ["a.txt"])],
    ),
    changed(
        "copy-that-excludes-a-file",
        "FROM base:latest\nCOPY --exclude=*.md src /src\n",
        {"src/a.txt": "a\n", "src/b.md": "b\n"},
        [Put({"src/a.txt": "A\n", "src/b.md": "B\n"})],
        source_changed("COPY --exclude=*.md src /src", ["src/a.txt"]),
    ),
]
