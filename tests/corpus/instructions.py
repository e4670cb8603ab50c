"""Steps that are new, and steps whose instruction is another one."""

from __future__ import annotations

from tests.corpus.acts import Build, Edit, Put, Serve
from tests.corpus.scenario import (
    ENGINE_26,
    SHARED,
    Miss,
    Scenario,
    first_build,
    instruction_changed,
)

RUNS = {"Dockerfile": "FROM base:latest\nRUN echo one\nRUN echo two\nRUN echo three\n"}
COPY_AND_RUN = {"Dockerfile": "FROM base:latest\nCOPY a.txt /\nRUN cat /a.txt\n", "a.txt": "a\n"}


def edited(name: str, dockerfile: str, old: str, new: str, *misses: Miss, **more: object) -> Scenario:
    """Build, edit the Dockerfile, build."""
    tree = {"Dockerfile": dockerfile, "a.txt": "a\n", "b.txt": "b\n"}
    return Scenario(name, tree, [Build(), Edit("Dockerfile", old, new), Build()], misses, **more)  # type: ignore[arg-type]  # fields of Scenario


FIRST_BUILDS = [
    Scenario(
        "new-project",
        COPY_AND_RUN,
        [Build()],
        [first_build("COPY a.txt /", collateral=["RUN cat /a.txt"])],
        on=(SHARED, ENGINE_26),
    ),
    Scenario(
        "new-project-of-two-branches",
        {
            "Dockerfile": "FROM base:latest AS one\nRUN echo one > /one\nFROM base:latest\nRUN echo two\n"
            "COPY --from=one /one /\n"
        },
        [Build()],
        [first_build("RUN echo one > /one"), first_build("RUN echo two", collateral=["COPY --from=one /one /"])],
    ),
    edited(
        "step-inserted",
        RUNS["Dockerfile"],
        "RUN echo two\n",
        "RUN echo new\nRUN echo two\n",
        first_build("RUN echo new", "new_step", collateral=["RUN echo two", "RUN echo three"]),
    ),
    edited(
        "step-appended",
        RUNS["Dockerfile"],
        "RUN echo three\n",
        "RUN echo three\nRUN echo four\n",
        first_build("RUN echo four", "new_step"),
        on=(SHARED, ENGINE_26),
    ),
    edited(
        "stage-added",
        "FROM base:latest\nRUN echo one\n",
        "FROM base:latest\nRUN echo one\n",
        "FROM base:latest AS tool\nRUN echo tool > /tool\nFROM base:latest\nRUN echo one\nCOPY --from=tool /tool /\n",
        first_build("RUN echo tool > /tool", "new_step", collateral=["COPY --from=tool /tool /"]),
    ),
    Scenario(
        "step-that-never-succeeded-before",
        {"Dockerfile": "FROM base:latest\nRUN echo one\nRUN wget -O /page http://server/page\n"},
        [Build(fails=True), Serve("page", "here"), Build()],
        [first_build("RUN wget -O /page http://server/page", "never_succeeded")],
    ),
    Scenario(
        "second-target-of-a-known-project",
        {
            "Dockerfile": "FROM base:latest AS one\nRUN echo one\nFROM base:latest AS two\nCOPY a.txt /\nRUN echo two\n",
            "a.txt": "a\n",
        },
        [Build(["--target=one"]), Build(["--target=two"])],
        [first_build("COPY a.txt /", collateral=["RUN echo two"])],
    ),
]

