"""Secrets of a build do not reach the store: not as an argument, in a label, in a command or in a log."""

import pytest

from tests.e2e.agents import build, ended, eventually, project

SECRETS = ("tok-5f2a9c71d8e3", "pw-81c0d7a2be94", "inline-3be81f7c60d2", "key-77aa10c4f5e6", "env-c41b6e0f92d8")

DOCKERFILE = f"""FROM base
ARG TOKEN
LABEL where="https://me:{SECRETS[1]}@example.invalid/repository"
RUN API_KEY={SECRETS[2]} sh -c 'echo with'
RUN echo "fetching with $TOKEN" && export PASSWORD="{SECRETS[3]}" && echo $PASSWORD
ENV DB_PASSWORD={SECRETS[4]}
RUN echo $DB_PASSWORD > /password
RUN echo "said $TOKEN" && test -z "$BROKEN"
"""


def traces(agent):
    """Which secrets stand anywhere in the files of the store, the last writes among them."""
    found = set()
    for file in agent.data_dir.glob("buildprof.db*"):
        data = file.read_bytes()
        found |= {(secret, file.name) for secret in SECRETS if secret.encode() in data}
    return found


@pytest.mark.parametrize("classic", [False, True], ids=["buildkit", "classic"])
def test_no_value_of_a_secret_is_in_the_store(classic, engine_28, agent_on, tmp_path):
    agent = agent_on(engine_28)
    context = project(tmp_path / "discreet", DOCKERFILE.replace('test -z "$BROKEN"', "sleep 2"))
    if classic:
        engine_28.docker(
            "build", "--network=host", f"--build-arg=TOKEN={SECRETS[0]}", "--tag=e2e-discreet:1", ".",
            cwd=context, DOCKER_BUILDKIT="0",
        )  # fmt: skip
        eventually(lambda: agent.metric("buildprof_builds_total") >= 1)
    else:
        found = ended(
            agent, build(engine_28, context, f"--build-arg=TOKEN={SECRETS[0]}", f"--label=see=http://u:{SECRETS[1]}@h/")
        )
        assert found["options"]["build_args"] == {"TOKEN": "[redacted]"}
        assert len([step for step in found["steps"] if step["kind"] == "run"]) == 4

    assert traces(agent) == set()
    assert not any(secret in agent.log for secret in SECRETS)


def test_a_failed_build_with_a_secret_in_its_log_leaves_no_trace_of_it(engine_28, agent_on, tmp_path):
    agent = agent_on(engine_28)
    context = project(tmp_path / "loud", DOCKERFILE.replace('test -z "$BROKEN"', "false"))
    build(engine_28, context, f"--build-arg=TOKEN={SECRETS[0]}", check=False)

    eventually(lambda: agent.metric("buildprof_build_failures_total", project="loud") == 1)

    assert traces(agent) == set()
