"""One BuildKit build out of all that was said of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from buildprof.assembly.dockerfile import parse
from buildprof.assembly.facts import BuildFacts
from buildprof.assembly.image_names import familiar
from buildprof.assembly.ingredients import contexts_of
from buildprof.assembly.outcomes import Neighbour, as_neighbour
from buildprof.assembly.projects import Placement
from buildprof.assembly.provenance import Provenance
from buildprof.assembly.recipes import RecipeFacts
from buildprof.assembly.redact import Redactor
from buildprof.assembly.sizes import layer_sizes
from buildprof.assembly.steps import StepContext, make_steps
from buildprof.model.build import UNKNOWN_PROJECT, Build, BuildError, Engine, Image, Options, Source, Status, Vcs
from buildprof.model.cache import CacheUsage
from buildprof.model.events import BuildRecord, HistoryEntry, RecordState
from buildprof.model.snapshot import Snapshot
from buildprof.model.step import Kind, Outcome, Step

CANCELED_CODE = 1
"""gRPC's code for a call that its caller gave up."""

MAX_MESSAGE_CHARS = 4_000
MAX_ATTRIBUTE_CHARS = 1_000
MAX_TAGS = 100
_BUILD_ARG = "build-arg:"


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What the engine says of a build's result: its history newest first, its size in bytes and its layers."""

    id: str
    tags: tuple[str, ...] = ()
    size_bytes: int | None = None
    layers: int | None = None
    history: tuple[HistoryEntry, ...] = ()


@dataclass(frozen=True, slots=True)
class BuildInputs:
    """All that one build is assembled from. What is not known (yet) keeps its default."""

    builder: str
    engine: Engine
    record: BuildRecord
    facts: BuildFacts
    placement: Placement
    redactor: Redactor
    source: Source = Source.BUILDKIT
    provenance: Provenance = field(default_factory=Provenance)
    dockerfile_text: str = ""
    image: ImageFacts | None = None
    usage: CacheUsage | None = None
    uploaded: frozenset[str] | None = None
    neighbours: Sequence[Neighbour] = ()
    client_prefix: str = ""
    snapshot: Snapshot | None = None


def assemble(inputs: BuildInputs) -> Build:
    """The build, complete but for what other builds must tell: saved seconds, critical path and sums come after.

    The same inputs give the same build.
    """
    record, placement, redactor = inputs.record, inputs.placement, inputs.redactor
    attrs = record.frontend_attrs
    text = inputs.provenance.dockerfile_text or inputs.dockerfile_text
    as_written = redactor.for_build({})  # the Dockerfile's own text has no argument's value filled in
    build_args, contexts = build_arguments(record), contexts_of(attrs).named
    dockerfile = parse(text, build_args, contexts) if text and inputs.facts.vertices else None
    filled_in = redactor.with_assignments(dockerfile.assignments) if dockerfile else redactor
    config = record.exporter_response.get("containerimage.config", "")
    steps = make_steps(
        inputs.facts.vertices,
        StepContext(
            started_ns=record.created_ns,
            completed_ns=record.completed_ns,
            identity_prefix=_identity_prefix(placement, text),
            redact=filled_in.text,
            redact_written=as_written.text,
            dockerfile=dockerfile,
            provenance=inputs.provenance,
            layer_sizes=layer_sizes(inputs.image.history, config) if inputs.image else (),
            usage=inputs.usage,
            uploaded=inputs.uploaded,
            this=as_neighbour(record.ref, record.created_ns, inputs.facts.vertices),
            neighbours=inputs.neighbours,
            client_prefix=inputs.client_prefix,
            recipes=RecipeFacts(
                redactor=redactor,
                redact_written=as_written.text,
                dockerfile=dockerfile,
                provenance=inputs.provenance,
                attributes=attrs,
                build_args=build_args,
            ),
        ),
    )
    return Build(
        ref=record.ref,
        builder=inputs.builder,
        engine=inputs.engine,
        source=inputs.source,
        project=placement.project,
        target=placement.target,
        status=_status(record),
        started_ns=record.created_ns,
        generation=record.generation,
        group=placement.group,
        directory=placement.directory,
        dockerfile=_attribute(attrs, "filename", redactor) or placement.dockerfile,
        dockerfile_digest=text_digest(text),
        dockerfile_text=as_written.text(text),
        context=_attribute(attrs, "context", redactor) or redactor.text(placement.context),
        platforms=_platforms(record, steps),
        completed_ns=record.completed_ns,
        error=_error(record, steps, inputs.facts, filled_in),
        image=_image(record, inputs),
        vcs=_vcs(attrs, redactor),
        options=_options(record, steps, redactor),
        steps=steps,
        snapshot=inputs.snapshot,
    )


