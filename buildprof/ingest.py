"""The one way into the store: a build is given its history, its labels and its place in the totals, and is written."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import structlog
from sqlalchemy import Engine

from buildprof.analysis.causes import Evidence, Lost, explain
from buildprof.analysis.changes import BAD_COMPARED, GOOD_COMPARED, what_changed
from buildprof.analysis.contributions import OTHER_LABEL, LabelBudget, contributions, image_contributions
from buildprof.analysis.differences import ChangesBetween
from buildprof.analysis.profile import profiled
from buildprof.analysis.readings import reading
from buildprof.analysis.regressions import Found, judged, regression_contributions, steps_in_question
from buildprof.assembly.sizes import CLOCK_SLACK_NS, run_description
from buildprof.model.build import Build, Status
from buildprof.model.cache import CacheRecord
from buildprof.model.document import Document
from buildprof.model.events import EngineEvent
from buildprof.model.explanation import Explanation
from buildprof.model.recipe import ContextUse
from buildprof.model.regression import Regression
from buildprof.model.series import Contribution
from buildprof.model.step import Kind, Step
from buildprof.store import queries
from buildprof.store.baselines import explained_builds, last_readings, step_outcomes
from buildprof.store.errors import StoreError
from buildprof.store.explanations import (
    earlier_builds,
    has_lost_records,
    image_deleted_ns,
    lost_record,
    stored_snapshot,
)
from buildprof.store.writer import Writer

_log = structlog.get_logger(__name__)


def _unwatched(_before: Build, _after: Build, _uses: Sequence[ContextUse]) -> None:
    """Nobody watches the directories."""


def _unheard(_seconds: float) -> None:
    """Nobody wants to know how long a write took."""


class Ingest:
    """Writes builds of one agent, or of one import. Blocks on the database: call it from the writer's thread.

    `scope` names the series that this process adds to: the agent's id, since several agents may share a PostgreSQL.
    `on_write` is told the seconds that each write took.
    """

    def __init__(  # noqa: PLR0913  # each is a fact of its own
        self,
        engine: Engine,
        *,
        scope: str,
        max_projects: int,
        max_targets: int,
        on_write: Callable[[float], None] = _unheard,
        changes: ChangesBetween = _unwatched,
    ) -> None:
        self.engine = engine
        self.scope = scope
        self._writer = Writer(engine)
        self._limits = (max_projects, max_targets)
        self._known = {project: set(targets) for project, targets in queries.label_values(engine, scope).items()}
        self._on_write = on_write
        self._changes = changes
        self._names: dict[str, str] = {}

    def labels_used(self) -> tuple[int, int]:
        """How many projects have labels of their own, and how many targets the one has that has most. For any thread."""
        own = [targets - {OTHER_LABEL} for project, targets in self._known.copy().items() if project != OTHER_LABEL]
        return len(own), max(map(len, own), default=0)

    def close(self) -> None:
        """Give the writer's connection back."""
        self._writer.close()

    def save(self, build: Build) -> Build:
        """Store a build, running or finished; a finished one is counted once. Returns it as it was stored.

        Raises:
            StoreError: it could not be written; the store is as it was.
        """
        if build.status is Status.RUNNING:
            self._timed(lambda: self._writer.save_build(profiled(build, {}), scope=self.scope))
            return build
        # The first snapshot is the nearest to the start: one that is read again from the engine's history has a later.
        if (first := stored_snapshot(self.engine, build.builder, build.ref)) is not None:
            build = replace(build, snapshot=first)
        identities = [step.identity for step in build.steps if step.identity]
        finished = profiled(build, queries.executed_durations(self.engine, identities, before_ns=build.started_ns))
        labels = LabelBudget(*self._limits, known=self._known)
        explanation = self._explained(finished)
        changes = contributions(finished, labels, explanation)
        figures = reading(finished, explanation)
        self._timed(
            lambda: self._writer.save_build(
                finished, changes, scope=self.scope, explanation=explanation, reading=figures
            )
        )
        project, target = labels.place(finished.project, finished.target)
        self._known.setdefault(project, set()).add(target)
        if figures is not None:
            self._judge(finished.project, finished.target)
        return finished

    def _judge(self, project: str, target: str) -> None:
        """Tell whether a target has regressed, by all that is stored: a build that comes late is put in its place."""
        readings = last_readings(self.engine, project, target)
        outcomes = step_outcomes(self.engine, [(one.builder, one.ref) for one in readings], steps_in_question(readings))
        try:
            verdict = judged(readings, outcomes)
            regressions = [self._with_changes(one) for one in verdict.found]
        except StoreError:
            raise
        except Exception:  # noqa: BLE001  # as of an explanation
            _log.exception("a target could not be compared with its past", project=project, target=target)
            return
        labels = LabelBudget(*self._limits, known=self._known)
        at_ns = max((one.completed_ns for one in readings), default=0)
        changes = regression_contributions(project, target, verdict, at_ns, labels)
        self._timed(lambda: self._writer.save_regressions(project, target, regressions, changes, scope=self.scope))

    def _with_changes(self, found: Found) -> Regression:
        """A regression with what changed, by some of the builds that it is told from."""
        good, since = found.good[-GOOD_COMPARED:], found.since[-BAD_COMPARED:]
        builds, explanations = explained_builds(self.engine, [(one.builder, one.ref) for one in (*good, *since)])
        known = {(one.builder, one.ref) for one in good}
        before = [one for one in builds if (one.builder, one.ref) in known]
        now = [one for one in builds if (one.builder, one.ref) not in known]
        return replace(found.regression, changes=what_changed(found.regression, before, now, explanations))

    def _explained(self, build: Build) -> Explanation | None:
        """Why the build's steps missed. A build that cannot be explained is stored all the same."""
        evidence = Evidence(
            changes=self._changes,
            lost=self._lost,
            deleted_ns=lambda one, step: image_deleted_ns(self.engine, one.builder, step.id, one.completed_ns or 0),
            is_poorer=lambda one: has_lost_records(self.engine, one.builder, one.completed_ns or 0),
            missing=build.context,
        )
        earlier, elsewhere = (earlier_builds(self.engine, build, elsewhere=one) for one in (False, True))
        try:
            return explain(build, earlier, elsewhere, evidence)
        except StoreError:
            raise
        except Exception:  # noqa: BLE001  # what a build can bring about must not cost the build; it is logged whole
            _log.exception("a build could not be explained", ref=build.ref)
            return None

    def _lost(self, build: Build, step: Step) -> Lost | None:
        """What became of the cache record that a step made in a build."""
        if step.started_ns is None or step.completed_ns is None:
            return None
        names = (step.name, run_description(step.command)) if step.kind is Kind.RUN else (step.name,)
        made_ns = (step.started_ns - CLOCK_SLACK_NS, step.completed_ns + CLOCK_SLACK_NS)
        found = lost_record(self.engine, build.builder, names, made_ns)
        return None if found is None else Lost(*found)

    def save_lost_records(
        self, builder: str, records: list[CacheRecord], since_ns: int, until_ns: int, by: str | None
    ) -> None:
        """Note what a builder's cache lost between two readings."""
        self._timed(lambda: self._writer.save_lost_records(builder, records, since_ns, until_ns, by))

    def save_image(self, build: Build, document: Document) -> None:
        """Store what was found in the image of a build, as its document."""
        labels = LabelBudget(*self._limits, known=self._known)
        changes = image_contributions(document, build, labels)
        at_ns = build.completed_ns or build.started_ns
        self._timed(lambda: self._writer.save_image(build.builder, document, changes, scope=self.scope, at_ns=at_ns))

    def set_generation(self, builder: str, ref: str, generation: int) -> None:
        """Note that the engine amended a stored build's record in nothing that matters here."""
        self._writer.set_generation(builder, ref, generation)

    def project_name(self, directory: str, preferred: str) -> str:
        """The name of the project in a directory: the preferred one, made longer where another directory has it."""
        if directory not in self._names:
            self._names[directory] = self._writer.claim_project_name(directory, preferred)
        return self._names[directory]

    def remember_dockerfile(self, digest: str, text: str, project: str, directory: str) -> None:
        """Know a project by a Dockerfile that nobody has built yet; `text` is redacted."""
        self._writer.remember_dockerfile(digest, text, project, directory, at_ns=time.time_ns())

    def builder_name(self, address: str, preferred: str) -> str:
        """The name of the builder that this agent follows at an address."""
        return self._writer.claim_builder_name(self.scope, address, preferred)

    def add(self, changes: list[Contribution]) -> None:
        """Add to the totals what comes from no build."""
        self._timed(lambda: self._writer.apply_contributions(changes, scope=self.scope))

    def save_events(self, builder: str, events: list[EngineEvent], cursor: tuple[str, str]) -> None:
        """Store events of an engine, then how far its stream was read: (name, position)."""
        self._timed(lambda: self._writer.save_engine_events(builder, events))
        self._writer.set_cursor(*cursor)

    def delete_older_than(self, horizon_ns: int) -> int:
        """Retention: returns the number of builds that were deleted. No counter is lowered by it."""
        return self._writer.delete_older_than(horizon_ns)

    def _timed(self, write: Callable[[], object]) -> None:
        started = time.perf_counter()
        write()
        self._on_write(time.perf_counter() - started)
