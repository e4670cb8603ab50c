"""Images on real engines: analysed after each build, by the command in every way, compared, served and exported."""

import json
import os
import re

import pytest

from tests.e2e.agents import build, buildprof, ended, eventually, named, project

DOCKERFILE = """FROM base
RUN mkdir -p /srv/cache && head -c 300000 /dev/urandom > /srv/cache/big && echo kept > /srv/kept
RUN rm -r /srv/cache && chmod 600 /srv/kept
COPY app /srv/
"""


def analysed(agent, name):
    """The document of an image, once the agent has analysed it."""
    return eventually(lambda: (answer := agent.get(f"/api/v1/images/{name}"))[0] == 200 and json.loads(answer[1]))


def asked(engine, agent, *arguments, stdin=b"", check=True):
    where = ("--docker-host", engine.host, "--data-dir", agent.data_dir)
    return buildprof("image", *arguments, *where, stdin=stdin, check=check)


def sampled(agent, metric, project):
    """Values of a metric of a project by its label `layer`, "" where it has none."""
    lines = [one for one in agent.get("/metrics")[1].decode().splitlines() if f'project="{project}"' in one]
    found = [re.fullmatch(rf"buildprof_{metric}\{{(?:layer=\"([^\"]*)\")?.*\}} (\S+)", line) for line in lines]
    return {one[1] or "": float(one[2]) for one in found if one}


def without_names(document):
    """What every way to an image must agree about."""
    known = {key: document[key] for key in ("stored_bytes", "visible_bytes", "wasted_bytes", "waste", "waste_bytes")}
    layers = [
        {key: layer[key] for key in layer if key not in ("step", "base", "command", "compressed_bytes")}
        for layer in document["layers"]
    ]
    return known, layers


def test_after_a_build_its_image_is_analysed_and_tied_to_its_steps(history_engine, shared_agent, tmp_path):
    agent = shared_agent(history_engine)
    context = project(tmp_path / "imageshop", DOCKERFILE, app="1")
    ref = build(history_engine, context, "-t", "e2e-image")
    steps = {step["id"]: step for step in ended(agent, ref)["steps"]}

    document = analysed(agent, "e2e-image")

    assert [layer["base"] for layer in document["layers"]] == [True, False, False, False]
    tied = [steps[layer["step"]["step_id"]] for layer in document["layers"][1:]]
    assert [step["instruction"] for step in tied] == ["RUN", "RUN", "COPY"]
    assert [layer["step"]["lines"] for layer in document["layers"][1:]] == [[2, 2], [3, 3], [4, 4]]
    assert {one["kind"]: one["bytes"] for one in document["waste"] if one["kind"] != "duplicate"} == {
        "removed": 300_000, "metadata_only": 5,
    }  # fmt: skip
    assert document["own_wasted_bytes"] == document["wasted_bytes"] == 300_005
    is_packed = [bool(layer["compressed_bytes"]) for layer in document["layers"]]
    assert is_packed == ["containerd" in history_engine.name] * 4
    assert eventually(lambda: sampled(agent, "image_wasted_bytes", "imageshop")) == {"": 300_005}


def test_all_layers_of_the_last_image_are_exported_as_large_as_their_files(history_engine, shared_agent, tmp_path):
    agent = shared_agent(history_engine)
    context = project(tmp_path / "layershop", DOCKERFILE, app="1")
    ref = build(history_engine, context, "-t", "e2e-layers")
    ended(agent, ref)

    sizes = [layer["size_bytes"] for layer in analysed(agent, "e2e-layers")["layers"]]

    assert sizes[1:] == [300_005, 5, 1]
    labels = ["01 OTHER", "02 RUN", "03 RUN", "04 COPY"]
    eventually(lambda: sampled(agent, "layer_size_bytes", "layershop") == dict(zip(labels, sizes, strict=True)))
    shown = {step["instruction"]: step["layer"] for step in agent.build(ref)["steps"] if step["layer"]}
    assert (shown["COPY"]["size_bytes"], shown["RUN"]["size_bytes"]) == (1, 5)
    assert "e2e-layers:latest" in agent.build(ref)["image"]["tags"]  # an older engine tells all that the image has


