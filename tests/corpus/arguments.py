"""Steps that see another argument or environment value, or were asked not to use the cache."""

from __future__ import annotations

from collections.abc import Sequence

from tests.corpus.acts import Build, Edit, Put
from tests.corpus.instructions import edited
from tests.corpus.scenario import ENGINE_26, SHARED, Miss, Scenario, build_arg_changed, no_cache, source_changed

VERSION = "FROM base:latest\nRUN echo before\nARG VERSION=0\nRUN echo $VERSION\n"
STAGES = (
    "FROM base:latest AS build\nCOPY a.txt /\nRUN cat /a.txt > /out\n"
    "FROM base:latest\nRUN echo final\nCOPY --from=build /out /\n"
)


def built_twice(
    name: str, dockerfile: str, first: Sequence[str], second: Sequence[str], *misses: Miss, **more: object
) -> Scenario:
    """Build with some options and again with others."""
    tree = {"Dockerfile": dockerfile, "a.txt": "a\n", "b.txt": "b\n"}
    return Scenario(name, tree, [Build(first), Build(second)], misses, **more)  # type: ignore[arg-type]  # fields of Scenario


def arg(*values: str) -> list[str]:
    return [f"--build-arg={one}" for one in values]


ARGUMENTS = [
    built_twice(
        "argument-given",
        VERSION,
        arg("VERSION=1"),
        arg("VERSION=2"),
        build_arg_changed("RUN echo $VERSION", "VERSION"),
        on=(SHARED, ENGINE_26),
    ),
    built_twice(
        "argument-given-for-the-first-time",
        VERSION,
        [],
        arg("VERSION=2"),
        build_arg_changed("RUN echo $VERSION", "VERSION"),
    ),
    built_twice(
        "argument-that-the-step-does-not-use",
        "FROM base:latest\nARG BUST\nRUN echo always\nRUN echo after\n",
        arg("BUST=1"),
        arg("BUST=2"),
        build_arg_changed("RUN echo always", "BUST", collateral=["RUN echo after"]),
    ),
    built_twice(
        "two-arguments-given",
        "FROM base:latest\nARG ONE\nARG TWO\nARG THREE\nRUN echo $ONE $TWO $THREE\n",
        arg("ONE=1", "TWO=2", "THREE=3"),
        arg("ONE=I", "TWO=II", "THREE=3"),
        build_arg_changed("RUN echo $ONE $TWO $THREE", "ONE", "TWO"),
    ),
    built_twice(
        "argument-in-an-environment-value",
        "FROM base:latest\nARG A=0\nENV V=v$A\nRUN echo $V\n",
        arg("A=1"),
        arg("A=2"),
        build_arg_changed("RUN echo $V", "A", "V"),
    ),
    built_twice(
        "argument-in-the-source-of-a-copy",
        "FROM base:latest\nARG NAME\nCOPY ${NAME}.txt /x\n",
        arg("NAME=a"),
        arg("NAME=b"),
        build_arg_changed("COPY ${NAME}.txt /x", "NAME"),
    ),
    built_twice(
        "argument-in-a-workdir",
        "FROM base:latest\nARG PLACE\nWORKDIR /$PLACE\nRUN pwd\n",
        arg("PLACE=a"),
        arg("PLACE=b"),
        build_arg_changed("WORKDIR /$PLACE", "PLACE", collateral=["RUN pwd"]),
    ),
    built_twice(
        "argument-of-one-branch",
        "FROM base:latest AS left\nARG SIDE\nRUN echo $SIDE > /l\nFROM base:latest\nRUN echo right\n"
        "COPY --from=left /l /\n",
        arg("SIDE=1"),
        arg("SIDE=2"),
        build_arg_changed("RUN echo $SIDE > /l", "SIDE", collateral=["COPY --from=left /l /"]),
    ),
    edited(
        "argument-default-edited",
        VERSION,
        "VERSION=0",
        "VERSION=1",
        build_arg_changed("RUN echo $VERSION", "VERSION"),
    ),
    edited(
        "default-of-a-global-argument-edited",
        "ARG GLOBAL=1\nFROM base:latest\nARG GLOBAL\nRUN echo $GLOBAL\n",
        "GLOBAL=1",
        "GLOBAL=2",
        build_arg_changed("RUN echo $GLOBAL", "GLOBAL"),
    ),
    edited(
        "environment-edited",
        "FROM base:latest\nRUN echo before\nENV MODE=one\nRUN echo $MODE\nRUN echo after\n",
        "MODE=one",
        "MODE=two",
        build_arg_changed("RUN echo $MODE", "MODE", collateral=["RUN echo after"]),
        on=(SHARED, ENGINE_26),
    ),
    edited(
        "environment-added",
        "FROM base:latest\nENV A=1\nRUN echo one\n",
        "ENV A=1\n",
        "ENV A=1\nENV B=2\n",
        build_arg_changed("RUN echo one", "B"),
    ),
    edited(
        "environment-removed",
        "FROM base:latest\nENV A=1\nENV B=2\nRUN echo one\n",
        "ENV B=2\n",
        "",
        build_arg_changed("RUN echo one", "B"),
    ),
    edited(
        "environment-in-the-target-of-a-copy",
        "FROM base:latest\nENV HOME_DIR=/one\nCOPY a.txt $HOME_DIR/\n",
        "/one",
        "/two",
        build_arg_changed("COPY a.txt $HOME_DIR/", "HOME_DIR"),
    ),
    Scenario(
        "argument-and-bind-mounted-file",
        {
            "Dockerfile": "FROM base:latest\nARG A\nRUN --mount=source=a.txt,target=/a.txt cat /a.txt\n",
            "a.txt": "one\n",
        },
        [Build(arg("A=1")), Put({"a.txt": "two\n"}), Build(arg("A=2"))],
        [build_arg_changed("RUN --mount=source=a.txt,target=/a.txt cat /a.txt", "A", also=["source_changed"])],
    ),
    Scenario(
        "argument-of-one-branch-and-file-of-the-other",
        {
            "Dockerfile": "FROM base:latest AS left\nARG SIDE\nRUN echo $SIDE > /l\nFROM base:latest\nCOPY a.txt /\n"
            "COPY --from=left /l /\n",
            "a.txt": "one\n",
        },
        [Build(arg("SIDE=1")), Put({"a.txt": "two\n"}), Build(arg("SIDE=2"))],
        [
            build_arg_changed("RUN echo $SIDE > /l", "SIDE"),
            source_changed("COPY a.txt /", ["a.txt"], collateral=["COPY --from=left /l /"]),
        ],
    ),
]

