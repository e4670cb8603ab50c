"""A build's vertices as steps: named, timed, placed in the Dockerfile, with their sizes."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from buildprof.assembly.dockerfile import DEFAULT_SHELL, Dockerfile, Instruction, locate
from buildprof.assembly.facts import VertexFacts, join_intervals, total_seconds
from buildprof.assembly.names import VertexName, parse_name, without_client_prefix
from buildprof.assembly.outcomes import Neighbour, is_cacheable, outcomes, started_elsewhere
from buildprof.assembly.provenance import Provenance, StepFacts
from buildprof.assembly.recipes import Placed, RecipeFacts, make_recipes
from buildprof.assembly.sizes import index_usage, run_description, stored_bytes
from buildprof.model.cache import CacheUsage
from buildprof.model.step import CACHEABLE_KINDS, Interval, Kind, Layer, Outcome, Step
from buildprof.model.text import clean

MAX_COMMAND_CHARS = 4_000
MAX_WORD_CHARS = 200
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_BLOB_TRANSFER = re.compile(r"(?P<pulling>pulling )?(?P<digest>sha256:[0-9a-f]{64})")
_LAYER_UPLOAD = "writing layer "
_RUN_FLAGS = re.compile(r"^(?:--[a-z]+=\S*\s+)+")
_NO_PROVENANCE = StepFacts()
_NO_LINES = (1 << 62, 0)
_WITH_RESULT = frozenset({Outcome.HIT, Outcome.MISS, Outcome.SHARED})


@dataclass(frozen=True, slots=True)
class StepContext:
    """What a build's steps are read with.

    `started_ns` and `completed_ns` are the build's, to clip to; None while it runs. `redact` is for texts in which
    arguments are filled in, as names and errors, `redact_written` for what stands in the Dockerfile. Without an
    `identity_prefix` no step has an identity.

    Without a `dockerfile`, names are all there is: the values of ARG and ENV stand in them filled in, and nothing
    tells them from other words. `redact` then takes out what looks secret, and no more can be done.
    """

    started_ns: int
    completed_ns: int | None
    identity_prefix: str
    redact: Callable[[str], str]
    redact_written: Callable[[str], str]
    dockerfile: Dockerfile | None = None
    provenance: Provenance = field(default_factory=Provenance)
    layer_sizes: Sequence[int] = ()
    usage: CacheUsage | None = None
    uploaded: frozenset[str] | None = None
    this: Neighbour | None = None
    neighbours: Sequence[Neighbour] = ()
    client_prefix: str = ""
    recipes: RecipeFacts | None = None


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a step stands: its name's parts, with what the Dockerfile has to say in place of what the name says."""

    name: VertexName
    instruction: Instruction | None
    display_name: str
    command: str


def make_steps(vertices: Mapping[str, VertexFacts], context: StepContext) -> tuple[Step, ...]:
    """Every vertex as a step, in the order of their start; those that never ran stand last.

    What started at once stands in the order of the Dockerfile: the order of reports is not the same in each reading.
    """
    names = {digest: parse_name(vertex.name, context.client_prefix) for digest, vertex in vertices.items()}
    kinds = {digest: name.kind for digest, name in names.items()}
    found = outcomes(vertices, kinds, ended=context.completed_ns is not None)
    records = index_usage(context.usage)
    sizes = _image_layer_sizes(vertices, context)
    steps: list[Step] = []
    written: set[str] = set()
    places = {digest: _place(vertex, names[digest], context) for digest, vertex in vertices.items()}
    placed = {digest: Placed(one.name.kind, one.name.platform, one.instruction) for digest, one in places.items()}
    recipes = make_recipes(vertices, placed, context.recipes) if context.recipes else {}
    for digest, vertex in vertices.items():
        place = places[digest]
        if place.instruction is not None:
            written.add(digest)
        facts = context.provenance.steps.get(digest, _NO_PROVENANCE)
        outcome = found[digest]
        if (
            outcome is Outcome.MISS
            and context.this is not None
            and started_elsewhere(digest, vertex, context.this, context.neighbours)
        ):
            outcome = Outcome.SHARED
        intervals = _intervals(vertex, context)
        executed = outcome in (Outcome.MISS, Outcome.SHARED) and bool(intervals)
        span = (intervals[0].started_ns, intervals[-1].completed_ns) if executed else None
        record_names = _record_names(vertex, place, context) if outcome in _WITH_RESULT else ()
        error = vertex.error()
        steps.append(
            Step(
                id=digest,
                name=place.display_name,
                kind=place.name.kind,
                outcome=outcome,
                stage=place.name.stage,
                position=place.name.position,
                of=place.name.of,
                platform=place.name.platform,
                instruction=place.name.instruction,
                command=place.command,
                lines=place.instruction.lines if place.instruction else next(iter(facts.locations), None),
                inputs=tuple(one for one in vertex.inputs if one in vertices),
                cacheable=is_cacheable(vertex, place.name.kind),
                started_ns=intervals[0].started_ns if intervals else None,
                completed_ns=intervals[-1].completed_ns if intervals and not _is_running(vertex, context) else None,
                duration_seconds=total_seconds(intervals) if intervals else None,
                layer=_layer(facts, sizes),
                stored_bytes=stored_bytes(records, record_names, span),
                resources=facts.resources,
                error=clean(context.redact(error), MAX_COMMAND_CHARS) if error else None,
                recipe=recipes.get(digest),
            )
        )
    steps.sort(key=_order)
    is_one_stage = context.dockerfile is not None and len(context.dockerfile.stages) == 1
    return _with_identities(
        _with_transfers(steps, vertices, context), context.identity_prefix, written, is_one_stage=is_one_stage
    )


