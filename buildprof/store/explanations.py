"""Why builds missed: what is stored of it, and what it takes to find out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from sqlalchemy import ColumnElement, Engine, Select, func, select

from buildprof.model.build import UNKNOWN_PROJECT, Build, Status
from buildprof.model.explanation import Cause, Explanation, Loss
from buildprof.model.explanation_document import explanation_from
from buildprof.model.snapshot import Snapshot
from buildprof.store import schema
from buildprof.store.connect import reading
from buildprof.store.queries import whole_builds
from buildprof.store.rows import clean, key_text

EARLIER_BUILDS = 20
"""How far back a build is compared: what changed since is in the newest, what was lost in any."""

_FIRST = 2


def stored_explanation(engine: Engine, build: Build) -> Explanation | None:
    """The explanation of a build; None if it is not explained, as a running one is not."""
    builds, explanations = schema.builds, schema.explanations
    statement = select(explanations.c.document).join_from(
        explanations, builds, builds.c.key == explanations.c.build_key
    )
    statement = statement.where(builds.c.ref == key_text(build.ref), builds.c.builder == key_text(build.builder))
    with reading(engine) as connection:
        document = connection.scalar(statement)
    return None if document is None else explanation_from(json.loads(document))


def losses(
    engine: Engine, since_ns: int, project: str | None = None, target: str | None = None, limit: int = 50
) -> list[tuple[str, Loss]]:
    """Seconds lost since a time by project and by what was at fault, the dearest first."""
    table = schema.losses
    seconds = func.sum(table.c.seconds)
    statement = select(table.c.project, table.c.cause, table.c.subject, seconds, func.count()).where(
        table.c.at_ns >= since_ns
    )
    if project is not None:
        statement = statement.where(table.c.project == key_text(project))
    if target is not None:
        statement = statement.where(table.c.target == key_text(target))
    statement = statement.group_by(table.c.project, table.c.cause, table.c.subject)
    statement = statement.order_by(seconds.desc(), table.c.subject).limit(limit)
    with reading(engine) as connection:
        return [
            (row[0], Loss(Cause(row[1]), row[2], float(row[3]), int(row[4]))) for row in connection.execute(statement)
        ]


def earlier_builds(engine: Engine, build: Build, *, elsewhere: bool = False) -> Iterator[Build]:
    """Builds of the same project and target that began before a build, the newest first, read as they are asked for.

    On the same builder, or `elsewhere` on any other. Those of the same Dockerfile and context if there are any, since a
    repository can have many, else all. Of builds that could not be placed only those that have the same Dockerfile,
    result or steps.
    """
    builds = schema.builds
    same: ColumnElement[bool] = builds.c.builder == key_text(build.builder)
    statement = (
        select(builds)
        .where(
            builds.c.project == key_text(build.project),
            builds.c.target == key_text(build.target),
            builds.c.started_ns < build.started_ns,
            builds.c.status != Status.RUNNING.value,
            ~same if elsewhere else same,
        )
        .order_by(builds.c.started_ns.desc(), builds.c.ref)
    )
    own = statement
    for column, value in ((builds.c.context, build.context), (builds.c.dockerfile, build.dockerfile)):
        own = own.where(column == clean(value)) if value else own
    if not elsewhere and _is_any(engine, own):
        statement = own
    for offset, count in ((0, _FIRST), (_FIRST, EARLIER_BUILDS - _FIRST)):
        found = _read(engine, statement.offset(offset).limit(count))
        yield from (one for one in found if build.project != UNKNOWN_PROJECT or _may_be_same(one, build))
        if len(found) < count:
            return


def _read(engine: Engine, statement: Select[Any]) -> list[Build]:
    with reading(engine) as connection:
        return whole_builds(connection, list(connection.execute(statement)), with_recipes=True)


def _is_any(engine: Engine, statement: Select[Any]) -> bool:
    with reading(engine) as connection:
        return connection.execute(statement.with_only_columns(schema.builds.c.key).limit(1)).first() is not None


def _may_be_same(one: Build, other: Build) -> bool:
    if one.dockerfile_digest and one.dockerfile_digest == other.dockerfile_digest:
        return True
    if one.image and other.image and set(one.image.tags) & set(other.image.tags):
        return True
    identities = {step.identity for step in one.steps if step.identity}
    return any(step.identity in identities for step in other.steps)


def lost_record(
    engine: Engine, builder: str, names: tuple[str, ...], made_ns: tuple[int, int]
) -> tuple[int, int, str | None] | None:
    """When a cache record went that was made within a time and has one of these descriptions.

    Returns (last seen, first missed, by whom); None if no such record was seen to go.
    """
    table = schema.lost_records
    statement = (
        select(table.c.since_ns, table.c.until_ns, table.c.by)
        .where(table.c.builder == key_text(builder), table.c.created_ns.between(*made_ns))
        .where(table.c.description.in_(names))
        .order_by(table.c.until_ns.desc())
        .limit(1)
    )
    with reading(engine) as connection:
        row = connection.execute(statement).one_or_none()
    return None if row is None else (row[0], row[1], row[2])


def has_lost_records(engine: Engine, builder: str, since_ns: int) -> bool:
    """Whether any record was seen to go from a builder's cache since a time."""
    table = schema.lost_records
    statement = select(table.c.id).where(table.c.builder == key_text(builder), table.c.until_ns > since_ns).limit(1)
    with reading(engine) as connection:
        return connection.execute(statement).first() is not None


def image_deleted_ns(engine: Engine, builder: str, image_id: str, since_ns: int) -> int | None:
    """When an engine told that an image was deleted, since a time; None if it did not."""
    table = schema.engine_events
    statement = select(func.max(table.c.at_ns)).where(
        table.c.at_ns >= since_ns,
        table.c.builder == key_text(builder),
        table.c.type == "image",
        table.c.action == "delete",
        table.c.id == key_text(image_id),
    )
    with reading(engine) as connection:
        deleted_ns: int | None = connection.scalar(statement)
    return deleted_ns


def stored_snapshot(engine: Engine, builder: str, ref: str) -> Snapshot | None:
    """The snapshot that a build was stored with."""
    builds = schema.builds
    statement = select(builds.c.snapshot).where(builds.c.ref == key_text(ref), builds.c.builder == key_text(builder))
    with reading(engine) as connection:
        text = connection.scalar(statement)
    return None if text is None else Snapshot(*json.loads(text))
