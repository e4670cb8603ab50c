"""Builds by the classic builder, whose directory the client's command tells."""

from __future__ import annotations

from collections.abc import Sequence

from tests.corpus.acts import Act, Build, Edit, Import, Put, Remove, Touch
from tests.corpus.scenario import ALONE, ENGINE_20, Miss, Scenario, instruction_changed, source_changed

DOCKERFILE = (
    "FROM base:latest\nARG MODE=one\nCOPY a.txt /\nRUN cat /a.txt; echo $MODE; sleep 0.4\nRUN echo last; sleep 0.3\n"
)


def classic(
    name: str, acts: Sequence[Act], *misses: Miss, last: Sequence[str] = (), on: Sequence[str] = (ENGINE_20,)
) -> Scenario:
    """Build with the classic builder, do something, build."""
    tree = {"Dockerfile": DOCKERFILE, "a.txt": "a\n"}
    return Scenario(name, tree, [Build(classic=True), *acts, Build(last, classic=True)], misses, on=on)


BOTH = (ENGINE_20, ALONE)
AFTER_COPY = ("RUN cat /a.txt; echo $MODE; sleep 0.4", "RUN echo last; sleep 0.3")
TREE = {
    "Dockerfile": "FROM base:latest\nCOPY src /src\nRUN cat /src/*; sleep 0.4\n",
    "src/b.txt": "a\n",
    "src/c.txt": "c\n",
}
STAGES = """FROM base:latest AS one
COPY a.txt /
RUN cp /a.txt /c.txt; sleep 0.4
FROM base:latest AS two
COPY b.txt /
RUN cat /b.txt; sleep 0.4
COPY --from=one /c.txt /
"""

CLASSIC = [
    classic("classic-nothing-done", [Touch("a.txt")], on=BOTH),
    classic(
        "classic-file-edited",
        [Put({"a.txt": "b\n"})],
        source_changed("COPY a.txt /", ["a.txt"], collateral=AFTER_COPY, confidence="certain"),
        on=BOTH,
    ),
    Scenario(
        "classic-files-come-and-go",
        TREE,
        [
            Build(classic=True),
            Put({"src/new.txt": "n\n", "src/b.txt": "b\n", "docs/d.txt": "d\n"}),
            Remove("src/c.txt"),
            Build(classic=True),
        ],
        [
            source_changed(
                "COPY src /src", ["src/b.txt"], ["src/new.txt"], ["src/c.txt"], collateral=["RUN cat /src/*; sleep 0.4"]
            )
        ],
        on=BOTH,
    ),
    Scenario(
        "classic-ignored-file-edited",
        {**TREE, ".dockerignore": "src/c.txt\n"},
        [Build(classic=True), Put({"src/c.txt": "other\n", "src/b.txt": "b\n"}), Build(classic=True)],
        [source_changed("COPY src /src", ["src/b.txt"], collateral=["RUN cat /src/*; sleep 0.4"])],
        on=(ENGINE_20,),
    ),
    Scenario(
        "classic-copy-in-an-earlier-stage",
        {"Dockerfile": STAGES, "a.txt": "a\n", "b.txt": "b\n"},
        [Build(classic=True), Put({"a.txt": "other\n"}), Build(classic=True)],
        [
            source_changed(
                "COPY a.txt /", ["a.txt"], collateral=["RUN cp /a.txt /c.txt; sleep 0.4", "COPY --from=one /c.txt /"]
            )
        ],
        on=BOTH,
    ),
    Scenario(
        "classic-other-dockerfile-and-target",
        {"docker/web.Dockerfile": f"{STAGES}FROM base:latest\nRUN echo never\n", "a.txt": "a\n", "b.txt": "b\n"},
        [
            Build(["--target=two"], file="docker/web.Dockerfile", classic=True),
            Put({"b.txt": "other\n"}),
            Build(["--target=two"], file="docker/web.Dockerfile", classic=True),
        ],
        [
            source_changed(
                "COPY b.txt /", ["b.txt"], collateral=["RUN cat /b.txt; sleep 0.4", "COPY --from=one /c.txt /"]
            )
        ],
        on=(ENGINE_20,),
    ),
    Scenario(
        "classic-subdirectory-is-the-context",
        {"api/Dockerfile": DOCKERFILE, "api/a.txt": "a\n"},
        [
            Build(context="api", file="api/Dockerfile", classic=True),
            Put({"api/a.txt": "b\n", "a.txt": "no\n"}),
            Build(context="api", file="api/Dockerfile", classic=True),
        ],
        [source_changed("COPY a.txt /", ["a.txt"], collateral=AFTER_COPY)],
        on=(ALONE,),
    ),
    Scenario(
        "classic-failure-after-a-changed-file",
        {"Dockerfile": f"{DOCKERFILE}RUN test ! -e /fail\n", "a.txt": "a\n"},
        [
            Build(classic=True),
            Put({"a.txt": "b\n"}),
            Edit("Dockerfile", "test ! -e /fail", "false"),
            Build(classic=True, fails=True),
        ],
        [source_changed("COPY a.txt /", ["a.txt"], collateral=AFTER_COPY)],
        unbuilt=["RUN false"],
        on=(ENGINE_20,),
    ),
    Scenario(
        "classic-same-bytes-again",
        {"Dockerfile": DOCKERFILE, "a.txt": "a\n", "b.txt": "b\n"},
        [Build(classic=True), Put({"a.txt": "b\n"}), Put({"a.txt": "a\n"}), Touch("a.txt"), Build(classic=True)],
        on=(ALONE,),
    ),
    classic(
        "classic-run-edited",
        [Edit("Dockerfile", "echo last;", "echo the last;")],
        instruction_changed("RUN echo the last; sleep 0.3", "RUN echo last; sleep 0.3", "RUN echo the last; sleep 0.3"),
        on=BOTH,
    ),
    classic(
        "classic-env-inserted",
        [Edit("Dockerfile", "ARG MODE=one", "ARG MODE=one\nENV A=1")],
        instruction_changed("COPY a.txt /", None, "ENV A=1", collateral=AFTER_COPY),
        on=BOTH,
    ),
    classic(
        "classic-run-inserted",
        [Edit("Dockerfile", "RUN echo last; sleep 0.3", "RUN echo new\nRUN echo last; sleep 0.3")],
        Miss("RUN echo new", "first_build", {"reason": "new_step"}, collateral=["RUN echo last; sleep 0.3"]),
    ),
    classic(
        "classic-base-imported-anew",
        [Import("base:latest", {"etc/version": "2\n"})],
        Miss("COPY a.txt /", "base_changed", collateral=AFTER_COPY),
        on=BOTH,
    ),
    classic(
        "classic-argument-given",
        [],
        Miss(
            "RUN cat /a.txt; echo $MODE; sleep 0.4",
            "build_arg_changed",
            {"names": ["MODE"]},
            collateral=["RUN echo last; sleep 0.3"],
        ),
        last=["--build-arg=MODE=two"],
        on=BOTH,
    ),
    classic(
        "classic-no-cache",
        [],
        Miss("COPY a.txt /", "no_cache", {"option": "--no-cache"}, collateral=AFTER_COPY, confidence="likely"),
        last=["--no-cache"],
    ),
]
