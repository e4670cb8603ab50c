import base64
import json
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from buildprof.assembly.provenance import Provenance, ProvenanceError, StepFacts, merge_provenances, parse_provenance
from buildprof.model.step import Resources
from tests.recordings import replay
from tests.recordings.replay import NAMES, load

RESOURCE_USAGE = json.loads((Path(replay.__file__).parent / "resource-usage.json").read_text())
METADATA_V02 = "https://mobyproject.org/buildkit@v1#metadata"


def documents(name):
    lines = (replay.DIRECTORY / f"{name}.jsonl").read_text().splitlines()
    return [json.loads(base64.b64decode(line["provenance"])) for line in map(json.loads, lines) if "provenance" in line]


def as_v1(document):
    """A recorded predicate of SLSA v0.2 in the places of v1, by BuildKit's solver/llbsolver/provenance/types."""
    metadata, invocation = document["metadata"], document["invocation"]
    return {
        "buildDefinition": {
            "buildType": "https://github.com/moby/buildkit/blob/master/docs/attestations/slsa-definitions.md",
            "externalParameters": {
                "configSource": {"path": invocation["configSource"]["entryPoint"]},
                "request": invocation["parameters"],
            },
            "internalParameters": {
                "buildConfig": document["buildConfig"],
                "builderPlatform": invocation["environment"]["platform"],
            },
            "resolvedDependencies": document.get("materials", []),
        },
        "runDetails": {
            "builder": document["builder"],
            "metadata": {
                "invocationID": metadata["buildInvocationID"],
                "startedOn": metadata["buildStartedOn"],
                "finishedOn": metadata["buildFinishedOn"],
                "buildkit_metadata": metadata[METADATA_V02],
                "buildkit_completeness": {"request": True, "resolvedDependencies": False},
            },
        },
    }


def parsed(document):
    return parse_provenance(json.dumps(document).encode())


RECORDED = [(name, document) for name in NAMES for document in documents(name)]


def test_a_recorded_provenance_tells_lines_layers_materials_and_the_dockerfile():
    recording = load("docker-28-cold")
    provenance = recording.provenance

    assert provenance.dockerfile_text == recording.files["Dockerfile"]
    assert provenance.materials[0][0].startswith("pkg:docker/base@latest")
    assert provenance.materials[0][1].startswith("sha256:")
    steps = {
        recording.facts.vertices[digest].name: facts
        for digest, facts in provenance.steps.items()
        if digest in recording.facts.vertices
    }
    run = next(facts for name, facts in steps.items() if "ls /in" in name)
    assert run.locations == ((16, 17),)
    assert len(run.layer_chain) == 4
    assert {size for _, size in run.layer_chain} == {None}  # the classic image store knows none
    base = next(facts for name, facts in steps.items() if "FROM" in name)
    assert base.locations == ((13, 13), (2, 2))  # two stages stand on it


def test_the_containerd_store_tells_compressed_sizes():
    sizes = [
        size for facts in load("docker-28-containerd-cold").provenance.steps.values() for _, size in facts.layer_chain
    ]

    assert sizes
    assert all(isinstance(size, int) and size > 0 for size in sizes)


@pytest.mark.parametrize("document", [document for _, document in RECORDED], ids=[name for name, _ in RECORDED])
def test_the_layout_of_slsa_v1_reads_like_that_of_v02(document):
    provenance = parsed(document)

    assert provenance.steps
    assert parsed(as_v1(document)) == provenance
    assert parsed({"_type": "https://in-toto.io/Statement/v0.1", "predicate": document}) == provenance


def test_samples_of_cgroup_v2_tell_what_a_run_used():
    document = documents("docker-28-cold")[0]
    operation = next(one for one in document["buildConfig"]["llbDefinition"] if "exec" in one["op"]["Op"])
    operation["resourceUsage"] = RESOURCE_USAGE
    digest = next(d for d, step in document["buildConfig"]["digestMapping"].items() if step == operation["id"])

    for layout in (document, as_v1(document)):
        steps = parsed(layout).steps
        assert steps[digest].resources == Resources(
            cpu_seconds=0.15, memory_peak_bytes=33554432, read_bytes=9000, written_bytes=4096, network_bytes=2000
        )
        assert [facts.resources for facts in steps.values()].count(None) == len(steps) - 1


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        ([], None),
        ([{}], Resources()),
        ([{"cpuStat": None, "netStat": None}], Resources()),
        ([{"netStat": {"rxPackets": 1}}], Resources(network_bytes=0)),
        ([{"cpuStat": {"usageNanos": 5}}, {}], Resources(cpu_seconds=5e-9)),
        (
            [{"cpuStat": {"usageNanos": 10**40}, "memoryStat": {"peak": True}, "ioStat": {"readBytes": 1.5}}],
            Resources(),
        ),
    ],
)
def test_what_a_sample_does_not_tell_is_unknown(samples, expected):
    document = {
        "buildConfig": {
            "digestMapping": {"sha256:1": "step0"},
            "llbDefinition": [{"id": "step0", "resourceUsage": {"samples": samples}}],
        }
    }

    assert parsed(document).steps == {"sha256:1": StepFacts(resources=expected)}


