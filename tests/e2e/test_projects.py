"""Where builds belong: by buildx's state on disk, by labels, as groups; and what is done with those that fit nowhere."""

import json
import subprocess

from tests.e2e.agents import build, buildprof, builds, ended, eventually, named, project
from tests.engines.compose import bake, compose

DOCKERFILE = "FROM base\nRUN echo {}\n"


def of_project(agent, name, count=1):
    """The builds of a project that have ended, by target."""

    def enough():
        found = {one["target"]: one for one in builds(agent) if one["project"] == name and one["status"] != "running"}
        return found if len(found) >= count else None

    return eventually(enough)


def test_a_directory_is_a_project_and_another_of_its_name_is_another(history_engine, shared_agent, tmp_path):
    agent = shared_agent(history_engine)
    refs = [
        build(history_engine, project(tmp_path / where / "twin", DOCKERFILE.format(where)))
        for where in ("left", "right")
    ]

    names = [ended(agent, ref)["project"] for ref in refs]

    assert names[0] != names[1]
    assert all(name.endswith("twin") for name in names)
    documents = json.loads(buildprof("projects", "--json", "--data-dir", agent.data_dir).stdout)["projects"]
    assert set(names) <= {one["project"] for one in documents}


def test_compose_services_are_targets_of_one_project_and_one_group(history_engine, shared_agent, tmp_path):
    agent = shared_agent(history_engine)
    services = ""
    for name in ("web", "worker"):
        project(tmp_path / name, DOCKERFILE.format(name))
        services += f"  {name}: {{image: e2e-compose-{name}, build: {{context: {name}, network: host}}}}\n"
    (tmp_path / "compose.yaml").write_text(f"name: e2eshop\nservices:\n{services}")
    compose(history_engine, "build", cwd=tmp_path)

    found = of_project(agent, "e2eshop", count=2)

    assert set(found) == {"web", "worker"}
    assert found["web"]["group"] == found["worker"]["group"] is not None


def test_bake_targets_are_a_group(history_engine, shared_agent, tmp_path):
    agent = shared_agent(history_engine)
    context = project(tmp_path / "oven", "FROM base\nCOPY word /word\n", word="baked")
    targets = "".join(f'target "{name}" {{\n  tags = ["e2e-bake-{name}"]\n}}\n' for name in ("bread", "cake"))
    (context / "docker-bake.hcl").write_text(f'group "default" {{ targets = ["bread", "cake"] }}\n{targets}')
    bake(history_engine, cwd=context)

    found = of_project(agent, "oven", count=2)

    assert set(found) == {"bread", "cake"}
    assert found["bread"]["group"] == found["cake"]["group"] is not None


def test_a_build_that_fits_nowhere_is_unknown_and_not_dropped(history_engine, shared_agent):
    agent = shared_agent(history_engine)
    subprocess.run(
        ["docker", "build", "--network=host", "--tag=e2e-nowhere", "-"],
        env=history_engine.environment, input=DOCKERFILE.format("nowhere").encode(), capture_output=True, check=True,
    )  # fmt: skip

    assert [one["project"] for one in named(agent, "e2e-nowhere")] == ["unknown"]
