"""Steps that were built before, but whose result is gone, or is on another builder."""

from __future__ import annotations

from tests.corpus.acts import (
    Build,
    CollectGarbage,
    Edit,
    Prune,
    PruneByHttp,
    PruneRecord,
    Put,
    RestartAgent,
    RestartEngine,
    Tree,
)
from tests.corpus.scenario import (
    ALONE,
    Scenario,
    cold_builder,
    evicted,
    instruction_changed,
    source_changed,
)

PLAIN: Tree = {"Dockerfile": "FROM base:latest\nCOPY a.txt /\nRUN cat /a.txt\n", "a.txt": "a\n"}
BRANCHES: Tree = {
    "Dockerfile": "FROM base:latest AS left\nRUN echo left > /l\nFROM base:latest\nCOPY a.txt /\n"
    "COPY --from=left /l /\n",
    "a.txt": "a\n",
}

CACHE_ONLY = ("--output=type=cacheonly",)
"""Without an image, since a record whose layer an image has counts as nothing for the collection."""

EVICTIONS = [
    Scenario(
        "cache-pruned",
        PLAIN,
        [Build(), Prune(), Build()],
        [evicted("COPY a.txt /", collateral=["RUN cat /a.txt"])],
        on=(ALONE,),
    ),
    Scenario(
        "cache-pruned-by-http",
        PLAIN,
        [Build(), PruneByHttp(), Build()],
        [evicted("COPY a.txt /", collateral=["RUN cat /a.txt"])],
        on=(ALONE,),
    ),
    Scenario(
        "cache-of-two-branches-pruned",
        BRANCHES,
        [Build(), Prune(), Build()],
        [evicted("RUN echo left > /l"), evicted("COPY a.txt /", collateral=["COPY --from=left /l /"])],
        on=(ALONE,),
    ),
    Scenario(
        "cache-pruned-while-the-agent-was-down",
        PLAIN,
        [Build(), RestartAgent([Prune()]), Build()],
        [evicted("COPY a.txt /", collateral=["RUN cat /a.txt"])],
        on=(ALONE,),
    ),
    Scenario(
        "last-record-pruned",
        {"Dockerfile": "FROM base:latest\nRUN echo first\nRUN echo the last record\n"},
        [Build(), PruneRecord("echo the last record"), Build()],
        [evicted("RUN echo the last record")],
        on=(ALONE,),
    ),
    Scenario(
        "garbage-collected",
        {"Dockerfile": "FROM base:latest\nRUN seq 1 200000 > /large\n"},
        [Build(CACHE_ONLY), CollectGarbage("seq 1 200000"), Build(CACHE_ONLY)],
        [evicted("RUN seq 1 200000 > /large")],
        on=(ALONE,),
    ),
    Scenario(
        "cache-pruned-and-a-file-edited",
        PLAIN,
        [Build(), Prune(), Put({"a.txt": "b\n"}), Build()],
        [source_changed("COPY a.txt /", ["a.txt"], collateral=["RUN cat /a.txt"])],
        on=(ALONE,),
    ),
    Scenario(
        "cache-pruned-and-a-run-of-one-branch-edited",
        BRANCHES,
        [Build(), Prune(), Edit("Dockerfile", "echo left", "echo links"), Build()],
        [
            instruction_changed("RUN echo links > /l", "RUN echo left > /l", "RUN echo links > /l"),
            evicted("COPY a.txt /", collateral=["COPY --from=left /l /"]),
        ],
        on=(ALONE,),
    ),
    Scenario(
        "cache-pruned-and-built-since",
        PLAIN,
        [Build(), Prune(), Build(), Build()],
        on=(ALONE,),
    ),
    Scenario(
        "engine-restarted",
        PLAIN,
        [Build(), RestartEngine(), Build()],
        on=(ALONE,),
    ),
    Scenario(
        "older-version-pruned",
        PLAIN,
        [Build(), Prune(), Put({"a.txt": "b\n"}), Build(), Put({"a.txt": "a\n"}), Build()],
        # Of the build before, the file differs; but this very version was built here once, and would still be a hit.
        [evicted("COPY a.txt /", collateral=["RUN cat /a.txt"], or_cause="source_changed")],
        on=(ALONE,),
    ),
]

BUILDERS = [
    Scenario(
        "built-on-another-builder-only",
        PLAIN,
        [Build(), Build(second=True)],
        [cold_builder("COPY a.txt /", collateral=["RUN cat /a.txt"])],
        on=(ALONE,),
        second=True,
    ),
    Scenario(
        "two-branches-built-on-another-builder-only",
        BRANCHES,
        [Build(), Build(second=True)],
        [cold_builder("RUN echo left > /l"), cold_builder("COPY a.txt /", collateral=["COPY --from=left /l /"])],
        on=(ALONE,),
        second=True,
    ),
    Scenario(
        "another-builder-had-the-new-version-first",
        PLAIN,
        [Build(second=True), Put({"a.txt": "b\n"}), Build(), Build(second=True)],
        [source_changed("COPY a.txt /", ["a.txt"], collateral=["RUN cat /a.txt"])],
        on=(ALONE,),
        second=True,
    ),
    Scenario(
        "known-to-both-builders",
        PLAIN,
        [Build(), Build(second=True), Build(), Build(second=True)],
        on=(ALONE,),
        second=True,
    ),
]
