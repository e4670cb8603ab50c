"""Hypothesis strategies for the model: whatever a build may hold, in the types' own ranges."""

from __future__ import annotations

import hashlib

from hypothesis import strategies as st

from buildprof.model.build import Build, BuildError, Engine, Image, Options, Source, Status, Summary, Vcs
from buildprof.model.step import CACHEABLE_KINDS, Kind, Layer, Outcome, Resources, Step

MAX_BYTES = 2**62

clean_characters = st.characters(exclude_categories=("Cs",), exclude_characters="\0")
"""All of Unicode but NUL and lone surrogates, which no store keeps."""


def texts(max_size: int = 20, min_size: int = 0) -> st.SearchStrategy[str]:
    """Text that every database can hold."""
    return st.text(clean_characters, min_size=min_size, max_size=max_size)


def hostile_texts() -> st.SearchStrategy[str]:
    """Text with NUL, lone surrogates, wildcards, quotes and control characters likely."""
    nasty = st.sampled_from(["\0", "\ud800", "%", "_", "'", '"', "\\", "\x1b[31m", "\n", "<script>", "\U0010ffff", "é"])
    return st.lists(st.one_of(nasty, st.text(max_size=3)), max_size=8).map("".join)


def seconds() -> st.SearchStrategy[float]:
    """A length of time."""
    return st.floats(min_value=0, max_value=1e7, allow_nan=False)


def sizes() -> st.SearchStrategy[int]:
    """A size in bytes."""
    return st.integers(0, MAX_BYTES)


def times_ns() -> st.SearchStrategy[int]:
    """A time in nanoseconds since the epoch, of this century."""
    return st.integers(946_684_800_000_000_000, 4_102_444_800_000_000_000)


layers = st.builds(Layer, digest=texts(), size_bytes=st.none() | sizes(), compressed_bytes=st.none() | sizes())
resources = st.builds(
    Resources,
    cpu_seconds=st.none() | seconds(),
    memory_peak_bytes=st.none() | sizes(),
    read_bytes=st.none() | sizes(),
    written_bytes=st.none() | sizes(),
    network_bytes=st.none() | sizes(),
)


@st.composite
def steps(draw: st.DrawFn, step_id: str | None = None, inputs: tuple[str, ...] | None = None) -> Step:
    """One step; by itself its inputs are ids of no step."""
    kind = draw(st.sampled_from(Kind))
    started_ns = draw(st.none() | times_ns())
    ran = started_ns is not None
    return Step(
        id=draw(texts(min_size=1)) if step_id is None else step_id,
        name=draw(texts(max_size=60)),
        kind=kind,
        outcome=draw(st.sampled_from(Outcome)),
        stage=draw(texts()),
        position=draw(st.none() | st.integers(1, 1000)),
        of=draw(st.none() | st.integers(1, 1000)),
        platform=draw(st.sampled_from(["", "linux/amd64", "linux/arm64/v8"])),
        instruction=draw(st.sampled_from(["", "RUN", "COPY", "FROM", "WORKDIR"])),
        command=draw(texts(max_size=60)),
        identity=draw(st.one_of(st.just(""), texts(max_size=300))) if kind in CACHEABLE_KINDS else "",
        lines=draw(st.none() | st.tuples(st.integers(1, 10**6), st.integers(1, 10**6))),
        inputs=draw(st.lists(texts(), max_size=3).map(tuple)) if inputs is None else inputs,
        cacheable=kind in CACHEABLE_KINDS,
        started_ns=started_ns,
        completed_ns=started_ns + draw(st.integers(0, 10**13)) if started_ns is not None else None,
        duration_seconds=draw(seconds()) if ran else None,
        on_critical_path=draw(st.booleans()),
        slack_seconds=draw(st.none() | seconds()),
        saved_seconds=draw(st.none() | seconds()),
        transferred_bytes=draw(st.none() | sizes()),
        layer=draw(st.none() | layers),
        stored_bytes=draw(st.none() | sizes()),
        resources=draw(st.none() | resources),
        error=draw(st.none() | texts()),
    )


@st.composite
def graphs(draw: st.DrawFn, max_steps: int = 6) -> tuple[Step, ...]:
    """Steps with different ids, whose inputs are earlier steps, and now and then one that is none."""
    ids = draw(st.lists(texts(min_size=1), max_size=max_steps, unique=True))
    made = []
    for ordinal, step_id in enumerate(ids):
        known = st.sampled_from(ids[:ordinal]) if ordinal else st.nothing()
        inputs = draw(st.lists(st.one_of(known, known, texts(min_size=1)), max_size=3))
        made.append(draw(steps(step_id=step_id, inputs=tuple(inputs))))
    return tuple(made)


options = st.builds(
    Options,
    no_cache=st.booleans(),
    build_args=st.dictionaries(texts(), st.none() | texts(), max_size=3),
    build_arg_hashes=st.dictionaries(texts(), texts(), max_size=3),
    cache_from=st.lists(texts(), max_size=2).map(tuple),
    cache_to=st.lists(texts(), max_size=2).map(tuple),
)
images = st.builds(
    Image,
    id=texts(),
    tags=st.lists(texts(), max_size=2).map(tuple),
    size_bytes=st.none() | sizes(),
    layers=st.none() | st.integers(0, 127),
)
errors = st.builds(
    BuildError, message=texts(), step_id=st.none() | texts(), log_tail=st.lists(texts(), max_size=3).map(tuple)
)
summaries = st.builds(
    Summary,
    steps=st.integers(0, 10**6),
    cacheable_steps=st.none() | st.integers(0, 10**6),
    cache_hits=st.none() | st.integers(0, 10**6),
    cache_misses=st.none() | st.integers(0, 10**6),
    executed_seconds=st.none() | seconds(),
    saved_seconds=st.none() | seconds(),
    critical_path_seconds=st.none() | seconds(),
    context_bytes=st.none() | sizes(),
    context_seconds=st.none() | seconds(),
    export_seconds=st.none() | seconds(),
    cache_import_seconds=st.none() | seconds(),
    cache_export_seconds=st.none() | seconds(),
    base_pull_seconds=st.none() | seconds(),
)


@st.composite
def builds(draw: st.DrawFn, max_steps: int = 6) -> Build:
    """One build. A running one has no end; a Dockerfile's text comes with its digest."""
    status = draw(st.sampled_from(Status))
    started_ns = draw(times_ns())
    text = draw(texts(max_size=60))
    return Build(
        ref=draw(st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=25, max_size=25)),
        builder=draw(st.sampled_from(["default", "remote"]) | texts(min_size=1)),
        engine=Engine(draw(texts()), draw(texts())),
        source=draw(st.sampled_from(Source)),
        project=draw(texts(min_size=1)),
        target=draw(texts(min_size=1)),
        status=status,
        started_ns=started_ns,
        generation=draw(st.integers(0, 2**31)),
        group=draw(texts()),
        directory=draw(texts()),
        dockerfile=draw(texts()),
        dockerfile_digest="sha256:" + hashlib.sha256(text.encode()).hexdigest() if text else "",
        dockerfile_text=text,
        context=draw(texts()),
        platforms=draw(st.lists(texts(), max_size=2).map(tuple)),
        completed_ns=None if status is Status.RUNNING else started_ns + draw(st.integers(0, 10**13)),
        error=draw(st.none() | errors),
        image=draw(st.none() | images),
        vcs=draw(st.none() | st.builds(Vcs, source=texts(), revision=texts())),
        options=draw(options),
        summary=draw(summaries),
        steps=draw(graphs(max_steps)),
    )
