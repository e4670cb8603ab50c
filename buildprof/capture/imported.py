"""A file that a client wrote becomes builds in the store: a progress stream, or an archive of build records."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from sqlalchemy import Engine as StoreEngine

from buildprof.assembly.build import BuildInputs, assemble, build_arguments
from buildprof.assembly.facts import BuildFacts
from buildprof.assembly.outcomes import as_neighbour
from buildprof.assembly.progress import is_cut_off, record_of, split_by_build
from buildprof.assembly.projects import MAX_NAME_CHARS, TreeFacts, place, project_name
from buildprof.assembly.provenance import Provenance, ProvenanceError, merge_provenances, parse_provenance
from buildprof.assembly.redact import Redactor, make_redactor
from buildprof.config import Settings
from buildprof.data_dir import agent_id, redaction_key
from buildprof.ingest import Ingest
from buildprof.model.build import UNKNOWN_PROJECT, Build, Engine, Source
from buildprof.model.events import BuildRecord, LocalState
from buildprof.model.text import clean, plural
from buildprof.sources.build_archive import ArchivedBuild, read_build_archive
from buildprof.sources.import_file import FileKind, ImportFormatError, detect
from buildprof.sources.progress_log import ProgressLog
from buildprof.store import queries
from buildprof.store.connect import open_store

BUILDER = "import"
_CLOCK_SLACK_NS = 1_000_000_000


class NoBuildError(Exception):
    """The file is what it should be, but no whole build is in it. The message is one line for people."""


@dataclass(frozen=True, slots=True)
class _Found:
    """One build of a file, before it is assembled. `target` is the client's name for it, "" if it gave none."""

    record: BuildRecord
    facts: BuildFacts
    provenance: Provenance = field(default_factory=Provenance)
    local_state: LocalState | None = None
    client_prefix: str = ""


def import_file(settings: Settings, path: Path | None, project: str | None, target: str | None) -> tuple[Build, ...]:
    """Store the builds of a file, or of standard input if `path` is None, and return them as stored.

    `project` and `target` say what was built where the file does not; a project that is given wins over the file's.

    Raises:
        ImportFormatError: it is neither a progress stream nor an archive of builds.
        NoBuildError: it is one, but shows no build, or not all of it; nothing is stored then.
        StoreError: the store cannot be used.
        OSError: the file cannot be read.
    """
    found = _read(path)
    store = open_store(settings.store_url)
    ingest = Ingest(
        store, scope=agent_id(settings.data_dir), max_projects=settings.max_projects, max_targets=settings.max_targets
    )
    redactor = make_redactor(redaction_key(settings.data_dir), settings.redact, settings.allow_build_args)
    try:
        builds = [_assembled(one, found, redactor, project, target) for one in found]
        return tuple(_stored_already(store, build) or ingest.save(build) for build in builds)
    finally:
        ingest.close()
        store.dispose()


def _stored_already(store: StoreEngine, build: Build) -> Build | None:
    """The same build as an agent stored it, which saw more of it; None if there is none.

    It has the same ref, or, since a progress stream has none, the same vertices at about the same time.
    """
    ids = {step.id for step in build.steps}
    around = queries.list_builds(store, queries.BuildFilter(since_ns=build.started_ns - _CLOCK_SLACK_NS, limit=None))
    for head in around:
        if head.started_ns > (build.completed_ns or build.started_ns) or head.builder == BUILDER:
            continue
        known = queries.find_build(store, head.ref, builder=head.builder)
        if known.ref == build.ref or (ids and ids <= {step.id for step in known.steps}):
            return known
    return None


def _read(path: Path | None) -> list[_Found]:
    with _opened(path) as file:
        if detect(file) is FileKind.ARCHIVE:
            return [_archived(one) for one in read_build_archive(file)]
        return _streamed(ProgressLog(file))


def _streamed(log: ProgressLog) -> list[_Found]:
    everything = BuildFacts()
    for update in log:
        everything.observe(update)
    if not everything.vertices:
        raise ImportFormatError("the stream tells of no step; nothing was stored")
    builds = split_by_build(everything)
    if log.truncated or any(is_cut_off(facts, prefix, log.client_error) for prefix, facts in builds.items()):
        ended = sum(any(run.completed_ns for run in vertex.runs.values()) for vertex in everything.vertices.values())
        raise NoBuildError(
            f"the stream is cut off after {ended} {plural(ended, 'step')}; nothing was stored, import the whole of it"
        )
    found = [
        _Found(record, facts, client_prefix=prefix)
        for prefix, facts in builds.items()
        if (record := record_of(facts, prefix, log.client_error))
    ]
    if not found:
        said = f": the client said {log.client_error}" if log.client_error else ""
        raise NoBuildError(f"there is no build in it, so nothing was stored{said}")
    return found


def _archived(one: ArchivedBuild) -> _Found:
    facts = BuildFacts()
    for update in one.updates:
        facts.observe(update)
    try:
        provenances = [parse_provenance(blob) for _, blob in one.provenance]
    except ProvenanceError as error:
        raise ImportFormatError(f"build {one.record.ref[:40]}: {error}") from None
    provenance = merge_provenances(provenances) if provenances else Provenance()
    return _Found(one.record, facts, provenance, one.local_state)


@contextmanager
def _opened(path: Path | None) -> Iterator[io.BufferedReader]:
    if path is None:
        if sys.stdin is None:
            raise ImportFormatError("there is no standard input to read; name a file")
        yield sys.stdin.buffer  # type: ignore[misc]  # a BufferedReader, unless somebody replaced it
    else:
        with path.open("rb") as file:
            yield file


def _assembled(
    one: _Found, all_found: list[_Found], redactor: Redactor, project: str | None, target: str | None
) -> Build:
    placement = place(one.record, one.local_state, TreeFacts())
    if project:
        placement = replace(placement, project=project_name(project))
    if one.client_prefix or target:
        placement = replace(placement, target=one.client_prefix or clean(target, MAX_NAME_CHARS))
    if len(all_found) > 1 and not placement.group:
        placement = replace(placement, group=min(other.record.ref for other in all_found))
    others = [other for other in all_found if other is not one]
    return assemble(
        BuildInputs(
            builder=BUILDER,
            engine=Engine("", ""),
            record=one.record,
            facts=one.facts,
            placement=placement if placement.project else replace(placement, project=UNKNOWN_PROJECT),
            redactor=redactor.for_build(build_arguments(one.record)),
            source=Source.IMPORT,
            provenance=one.provenance,
            neighbours=[
                as_neighbour(other.record.ref, other.record.created_ns, other.facts.vertices) for other in others
            ],
            client_prefix=one.client_prefix,
        )
    )