def test_every_way_to_an_image_gives_the_same(any_engine, shared_agent, tmp_path):
    agent = shared_agent(any_engine)
    context = project(tmp_path / "ways", DOCKERFILE, app="1")
    any_engine.docker("build", "--network=host", "-t", "e2e-ways", ".", cwd=context)
    saved = tmp_path / "saved.tar"
    any_engine.docker("save", "-o", str(saved), "e2e-ways")
    any_engine.docker("tag", "e2e-ways", "a-e2e-ways")
    documents = [
        json.loads(asked(any_engine, agent, "e2e-ways", "--json").stdout),
        json.loads(buildprof("image", saved, "--json", "--data-dir", tmp_path / "none").stdout),
        json.loads(buildprof("image", "-", "--json", "--data-dir", tmp_path / "none", stdin=saved.read_bytes()).stdout),
    ]
    assert documents[0]["wasted_bytes"] == 300_005
    assert documents[0]["image"] == "e2e-ways:latest"
    assert without_names(documents[0]) == without_names(documents[1]) == without_names(documents[2])
    commands = [layer["command"] for layer in documents[0]["layers"]]
    assert [command.partition(" ")[0] for command in commands[1:]] == ["RUN", "RUN", "COPY"]


def test_a_pipeline_is_stopped_by_what_its_image_may_not_be(engine_28, shared_agent, tmp_path):
    agent = shared_agent(engine_28)
    context = project(tmp_path / "gates", DOCKERFILE, app="1")
    ended(agent, build(engine_28, context, "-t", "e2e-gates"))
    kept = asked(engine_28, agent, "e2e-gates", "--max-size", "1GB", "--min-efficiency", "0.1", "--max-wasted", "1MB")
    assert kept.returncode == 0
    broken = asked(engine_28, agent, "e2e-gates", "--max-size", "1kB", "--max-wasted", "10kB", check=False)
    assert broken.returncode == 1
    assert re.fullmatch(
        rb"buildprof: e2e-gates:latest: size .* is above 1 kB; wasted 300 kB is above 10 kB; "
        rb"none of the waste is the base image's\n",
        broken.stderr,
    )
    (context / "app").write_bytes(os.urandom(900_000))
    ended(agent, build(engine_28, context, "-t", "e2e-gates"))
    grown = asked(engine_28, agent, "e2e-gates", "--max-growth", "5%", check=False)
    assert (grown.returncode, grown.stderr.count(b"\n")) == (1, 1)
    assert b"growth of 900 kB from" in grown.stderr
    assert asked(engine_28, agent, "e2e-gates", "--max-growth", "1MB").returncode == 0


def test_compare_names_the_layer_and_the_files_that_grew(history_engine, shared_agent, tmp_path):
    agent = shared_agent(history_engine)
    context = project(tmp_path / "grows", DOCKERFILE, app="1")
    refs = []
    for content in (b"1" * 10, b"2" * 50_000):
        (context / "app").write_bytes(content)
        refs.append(build(history_engine, context, "-t", f"e2e-grows:{len(content)}"))
        analysed(agent, f"e2e-grows:{len(content)}")

    growth = json.loads(buildprof("compare", *refs, "--json", "--data-dir", agent.data_dir).stdout)["image_growth"]

    assert [(one["path"], one["after_bytes"]) for one in growth["files"]] == [("srv/app", 50_000)]
    assert [(one["command"], one["difference_bytes"]) for one in growth["layers"]] == [("COPY app /srv/", 49_990)]
    shown = buildprof("compare", *refs, "--data-dir", agent.data_dir).stdout.decode()
    assert re.search(r"\+50k COPY app /srv/\n", shown)
    assert re.search(r"\+50k srv/app\n", shown)


