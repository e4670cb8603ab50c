"""The writer's statements, compiled once for the database at hand: a row is a tuple, in the order of its table.

Compiled ahead because a build is a transaction of its own: what SQLAlchemy does to bind parameters by name would
cost more than the rows do.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Dialect,
    Table,
    Text,
    any_,
    bindparam,
    case,
    delete,
    func,
    insert,
    literal_column,
    null,
    select,
    type_coerce,
    update,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.sql import ClauseElement

from buildprof.model.build import UNKNOWN_PROJECT
from buildprof.store import schema

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql

_EMPTY: ColumnElement[str] = literal_column("''")


@dataclass(frozen=True, slots=True)
class Statements:
    """SQL text with positional parameters. `*_of` take one list, as `as_list` prepares it."""

    insert_builds: str
    """A row of `builds`."""
    update_build: str
    """A row of `builds`, but the key, and then the key."""
    delete_steps: str
    """A build's key."""
    insert_steps: str
    """A row of `steps`."""
    upsert_recipe: str
    """A row of `recipes`."""
    upsert_explanation: str
    """A row of `explanations`."""
    delete_losses: str
    """A build's key."""
    insert_losses: str
    """A row of `losses`."""
    upsert_reading: str
    """A row of `readings`."""
    upsert_regressions: str
    """A row of `regressions`."""
    delete_regressions: str
    """A project and a target."""
    upsert_image: str
    """A row of `images`."""
    insert_lost: str
    """A row of `lost_records`, left out if there."""
    insert_counted: str
    """A row of `counted_builds`."""
    add_series: str
    """A row of `series`, whose value is added."""
    set_series: str
    """A row of `series`, whose value replaces an older one."""
    upsert_history: str
    """A row of `step_history`."""
    upsert_dockerfile: str
    """A row of `dockerfiles`; an older one fills nothing but what is empty."""
    insert_events: str
    """A row of `engine_events`, left out if there."""
    upsert_cursor: str
    """A row of `cursors`."""
    last_key: str
    """The highest key of a build, 0 if there is none."""
    last_seq: str
    """A scope → the highest seq of its series, 0 if it has none."""
    known_of: str
    """Refs → (ref, builder, key, status, generation) of stored builds; the last three null for counted ones."""
    history_of: str
    """Identities → (identity, durations)."""
    lists_are_json: bool

    def as_list(self, values: list[str]) -> object:
        """Prepare a list as the parameter of a `*_of` statement."""
        return json.dumps(values) if self.lists_are_json else values


def compile_statements(dialect: Dialect) -> Statements:
    """Compile all statements for a dialect with positional parameters."""

    def text(statement: ClauseElement) -> str:
        return str(statement.compile(dialect=dialect))

    builds, steps, counted = schema.builds, schema.steps, schema.counted_builds
    history, losses = schema.step_history, schema.losses
    zero: ColumnElement[int] = literal_column("0")
    known = (
        select(builds.c.ref, builds.c.builder, builds.c.key, builds.c.status, builds.c.generation)
        .where(_is_one_of(dialect, builds.c.ref))
        .union_all(
            select(
                counted.c.ref,
                counted.c.builder,
                null().cast(BigInteger),
                null().cast(Text),
                null().cast(BigInteger),
            ).where(_is_one_of(dialect, counted.c.ref))
        )
    )
    return Statements(
        insert_builds=text(insert(builds)),
        update_build=text(
            update(builds)
            .values({column: bindparam(f"b_{column.name}", type_=column.type) for column in list(builds.c)[1:]})
            .where(builds.c.key == bindparam("b_key", type_=builds.c.key.type))
        ),
        delete_steps=text(delete(steps).where(steps.c.build_key == bindparam("b_key", type_=steps.c.build_key.type))),
        insert_steps=text(insert(steps)),
        upsert_recipe=text(_upsert(dialect, schema.recipes)),
        upsert_explanation=text(_upsert(dialect, schema.explanations)),
        delete_losses=text(
            delete(losses).where(losses.c.build_key == bindparam("b_key", type_=losses.c.build_key.type))
        ),
        insert_losses=text(insert(losses)),
        upsert_reading=text(_upsert(dialect, schema.readings)),
        upsert_regressions=text(_upsert(dialect, schema.regressions)),
        delete_regressions=text(
            delete(schema.regressions).where(
                schema.regressions.c.project == bindparam("b_project", type_=Text),
                schema.regressions.c.target == bindparam("b_target", type_=Text),
            )
        ),
        upsert_image=text(_upsert(dialect, schema.images)),
        insert_lost=text(_insert(dialect, schema.lost_records).on_conflict_do_nothing()),
        insert_counted=text(insert(counted)),
        add_series=text(_add_series(dialect)),
        set_series=text(_set_series(dialect)),
        upsert_history=text(_upsert(dialect, history)),
        upsert_dockerfile=text(_upsert_dockerfile(dialect)),
        insert_events=text(_insert(dialect, schema.engine_events).on_conflict_do_nothing()),
        upsert_cursor=text(_upsert(dialect, schema.cursors)),
        last_key=text(select(func.coalesce(func.max(builds.c.key), zero))),
        last_seq=text(
            select(func.coalesce(func.max(schema.series.c.seq), zero)).where(
                schema.series.c.scope == bindparam("scope", type_=Text)
            )
        ),
        known_of=text(known),
        history_of=text(select(history.c.identity, history.c.durations).where(_is_one_of(dialect, history.c.identity))),
        lists_are_json=dialect.name == "sqlite",
    )


