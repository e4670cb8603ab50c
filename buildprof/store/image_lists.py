"""Which images were analysed, and the builds that made them. All functions raise StoreError."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, func, select

from buildprof.model.build import Build, Status
from buildprof.store import schema
from buildprof.store.connect import reading
from buildprof.store.rows import build_from, clean, key_text

_LOOKED_THROUGH = 1000
"""How many of the last builds are looked through for the images'."""


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """The last analysed image of a name. `versions` counts those of the name that are kept.

    `project`, `target` and `ref` are of its build, "" where that is not among the last ones.
    """

    id: str
    name: str
    analysed_ns: int
    stored_bytes: int
    wasted_bytes: int
    versions: int
    project: str = ""
    target: str = ""
    ref: str = ""

    @property
    def efficiency(self) -> float:
        """The share of the stored bytes that is seen, 1 of nothing."""
        return 1 - self.wasted_bytes / self.stored_bytes if self.stored_bytes else 1.0


def analysed_images(engine: Engine, limit: int) -> list[ImageFacts]:
    """The images that were analysed last, one of each name, the newest first."""
    table = schema.images
    columns = (table.c.builder, table.c.id, table.c.name, table.c.analysed_ns, table.c.stored_bytes)
    with reading(engine) as connection:
        # In no order: SQLite would find each row by its key, and reads whole documents to compare keys.
        rows: Sequence[Any] = connection.execute(select(*columns, table.c.wasted_bytes)).all()
    by_name: dict[str, list[Any]] = {}
    for row in sorted(rows, key=lambda row: (-row.analysed_ns, row.id)):
        by_name.setdefault(row.name or row.id, []).append(row)
    chosen = [(same[0], len(same)) for same in list(by_name.values())[:limit]]
    made = _made_by(engine, {(row.builder, row.id) for row, _ in chosen})
    return [
        ImageFacts(
            row.id,
            row.name,
            row.analysed_ns,
            row.stored_bytes,
            row.wasted_bytes,
            versions,
            *made.get((row.builder, row.id), ("", "", "")),
        )
        for row, versions in chosen
    ]


def _made_by(engine: Engine, images: set[tuple[str, str]]) -> dict[tuple[str, str], tuple[str, str, str]]:
    """Project, target and ref of the last build of each image, by its builder and id, among the last builds."""
    table = schema.builds
    last = select(table.c.key).order_by(table.c.started_ns.desc(), table.c.ref.desc()).limit(_LOOKED_THROUGH)
    statement = (
        select(table.c.builder, table.c.image, table.c.project, table.c.target, table.c.ref)
        .where(table.c.key.in_(last), table.c.image.is_not(None))
        .order_by(table.c.started_ns, table.c.ref)
    )
    found = {}
    with reading(engine) as connection:
        for builder, image, *build in connection.execute(statement):
            key = builder, key_text(json.loads(image)[0])
            if key in images:
                found[key] = (build[0], build[1], build[2])
    return found


def build_head(engine: Engine, refs: Sequence[str]) -> Build | None:
    """The newest of the builds with one of these refs, without its steps."""
    table = schema.builds
    statement = (
        select(table).where(table.c.ref.in_([key_text(ref) for ref in refs])).order_by(table.c.started_ns.desc())
    )
    with reading(engine) as connection:
        row = connection.execute(statement.limit(1)).one_or_none()
    return None if row is None else build_from(row)


def builds_of_same_image(engine: Engine, build: Build, limit: int) -> list[Build]:
    """Heads of the last completed builds up to this one that are of its target, Dockerfile and builder, oldest first."""
    table = schema.builds
    statement = (
        select(table)
        .where(table.c.project == key_text(build.project), table.c.target == key_text(build.target))
        .where(table.c.builder == key_text(build.builder), table.c.dockerfile == clean(build.dockerfile))
        .where(table.c.status == Status.COMPLETED.value, table.c.image.is_not(None))
        .where(table.c.started_ns <= build.started_ns)
        .order_by(table.c.started_ns.desc(), table.c.ref.desc())
        .limit(limit)
    )
    with reading(engine) as connection:
        return [build_from(row) for row in connection.execute(statement)][::-1]


def stored_rows(engine: Engine) -> dict[str, int]:
    """How many builds, steps and analysed images are stored, by what one of them is called."""
    builds, images = schema.builds, schema.images
    statements = {
        "build": select(func.count()).select_from(builds),
        "step": select(func.coalesce(func.sum(builds.c.steps), 0)),
        "analysed image": select(func.count()).select_from(images),
    }
    with reading(engine) as connection:
        return {name: int(connection.scalar(statement) or 0) for name, statement in statements.items()}
