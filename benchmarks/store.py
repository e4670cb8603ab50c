"""How fast the store takes builds in and answers, at a million steps over 50,000 builds.

Ingestion is a ratio against bare `sqlite3` inserts of the same rows into the same tables and indexes, in transactions
of the same sizes, the two taking turns. Answers are medians against a limit of 100 ms.

    python benchmarks/store.py [--builds N] [--directory DIR]
"""

from __future__ import annotations

import argparse
import hashlib
import random
import shutil
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from buildprof.model.build import Build, Engine, Image, Options, Source, Status, Summary
from buildprof.model.series import Contribution, Effect
from buildprof.model.step import Kind, Layer, Outcome, Step
from buildprof.store import queries
from buildprof.store.connect import open_store
from buildprof.store.project_facts import list_projects
from buildprof.store.queries import BuildFilter
from buildprof.store.rows import build_row, step_rows
from buildprof.store.statements import compile_statements
from buildprof.store.totals import dump_durations, executed_durations, fold, newest
from buildprof.store.writer import Writer

STEPS = 20
PROJECTS = 100
TARGETS = 5
LIMIT_MS = 100.0
CHUNK = 500
START_NS = 1_790_000_000_000_000_000
GAP_NS = 150_000_000_000
INSTRUCTIONS = (
    (Kind.FROM, "FROM", "docker.io/library/python:3.12-slim"),
    (Kind.WORKDIR, "WORKDIR", "/app"),
    (Kind.RUN, "RUN", "apt-get update && apt-get install -y --no-install-recommends build-essential libpq-dev"),
    (Kind.COPY, "COPY", "requirements.txt constraints.txt ./"),
    (Kind.RUN, "RUN", "pip install --no-cache-dir -r requirements.txt -c constraints.txt"),
    (Kind.COPY, "COPY", ". ."),
    (Kind.RUN, "RUN", "python -m compileall -q . && python manage.py collectstatic --noinput"),
)
COUNTERS = (
    "executed_seconds_total",
    "cache_saved_seconds_total",
    "context_transfer_bytes_total",
    "image_export_seconds_total",
)
GAUGES = (
    "last_build_timestamp_seconds",
    "last_build_success",
    "last_build_duration_seconds",
    "last_build_cacheable_steps",
    "last_build_cache_hits",
    "image_size_bytes",
    "image_layers",
)
BOUNDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)

Saved = tuple[Build, list[Contribution]]


def digest(*parts: object) -> str:
    """Make a digest as BuildKit writes it."""
    return "sha256:" + hashlib.sha256(repr(parts).encode()).hexdigest()


def make_build(number: int) -> Saved:
    """Make the build with this number, and what it adds to the series; the same for the same number."""
    chance = random.Random(number)
    project, target = f"team/project-{number % PROJECTS:03}", f"target-{chance.randrange(TARGETS)}"
    started_ns = START_NS + number * GAP_NS
    status = chance.choices((Status.COMPLETED, Status.FAILED, Status.CANCELED), (90, 8, 2))[0]
    missed_from = chance.randrange(2, STEPS + 1)
    steps: list[Step] = []
    at_ns = started_ns
    for position in range(STEPS):
        kind, instruction, command = INSTRUCTIONS[position % len(INSTRUCTIONS)]
        cacheable = kind is not Kind.FROM
        missed = cacheable and position >= missed_from
        seconds = chance.expovariate(0.2) if missed else 0.001
        name = f"[stage-{position // 7} {position % 7 + 1}/7] {instruction} {command}"
        ended_ns = at_ns + int(seconds * 1e9)
        steps.append(
            Step(
                id=digest(number, position),
                name=name,
                kind=kind,
                outcome=(Outcome.MISS if missed else Outcome.HIT) if cacheable else Outcome.NONE,
                stage=f"stage-{position // 7}",
                position=position % 7 + 1,
                of=7,
                instruction=instruction,
                command=command,
                identity=digest(project, target, position)[7:39] if cacheable else "",
                lines=(position + 1, position + 1),
                inputs=(steps[-1].id,) if steps else (),
                cacheable=cacheable,
                started_ns=at_ns,
                completed_ns=ended_ns,
                duration_seconds=seconds,
                on_critical_path=True,
                slack_seconds=0.0,
                saved_seconds=None if missed or not cacheable else 3.5,
                layer=Layer(digest(number, position, "layer"), chance.randrange(10**8)) if cacheable else None,
            )
        )
        at_ns = ended_ns
    hits = sum(step.outcome is Outcome.HIT for step in steps)
    misses = sum(step.outcome is Outcome.MISS for step in steps)
    executed = sum(step.duration_seconds or 0 for step in steps if step.outcome is Outcome.MISS)
    text = f"FROM python:3.12-slim AS stage-0\n# {project} {number // 2000}\n" + "RUN true\n" * STEPS
    build = Build(
        ref=hashlib.sha256(str(number).encode()).hexdigest()[:25],
        builder="default",
        engine=Engine("docker", "28.5.2"),
        source=Source.BUILDKIT,
        project=project,
        target=target,
        status=status,
        started_ns=started_ns,
        generation=2,
        directory=f"/srv/work/{project}",
        dockerfile="Dockerfile",
        dockerfile_digest=digest(text),
        dockerfile_text=text,
        context=".",
        platforms=("linux/amd64",),
        completed_ns=at_ns,
        image=Image(digest(number), (f"{project}:latest",), chance.randrange(10**9), 9),
        options=Options(build_args={"VERSION": None}, build_arg_hashes={"VERSION": "0123456789abcdef"}),
        summary=Summary(STEPS, STEPS - 3, hits, misses, executed, 3.5 * hits, executed, 10**6, 0.2, 0.8),
        steps=tuple(steps),
    )
    return build, contributions_of(build)


