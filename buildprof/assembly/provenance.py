"""What the engine's provenance says of a build's steps: lines, layers, use of the machine, and the Dockerfile's text.

BuildKit attaches it to every successful record, as SLSA v0.2 (up to BuildKit 0.27) or v1, each with the same parts in
other places (moby/buildkit solver/llbsolver/provenance/types).
"""

from __future__ import annotations

import base64
import binascii
import json
import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from buildprof.assembly.operations import Operation, as_list, as_mapping, parse_operation
from buildprof.model.step import Resources

MAX_DOCKERFILE_BYTES = 1024 * 1024
_METADATA_V02 = "https://mobyproject.org/buildkit@v1#metadata"
_METADATA_V1 = "buildkit_metadata"


@dataclass(frozen=True, slots=True)
class StepFacts:
    """What the provenance says of one vertex.

    `operation` is what it does, None where that is not told. `locations` are first and last line of each instruction that the vertex stands for: more than one where stages
    share it. `layer_chain` are the digests of the image's layers up to and with this step's own, with their
    compressed sizes in bytes (None where the image store does not know).
    """

    locations: tuple[tuple[int, int], ...] = ()
    layer_chain: tuple[tuple[str, int | None], ...] = ()
    resources: Resources | None = None
    operation: Operation | None = None


@dataclass(frozen=True, slots=True)
class Provenance:
    """A build's provenance. `steps` are keyed by vertex digest; `materials` are (uri, digest)."""

    dockerfile_text: str = ""
    steps: Mapping[str, StepFacts] = field(default_factory=dict)
    materials: tuple[tuple[str, str], ...] = ()


class ProvenanceError(ValueError):
    """Not a provenance; the message says why."""


def parse_provenance(blob: bytes) -> Provenance:
    """Read a provenance blob: the bare predicate, or an in-toto statement around it.

    Parts that are not as BuildKit writes them are left out.

    Raises:
        ProvenanceError: it is not JSON, or not an object.
    """
    try:
        document = json.loads(blob)
    except (ValueError, RecursionError) as error:
        raise ProvenanceError(f"provenance is not JSON: {error}") from error
    document = as_mapping(as_mapping(document).get("predicate")) or as_mapping(document)
    if not document:
        raise ProvenanceError("provenance is not an object")
    definition = as_mapping(document.get("buildDefinition"))
    config = as_mapping(document.get("buildConfig")) or as_mapping(
        as_mapping(definition.get("internalParameters")).get("buildConfig")
    )
    run_metadata = as_mapping(as_mapping(document.get("runDetails")).get("metadata"))
    metadata = as_mapping(as_mapping(document.get("metadata")).get(_METADATA_V02)) or as_mapping(
        run_metadata.get(_METADATA_V1)
    )
    materials = document.get("materials") or definition.get("resolvedDependencies")
    told = [as_mapping(one) for one in as_list(config.get("llbDefinition"))]
    by_id = {one["id"]: one for one in told if isinstance(one.get("id"), str)}
    resources = {step: _resources(one.get("resourceUsage")) for step, one in by_id.items()}
    digests = {
        step: digest for digest, step in as_mapping(config.get("digestMapping")).items() if isinstance(step, str)
    }
    operations = {step: _operation(one, digests) for step, one in by_id.items() if "op" in one}
    source = as_mapping(metadata.get("source"))
    asked = as_mapping(as_mapping(document.get("invocation")).get("configSource")).get("entryPoint") or as_mapping(
        as_mapping(definition.get("externalParameters")).get("configSource")
    ).get("path")
    dockerfile = _dockerfile_index(source, asked)
    locations, layers = as_mapping(source.get("locations")), as_mapping(metadata.get("layers"))
    return Provenance(
        dockerfile_text=_dockerfile_text(source, dockerfile),
        steps={
            digest: StepFacts(
                _locations(locations.get(step), dockerfile),
                _layer_chain(layers.get(f"{step}:0")),
                resources.get(step),
                operations.get(step),
            )
            for digest, step in as_mapping(config.get("digestMapping")).items()
            if isinstance(step, str)
        },
        materials=tuple(_material(as_mapping(one)) for one in as_list(materials)),
    )


def merge_provenances(provenances: list[Provenance]) -> Provenance:
    """One for a build of several platforms, each of which has its own."""
    if len(provenances) == 1:
        return provenances[0]
    steps: dict[str, StepFacts] = {}
    for provenance in provenances:
        steps.update(provenance.steps)
    return Provenance(
        next((one.dockerfile_text for one in provenances if one.dockerfile_text), ""),
        steps,
        tuple(dict.fromkeys(material for one in provenances for material in one.materials)),
    )


