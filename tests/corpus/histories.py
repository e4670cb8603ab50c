"""Which of the earlier builds the last one is compared with, and builds that go wrong or come in groups."""

from __future__ import annotations

from tests.corpus.acts import Bake, Build, Compose, Edit, Put, Switch, Tree
from tests.corpus.scenario import (
    ENGINE_26,
    SHARED,
    Scenario,
    instruction_changed,
    source_changed,
)

COPY = "FROM base:latest\nCOPY a.txt /\nRUN cat /a.txt\n"
A: Tree = {"Dockerfile": COPY, "a.txt": "a\n", "b.txt": "a\n"}
MISSED = source_changed("COPY a.txt /", ["a.txt"], collateral=["RUN cat /a.txt"])
COMPOSE = "services:\n" + "".join(
    f"  {name}:\n    build: {{context: ., target: {name}, network: host}}\n" for name in ("web", "api")
)
TARGETS = (
    "FROM base:latest AS common\nCOPY common.txt /\nRUN echo common\n"
    "FROM common AS web\nCOPY web.txt /\nFROM common AS api\nCOPY api.txt /\n"
)
GROUP: Tree = {
    "Dockerfile": TARGETS,
    "compose.yaml": COMPOSE,
    "bake.hcl": 'group "default" { targets = ["web", "api"] }\n'
    + "".join(f'target "{name}" {{\n  target = "{name}"\n  network = "host"\n}}\n' for name in ("web", "api")),
    "common.txt": "c\n",
    "web.txt": "w\n",
    "api.txt": "a\n",
}

BRANCHES = [
    Scenario(
        "third-branch-is-compared-with-the-second",
        A,
        [
            Build(),
            Switch({"Dockerfile": COPY.replace("cat", "wc"), "a.txt": "b\n", "b.txt": "b\n"}),
            Build(),
            Switch({"Dockerfile": COPY.replace("cat", "wc"), "a.txt": "c\n"}),
            Build(),
        ],
        # The second one's RUN is this one's: of the first, the instruction differs as well.
        [source_changed("COPY a.txt /", ["a.txt"], collateral=["RUN wc /a.txt"])],
    ),
    Scenario(
        "third-branch-after-going-back",
        A,
        [Build(), Put({"a.txt": "b\n"}), Build(), Switch(A), Build(), Put({"a.txt": "c\n"}), Build()],
        [MISSED],
    ),
    Scenario(
        "branch-of-one-file-more-from-the-first-step-on",
        {"Dockerfile": "FROM base:latest\nCOPY . /all\nRUN ls /all\n", "a.txt": "a\n"},
        [Build(), Put({"b.txt": "b\n"}), Build(), Put({"c.txt": "c\n"}), Build()],
        [source_changed("COPY . /all", added=["c.txt"], collateral=["RUN ls /all"])],
    ),
]

MISHAPS = [
    Scenario(
        "failed-build-in-between",
        {"Dockerfile": COPY + "RUN echo last\n", "a.txt": "a\n"},
        [
            Build(),
            Edit("Dockerfile", "echo last", "exit 3"),
            Build(fails=True),
            Edit("Dockerfile", "exit 3", "echo last"),
            Put({"a.txt": "b\n"}),
            Build(),
        ],
        [source_changed("COPY a.txt /", ["a.txt"], collateral=["RUN cat /a.txt", "RUN echo last"])],
    ),
    Scenario(
        "file-was-edited-before-the-build-that-failed",
        {"Dockerfile": "FROM base:latest\nCOPY a.txt /\nRUN cat /a.txt\nRUN test ! -e /stop\n", "a.txt": "a\n"},
        [
            Build(),
            Put({"a.txt": "b\n"}),
            Edit("Dockerfile", "! -e", "-e"),
            Build(fails=True),
            Edit("Dockerfile", "test -e", "test ! -e"),
            Build(),
        ],
        # The failed build had COPY and the first RUN made: only the last step is left to run, on another file than
        # when it last succeeded.
        [source_changed("RUN test ! -e /stop", ["a.txt"])],
    ),
    Scenario(
        "failed-build-whose-earlier-steps-missed",
        {"Dockerfile": COPY + "RUN echo last\nRUN echo never\n", "a.txt": "a\n"},
        [Build(), Put({"a.txt": "b\n"}), Edit("Dockerfile", "echo last", "exit 3"), Build(fails=True)],
        [source_changed("COPY a.txt /", ["a.txt"], collateral=["RUN cat /a.txt"])],
        unbuilt=["RUN exit 3", "RUN echo never"],
        on=(SHARED, ENGINE_26),
    ),
    Scenario(
        "failed-build-whose-instruction-changed",
        {"Dockerfile": COPY + "RUN exit 3\n", "a.txt": "a\n"},
        [Build(fails=True), Edit("Dockerfile", "RUN cat", "RUN wc"), Build(fails=True)],
        [instruction_changed("RUN wc /a.txt", "RUN cat /a.txt", "RUN wc /a.txt")],
        unbuilt=["RUN exit 3"],
    ),
    Scenario(
        "failed-build-that-fails-again",
        {"Dockerfile": COPY + "RUN exit 3\n", "a.txt": "a\n"},
        [Build(fails=True), Build(fails=True)],
        unbuilt=["RUN exit 3"],
    ),
    Scenario(
        "cancelled-build-in-between",
        {"Dockerfile": COPY + "RUN echo last\n", "a.txt": "a\n"},
        [
            Build(),
            Edit("Dockerfile", "echo last", "sleep 30"),
            Build(at="RUN sleep 30", interrupt=True),
            Edit("Dockerfile", "sleep 30", "echo last"),
            Put({"a.txt": "b\n"}),
            Build(),
        ],
        [source_changed("COPY a.txt /", ["a.txt"], collateral=["RUN cat /a.txt", "RUN echo last"])],
    ),
    Scenario(
        "cancelled-build-whose-earlier-steps-missed",
        {"Dockerfile": COPY + "RUN sleep 1\nRUN echo last\n", "a.txt": "a\n"},
        [
            Build(),
            Put({"a.txt": "b\n"}),
            Edit("Dockerfile", "sleep 1", "sleep 30"),
            Build(at="RUN sleep 30", interrupt=True),
        ],
        [source_changed("COPY a.txt /", ["a.txt"], collateral=["RUN cat /a.txt"])],
        unbuilt=["RUN sleep 30", "RUN echo last"],
    ),
]

GROUPS = [
    Scenario(
        "compose-file-of-one-service-edited",
        GROUP,
        [Compose(2), Put({"web.txt": "W\n"}), Compose(2)],
        [source_changed("COPY web.txt /", ["web.txt"])],
        target="web",
    ),
    Scenario(
        "compose-service-whose-sibling-missed",
        GROUP,
        [Compose(2), Put({"web.txt": "W\n"}), Compose(2)],
        target="api",
    ),
    Scenario(
        "bake-file-of-one-target-edited",
        GROUP,
        [Bake(2), Put({"api.txt": "A\n"}), Bake(2)],
        [source_changed("COPY api.txt /", ["api.txt"])],
        target="api",
    ),
    Scenario(
        "compose-and-then-by-hand",
        GROUP,
        [Compose(2), Put({"common.txt": "C\n"}), Build(["--target=web"])],
        [source_changed("COPY common.txt /", ["common.txt"], collateral=["RUN echo common", "COPY web.txt /"])],
    ),
]
