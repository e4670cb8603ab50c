"""What readers ask of the store. No function here takes a lock or waits for the writer; all raise StoreError."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Row, func, or_, select, tuple_

from buildprof.model.build import UNKNOWN_PROJECT, Build, Status
from buildprof.model.events import EngineEvent
from buildprof.model.recipe import Recipe
from buildprof.model.series import Series
from buildprof.store import schema
from buildprof.store.connect import reading
from buildprof.store.errors import Ambiguous, NotFound
from buildprof.store.layer_sizes import with_file_sizes
from buildprof.store.recipes import load_recipe
from buildprof.store.rows import build_from, clean, key_text, load_labels, steps_from
from buildprof.store.totals import history_key, load_durations

_HIGHEST = "\U0010ffff"
"""Sorts after every other character: the end of the range of texts with a prefix."""


_AT_ONCE = 500
"""How many rows of a long answer are held at a time."""

_STATUSES = {status.value: status for status in Status}


@dataclass(frozen=True, slots=True)
class BuildFilter:
    """Which builds a list shows, None being any; `limit` None is all.

    `since_ns` is the earliest start. `before` is (started_ns, ref) of the last build of the page before.
    """

    project: str | None = None
    target: str | None = None
    status: Status | None = None
    since_ns: int | None = None
    limit: int | None = 50
    before: tuple[int, str] | None = None


def list_builds(engine: Engine, wanted: BuildFilter | None = None) -> list[Build]:
    """List the builds, newest first: heads only, without steps and without the Dockerfile's text."""
    wanted = wanted or BuildFilter()
    builds = schema.builds
    # Every condition is on a column of the index `builds_by_start`; the rows are fetched afterwards.
    keys = select(builds.c.key).order_by(builds.c.started_ns.desc(), builds.c.ref.desc())
    if wanted.limit is not None:
        keys = keys.limit(_bounded(wanted.limit, least=0))
    for column, value in (
        (builds.c.project, wanted.project),
        (builds.c.target, wanted.target),
        (builds.c.status, wanted.status),
    ):
        if value is not None:
            keys = keys.where(column == key_text(str(value)))
    if wanted.since_ns is not None:
        keys = keys.where(builds.c.started_ns >= _bounded(wanted.since_ns))
    if wanted.before is not None:
        before_ns, before_ref = _bounded(wanted.before[0]), key_text(wanted.before[1])
        # The first condition bounds the walk over the index, which the second alone would not everywhere.
        keys = keys.where(builds.c.started_ns <= before_ns)
        keys = keys.where(tuple_(builds.c.started_ns, builds.c.ref) < tuple_(before_ns, before_ref))
    statement = select(builds).where(builds.c.key.in_(keys)).order_by(builds.c.started_ns.desc(), builds.c.ref.desc())
    with reading(engine) as connection:
        return [build_from(row) for row in connection.execute(statement)]


def find_build(engine: Engine, ref: str, *, builder: str | None = None, with_recipes: bool = False) -> Build:
    """Find the whole build with this ref, or with the only ref that begins so, or the newest one for "last".

    What its steps are made of is read only if wanted. Raises NotFound, and Ambiguous for a prefix of several builds or a ref that several builders know.
    """
    builds = schema.builds
    ref = key_text(ref)
    statement = select(builds)
    if builder is not None:
        statement = statement.where(builds.c.builder == key_text(builder))
    with reading(engine) as connection:
        if ref == "last":
            newest = statement.order_by(builds.c.started_ns.desc(), builds.c.ref.desc()).limit(1)
            found = list(connection.execute(newest))
        else:
            found = list(connection.execute(statement.where(builds.c.ref == ref).limit(2)))
            if not found and ref:
                # A range rather than LIKE: an index serves it on both databases, and nothing is a wildcard.
                within = (builds.c.ref >= ref) & (builds.c.ref < ref + _HIGHEST)
                found = list(connection.execute(statement.where(within).order_by(builds.c.ref).limit(2)))
        if not found:
            raise NotFound("no build is stored yet" if ref == "last" else f"no build has the ref {_shown(ref)}")
        if len(found) > 1:
            raise _ambiguous(ref, [build_from(row) for row in found])
        return with_file_sizes(connection, whole_builds(connection, found, with_recipes=with_recipes)[0])