OPTIONS = [
    built_twice(
        "no-cache",
        "FROM base:latest\nCOPY a.txt /\nRUN cat /a.txt\n",
        [],
        ["--no-cache"],
        no_cache("COPY a.txt /", collateral=["RUN cat /a.txt"]),
        on=(SHARED, ENGINE_26),
    ),
    built_twice(
        "no-cache-on-both-sides-of-a-workdir",
        "FROM base:latest\nRUN echo one\nWORKDIR /work\nRUN echo two\n",
        [],
        ["--no-cache"],
        no_cache("RUN echo one", collateral=["WORKDIR /work", "RUN echo two"]),
    ),
    built_twice(
        "no-cache-of-two-branches",
        STAGES,
        [],
        ["--no-cache"],
        no_cache("COPY a.txt /", collateral=["RUN cat /a.txt > /out"]),
        no_cache("RUN echo final", collateral=["COPY --from=build /out /"]),
    ),
    built_twice(
        "no-cache-for-one-stage",
        STAGES,
        [],
        ["--no-cache-filter=build"],
        no_cache("COPY a.txt /", "--no-cache-filter", collateral=["RUN cat /a.txt > /out"]),
    ),
    built_twice(
        "no-cache-for-the-last-stage",
        "FROM base:latest AS build\nRUN echo out > /out\nFROM base:latest AS final\nRUN echo final\n"
        "COPY --from=build /out /\n",
        [],
        ["--no-cache-filter=final"],
        no_cache("RUN echo final", "--no-cache-filter", collateral=["COPY --from=build /out /"]),
    ),
    Scenario(
        "no-cache-and-a-file-edited",
        {"Dockerfile": "FROM base:latest\nCOPY a.txt /\nRUN cat /a.txt\n", "a.txt": "one\n"},
        [Build(), Put({"a.txt": "two\n"}), Build(["--no-cache"])],
        [no_cache("COPY a.txt /", collateral=["RUN cat /a.txt"], also=["source_changed"])],
    ),
    Scenario(
        "no-cache-for-one-stage-and-a-run-edited-in-the-other",
        {"Dockerfile": STAGES, "a.txt": "one\n"},
        [Build(), Edit("Dockerfile", "echo final", "echo finally"), Build(["--no-cache-filter=build"])],
        [
            no_cache("COPY a.txt /", "--no-cache-filter", collateral=["RUN cat /a.txt > /out"]),
            Miss(
                "RUN echo finally",
                "instruction_changed",
                {"before": "RUN echo final", "after": "RUN echo finally"},
                collateral=["COPY --from=build /out /"],
            ),
        ],
    ),
    Scenario(
        "the-build-after-one-without-cache",
        {"Dockerfile": "FROM base:latest\nCOPY a.txt /\nRUN cat /a.txt\n", "a.txt": "one\n"},
        [Build(), Build(["--no-cache"]), Put({"a.txt": "two\n"}), Build()],
        [source_changed("COPY a.txt /", ["a.txt"], collateral=["RUN cat /a.txt"])],
    ),
]
