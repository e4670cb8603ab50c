"""The one writer of a process: every change of the store goes through it, each in one transaction."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Column, Connection, Engine, select

from buildprof.analysis.losses import losses
from buildprof.model.build import Build, Status
from buildprof.model.cache import CacheRecord
from buildprof.model.document import Document
from buildprof.model.events import EngineEvent
from buildprof.model.explanation import Explanation
from buildprof.model.explanation_document import explanation_document
from buildprof.model.regression import Reading, Regression
from buildprof.model.series import Contribution
from buildprof.store import schema
from buildprof.store.baselines import dump_regressions, reading_row
from buildprof.store.connect import one_line_errors
from buildprof.store.migrate import WRITES
from buildprof.store.names import candidate_names
from buildprof.store.recipes import dump_recipe
from buildprof.store.retention import delete_batch
from buildprof.store.rows import build_row, clean, dump_json, key_text, step_rows
from buildprof.store.statements import Statements, compile_statements
from buildprof.store.totals import (
    Durations,
    dump_durations,
    executed_durations,
    fold,
    load_durations,
    newest,
)

BuildKey = tuple[str, str]
"""(builder, ref): what a build is known by."""

Rank = tuple[bool, int]
"""(finished, generation): a build replaces one of no higher rank."""

Row = tuple[Any, ...]

NO_EXPLANATIONS: Mapping[BuildKey, Explanation] = {}
NO_READINGS: Mapping[BuildKey, Reading] = {}


class Writer:
    """Writes to one store over one connection. Safe to call from several threads and beside other processes.

    Every method commits before it returns and raises StoreError when it could not; the store then is as it was.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._statements: Statements = compile_statements(engine.dialect)
        self._lock = threading.Lock()
        with one_line_errors(engine):
            self._connection = engine.connect().execution_options(**{WRITES: True})

    def close(self) -> None:
        """Give the connection back."""
        with self._lock:
            self._connection.close()

    def save_build(
        self,
        build: Build,
        contributions: Sequence[Contribution] = (),
        *,
        scope: str,
        explanation: Explanation | None = None,
        reading: Reading | None = None,
    ) -> bool:
        """Store a build with its steps; tell whether its contributions were added to the series of `scope` now.

        A stored build is replaced by one of the same or a later generation, a running one by any finished one, a
        finished one never by a running one. Contributions of a build are added once, when it is first seen finished, in the same transaction;
        so are the durations of its executed steps to their history. An explanation and a reading replace earlier ones.
        """
        key = (key_text(build.builder), key_text(build.ref))
        told, readings = {key: explanation} if explanation else {}, {key: reading} if reading else {}
        counted = self.save_builds([(build, contributions)], scope=scope, explanations=told, readings=readings)
        return (build.builder, build.ref) in counted

    def save_builds(
        self,
        batch: Sequence[tuple[Build, Sequence[Contribution]]],
        *,
        scope: str,
        explanations: Mapping[BuildKey, Explanation] = NO_EXPLANATIONS,
        readings: Mapping[BuildKey, Reading] = NO_READINGS,
    ) -> set[BuildKey]:
        """Store many builds in one transaction, as if by `save_build` one after another.

        Returns (builder, ref) of those whose contributions were added now.
        """
        with self._transaction() as connection:
            stored, counted = self._known(connection, [build for build, _ in batch])
            ranks = {key: rank for key, (_, rank) in stored.items()}
            to_save: dict[BuildKey, Build] = {}
            to_count: dict[BuildKey, tuple[Build, Sequence[Contribution]]] = {}
            for build, contributions in batch:
                key = (key_text(build.builder), key_text(build.ref))
                rank = _rank(build.status, build.generation)
                if rank >= ranks.get(key, rank):
                    ranks[key] = rank
                    to_save[key] = build
                if build.status is not Status.RUNNING and key not in counted:
                    to_count.setdefault(key, (build, contributions))
            row_keys = {key: row_key for key, (row_key, _) in stored.items()}
            self._save_rows(connection, to_save, row_keys, explanations, readings)
            if to_count:
                self._count(connection, to_count, scope)
        return {(build.builder, build.ref) for build, _ in to_count.values()}

    def set_generation(self, builder: str, ref: str, generation: int) -> None:
        """Note that the engine amended a build's record in nothing that we keep; a lower generation changes nothing."""
        table = schema.builds
        where = (
            (table.c.builder == key_text(builder)) & (table.c.ref == key_text(ref)) & (table.c.generation < generation)
        )
        with self._transaction() as connection:
            connection.execute(table.update().where(where).values(generation=generation))

    def apply_contributions(self, contributions: Iterable[Contribution], *, scope: str) -> None:
        """Change the series of `scope` by what does not come from a build."""
        with self._transaction() as connection:
            self._add(connection, contributions, scope)

    def save_engine_events(self, builder: str, events: Iterable[EngineEvent]) -> None:
        """Store events of the engine; those that are there already stay as they are."""
        rows = [
            (
                event.at_ns,
                key_text(builder),
                key_text(event.type),
                key_text(event.action),
                key_text(event.id),
                dump_json(event.attributes),
            )
            for event in events
        ]
        if rows:
            with self._transaction() as connection:
                connection.exec_driver_sql(self._statements.insert_events, rows)

    def save_lost_records(
        self, builder: str, records: Iterable[CacheRecord], since_ns: int, until_ns: int, by: str | None
    ) -> None:
        """Note that a builder's cache had records at one time and has them no more at another."""
        rows: list[Row] = [
            (key_text(builder), key_text(one.id), until_ns, since_ns, one.created_ns, clean(one.description)[:4000], by)
            for one in records
        ]
        if rows:
            with self._transaction() as connection:
                connection.exec_driver_sql(self._statements.insert_lost, rows)

    def set_cursor(self, name: str, value: str) -> None:
        """Remember how far a source has been read."""
        with self._transaction() as connection:
            connection.exec_driver_sql(self._statements.upsert_cursor, (key_text(name), clean(value)))

    def remember_dockerfile(self, digest: str, text: str, project: str, directory: str, *, at_ns: int) -> None:
        """Store a Dockerfile's redacted text and where it was last built; saving a build that has them does the same."""
        with self._transaction() as connection:
            row = _dockerfile_row(digest, text, project, directory, at_ns)
            connection.exec_driver_sql(self._statements.upsert_dockerfile, row)

    def claim_project_name(self, directory: str, preferred: str) -> str:
        """Give the project in a directory its name: the same for ever, no other's, and 100 characters at most.

        `preferred` if it is free, else with as many of the directory's parents before it as make it unique.
        """
        directory = clean(directory)
        return self._claim(schema.projects.c.directory, directory, candidate_names(directory, clean(preferred)))

    def claim_builder_name(self, agent: str, address: str, preferred: str) -> str:
        """Give the builder that an agent follows at an address its name: the same for ever, and no other's.

        `preferred`, or numbered. A name that the agent gave to an address where no build was ever seen is free again.
        """
        names, builds = schema.builders.c, schema.builds.c
        preferred, key = clean(preferred), clean(f"{agent} {address}")
        with self._transaction() as connection:
            seen = select(builds.builder).where(builds.builder == names.name).exists()
            same = (names.name == preferred) | names.name.startswith(f"{preferred}-", autoescape=True)
            idle = names.address.startswith(f"{agent} ", autoescape=True) & (names.address != key) & same & ~seen
            connection.execute(schema.builders.delete().where(idle))
        numbered = (preferred if number == 1 else f"{preferred}-{number}" for number in itertools.count(1))
        return self._claim(names.address, key, numbered)

    def _claim(self, key: Column[str], value: str, candidates: Iterator[str]) -> str:
        """Return the name that stands beside a key, else the first candidate that no other key has."""
        name_of = key.table.c.name
        with self._transaction() as connection:
            known = connection.execute(select(name_of).where(key == value)).scalar()
            if known is not None:
                return str(known)
            for name in candidates:
                if connection.execute(select(name_of).where(name_of == name)).scalar() is None:
                    connection.execute(
                        schema.metadata.tables[str(key.table)].insert().values({key.name: value, "name": name})
                    )
                    return name
        raise AssertionError("candidates never end")

    def save_image(
        self, builder: str, document: Document, contributions: Sequence[Contribution], *, scope: str, at_ns: int
    ) -> None:
        """Store the document of an image in the place of an earlier one, and change the series of `scope`."""
        names, sizes = ("id", "image"), ("stored_bytes", "wasted_bytes")
        texts = [key_text(document[name]) for name in names]
        row = (key_text(builder), *texts, at_ns, *(document[name] for name in sizes), dump_json(document))
        with self._transaction() as connection:
            connection.exec_driver_sql(self._statements.upsert_image, row)
            self._add(connection, contributions, scope)

    def save_regressions(
        self,
        project: str,
        target: str,
        regressions: Sequence[Regression],
        contributions: Sequence[Contribution],
        *,
        scope: str,
    ) -> None:
        """Store the active regressions of a target in the place of earlier ones, and change the series of `scope`."""
        place = (key_text(project), key_text(target))
        with self._transaction() as connection:
            if regressions:
                connection.exec_driver_sql(self._statements.upsert_regressions, (*place, dump_regressions(regressions)))
            else:
                connection.exec_driver_sql(self._statements.delete_regressions, place)
            self._add(connection, contributions, scope)

    def delete_older_than(self, horizon_ns: int) -> int:
        """Delete builds that started before a time, and events, Dockerfiles and step histories last seen before it.

        Series and the marks of counted builds stay. Works in short transactions between which others can write.
        Returns the number of builds that were deleted.
        """
        deleted = 0
        while True:
            with self._transaction() as connection:
                builds, more = delete_batch(connection, horizon_ns)
            deleted += builds
            if not more:
                return deleted

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        with self._lock, one_line_errors(self._engine), self._connection.begin():
            yield self._connection

    def _known(
        self, connection: Connection, batch: Sequence[Build]
    ) -> tuple[dict[BuildKey, tuple[int, Rank]], set[BuildKey]]:
        """Row key and rank of the builds of a batch that are stored, and which of them are counted."""
        refs = self._statements.as_list([key_text(build.ref) for build in batch])
        stored: dict[BuildKey, tuple[int, Rank]] = {}
        counted: set[BuildKey] = set()
        rows = connection.exec_driver_sql(self._statements.known_of, (refs, refs))
        for ref, builder, row_key, status, generation in rows:
            if row_key is None:
                counted.add((builder, ref))
            else:
                stored[builder, ref] = (row_key, _rank(status, generation))
        return stored, counted

    def _save_rows(
        self,
        connection: Connection,
        batch: dict[BuildKey, Build],
        row_keys: dict[BuildKey, int],
        explanations: Mapping[BuildKey, Explanation] = NO_EXPLANATIONS,
        readings: Mapping[BuildKey, Reading] = NO_READINGS,
    ) -> None:
        statements = self._statements
        next_key = connection.exec_driver_sql(statements.last_key).scalar_one() + 1
        inserted: list[Row] = []
        steps: list[Row] = []
        dockerfiles: list[Row] = []
        recipes: dict[str, Row] = {}
        told: list[tuple[int, Build, Explanation]] = []
        read: list[Row] = []
        for key, build in batch.items():
            row_key = row_keys.get(key)
            if row_key is None:
                row_key = next_key
                next_key += 1
                inserted.append(build_row(row_key, build))
            else:
                connection.exec_driver_sql(statements.update_build, (*build_row(row_key, build)[1:], row_key))
                connection.exec_driver_sql(statements.delete_steps, (row_key,))
            steps += step_rows(row_key, build.steps)
            for recipe in (step.recipe for step in build.steps if step.recipe):
                digest, document = dump_recipe(recipe)
                recipes[digest] = (digest, document, build.started_ns)
            if (explanation := explanations.get(key)) is not None:
                told.append((row_key, build, explanation))
            if (reading := readings.get(key)) is not None:
                read.append(reading_row(row_key, build.project, build.target, reading))
            if build.dockerfile_digest:
                dockerfiles.append(
                    _dockerfile_row(
                        build.dockerfile_digest,
                        build.dockerfile_text,
                        build.project,
                        build.directory,
                        build.started_ns,
                    )
                )
        _run(connection, statements.insert_builds, inserted)
        _run(connection, statements.insert_steps, steps)
        _run(connection, statements.upsert_dockerfile, dockerfiles)
        _run(connection, statements.upsert_recipe, list(recipes.values()))
        _run(connection, statements.upsert_reading, read)
        for row_key, build, explanation in told:
            self._save_explanation(connection, row_key, build, explanation)

    def _save_explanation(self, connection: Connection, row_key: int, build: Build, explanation: Explanation) -> None:
        document = dump_json(explanation_document(explanation, build.steps))
        connection.exec_driver_sql(self._statements.upsert_explanation, (row_key, document))
        connection.exec_driver_sql(self._statements.delete_losses, (row_key,))
        place = (key_text(build.project), key_text(build.target), build.started_ns)
        rows: list[Row] = [
            (row_key, ordinal, *place, str(loss.cause), key_text(loss.subject), loss.seconds)
            for ordinal, loss in enumerate(losses(explanation))
        ]
        _run(connection, self._statements.insert_losses, rows)

    def _count(
        self, connection: Connection, batch: dict[BuildKey, tuple[Build, Sequence[Contribution]]], scope: str
    ) -> None:
        _run(connection, self._statements.insert_counted, [(ref, builder) for builder, ref in batch])
        self._add(connection, (one for _, contributions in batch.values() for one in contributions), scope)
        self._record_durations(connection, [build for build, _ in batch.values()])

    def _add(self, connection: Connection, contributions: Iterable[Contribution], scope: str) -> None:
        added, replaced = fold(contributions)
        if not added and not replaced:
            return
        scope = key_text(scope)
        # Nobody else writes until we commit, so that a reader who has seen a number has seen all below it.
        seq = connection.exec_driver_sql(self._statements.last_seq, (scope,)).scalar_one() + 1
        for statement, states in ((self._statements.add_series, added), (self._statements.set_series, replaced)):
            _run(connection, statement, [(scope, *key, *state, seq) for key, state in states.items()])

    def _record_durations(self, connection: Connection, builds: Iterable[Build]) -> None:
        found: dict[str, Durations] = {}
        for build in builds:
            for identity, durations in executed_durations(build).items():
                found.setdefault(identity, []).extend(durations)
        if not found:
            return
        identities = self._statements.as_list(list(found))
        for identity, text in connection.exec_driver_sql(self._statements.history_of, (identities,)):
            found[identity] += load_durations(text)
        kept = {identity: newest(durations) for identity, durations in found.items()}
        rows: list[Row] = [(identity, dump_durations(last), last[0][0]) for identity, last in kept.items()]
        _run(connection, self._statements.upsert_history, rows)


def _rank(status: str, generation: int) -> Rank:
    return (status != Status.RUNNING, generation)


def _dockerfile_row(digest: str, text: str, project: str, directory: str, at_ns: int) -> Row:
    return (key_text(digest), clean(text), key_text(project), clean(directory), at_ns)


def _run(connection: Connection, statement: str, rows: list[Row]) -> None:
    if len(rows) == 1:
        connection.exec_driver_sql(statement, rows[0])
    elif rows:
        connection.exec_driver_sql(statement, rows)