def _order(step: Step) -> tuple[bool, int, tuple[int, int], int, str, str]:
    return (
        step.started_ns is None, step.started_ns or 0, step.lines or _NO_LINES, step.position or 0, step.name, step.id
    )  # fmt: skip


def _intervals(vertex: VertexFacts, context: StepContext) -> list[Interval]:
    """The union of a vertex' runs within the build. A run without an end lasts to the end of the build, if that is known."""
    runs = [
        Interval(
            run.started_ns, run.completed_ns if run.completed_ns is not None else context.completed_ns or run.started_ns
        )
        for run in vertex.runs.values()
    ]
    clip = None if context.completed_ns is None else Interval(context.started_ns, context.completed_ns)
    return join_intervals(runs, clip)


def _is_running(vertex: VertexFacts, context: StepContext) -> bool:
    return context.completed_ns is None and any(run.completed_ns is None for run in vertex.runs.values())


def _place(vertex: VertexFacts, name: VertexName, context: StepContext) -> _Place:
    """Find the vertex in the Dockerfile: by the provenance's lines, else by its stage and position.

    The name carries arguments and environment expanded and, in builds that ran at once, can carry the other
    build's stage; the Dockerfile's own text has neither fault.
    """
    shown = without_client_prefix(vertex.name, context.client_prefix)
    instruction = _instruction(vertex.digest, name, context) if name.position is not None else None
    if instruction is None or instruction.keyword.upper() != name.instruction:
        shown, command = (clean(context.redact(text), MAX_COMMAND_CHARS) for text in (shown, name.command))
        name = replace(name, stage=clean(name.stage, MAX_WORD_CHARS), platform=clean(name.platform, MAX_WORD_CHARS))
        return _Place(name, None, shown, command)
    if (instruction.stage, instruction.position) != (name.stage, name.position) and instruction.position is not None:
        name = replace(name, stage=instruction.stage, position=instruction.position, of=instruction.of)
    command = clean(context.redact_written(instruction.command), MAX_COMMAND_CHARS)
    return _Place(name, instruction, _display_name(name, command), command)


def _instruction(digest: str, name: VertexName, context: StepContext) -> Instruction | None:
    if context.dockerfile is None or name.position is None:
        return None
    by_name = locate(context.dockerfile, name.stage, name.position, name.of, name.instruction)
    locations = context.provenance.steps.get(digest, _NO_PROVENANCE).locations
    first_lines = {first for first, _ in locations}
    if not locations or (by_name is not None and not first_lines.isdisjoint(_told_at(by_name, context.dockerfile))):
        return by_name
    return next(
        (one for stage in context.dockerfile.stages for one in stage.instructions if _first_line(one) in first_lines),
        by_name,
    )


def _told_at(instruction: Instruction, dockerfile: Dockerfile) -> set[int]:
    """Lines at which the provenance may tell of an instruction: of a trigger its FROM's, from BuildKit 0.25 on."""
    stages = (one.instructions[0] for one in dockerfile.stages if instruction in one.instructions)
    return {_first_line(instruction)} | ({_first_line(one) for one in stages} if instruction.onbuild else set())


def _first_line(instruction: Instruction) -> int:
    return instruction.lines[0]


def _display_name(name: VertexName, command: str) -> str:
    words = " ".join(word for word in (name.platform, name.stage, f"{name.position}/{name.of}") if word)
    link = "LINK " if name.kind is Kind.MERGE else ""
    return f"[{words}] {link}{name.instruction} {command}"


def _record_names(vertex: VertexFacts, place: _Place, context: StepContext) -> list[str]:
    """The descriptions that this step's cache record may have."""
    if place.name.kind is Kind.RUN:
        expanded = parse_name(vertex.name, context.client_prefix).command
        written = place.instruction.body or place.instruction.command if place.instruction else expanded
        commands = (_RUN_FLAGS.sub("", command) for command in (written, expanded))
        shell = place.instruction.shell if place.instruction else DEFAULT_SHELL
        return [run_description(command, shell) for command in dict.fromkeys(commands)]
    return [without_client_prefix(vertex.name, context.client_prefix)] if place.name.kind in CACHEABLE_KINDS else []


def _layer(facts: StepFacts, sizes: Mapping[str, int]) -> Layer | None:
    if not facts.layer_chain:
        return None
    digest, compressed_bytes = facts.layer_chain[-1]
    return Layer(digest, sizes.get(digest), compressed_bytes)