def contributions_of(build: Build) -> list[Contribution]:
    """As many changes of as many series as a real build makes."""
    at_ns, place = build.started_ns, (("project", build.project), ("target", build.target))
    builder = (("builder", build.builder), *place)
    made = [Contribution("builds_total", builder, 1.0, at_ns=at_ns)]
    made += [Contribution(metric, place, 1.5, at_ns=at_ns) for metric in COUNTERS]
    made += [Contribution(metric, place, 1.0, Effect.SET, at_ns) for metric in GAUGES]
    made += _histogram("build_duration_seconds", place, build.duration_seconds or 0.0, build)
    for step in build.steps:
        if step.cacheable:
            labels = (("instruction", step.instruction), *place)
            made.append(Contribution("cacheable_steps_total", labels, 1.0, at_ns=at_ns))
            if step.outcome is Outcome.HIT:
                made.append(Contribution("cache_hits_total", labels, 1.0, at_ns=at_ns))
            else:
                labels = (("instruction", step.instruction), ("project", build.project))
                made += _histogram("step_duration_seconds", labels, step.duration_seconds or 0.0, build)
    return made


def _histogram(metric: str, labels: tuple[tuple[str, str], ...], seconds: float, build: Build) -> list[Contribution]:
    bound = next((str(float(bound)) for bound in BOUNDS if seconds <= bound), "+Inf")
    bucket = tuple(sorted((*labels, ("le", bound))))
    return [
        Contribution(f"{metric}_bucket", bucket, 1.0, at_ns=build.started_ns, ref=build.ref, exemplar_value=seconds),
        Contribution(f"{metric}_sum", labels, seconds, at_ns=build.started_ns),
    ]


class Bare:
    """The same rows by `sqlite3` alone: prepared ahead, so that only the inserts are timed."""

    def __init__(self, path: Path) -> None:
        engine = open_store(f"sqlite:///{path}")
        self._sql = compile_statements(engine.dialect)
        engine.dispose()
        self._connection = sqlite3.connect(path, isolation_level=None)
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", "cache_size=-2048"):
            self._connection.execute(f"PRAGMA {pragma}")
        self._history: dict[str, list[tuple[int, float]]] = {}
        self._number = 0

    def rows(self, batch: Sequence[Saved]) -> list[tuple[str, list[tuple[Any, ...]]]]:
        """Prepare the statements and rows of one transaction."""
        sql = self._sql
        builds, steps, dockerfiles = [], [], []
        touched = set()
        for build, _ in batch:
            self._number += 1
            builds.append(build_row(self._number, build))
            steps += step_rows(self._number, build.steps)
            place = (build.project, build.directory, build.started_ns)
            dockerfiles.append((build.dockerfile_digest, build.dockerfile_text, *place))
            for identity, durations in executed_durations(build).items():
                self._history[identity] = newest(durations, self._history.get(identity, []))
                touched.add(identity)
        added, replaced = fold(one for _, many in batch for one in many)
        history = [(key, dump_durations(self._history[key]), self._history[key][0][0]) for key in touched]
        return [
            (sql.insert_builds, builds),
            (sql.insert_steps, steps),
            (sql.upsert_dockerfile, dockerfiles),
            (sql.insert_counted, [(build.ref, build.builder) for build, _ in batch]),
            (sql.add_series, [("agent", *key, *state, self._number) for key, state in added.items()]),
            (sql.set_series, [("agent", *key, *state, self._number) for key, state in replaced.items()]),
            (sql.upsert_history, history),
        ]

    def insert(self, statements: list[tuple[str, list[tuple[Any, ...]]]]) -> int:
        """Run one transaction; return the number of its rows."""
        self._connection.execute("BEGIN IMMEDIATE")
        for statement, rows in statements:
            self._connection.executemany(statement, rows)
        self._connection.execute("COMMIT")
        return sum(len(rows) for _, rows in statements)

    def close(self) -> None:
        """Close the database."""
        self._connection.close()


def batches(numbers: range, size: int) -> Iterator[list[Saved]]:
    """Make builds in transactions of a size."""
    for first in range(numbers.start, numbers.stop, size):
        yield [make_build(number) for number in range(first, min(first + size, numbers.stop))]


