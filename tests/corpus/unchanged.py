"""Builds in which something was done and nothing missed: no cause may be named."""

from __future__ import annotations

from collections.abc import Sequence

from tests.corpus.acts import (
    Act,
    Build,
    Chmod,
    Chown,
    Edit,
    EditUnseen,
    Import,
    Put,
    Remove,
    RestartAgent,
    Serve,
    Switch,
    Touch,
    Tree,
)
from tests.corpus.arguments import arg
from tests.corpus.scenario import ALONE, ENGINE_26, SHARED, Scenario

TREE: Tree = {
    "Dockerfile": '# about it\nFROM base:latest\nCOPY src /src\nRUN ls /src\nLABEL version=1\nCMD ["sh"]\n',
    "src/a.txt": "a\n",
    "src/b.log": "b\n",
    "c.txt": "c\n",
    ".dockerignore": "**/*.log\n",
}
OTHER_TREE: Tree = {**TREE, "src/a.txt": "A\n", "src/d.txt": "d\n"}


def unchanged(name: str, acts: Sequence[Act], tree: Tree = TREE, last: Sequence[str] = (), **more: object) -> Scenario:
    """Build, do something, build with options."""
    return Scenario(name, tree, [Build(), *acts, Build(last)], **more)  # type: ignore[arg-type]  # fields of Scenario


def edited(name: str, old: str, new: str) -> Scenario:
    return unchanged(name, [Edit("Dockerfile", old, new)])


UNCHANGED = [
    unchanged("nothing-done", [], on=(SHARED, ENGINE_26)),
    unchanged("file-touched", [Touch("src/a.txt"), Touch("Dockerfile")], on=(SHARED, ENGINE_26)),
    unchanged("file-dated-back-to-the-year-2001", [Touch("src/a.txt", 1_000_000_000)]),
    unchanged("file-rewritten-with-the-same-bytes", [Remove("src/a.txt"), Put({"src/a.txt": "a\n"})]),
    unchanged("file-edited-and-edited-back", [Put({"src/a.txt": "A\n"}), Put({"src/a.txt": "a\n"})]),
    unchanged("file-created-and-removed", [Put({"src/new": "n\n"}), Remove("src/new")]),
    # The client sends a file again if size, mode or time differ: the builder never sees this edit.
    unchanged("file-edited-and-its-time-put-back", [EditUnseen("src/a.txt", "A\n")], on=(SHARED, ENGINE_26)),
    unchanged("directory-closed-to-others", [Chmod("src/sub", 0o700)], {**TREE, "src/sub/e.txt": "e\n"}),
    unchanged("owner-changed", [Chown("src/a.txt", 7), Chown("src", 7)]),
    unchanged("ignored-file-edited", [Put({"src/b.log": "B\n", "src/x/new.log": "n\n"}), Remove("src/x")]),
    unchanged("file-that-no-step-takes-edited", [Put({"c.txt": "C\n", "d.txt": "d\n"})]),
    edited("comment-edited", "# about it", "# about something else"),
    edited("label-edited", "version=1", "version=2"),
    edited("cmd-edited", '["sh"]', '["ls"]'),
    edited("label-and-expose-added-at-the-end", "LABEL version=1\n", "LABEL version=1\nLABEL more=1\nEXPOSE 80\n"),
    edited("instruction-written-in-small-letters", "RUN ls /src", "run   ls /src"),
    unchanged(
        "environment-that-a-copy-does-not-name-edited",
        [Edit("Dockerfile", "MODE=one", "MODE=two")],
        {"Dockerfile": "FROM base:latest\nENV MODE=one\nCOPY a.txt /\n", "a.txt": "a\n"},
    ),
    unchanged(
        "stage-renamed",
        [Edit("Dockerfile", "AS one", "AS uno"), Edit("Dockerfile", "=one", "=uno")],
        {"Dockerfile": "FROM base:latest AS one\nRUN echo 1 > /f\nFROM base:latest\nCOPY --from=one /f /\n"},
    ),
    unchanged(
        "file-of-a-stage-that-is-not-built-edited",
        [Put({"b.txt": "B\n"})],
        {
            "Dockerfile": "FROM base:latest AS unused\nCOPY b.txt /\nFROM base:latest\nCOPY a.txt /\n",
            "a.txt": "a\n",
            "b.txt": "b\n",
        },
    ),
    unchanged("argument-that-nobody-declares", [], last=arg("NOBODY=1")),
    unchanged("proxy-given", [], last=arg("http_proxy=http://127.0.0.1:9")),
    unchanged("tag-and-label-given", [], last=["--tag=unchanged-tag", "--label=a=b"]),
    unchanged(
        "secret-changed",
        [Put({"word": "two\n"}), Build(["--secret=id=word,src=word"])],
        {"Dockerfile": "FROM base:latest\nRUN --mount=type=secret,id=word ls\n", "word": "one\n"},
        last=["--secret=id=word,src=word"],
    ),
    unchanged(
        "image-imported-anew-but-for-what-is-copied",
        [Import("tools:latest", {"tool": "1\n", "other": "2\n"}), Build()],
        {"Dockerfile": "FROM base:latest\nCOPY --from=tools:latest /etc/scenario /\n"},
    ),
    unchanged("base-imported-anew-with-the-same-bytes", [Import("base:latest", {})]),
    Scenario(
        "fetched-page-is-the-same",
        {"Dockerfile": "FROM base:latest\nADD http://server/page /\n"},
        [Serve("page", "1"), Build(), Serve("page", "2"), Serve("page", "1"), Build()],
    ),
    Scenario(
        "branches-switched-there-and-back",
        TREE,
        [Build(), Switch(OTHER_TREE), Build(), Switch(TREE), Build()],
        on=(SHARED, ENGINE_26),
    ),
    Scenario(
        "argument-there-and-back",
        {"Dockerfile": "FROM base:latest\nARG A\nRUN echo $A\n"},
        [Build(arg("A=1")), Build(arg("A=2")), Build(arg("A=1"))],
    ),
    unchanged("agent-restarted", [RestartAgent([Touch("src/a.txt")])], on=(ALONE,)),
]