def has_context(engine: Engine, build: Build) -> bool:
    """Whether a build is stored with its status, and with a directory that it was made of."""
    builds = schema.builds
    statement = select(builds.c.key).where(
        builds.c.ref == key_text(build.ref),
        builds.c.builder == key_text(build.builder),
        builds.c.status == build.status.value,
        builds.c.context != "",
    )
    with reading(engine) as connection:
        return connection.execute(statement).first() is not None


def overlapping_builds(engine: Engine, builder: str, started_ns: int, completed_ns: int) -> list[Build]:
    """List the builds of a builder, with steps, that ran at some time between two, oldest first."""
    builds = schema.builds
    statement = (
        select(builds)
        .where(builds.c.builder == builder, builds.c.started_ns <= completed_ns)
        .where(or_(builds.c.completed_ns >= started_ns, builds.c.completed_ns.is_(None)))
        .order_by(builds.c.started_ns, builds.c.ref)
    )
    with reading(engine) as connection:
        return whole_builds(connection, list(connection.execute(statement)))


def previous_build(engine: Engine, build: Build) -> Build | None:
    """Find the head of the last completed build before this one, of the same project, target, Dockerfile and builder."""
    builds = schema.builds
    statement = (
        select(builds)
        .where(
            builds.c.project == build.project,
            builds.c.target == build.target,
            builds.c.builder == build.builder,
            builds.c.dockerfile == clean(build.dockerfile),
            builds.c.status == Status.COMPLETED.value,
            builds.c.started_ns <= build.started_ns,
            tuple_(builds.c.started_ns, builds.c.ref) < tuple_(build.started_ns, build.ref),
        )
        .order_by(builds.c.started_ns.desc(), builds.c.ref.desc())
        .limit(1)
    )
    with reading(engine) as connection:
        row = connection.execute(statement).one_or_none()
    return None if row is None else build_from(row)


def stored_generations(engine: Engine, builder: str, *, since_ns: int = 0) -> dict[str, tuple[Status, int]]:
    """Status and generation of the builds of a builder that started since a time, by ref."""
    builds = schema.builds
    statement = select(builds.c.ref, builds.c.status, builds.c.generation).where(
        builds.c.builder == builder, builds.c.started_ns >= since_ns
    )
    with reading(engine) as connection:
        return {
            ref: (_STATUSES[status], generation)
            for rows in connection.execute(statement).partitions(_AT_ONCE)
            for ref, status, generation in rows
        }


def executed_durations(
    engine: Engine, identities: Collection[str], *, before_ns: int | None = None
) -> dict[str, tuple[float, ...]]:
    """Look up the last executed durations of steps in seconds, five at most, newest first; steps without are left out.

    `before_ns` leaves out builds that ended later: what a build saved does not depend on what came after it.
    """
    history = schema.step_history
    keys = {history_key(identity): identity for identity in identities}
    statement = select(history.c.identity, history.c.durations).where(history.c.identity.in_(list(keys)))
    with reading(engine) as connection:
        return {
            keys[key]: tuple(
                seconds for at_ns, seconds in load_durations(text) if before_ns is None or at_ns < before_ns
            )
            for key, text in connection.execute(statement)
        }


def known_dockerfile(engine: Engine, digest: str) -> tuple[str, str] | None:
    """Project and directory of the last placed build of a Dockerfile with this digest."""
    table = schema.dockerfiles
    statement = select(table.c.project, table.c.directory).where(
        table.c.digest == key_text(digest), table.c.project != UNKNOWN_PROJECT
    )
    with reading(engine) as connection:
        row = connection.execute(statement).one_or_none()
    return None if row is None else (row.project, row.directory)


def changed_series(engine: Engine, scope: str, since_seq: int = 0) -> tuple[list[Series], int]:
    """Return the series of a scope that changed after a number of this function's, and the number for next time."""
    table = schema.series
    columns = (table.c.metric, table.c.labels, table.c.value, table.c.at_ns, table.c.ref, table.c.exemplar_value)
    statement = select(*columns, table.c.seq).where(table.c.scope == scope)
    if since_seq:  # else all of them, in the table's own order rather than through the index
        statement = statement.where(table.c.seq > since_seq)
    found: list[Series] = []
    with reading(engine) as connection:
        for rows in connection.execute(statement).partitions(_AT_ONCE):
            found += [
                Series(metric, labels, value, at_ns, ref, exemplar_value)
                for (metric, _, value, at_ns, ref, exemplar_value, _), labels in zip(
                    rows, load_labels([row[1] for row in rows]), strict=True
                )
            ]
            since_seq = max(since_seq, *(row[6] for row in rows))
    return found, since_seq