def _image_layer_sizes(vertices: Mapping[str, VertexFacts], context: StepContext) -> dict[str, int]:
    """Bytes of the image's layers by their digest.

    The image tells sizes in order, the provenance digests: those of the one chain of the image's length whose step no
    other step stands on. Empty where that is not plain, as with several platforms.
    """
    stood_on = {one for vertex in vertices.values() for one in vertex.inputs}
    chains = {
        tuple(digest for digest, _ in facts.layer_chain)
        for one, facts in context.provenance.steps.items()
        if one in vertices and one not in stood_on and len(facts.layer_chain) == len(context.layer_sizes)
    }
    return dict(zip(chains.pop(), context.layer_sizes, strict=True)) if len(chains) == 1 else {}


def _with_transfers(steps: Iterable[Step], vertices: Mapping[str, VertexFacts], context: StepContext) -> list[Step]:
    """The steps with the bytes that each moved, every blob counted for the first that tells of it."""
    chains = (layer for facts in context.provenance.steps.values() for layer in facts.layer_chain)
    sizes = {digest: size_bytes for digest, size_bytes in chains if size_bytes is not None}
    counted: set[str] = set()
    return [
        replace(step, transferred_bytes=_transferred_bytes(vertices[step.id], step.kind, context, sizes, counted))
        for step in steps
    ]


def _transferred_bytes(
    vertex: VertexFacts, kind: Kind, context: StepContext, sizes: Mapping[str, int], counted: set[str]
) -> int | None:
    """Bytes that a step moved: files from the client, or blobs from or to a registry; None where there is no count.

    Blobs that come carry their digest as the transfer's name (seen on Engine 26.1 and 28.5). Of layers that go, the
    stream tells the digests, the trace which of them were not there yet, and the provenance their `sizes`.
    """
    if kind is Kind.CACHE_EXPORT:
        return _uploaded_bytes(vertex, context, sizes)
    if kind in (Kind.CONTEXT, Kind.DOCKERFILE):
        counts = [transfer.current for transfer in vertex.transfers.values() if transfer.name == "transferring"]
        return sum(counts) if counts else None
    blobs = _pulled_blobs(vertex, sizes)
    if not blobs:
        return 0 if kind is Kind.FROM and vertex.runs else None
    new = {digest: size_bytes for digest, size_bytes in blobs.items() if digest not in counted}
    counted.update(new)
    return None if None in new.values() else sum(size_bytes or 0 for size_bytes in new.values())


def _pulled_blobs(vertex: VertexFacts, sizes: Mapping[str, int]) -> dict[str, int | None]:
    """Bytes of each blob that came, by its digest.

    Layers of a hit that came from a registry's cache are named `pulling sha256:…` and not counted by the classic image
    store (seen on Engine 26.1 and 28.5): theirs are the compressed sizes of the provenance.
    """
    found: dict[str, int | None] = {}
    for id_, transfer in vertex.transfers.items():
        if match := _BLOB_TRANSFER.fullmatch(id_):
            count = transfer.current or (sizes.get(match["digest"]) if match["pulling"] else 0)
            known = found.get(match["digest"])
            found[match["digest"]] = count if known is None else max(known, count or 0)
    return found


def _uploaded_bytes(vertex: VertexFacts, context: StepContext, sizes: Mapping[str, int]) -> int | None:
    """Bytes of the layers that were uploaded, without manifests; None if the trace or a layer's size is not known."""
    if context.uploaded is None:
        return None
    layers = {match[0] for id_ in vertex.transfers if id_.startswith(_LAYER_UPLOAD) and (match := _DIGEST.search(id_))}
    sent = [sizes.get(digest) for digest in layers & context.uploaded]
    return None if None in sent else sum(size or 0 for size in sent)


def _with_identities(
    steps: Sequence[Step], prefix: str, written: Collection[str], *, is_one_stage: bool
) -> tuple[Step, ...]:
    """Give each cacheable step what is the same in every build: where it stands and what it says.

    A step's text is the Dockerfile's own, for those ids that are `written` there; without that it is the position with
    what the name says, so that it changes with the arguments, but is not taken for another step. A Dockerfile's only
    stage counts as nameless: whether its steps show a name changes with what they do.
    """
    if not prefix:
        return tuple(steps)
    seen: Counter[str] = Counter()
    named: dict[str, str] = {}
    for step in sorted(
        (one for one in steps if one.cacheable), key=lambda one: (one.platform, one.stage, one.position or 0)
    ):
        text = " ".join(step.command.split())
        if step.id not in written:
            text = f"#{step.position}/{step.of} {text}"
        stage = "" if is_one_stage else step.stage
        words = (prefix, step.platform, stage, step.kind.value, step.instruction, text)
        key = "\0".join(words)
        seen[key] += 1
        named[step.id] = hashlib.blake2b(f"{key}\0{seen[key]}".encode("utf-8", "replace"), digest_size=16).hexdigest()
    return tuple(replace(step, identity=named.get(step.id, "")) for step in steps)
