"""What builds are compared with their past by, and what was found. All functions raise StoreError."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Engine, Row, select, tuple_

from buildprof.model.build import Build
from buildprof.model.explanation import Explanation
from buildprof.model.explanation_document import explanation_from
from buildprof.model.regression import MEASURED, Reading, Regression, Signal
from buildprof.model.regression_document import regression_from, stored_document
from buildprof.model.step import Outcome
from buildprof.store import schema
from buildprof.store.connect import reading
from buildprof.store.queries import whole_builds
from buildprof.store.rows import dump_json, key_text

LAST_READINGS = 120
"""How many builds of a target are looked back at: a baseline's hundred, and a regression."""

BuildKey = tuple[str, str]
"""(builder, ref)."""


def last_readings(engine: Engine, project: str, target: str, limit: int = LAST_READINGS) -> list[Reading]:
    """The readings of the last builds of a target, oldest first, running builds and those that failed left out."""
    table = schema.readings
    statement = (
        select(table)
        .where(table.c.project == key_text(project), table.c.target == key_text(target))
        .order_by(table.c.started_ns.desc(), table.c.build_key.desc())
        .limit(limit)
    )
    with reading(engine) as connection:
        return [_reading(row) for row in reversed(connection.execute(statement).all())]


def step_outcomes(
    engine: Engine, builds: Collection[BuildKey], identities: Collection[str]
) -> dict[str, dict[BuildKey, Outcome]]:
    """What became of steps in builds, by the steps' identities; builds that have no such step are left out."""
    if not builds or not identities:
        return {}
    table, steps = schema.builds, schema.steps
    statement = (
        select(steps.c.identity, table.c.builder, table.c.ref, steps.c.outcome)
        .join_from(table, steps, steps.c.build_key == table.c.key)
        .where(tuple_(table.c.ref, table.c.builder).in_([(ref, builder) for builder, ref in builds]))
        .where(steps.c.identity.in_(list(identities)))
    )
    found: dict[str, dict[BuildKey, Outcome]] = {}
    with reading(engine) as connection:
        for identity, builder, ref, outcome in connection.execute(statement):
            found.setdefault(identity, {})[builder, ref] = Outcome(outcome)
    return found


def explained_builds(engine: Engine, builds: Sequence[BuildKey]) -> tuple[list[Build], dict[str, Explanation]]:
    """Whole builds, with what their steps are made of, in the order of their starts; and their explanations by ref."""
    if not builds:
        return [], {}
    table, explanations = schema.builds, schema.explanations
    statement = (
        select(table, explanations.c.document)
        .join_from(table, explanations, explanations.c.build_key == table.c.key, isouter=True)
        .where(tuple_(table.c.ref, table.c.builder).in_([(ref, builder) for builder, ref in builds]))
        .order_by(table.c.started_ns, table.c.ref)
    )
    with reading(engine) as connection:
        rows = list(connection.execute(statement))
        found = whole_builds(connection, rows, with_recipes=True)
    return found, {row.ref: explanation_from(json.loads(row.document)) for row in rows if row.document is not None}


def active_regressions(engine: Engine, project: str | None = None) -> dict[tuple[str, str], list[Regression]]:
    """The active regressions by project and target; targets without one are left out."""
    table = schema.regressions
    statement = select(table)
    if project is not None:
        statement = statement.where(table.c.project == key_text(project))
    with reading(engine) as connection:
        return {
            (row.project, row.target): [regression_from(one) for one in json.loads(row.document)]
            for row in connection.execute(statement)
        }


def reading_row(build_key: int, project: str, target: str, one: Reading) -> tuple[Any, ...]:
    """All columns of `readings`, in the schema's order."""
    return (
        build_key,
        key_text(project),
        key_text(target),
        key_text(one.ref),
        key_text(one.builder),
        key_text(one.dockerfile),
        key_text(one.platform),
        one.started_ns,
        one.completed_ns,
        one.is_cold,
        *(one.figures.get(signal) for signal in MEASURED),
        dump_json(one.steps_lost) if one.steps_lost else None,
    )


def dump_regressions(regressions: Sequence[Regression]) -> str:
    """JSON text of the regressions of a target."""
    return dump_json([stored_document(one) for one in regressions])


def _reading(row: Row[Any]) -> Reading:
    figures: dict[Signal, float] = {}
    for signal in MEASURED:
        if (figure := getattr(row, signal.value)) is not None:
            figures[signal] = figure
    return Reading(
        ref=row.ref,
        builder=row.builder,
        dockerfile=row.dockerfile,
        platform=row.platform,
        started_ns=row.started_ns,
        completed_ns=row.completed_ns,
        is_cold=bool(row.is_cold),
        figures=figures,
        steps_lost=() if row.steps_lost is None else tuple(json.loads(row.steps_lost)),
    )