def test_the_provenances_of_several_platforms_are_one():
    two = [parsed(one) for one in documents("docker-28-containerd-platforms")]
    merged = merge_provenances(two)

    assert len(two) == 2
    assert merged.steps == {**two[0].steps, **two[1].steps}
    assert merged.dockerfile_text == two[0].dockerfile_text
    assert merge_provenances(two[:1]) == two[0]
    assert merge_provenances([]) == Provenance()


@pytest.mark.parametrize(
    "blob", [b"", b"{", b"[]", b"null", b"1", b'"x"', b"{}", b"\xff", b"[" * 1_000_000, b"1" * 10_000]
)
def test_what_is_no_provenance_is_refused_in_one_line(blob):
    with pytest.raises(ProvenanceError) as caught:
        parse_provenance(blob)
    assert str(caught.value).startswith("provenance is not ")
    assert "\n" not in str(caught.value)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | st.sampled_from(["step0", "step0:0"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["step0", "step0:0", "id", "data", "line", "start", "end", "size", "digest", "uri", "samples", "cpuStat",
             "usageNanos", "locations", "ranges", "peak", "memoryStat", "netStat", "rxBytes", "Op", "exec", "file", "copy",
             "meta", "env", "mounts", "input", "selector", "actions", "Action", "src", "source", "identifier", "attrs",
             "platform", "OS", "extraHosts", "include_patterns"]
        ),
        inner,
        max_size=4,
    ),
    max_leaves=12,
)  # fmt: skip


def shape(**fields):
    return st.fixed_dictionaries(
        {}, optional={key.replace("__", METADATA_V02): value | VALUES for key, value in fields.items()}
    )


STEPS = st.dictionaries(st.sampled_from(["step0", "step0:0"]), VALUES)
MOUNT = shape(input=VALUES, selector=VALUES, dest=VALUES)
COPY = shape(src=VALUES, include_patterns=st.lists(VALUES, max_size=2), allowWildcard=VALUES)
ACTION = shape(input=VALUES, secondaryInput=VALUES, Action=shape(copy=COPY, mkdir=VALUES))
OPERATIONS = shape(
    exec=shape(meta=shape(env=st.lists(VALUES, max_size=2), args=VALUES, extraHosts=VALUES), mounts=st.lists(MOUNT)),
    file=shape(actions=st.lists(ACTION, max_size=2)),
    source=shape(identifier=VALUES, attrs=VALUES),
    merge=VALUES,
)
STEP = shape(
    id=st.just("step0"),
    op=shape(Op=OPERATIONS, platform=VALUES),
    inputs=st.lists(VALUES, max_size=2),
    resourceUsage=shape(samples=st.lists(VALUES, max_size=2)),
)
CONFIG = shape(digestMapping=st.dictionaries(st.text(max_size=2), VALUES), llbDefinition=st.lists(STEP, max_size=2))
BUILDKIT = shape(
    source=shape(locations=STEPS, infos=st.lists(shape(data=st.text(max_size=8)), max_size=2)), layers=STEPS
)
PREDICATE = shape(
    buildConfig=CONFIG,
    metadata=shape(__=BUILDKIT),
    materials=VALUES,
    buildDefinition=shape(internalParameters=shape(buildConfig=CONFIG), resolvedDependencies=VALUES),
    runDetails=shape(metadata=shape(buildkit_metadata=BUILDKIT)),
)


@example(b'{"buildConfig": {"digestMapping": {"a": [], "b": {}, "c": null, "d": 1}}}')
@example(b'{"buildConfig": {"llbDefinition": [[], {"id": {}, "resourceUsage": {"samples": [[], {"cpuStat": 1}]}}]}}')
@example(b'{"materials": [[], {"digest": [], "uri": {}}, {"digest": {"sha256": {}}}]}')
@example(b'{"buildConfig": {"digestMapping": {"a": "s"}, "llbDefinition": [{"id": "s", "op": {"Op": {"file": []}}}]}}')
@given(
    (PREDICATE | shape(predicate=PREDICATE) | VALUES).map(lambda document: json.dumps(document).encode()) | st.binary()
)
def test_json_of_every_shape_is_a_provenance_or_refused(blob):
    try:
        provenance = parse_provenance(blob)
    except ProvenanceError:
        return
    assert isinstance(provenance, Provenance)
    for facts in provenance.steps.values():
        assert all(0 < first <= last < 2**63 for first, last in facts.locations)
        assert all(size is None or 0 <= size < 2**63 for _, size in facts.layer_chain)


@pytest.mark.parametrize("data", ["!!!", "é", 5, "A" * 2_000_000])
def test_a_dockerfile_that_is_no_base64_or_too_long_is_left_out(data):
    document = {"metadata": {METADATA_V02: {"source": {"infos": [{"data": data}]}}}}

    assert parsed(document).dockerfile_text == ""