def label_values(engine: Engine, scope: str) -> dict[str, set[str]]:
    """Collect the projects that stand in the series of a scope, each with its targets: what the label budget has let in."""
    table = schema.series
    values: dict[str, set[str]] = {}
    with reading(engine) as connection:
        texts = set(connection.scalars(select(table.c.labels).where(table.c.scope == scope)))
    for labels in map(dict, load_labels(list(texts))):
        if "project" in labels:
            targets = values.setdefault(labels["project"], set())
            if "target" in labels:
                targets.add(labels["target"])
    return values


def cursor(engine: Engine, name: str) -> str | None:
    """How far a source has been read, as `set_cursor` was told; None if it was not."""
    with reading(engine) as connection:
        value = connection.scalar(select(schema.cursors.c.value).where(schema.cursors.c.name == name))
    return None if value is None else str(value)


def engine_events(
    engine: Engine, since_ns: int = 0, limit: int = 1000, *, builder: str | None = None
) -> list[EngineEvent]:
    """List the first events of the engine at or after a time, oldest first."""
    table = schema.engine_events
    statement = select(table).where(table.c.at_ns >= since_ns).order_by(*table.primary_key.columns).limit(limit)
    if builder is not None:
        statement = statement.where(table.c.builder == builder)
    with reading(engine) as connection:
        return [
            EngineEvent(row.type, row.action, row.id, row.at_ns, json.loads(row.attributes))
            for row in connection.execute(statement)
        ]


def store_size_bytes(engine: Engine) -> int:
    """How much disk the store takes: the file and its log, or the tables and their indexes."""
    if engine.dialect.name == "sqlite":
        files = [Path(f"{engine.url.database}{suffix}") for suffix in ("", "-wal")]
        return sum(file.stat().st_size for file in files if file.exists())
    sizes = [func.pg_total_relation_size(name) for name in schema.metadata.tables]
    with reading(engine) as connection:
        return sum(connection.execute(select(*sizes)).one())


def whole_builds(connection: Connection, rows: list[Row[Any]], *, with_recipes: bool = False) -> list[Build]:
    """Make builds from their rows of `builds`, with steps and Dockerfile, and if wanted with what steps are made of."""
    steps = schema.steps
    statement = (
        select(steps)
        .where(steps.c.build_key.in_([row.key for row in rows]))
        .order_by(steps.c.build_key, steps.c.ordinal)
    )
    by_build: dict[int, list[Row[Any]]] = {row.key: [] for row in rows}
    for step in connection.execute(statement):
        by_build[step.build_key].append(step)
    texts = _dockerfile_texts(connection, {row.dockerfile_digest for row in rows})
    recipes = _recipes(connection, {step.recipe for of in by_build.values() for step in of}) if with_recipes else {}
    return [
        build_from(row, texts.get(row.dockerfile_digest, ""), steps_from(by_build[row.key], recipes)) for row in rows
    ]


def _recipes(connection: Connection, digests: Iterable[str | None]) -> dict[str, Recipe]:
    table = schema.recipes
    statement = select(table.c.digest, table.c.document).where(table.c.digest.in_([one for one in digests if one]))
    return {row.digest: load_recipe(row.document) for row in connection.execute(statement)}


def _dockerfile_texts(connection: Connection, digests: Iterable[str]) -> dict[str, str]:
    table = schema.dockerfiles
    statement = select(table.c.digest, table.c.text).where(table.c.digest.in_([d for d in digests if d]))
    return {row.digest: row.text for row in connection.execute(statement)}


def _ambiguous(ref: str, found: list[Build]) -> Ambiguous:
    if found[0].ref == found[1].ref:
        builders = " and ".join(_shown(build.builder) for build in found)
        return Ambiguous(f"the ref {_shown(ref)} is known to several builders, such as {builders}")
    refs = " and ".join(_shown(build.ref) for build in found)
    return Ambiguous(f"{_shown(ref)} begins the refs of several builds, such as {refs}: give more of it")


def _bounded(number: int, *, least: int = -(2**63)) -> int:
    """Keep a number that a person gave within what a database can compare with."""
    return max(least, min(number, 2**63 - 1))


def _shown(text: str) -> str:
    """Quote a text for one line of a message."""
    return repr(text if len(text) <= 60 else text[:59] + "…")
