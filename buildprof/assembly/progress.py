"""Builds out of a client's progress alone, which tells of vertices and of nothing else."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import replace

from buildprof.assembly.build import CANCELED_CODE
from buildprof.assembly.facts import BuildFacts, VertexFacts
from buildprof.assembly.names import parse_name, without_client_prefix
from buildprof.model.events import BuildRecord, RecordState
from buildprof.model.step import Kind

_FAILED_CODE = 2
_DEFINITION = re.compile(r"\[(?:(?P<prefix>[^\]\s]{1,200}) )?internal\] load build definition from (?P<file>.{1,1000})")
_OF_NAMED_BUILD = re.compile(r"\[(?P<prefix>[^\]\s]{1,200})(?: internal\] |\] exporting )")
_BAKE_FILE = re.compile(r"\[internal\] load (?:local|remote) bake definitions")
"""What bake's client does before there is any build (docker/buildx, bake)."""

_NAMING = "naming to "


def split_by_build(everything: BuildFacts) -> dict[str, BuildFacts]:
    """The facts of each build of a stream, by the name that the client put first; "" for a stream of one build.

    A client that runs several builds in one call starts every name with the build's, as in `[web internal] load build
    context` and `[web] exporting to image`. A vertex that several builds share, such as their Dockerfile, carries the
    name of one of them. What bake does to read its own file is part of no build.
    """
    vertices = {
        digest: vertex for digest, vertex in everything.vertices.items() if not _BAKE_FILE.fullmatch(vertex.name)
    }
    names = [vertex.name for vertex in vertices.values()]
    found = {match["prefix"] for name in names if (match := _OF_NAMED_BUILD.match(name))}
    found |= {match["prefix"] or "" for name in names if (match := _DEFINITION.fullmatch(name))}
    prefixes = sorted(found)
    if prefixes in ([], [""]):
        return {"": BuildFacts(vertices, everything.dropped)} if vertices else {}
    builds = {prefix: BuildFacts(dropped=everything.dropped) for prefix in prefixes}
    for digest, vertex in vertices.items():
        named = (prefix for prefix in prefixes if without_client_prefix(vertex.name, prefix) != vertex.name)
        if (owner := next(named, "")) in builds:
            builds[owner].vertices[digest] = vertex
    return {prefix: facts for prefix, facts in builds.items() if facts.vertices}


def record_of(facts: BuildFacts, client_prefix: str, client_error: str) -> BuildRecord | None:
    """What a record of the build history would say, as far as the vertices tell; None if none of them ever ran.

    The ref is made of what identifies the run, its first vertex and when that began, so that a stream that is imported
    twice is one build. `client_error` is the error with which the client ended, "" if it showed none.
    """
    runs = [run for vertex in facts.vertices.values() for run in vertex.runs.values()]
    if not runs:
        return None
    errors = [vertex for vertex in facts.vertices.values() if vertex.error()]
    failed = [vertex for vertex in errors if not vertex.was_canceled()]
    culprit = next(iter(failed or errors), None)
    created_ns, first = min((start, digest) for digest, vertex in facts.vertices.items() for start in vertex.runs)
    mark = "\0".join((client_prefix, str(created_ns), first))
    record = BuildRecord(
        ref=hashlib.sha256(mark.encode("utf-8", "replace")).hexdigest()[:25],
        state=RecordState.COMPLETE,
        generation=0,
        created_ns=created_ns,
        completed_ns=max(run.completed_ns or run.started_ns for run in runs),
        frontend_attrs={"filename": _dockerfile(facts)} if _dockerfile(facts) else {},
        exporters=tuple(("image", {"name": name}) for name in _image_names(facts.vertices.values())),
    )
    if culprit is None and not client_error:
        return record
    canceled = not failed and (culprit is not None or "cancel" in client_error.lower())
    message = client_error or (culprit.error() if culprit else "")
    return replace(record, error_code=CANCELED_CODE if canceled else _FAILED_CODE, error_message=message)


def is_cut_off(facts: BuildFacts, client_prefix: str, client_error: str) -> bool:
    """Whether the stream ends before the build does, as far as can be told: nothing marks its end.

    A build in which nothing failed leaves no vertex unfinished. One that never began is another's where two builds of
    one call had the same content (seen on 28.5), and then there is an export; without, the rest is missing.
    """
    vertices = facts.vertices.values()
    if client_error or any(vertex.error() for vertex in vertices):
        return False
    if any(run.completed_ns is None for vertex in vertices for run in vertex.runs.values()):
        return True
    exports = (vertex for vertex in vertices if parse_name(vertex.name, client_prefix).kind is Kind.EXPORT)
    return not all(vertex.runs for vertex in vertices) and not any(vertex.runs for vertex in exports)


def _dockerfile(facts: BuildFacts) -> str:
    matches = (_DEFINITION.fullmatch(vertex.name) for vertex in facts.vertices.values())
    return next((match["file"] for match in matches if match), "")


def _image_names(vertices: Iterable[VertexFacts]) -> list[str]:
    """The exporter tells of each name that it gives the image: `naming to docker.io/library/app:1`."""
    ids = (id_ for vertex in vertices for id_ in vertex.transfers)
    return list(
        dict.fromkeys(id_.removeprefix(_NAMING).removesuffix(" done") for id_ in ids if id_.startswith(_NAMING))
    )
