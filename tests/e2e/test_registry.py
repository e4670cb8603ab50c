"""What travels between an engine and a registry: bases, and cache that is exported by one engine and used by another."""

import pytest

from tests.e2e.agents import build, ended, eventually, project
from tests.engines.engine import running_engine
from tests.engines.images import import_base
from tests.engines.rootfs import EngineUnavailable

BIG = "dd if=/dev/urandom of=/big bs=1024 count=4096"


def steps_of(document, kind):
    return [step for step in document["steps"] if step["kind"] == kind]


def test_the_pull_of_a_base_has_bytes_and_seconds(history_engine, engine_20, shared_agent, registry, tmp_path):
    agent = shared_agent(history_engine)
    base = f"{registry.address}/e2e/base-{history_engine.name}:1"
    source = project(tmp_path / "base", f"FROM base\nRUN {BIG}\n")
    engine_20.docker("build", "--network=host", "-t", base, ".", cwd=source, DOCKER_BUILDKIT="0")
    engine_20.docker("push", base)
    context = project(tmp_path / "pulls", f"FROM {base}\nRUN ls -l /big\n")

    found = ended(agent, build(history_engine, context))

    assert found["summary"]["base_pull_seconds"] > 0
    assert steps_of(found, "from")[0]["transferred_bytes"] >= 4096 * 1024


@pytest.fixture(scope="module")
def other_engine():
    """An engine that has nothing but what it gets from the registry."""
    try:
        with running_engine("forky", ("--feature", "containerd-snapshotter=true"), name="e2e-other") as engine:
            import_base(engine)
            yield engine
    except EngineUnavailable as error:
        pytest.skip(str(error))


def test_cache_is_exported_by_one_engine_and_used_by_another(
    engine_28_containerd, other_engine, shared_agent, registry, tmp_path
):
    cache = f"type=registry,ref={registry.address}/e2e/cache"
    base = f"{registry.address}/e2e/shared-base:1"
    engine_28_containerd.docker("tag", "base:latest", base)
    engine_28_containerd.docker("push", base)
    context = project(
        tmp_path / "cached", f"FROM {base}\nRUN {BIG}\nCOPY word /word\nRUN cat /word /big > /all\n", word="1"
    )

    exporting = shared_agent(engine_28_containerd)
    ref = build(engine_28_containerd, context, "--pull", f"--cache-to={cache},mode=max")
    exported = ended(exporting, ref)
    export = steps_of(exported, "cache_export")[0]

    assert exported["summary"]["cache_export_seconds"] > 0
    assert exported["options"]["cache_to"]
    # The engine amends its record with the trace of what was uploaded some seconds later.
    eventually(lambda: (steps_of(exporting.build(ref), "cache_export")[0]["transferred_bytes"] or 0) >= 4096 * 1024)
    assert export["duration_seconds"] > 0

    importing = shared_agent(other_engine)
    (context / "word").write_text("2")
    imported = ended(importing, build(other_engine, context, "--pull", f"--cache-from={cache}"))

    assert imported["summary"]["cache_import_seconds"] is not None
    assert imported["options"]["cache_from"]
    assert [step["outcome"] for step in imported["steps"] if step["cacheable"]] == ["hit", "miss", "miss"]
    pulled = next(step for step in imported["steps"] if step["kind"] == "run" and step["outcome"] == "hit")
    assert (pulled["transferred_bytes"] or 0) >= 4096 * 1024