def text_digest(text: str) -> str:
    """The SHA-256 of a Dockerfile's text, in hex; "" of none."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest() if text else ""


def _identity_prefix(placement: Placement, text: str) -> str:
    """What steps of the same history have in common: project and target.

    The project "unknown" is many projects, told apart by their Dockerfile's text; "" where that is not known either.
    """
    if placement.project != UNKNOWN_PROJECT:
        return f"{placement.project}\0{placement.target}"
    return f"{placement.project}\0{placement.target}\0{text_digest(text)}" if text else ""


def _attribute(attrs: Mapping[str, str], key: str, redactor: Redactor) -> str:
    """Cut after the redaction: half a secret would not be known for one."""
    return redactor.text(attrs.get(key, ""))[:MAX_ATTRIBUTE_CHARS]


def _status(record: BuildRecord) -> Status:
    if record.state is RecordState.STARTED or record.completed_ns is None:
        return Status.RUNNING
    if record.error_code is None:
        return Status.COMPLETED
    return Status.CANCELED if record.error_code == CANCELED_CODE else Status.FAILED


def _error(record: BuildRecord, steps: Sequence[Step], facts: BuildFacts, redactor: Redactor) -> BuildError | None:
    """The record's error, tied to the first step that failed, with the last lines that this step wrote."""
    if record.error_code is None:
        return None
    failed = [step for step in steps if step.outcome is Outcome.FAILED]
    step_id = min(failed, key=lambda step: step.completed_ns or 0).id if failed else None
    lines = facts.vertices[step_id].log_lines() if step_id else ()
    message = redactor.text(record.error_message)[:MAX_MESSAGE_CHARS] or "no message"
    return BuildError(message, step_id, tuple(redactor.text(line)[:MAX_ATTRIBUTE_CHARS] for line in lines))


def _image(record: BuildRecord, inputs: BuildInputs) -> Image | None:
    """The image that was exported; None as long as the build runs, if it failed or if it exported none."""
    response = record.exporter_response
    image_id = record.result_digest or response.get("containerimage.digest", "")
    asked = ",".join(attrs.get("name", "") for _, attrs in record.exporters)
    names = (name.strip() for name in (asked.strip(",") or response.get("image.name", "")).split(","))
    tags = tuple(dict.fromkeys(familiar(name[:MAX_ATTRIBUTE_CHARS]) for name in names if name))[:MAX_TAGS]
    if inputs.image is not None:
        return Image(inputs.image.id, tags or inputs.image.tags, inputs.image.size_bytes, inputs.image.layers)
    if _status(record) is not Status.COMPLETED or not (image_id or tags):
        return None
    return Image(image_id[:200], tags)


def _vcs(attrs: Mapping[str, str], redactor: Redactor) -> Vcs | None:
    source, revision = (_attribute(attrs, key, redactor) for key in ("vcs:source", "vcs:revision"))
    return Vcs(source, revision) if source or revision else None


def build_arguments(record: BuildRecord) -> dict[str, str]:
    """The build arguments that were given, in clear."""
    attrs = record.frontend_attrs
    return {key.removeprefix(_BUILD_ARG): value for key, value in attrs.items() if key.startswith(_BUILD_ARG)}


def _options(record: BuildRecord, steps: Sequence[Step], redactor: Redactor) -> Options:
    attrs = record.frontend_attrs
    # The record does not tell where the cache went; the step's name tells the kind of place.
    cache_to = tuple(step.name.removeprefix("exporting cache to ") for step in steps if step.kind is Kind.CACHE_EXPORT)
    values, hashes = redactor.build_args(build_arguments(record))
    return Options(
        no_cache="no-cache" in attrs,
        no_cache_stages=tuple(one for one in attrs.get("no-cache", "")[:MAX_ATTRIBUTE_CHARS].split(",") if one),
        build_args=values,
        build_arg_hashes=hashes,
        cache_from=_cache_imports(attrs, redactor),
        cache_to=cache_to,
    )


def _cache_imports(attrs: Mapping[str, str], redactor: Redactor) -> tuple[str, ...]:
    """`cache-imports` is a JSON list of {"Type", "Attrs"}; older clients send `cache-from`, names with commas."""
    try:
        entries = json.loads(attrs.get("cache-imports", "[]"))
    except (ValueError, RecursionError):
        entries = []
    found: list[str] = []
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, dict):
            options = entry["Attrs"] if isinstance(entry.get("Attrs"), dict) else {}
            words = [f"type={entry.get('Type', '')}", *(f"{key}={value}" for key, value in options.items())]
            found.append(redactor.text(",".join(words))[:MAX_ATTRIBUTE_CHARS])
    found += [redactor.text(one) for one in attrs.get("cache-from", "").split(",") if one]
    return tuple(found)


def _platforms(record: BuildRecord, steps: Sequence[Step]) -> tuple[str, ...]:
    """What was asked for; else what the exporter says was made; else what the steps' names say."""
    asked = [one for one in record.frontend_attrs.get("platform", "")[:MAX_ATTRIBUTE_CHARS].split(",") if one]
    if asked:
        return tuple(asked)
    try:
        made = json.loads(record.exporter_response.get("refs.platforms", "{}"))
        listed = [str(one["ID"])[:100] for one in made["Platforms"]]
    except (ValueError, TypeError, KeyError, RecursionError):
        listed = []
    return tuple(listed) or tuple(dict.fromkeys(step.platform for step in steps if step.platform))