def _is_one_of(dialect: Dialect, column: ColumnElement[str]) -> ColumnElement[bool]:
    """`column` is in a list that is one parameter, so that the text is the same for any number of values."""
    if dialect.name == "sqlite":
        listed = func.json_each(bindparam(None, type_=Text)).table_valued("value")
        return column.in_(select(type_coerce(listed.c.value, Text)))
    return column == any_(bindparam(None, type_=ARRAY(Text)))


def _insert(dialect: Dialect, table: Table) -> sqlite.Insert | postgresql.Insert:
    if dialect.name == "sqlite":
        return sqlite.insert(table)
    from sqlalchemy.dialects import postgresql  # noqa: PLC0415 - 2 MB that most agents have no use for

    return postgresql.insert(table)


def _upsert(dialect: Dialect, table: Table) -> ClauseElement:
    statement = _insert(dialect, table)
    keys = list(table.primary_key.columns)
    rest = {column.name: statement.excluded[column.name] for column in table.c if not column.primary_key}
    return statement.on_conflict_do_update(index_elements=keys, set_=rest)


def _add_series(dialect: Dialect) -> ClauseElement:
    stored, statement = schema.series.c, _insert(dialect, schema.series)
    new = statement.excluded
    later = new.at_ns >= stored.at_ns
    has_exemplar = later & (new.ref != _EMPTY)
    return statement.on_conflict_do_update(
        index_elements=[stored.scope, stored.metric, stored.labels],
        set_={
            "value": stored.value + new.value,
            "at_ns": case((later, new.at_ns), else_=stored.at_ns),
            "ref": case((has_exemplar, new.ref), else_=stored.ref),
            "exemplar_value": case((has_exemplar, new.exemplar_value), else_=stored.exemplar_value),
            "seq": new.seq,
        },
    )


def _set_series(dialect: Dialect) -> ClauseElement:
    stored, statement = schema.series.c, _insert(dialect, schema.series)
    new = statement.excluded
    return statement.on_conflict_do_update(
        index_elements=[stored.scope, stored.metric, stored.labels],
        set_={name: new[name] for name in ("value", "at_ns", "ref", "exemplar_value", "seq")},
        where=new.at_ns >= stored.at_ns,
    )


def _upsert_dockerfile(dialect: Dialect) -> ClauseElement:
    stored, statement = schema.dockerfiles.c, _insert(dialect, schema.dockerfiles)
    new = statement.excluded
    later = new.last_used_ns >= stored.last_used_ns
    unknown: ColumnElement[str] = literal_column(f"'{UNKNOWN_PROJECT}'")
    text_is_better = (new.text != _EMPTY) & (later | (stored.text == _EMPTY))
    place_is_better = (new.project != unknown) & (later | (stored.project == unknown))
    return statement.on_conflict_do_update(
        index_elements=[stored.digest],
        set_={
            "text": case((text_is_better, new.text), else_=stored.text),
            "project": case((place_is_better, new.project), else_=stored.project),
            "directory": case((place_is_better, new.directory), else_=stored.directory),
            "last_used_ns": case((later, new.last_used_ns), else_=stored.last_used_ns),
        },
    )
