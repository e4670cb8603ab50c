"""Deleting what is too old, a bounded batch at a time."""

from __future__ import annotations

from sqlalchemy import Column, Connection, Delete, Table, delete, select, tuple_

from buildprof.store import schema

BUILDS_AT_ONCE = 100
ROWS_AT_ONCE = 1000


def delete_batch(connection: Connection, horizon_ns: int) -> tuple[int, bool]:
    """Delete the oldest builds with their steps, and other rows last seen before a time, as many as one batch may.

    Returns the number of builds deleted, and whether there may be more to delete.
    """
    builds = schema.builds
    keys = list(
        connection.scalars(
            select(builds.c.key)
            .where(builds.c.started_ns < horizon_ns)
            .order_by(builds.c.started_ns)
            .limit(BUILDS_AT_ONCE)
        )
    )
    if keys:
        for table in (schema.steps, schema.explanations, schema.losses, schema.readings):
            connection.execute(delete(table).where(table.c.build_key.in_(keys)))
        connection.execute(delete(builds).where(builds.c.key.in_(keys)))
        connection.execute(_regressions_of_nothing())
    more = len(keys) == BUILDS_AT_ONCE
    for table, seen in (
        (schema.engine_events, schema.engine_events.c.at_ns),
        (schema.step_history, schema.step_history.c.last_ns),
        (schema.dockerfiles, schema.dockerfiles.c.last_used_ns),
        (schema.recipes, schema.recipes.c.last_used_ns),
        (schema.lost_records, schema.lost_records.c.until_ns),
        (schema.images, schema.images.c.analysed_ns),
    ):
        more |= _delete_rows(connection, table, seen, horizon_ns) == ROWS_AT_ONCE
    return len(keys), more


def _regressions_of_nothing() -> Delete:
    """Those of targets without builds to compare."""
    table, readings = schema.regressions, schema.readings
    known = select(readings.c.build_key).where(
        readings.c.project == table.c.project, readings.c.target == table.c.target
    )
    return delete(table).where(~known.exists())


def _delete_rows(connection: Connection, table: Table, seen: Column[int], horizon_ns: int) -> int:
    key = tuple_(*table.primary_key.columns)
    oldest = select(*table.primary_key.columns).where(seen < horizon_ns).limit(ROWS_AT_ONCE)
    return connection.execute(delete(table).where(key.in_(oldest))).rowcount