def _dockerfile_index(source: Mapping[str, Any], asked: Any) -> int:
    """Which of the sources is the build's own Dockerfile: of contexts that are other targets the frontend has theirs too."""
    infos = [as_mapping(info) for info in as_list(source.get("infos"))]
    with_text = [index for index, info in enumerate(infos) if isinstance(info.get("data"), str)]
    name = posixpath.basename(asked) if isinstance(asked, str) else ""
    named = [index for index in with_text if posixpath.basename(str(infos[index].get("filename", ""))) == name]
    return next(iter(named or with_text), 0)


def _dockerfile_text(source: Mapping[str, Any], index: int) -> str:
    """The text of a source; "" if it has none."""
    infos = as_list(source.get("infos"))
    data = as_mapping(infos[index]).get("data") if index < len(infos) else None
    if isinstance(data, str) and len(data) <= MAX_DOCKERFILE_BYTES * 4 // 3 + 4:
        try:
            return base64.b64decode(data, validate=True).decode("utf-8", "replace")
        except (binascii.Error, ValueError):
            return ""
    return ""


def _operation(step: Mapping[str, Any], digests: Mapping[str, str]) -> Operation:
    """What a step does; its inputs are written `stepN:M`, the Mth result of another step."""
    inputs = [
        digests.get(one.partition(":")[0], "") if isinstance(one, str) else "" for one in as_list(step.get("inputs"))
    ]
    return parse_operation(step.get("op"), inputs)


def _locations(value: Any, dockerfile: int) -> tuple[tuple[int, int], ...]:
    """Lines of the build's own Dockerfile, the source of that index."""
    found: list[tuple[int, int]] = []
    for location in as_list(as_mapping(value).get("locations")):
        if (_integer(as_mapping(location).get("sourceIndex")) or 0) != dockerfile:
            continue
        ranges = [as_mapping(entry) for entry in as_list(as_mapping(location).get("ranges"))]
        ends = [_integer(as_mapping(entry.get(end)).get("line")) for entry in ranges for end in ("start", "end")]
        if lines := [line for line in ends if line is not None and line > 0]:
            found.append((min(lines), max(lines)))
    return tuple(found)


def _layer_chain(chains: Any) -> tuple[tuple[str, int | None], ...]:
    for chain in as_list(chains):
        layers = [as_mapping(layer) for layer in as_list(chain)]
        sizes = [_integer(layer.get("size")) for layer in layers]
        return tuple(
            (str(layer.get("digest", "")), size if size is not None and size >= 0 else None)
            for layer, size in zip(layers, sizes, strict=True)
        )
    return ()


def _resources(usage: Any) -> Resources | None:
    """BuildKit's samples of one RUN: nanoseconds of CPU, bytes of memory, I/O and network, each counted from its start.

    Names are those of moby/buildkit executor/resources/types; a count of 0 is left out of `netStat`.
    """
    samples = [as_mapping(one) for one in as_list(as_mapping(usage).get("samples"))]
    if not samples:
        return None

    def last(part: str, name: str) -> int | None:
        """The count at the end; counts only grow."""
        counts = [_integer(as_mapping(sample.get(part)).get(name)) for sample in samples]
        return max((count for count in counts if count is not None), default=None)

    cpu_ns = last("cpuStat", "usageNanos")
    has_network = any(as_mapping(sample.get("netStat")) for sample in samples)
    return Resources(
        cpu_seconds=None if cpu_ns is None else cpu_ns / 1e9,
        memory_peak_bytes=last("memoryStat", "peak"),
        read_bytes=last("ioStat", "readBytes"),
        written_bytes=last("ioStat", "writeBytes"),
        network_bytes=(last("netStat", "rxBytes") or 0) + (last("netStat", "txBytes") or 0) if has_network else None,
    )


def _material(material: Mapping[str, Any]) -> tuple[str, str]:
    digests = as_mapping(material.get("digest"))
    algorithm, value = next(iter(digests.items()), ("", ""))
    return str(material.get("uri", ""))[:2000], f"{algorithm}:{value}"[:200] if algorithm else ""


def _integer(value: Any) -> int | None:
    """A whole number that is none of ours is None: bool, float, or more than BuildKit's int64 holds."""
    return value if type(value) is int and -(2**62) < value < 2**62 else None