def test_compare_says_that_the_base_is_another(history_engine, shared_agent, tmp_path):
    agent = shared_agent(history_engine)
    context = project(tmp_path / "rebased", "FROM e2e-moving\nENV X=1\n")
    refs = []
    for content in ("old", "new"):
        base = project(tmp_path / f"base-{content}", f"FROM base\nRUN echo {content} > /{content}\n")
        build(history_engine, base, "-t", "e2e-moving")
        refs.append(build(history_engine, context, "-t", f"e2e-rebased:{content}"))
        ended(agent, refs[-1])
    shown = buildprof("compare", *refs, "--data-dir", agent.data_dir).stdout.decode()
    assert re.search(r"^base +e2e-moving is another image", shown, re.MULTILINE)
    assert re.search(r"^~ +1/1 FROM e2e-moving", shown, re.MULTILINE)
    assert "every step is as it was\n" not in shown


@pytest.mark.parametrize(
    ("image", "code", "said"),
    [("nobody/knows:this", 1, b"has no image"), ("-", 2, b"standard input"), ("./nothing", 2, b"cannot be read")],
)
def test_what_is_no_image_is_one_line(engine_28, shared_agent, image, code, said):
    done = asked(engine_28, shared_agent(engine_28), image, stdin=b"hello", check=False)
    assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (code, b"", 1)
    assert said in done.stderr


def test_an_agent_that_is_told_not_to_looks_at_no_image(engine_28, agent_on, tmp_path):
    agent = agent_on(engine_28, environment={"BUILDPROF_ANALYSE_IMAGES": "false"})
    other = project(tmp_path / "private", "FROM base\nRUN echo private > /f\n")
    ended(agent, build(engine_28, other, "-t", "e2e-private"))
    assert agent.get("/api/v1/images/e2e-private")[0] == 404
    assert not (agent.data_dir / "layers.db").exists()


def test_the_image_of_a_classic_build_is_tied_to_its_steps(any_engine, shared_agent, tmp_path):
    agent = shared_agent(any_engine)
    context = project(tmp_path / "classic", DOCKERFILE, app=str(tmp_path))
    any_engine.docker("build", "--network=host", "-t", "e2e-image-classic", ".", cwd=context, DOCKER_BUILDKIT="0")

    document = analysed(agent, "e2e-image-classic")

    (made,) = named(agent, "e2e-image-classic")
    steps = {step["id"]: step for step in agent.build(made["ref"])["steps"]}
    tied = [layer["step"] and steps[layer["step"]["step_id"]] for layer in document["layers"]]
    assert [step and step["instruction"] for step in tied] == [None, "RUN", "RUN", "COPY"]
    assert [step["layer"]["digest"] for step in tied[1:]] == [layer["digest"] for layer in document["layers"][1:]]
    assert document["own_wasted_bytes"] == 300_005


def test_no_value_of_a_build_argument_is_in_what_is_stored_of_an_image(history_engine, agent_on, tmp_path):
    agent = agent_on(history_engine)
    dockerfile = "FROM base\nARG PLACE\nCOPY app /srv/$PLACE/app\nRUN rm /srv/$PLACE/app\n"
    context = project(tmp_path / "discreet-image", dockerfile, app="1" * 2000)
    ended(agent, build(history_engine, context, "--build-arg=PLACE=tokvalue77", "-t", "e2e-discreet-image"))
    document = analysed(agent, "e2e-discreet-image")
    assert document["own_wasted_bytes"] == 2000
    assert document["layers"][1]["command"] == "COPY app /srv/$PLACE/app"
    assert not [file for file in agent.data_dir.glob("buildprof.db*") if b"tokvalue77" in file.read_bytes()]


def test_an_image_that_adds_metadata_alone_is_its_base(engine_28, shared_agent, tmp_path):
    agent = shared_agent(engine_28)
    ended(agent, build(engine_28, project(tmp_path / "below", DOCKERFILE, app="1"), "-t", "e2e-below"))
    ended(agent, build(engine_28, project(tmp_path / "above", "FROM e2e-below\nENV X=1\n"), "-t", "e2e-above"))
    document = analysed(agent, "e2e-above")
    assert [layer["base"] for layer in document["layers"]] == [True] * 4
    assert document["own_wasted_bytes"] == 0
