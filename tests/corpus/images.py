"""Steps that stand on another image, or fetched something else."""

from __future__ import annotations

from tests.corpus.acts import Build, Edit, Import, Put, Serve
from tests.corpus.scenario import (
    CONTAINERD,
    ENGINE_26,
    SHARED,
    Scenario,
    base_changed,
    instruction_changed,
    remote_changed,
    source_changed,
)

COPY_AND_RUN = {"Dockerfile": "FROM base:latest\nCOPY a.txt /\nRUN cat /a.txt\n", "a.txt": "a\n"}
FETCH = {"Dockerfile": "FROM base:latest\nRUN echo before\nADD http://server/page /page\nRUN cat /page\n"}
NEW_BASE = Import("base:latest", {"etc/version": "2\n"})
NEW_TOOLS = Import("tools:latest", {"tool": "2\n"})

IMAGES = [
    Scenario(
        "base-imported-anew",
        COPY_AND_RUN,
        [Build(), NEW_BASE, Build()],
        [base_changed("COPY a.txt /", "base:latest", collateral=["RUN cat /a.txt"])],
        on=(SHARED, ENGINE_26),
    ),
    Scenario(
        "base-of-two-branches-imported-anew",
        {
            "Dockerfile": "FROM base:latest AS one\nRUN echo 1 > /one\nFROM base:latest\nRUN echo 2\n"
            "COPY --from=one /one /\n"
        },
        [Build(), NEW_BASE, Build()],
        [
            base_changed("RUN echo 1 > /one", "base:latest"),
            base_changed("RUN echo 2", "base:latest", collateral=["COPY --from=one /one /"]),
        ],
    ),
    Scenario(
        "base-of-one-branch-imported-anew",
        {
            "Dockerfile": "FROM tools:latest AS one\nRUN echo 1; cat /tool > /one || :\nFROM base:latest\nRUN echo 2\n"
            "COPY --from=one /one /\n"
        },
        [Build(), NEW_TOOLS, Build()],
        [base_changed("RUN echo 1; cat /tool > /one || :", "tools:latest", collateral=["COPY --from=one /one /"])],
    ),
    Scenario(
        "base-imported-anew-and-a-file-edited",
        COPY_AND_RUN,
        [Build(), NEW_BASE, Put({"a.txt": "b\n"}), Build()],
        [base_changed("COPY a.txt /", "base:latest", collateral=["RUN cat /a.txt"], also=["source_changed"])],
    ),
    Scenario(
        "image-that-is-copied-from-imported-anew",
        {"Dockerfile": "FROM base:latest\nRUN echo one\nCOPY --from=tools:latest /tool /\nRUN echo two\n"},
        [Import("tools:latest", {"tool": "1\n"}), Build(), NEW_TOOLS, Build()],
        [base_changed("COPY --from=tools:latest /tool /", "tools:latest", collateral=["RUN echo two"])],
        on=(SHARED, ENGINE_26),
    ),
    Scenario(
        "image-that-is-mounted-imported-anew",
        {"Dockerfile": "FROM base:latest\nRUN --mount=type=bind,from=tools:latest,target=/t cat /t/tool\n"},
        [Import("tools:latest", {"tool": "1\n"}), Build(), NEW_TOOLS, Build()],
        [base_changed("RUN --mount=type=bind,from=tools:latest,target=/t cat /t/tool", "tools:latest")],
    ),
    Scenario(
        "another-image-in-from",
        COPY_AND_RUN,
        [Build(), Edit("Dockerfile", "FROM base:latest", "FROM tools:latest"), Build()],
        [base_changed("COPY a.txt /", "tools:latest", collateral=["RUN cat /a.txt"], or_cause="instruction_changed")],
    ),
    Scenario(
        "argument-chooses-another-base",
        {"Dockerfile": "ARG BASE=base:latest\nFROM ${BASE}\nRUN echo one\n"},
        [Build(), Build(["--build-arg=BASE=tools:latest"])],
        [base_changed("RUN echo one", "tools:latest", or_cause="build_arg_changed")],
    ),
    Scenario(
        "base-named-by-an-argument-imported-anew",
        {"Dockerfile": "ARG BASE=base:latest\nFROM ${BASE}\nRUN echo one\n"},
        [Build(), NEW_BASE, Build()],
        [base_changed("RUN echo one", "base:latest")],
    ),
    Scenario(
        "base-under-a-copy-with-link-imported-anew",
        {"Dockerfile": "FROM base:latest\nCOPY --link a.txt /x/\n", "a.txt": "a\n"},
        [Build(), NEW_BASE, Build()],
        # Where the image store cannot merge layers, it is a plain COPY.
        [base_changed("COPY --link a.txt /x/", "base:latest")],
    ),
    Scenario(
        "base-under-a-merged-copy-imported-anew",
        {"Dockerfile": "FROM base:latest\nCOPY --link a.txt /x/\n", "a.txt": "a\n"},
        [Build(), NEW_BASE, Build()],
        [base_changed("merge COPY --link a.txt /x/", "base:latest")],
        on=(CONTAINERD,),
    ),
    Scenario(
        "file-of-a-merged-copy-edited",
        {
            "Dockerfile": "FROM base:latest\nCOPY --link a.txt /x/\nCOPY --link b.txt /y/\n",
            "a.txt": "a\n",
            "b.txt": "b\n",
        },
        [Build(), Put({"a.txt": "A\n"}), Build()],
        [
            source_changed(
                "COPY --link a.txt /x/",
                ["a.txt"],
                collateral=["merge COPY --link a.txt /x/", "merge COPY --link b.txt /y/"],
            )
        ],
        on=(CONTAINERD,),
    ),
]

REMOTES = [
    Scenario(
        "fetched-page-changed",
        FETCH,
        [Serve("page", "one"), Build(), Serve("page", "two"), Build()],
        [remote_changed("ADD http://server/page /page", "/page", collateral=["RUN cat /page"])],
        on=(SHARED, ENGINE_26),
    ),
    Scenario(
        "one-of-two-fetched-pages-changed",
        {"Dockerfile": "FROM base:latest\nADD http://server/one /\nADD http://server/two /\n"},
        [Serve("one", "1"), Serve("two", "2"), Build(), Serve("two", "II"), Build()],
        [remote_changed("ADD http://server/two /", "/two")],
    ),
    Scenario(
        "fetched-page-changed-and-a-run-of-another-branch-edited",
        {
            "Dockerfile": "FROM base:latest AS page\nADD http://server/page /page\nFROM base:latest\nRUN echo one\n"
            "COPY --from=page /page /\n"
        },
        [Serve("page", "1"), Build(), Serve("page", "2"), Edit("Dockerfile", "echo one", "echo two"), Build()],
        [
            remote_changed("ADD http://server/page /page", "/page"),
            instruction_changed(
                "RUN echo two", "RUN echo one", "RUN echo two", collateral=["COPY --from=page /page /"]
            ),
        ],
    ),
    Scenario(
        "another-page-fetched",
        FETCH,
        [
            Serve("page", "one"),
            Serve("other", "two"),
            Build(),
            Edit("Dockerfile", "http://server/page /page", "http://server/other /page"),
            Build(),
        ],
        [
            instruction_changed(
                "ADD http://server/other /page",
                "ADD http://server/page /page",
                "ADD http://server/other /page",
                collateral=["RUN cat /page"],
                also=["remote_changed"],
            )
        ],
    ),
]