INSTRUCTIONS = [
    edited(
        "run-text-edited",
        RUNS["Dockerfile"],
        "RUN echo two",
        "RUN echo 2",
        instruction_changed("RUN echo 2", "RUN echo two", "RUN echo 2", collateral=["RUN echo three"]),
        on=(SHARED, ENGINE_26),
    ),
    edited(
        "two-runs-edited",
        RUNS["Dockerfile"],
        "RUN echo two\nRUN echo three",
        "RUN echo 2\nRUN echo 3",
        instruction_changed("RUN echo 2", "RUN echo two", "RUN echo 2", collateral=["RUN echo 3"]),
    ),
    edited(
        "runs-of-two-branches-edited",
        "FROM base:latest AS left\nRUN echo l1 > /l\nFROM base:latest\nRUN echo r1\nCOPY --from=left /l /\n",
        "RUN echo l1 > /l\nFROM base:latest\nRUN echo r1",
        "RUN echo l2 > /l\nFROM base:latest\nRUN echo r2",
        instruction_changed("RUN echo l2 > /l", "RUN echo l1 > /l", "RUN echo l2 > /l"),
        instruction_changed("RUN echo r2", "RUN echo r1", "RUN echo r2", collateral=["COPY --from=left /l /"]),
    ),
    edited(
        "inner-spaces-of-a-run",
        RUNS["Dockerfile"],
        "RUN echo three",
        "RUN echo   three",
        instruction_changed("RUN echo   three", "RUN echo three", "RUN echo   three"),
    ),
    edited(
        "run-continued-on-another-line",
        "FROM base:latest\nRUN echo one && echo two\n",
        "echo one && echo two",
        "echo one \\\n    && echo three",
        instruction_changed("RUN echo one \\", "RUN echo one && echo two", "RUN echo one"),
    ),
    edited(
        "copy-to-another-place",
        "FROM base:latest\nCOPY a.txt /x\nRUN echo after\n",
        "COPY a.txt /x",
        "COPY a.txt /y",
        instruction_changed("COPY a.txt /y", "COPY a.txt /x", "COPY a.txt /y", collateral=["RUN echo after"]),
    ),
    edited(
        "copy-of-another-file",
        "FROM base:latest\nCOPY a.txt /x\n",
        "a.txt",
        "b.txt",
        instruction_changed("COPY b.txt /x", "COPY a.txt /x", "COPY b.txt /x"),
    ),
    edited(
        "chown-added",
        "FROM base:latest\nCOPY a.txt /x\n",
        "COPY a.txt",
        "COPY --chown=7:7 a.txt",
        instruction_changed("COPY --chown=7:7 a.txt /x", "COPY a.txt /x", "COPY --chown=7:7 a.txt /x"),
    ),
    edited(
        "chmod-edited",
        "FROM base:latest\nCOPY --chmod=600 a.txt /x\n",
        "600",
        "640",
        instruction_changed("COPY --chmod=640 a.txt /x", "COPY --chmod=600 a.txt /x", "COPY --chmod=640 a.txt /x"),
    ),
    edited(
        "heredoc-of-a-run-edited",
        "FROM base:latest\nRUN <<EOF\necho one\necho two\nEOF\nRUN echo after\n",
        "echo two",
        "echo 2",
        instruction_changed("RUN <<EOF", "echo two", "echo 2", collateral=["RUN echo after"]),
    ),
    edited(
        "heredoc-of-a-copy-edited",
        "FROM base:latest\nCOPY <<EOF /file\none\nEOF\n",
        "\none\n",
        "\n1\n",
        instruction_changed("COPY <<EOF /file", "one", "1"),
    ),
    edited(
        "user-before-edited",
        "FROM base:latest\nRUN echo one\nUSER one\nRUN echo two\n",
        "USER one",
        "USER two",
        instruction_changed("RUN echo two", "USER one", "USER two"),
    ),
    edited(
        "shell-before-edited",
        'FROM base:latest\nSHELL ["/bin/sh", "-c"]\nRUN echo one\n',
        '"-c"',
        '"-ec"',
        instruction_changed("RUN echo one", 'SHELL ["/bin/sh", "-c"]', 'SHELL ["/bin/sh", "-ec"]'),
    ),
    edited(
        "instruction-removed",
        RUNS["Dockerfile"],
        "RUN echo two\n",
        "",
        instruction_changed("RUN echo three", "RUN echo two", None),
        on=(SHARED, ENGINE_26),
    ),
    edited(
        "first-instruction-removed",
        RUNS["Dockerfile"],
        "RUN echo one\n",
        "",
        instruction_changed("RUN echo two", "RUN echo one", None, collateral=["RUN echo three"]),
    ),
    edited(
        "instructions-swapped",
        RUNS["Dockerfile"],
        "RUN echo one\nRUN echo two",
        "RUN echo two\nRUN echo one",
        # The shortest edit takes one of the two out and puts it in again: which one, nobody can know.
        instruction_changed(
            "RUN echo two",
            "RUN echo one",
            None,
            collateral=["RUN echo one", "RUN echo three"],
            or_cause="first_build",
        ),
    ),
    edited(
        "workdir-edited",
        "FROM base:latest\nWORKDIR /one\nRUN pwd\n",
        "/one",
        "/two",
        instruction_changed("WORKDIR /two", "WORKDIR /one", "WORKDIR /two", collateral=["RUN pwd"]),
    ),
    edited(
        "cache-mount-edited",
        "FROM base:latest\nRUN --mount=type=cache,target=/c echo one\n",
        "target=/c",
        "target=/d",
        instruction_changed(
            "RUN --mount=type=cache,target=/d echo one",
            "RUN --mount=type=cache,target=/c echo one",
            "RUN --mount=type=cache,target=/d echo one",
        ),
    ),
    edited(
        "copy-from-another-stage",
        "FROM base:latest AS one\nRUN echo 1 > /f\nFROM base:latest AS two\nRUN echo 2 > /f\n"
        "FROM base:latest\nCOPY --from=one /f /\nCOPY --from=two /f /g\n",
        "COPY --from=one /f /\n",
        "COPY --from=two /f /\n",
        instruction_changed(
            "COPY --from=two /f /",
            "COPY --from=one /f /",
            "COPY --from=two /f /",
            collateral=["COPY --from=two /f /g"],
        ),
    ),
    edited(
        "exec-form-instead-of-shell-form",
        "FROM base:latest\nRUN echo one\n",
        "RUN echo one",
        'RUN ["echo", "one"]',
        instruction_changed('RUN ["echo", "one"]', "RUN echo one", 'RUN ["echo", "one"]'),
    ),
    edited(
        "run-and-a-file-of-another-branch",
        "FROM base:latest AS left\nRUN echo l1 > /l\nFROM base:latest\nCOPY a.txt /\nCOPY --from=left /l /\n",
        "l1",
        "l2",
        instruction_changed(
            "RUN echo l2 > /l", "RUN echo l1 > /l", "RUN echo l2 > /l", collateral=["COPY --from=left /l /"]
        ),
    ),
    Scenario(
        "failed-step-mended",
        {"Dockerfile": "FROM base:latest\nRUN echo one\nRUN exit 3\nRUN echo after\n"},
        [Build(fails=True), Edit("Dockerfile", "exit 3", "exit 0"), Build()],
        [
            instruction_changed(
                "RUN exit 0", "RUN exit 3", "RUN exit 0", collateral=["RUN echo after"], or_cause="first_build"
            )
        ],
    ),
    Scenario(
        "run-edited-back-and-to-something-new",
        RUNS,
        [
            Build(),
            Edit("Dockerfile", "echo three", "echo 3"),
            Build(),
            Put(RUNS),
            Build(),
            Edit("Dockerfile", "echo three", "echo III"),
            Build(),
        ],
        [instruction_changed("RUN echo III", "RUN echo three", "RUN echo III")],
    ),
]
