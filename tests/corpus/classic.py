"""Builds by the classic builder, of which nobody tells the directory."""

from __future__ import annotations

from collections.abc import Sequence

from tests.corpus.acts import Act, Build, Edit, Import, Put, Touch
from tests.corpus.scenario import ALONE, ENGINE_20, Miss, Scenario, instruction_changed

DOCKERFILE = "FROM base:latest\nARG MODE=one\nCOPY a.txt /\nRUN cat /a.txt; echo $MODE\nRUN echo last\n"


def classic(
    name: str, acts: Sequence[Act], *misses: Miss, last: Sequence[str] = (), on: Sequence[str] = (ENGINE_20,)
) -> Scenario:
    """Build with the classic builder, do something, build."""
    tree = {"Dockerfile": DOCKERFILE, "a.txt": "a\n"}
    return Scenario(name, tree, [Build(classic=True), *acts, Build(last, classic=True)], misses, on=on)


BOTH = (ENGINE_20, ALONE)
AFTER_COPY = ("RUN cat /a.txt; echo $MODE", "RUN echo last")

CLASSIC = [
    classic("classic-nothing-done", [Touch("a.txt")], on=BOTH),
    classic(
        "classic-file-edited",
        [Put({"a.txt": "b\n"})],
        Miss("COPY a.txt /", "source_changed", collateral=AFTER_COPY),
        on=BOTH,
    ),
    classic(
        "classic-run-edited",
        [Edit("Dockerfile", "echo last", "echo the last")],
        instruction_changed("RUN echo the last", "RUN echo last", "RUN echo the last"),
        on=BOTH,
    ),
    classic(
        "classic-run-inserted",
        [Edit("Dockerfile", "RUN echo last", "RUN echo new\nRUN echo last")],
        Miss("RUN echo new", "first_build", {"reason": "new_step"}, collateral=["RUN echo last"]),
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
        Miss("RUN cat /a.txt; echo $MODE", "build_arg_changed", {"names": ["MODE"]}, collateral=["RUN echo last"]),
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