def ingest(directory: Path, count: int, size: int) -> tuple[Path, float]:
    """Fill two stores, `size` builds a transaction; return the writer's and its speed over that of bare inserts."""
    path = directory / f"store-{size}.db"
    bare = Bare(directory / f"bare-{size}.db")
    engine = open_store(f"sqlite:///{path}")
    writer = Writer(engine)
    ours = theirs = 0.0
    rows = 0
    for first in range(0, count, CHUNK):
        chunk = list(batches(range(first, min(first + CHUNK, count)), size))
        prepared = [bare.rows(batch) for batch in chunk]
        began = time.perf_counter()
        if size == 1:
            for ((build, contributions),) in chunk:
                writer.save_build(build, contributions, scope="agent")
        else:
            for batch in chunk:
                writer.save_builds(batch, scope="agent")
        between = time.perf_counter()
        rows += sum(bare.insert(statements) for statements in prepared)
        ours += between - began
        theirs += time.perf_counter() - between
        if sys.stderr.isatty():
            print(f"\r{first + CHUNK:>7} of {count} builds", end="", file=sys.stderr)
    writer.close()
    engine.dispose()
    bare.close()
    print(
        f"ingest, {size:>3} a transaction   {count * STEPS / ours:>9,.0f} steps/s   bare {count * STEPS / theirs:>9,.0f}"
        f"   ratio {theirs / ours:.2f} (at least 0.50)   {rows:,} rows",
        flush=True,
    )
    return path, theirs / ours


def milliseconds(ask: Callable[[], object]) -> tuple[float, float]:
    """Medians of several: by the clock, and of the processor, which others on the machine disturb less."""
    clock, processor = [], []
    for _ in range(7):
        began, began_processor = time.perf_counter(), time.process_time()
        ask()
        clock.append((time.perf_counter() - began) * 1e3)
        processor.append((time.process_time() - began_processor) * 1e3)
    return statistics.median(clock), statistics.median(processor)


def answer(path: Path, count: int) -> float:
    """Time every question; return the longest median, in milliseconds."""
    engine = open_store(f"sqlite:///{path}")
    middle = queries.find_build(engine, make_build(count // 2)[0].ref)
    project, target = middle.project, middle.target
    # Any number of builds can go by between two scrapes; twenty is many for fifteen seconds.
    _, last_seq = queries.changed_series(engine, "agent")
    warm_seq = last_seq - 20

    def listed(**wanted: Any) -> Callable[[], object]:
        return lambda: queries.list_builds(engine, BuildFilter(**wanted))

    identities = [step.identity for step in middle.steps]
    asked: dict[str, Callable[[], object]] = {
        "builds": listed(),
        "builds --limit 1000": listed(limit=1000),
        "builds --project": listed(project=project),
        "builds --project --target": listed(project=project, target=target),
        "builds --target (of none)": listed(target="nothing"),
        "builds --status failed": listed(status=Status.FAILED),
        "builds, from the middle": listed(before=(middle.started_ns, middle.ref)),
        "show last": lambda: queries.find_build(engine, "last"),
        "show PREFIX": lambda: queries.find_build(engine, middle.ref[:12]),
        "projects": lambda: list_projects(engine),
        "scrape, cold: all series": lambda: queries.changed_series(engine, "agent"),
        "scrape, warm: of 20 builds": lambda: queries.changed_series(engine, "agent", warm_seq),
        "label values": lambda: queries.label_values(engine, "agent"),
        "previous build": lambda: queries.previous_build(engine, middle),
        "overlapping builds": lambda: queries.overlapping_builds(
            engine, "default", middle.started_ns, middle.completed_ns or 0
        ),
        "durations of a build's steps": lambda: queries.executed_durations(engine, identities),
        "generations of 48 hours": lambda: queries.stored_generations(
            engine, "default", since_ns=START_NS + count * GAP_NS - 48 * 3600 * 10**9
        ),
        "generations of all": lambda: queries.stored_generations(engine, "default"),
    }
    longest = 0.0
    for name, ask in asked.items():
        taken, processor = milliseconds(ask)
        longest = max(longest, taken)
        print(
            f"{name:<30} {taken:>8.2f} ms   ratio {taken / LIMIT_MS:.3f} (at most 1)   processor {processor:>7.2f} ms"
        )
    print(
        f"series: {len(queries.changed_series(engine, 'agent')[0]):,}   store: {path.stat().st_size / 2**20:,.0f} MiB"
    )
    engine.dispose()
    return longest


def main() -> int:
    """Run it all; 1 if a limit is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--builds", type=int, default=50_000)
    parser.add_argument("--directory", type=Path, help="where the stores are made; a temporary one by default")
    arguments = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="buildprof-store-", dir=arguments.directory))
    try:
        path, live = ingest(directory, arguments.builds, 1)
        _, batched = ingest(directory, max(100, arguments.builds // 5), 100)
        longest = answer(path, arguments.builds)
    finally:
        shutil.rmtree(directory)
    return 0 if live >= 0.5 and batched >= 0.5 and longest <= LIMIT_MS else 1


if __name__ == "__main__":
    sys.exit(main())
