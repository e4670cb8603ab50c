"""What readers ask about images. All functions raise StoreError."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from sqlalchemy import Engine, Row, Select, select

from buildprof.assembly.image_names import familiar
from buildprof.model.build import Build
from buildprof.model.document import Document
from buildprof.store import schema
from buildprof.store.connect import reading
from buildprof.store.errors import Ambiguous, NotFound
from buildprof.store.queries import BuildFilter, list_builds
from buildprof.store.rows import key_text

_LOOKED_THROUGH = 500
"""How many of the last builds are looked through for an image's."""

_HIGHEST = "\U0010ffff"
_MIN_PREFIX = 4


def stored_image(engine: Engine, image: str) -> Document:
    """The document of an analysed image by its name, its id, or a prefix of its id of 4 characters or more; the newest of a name.

    An image has all the names that its builds gave it. Raises NotFound, and Ambiguous for a prefix of several.
    """
    table, wanted = schema.images, key_text(image)
    tagged = (build for build in _last_builds(engine) if build.image and familiar(wanted) in build.image.tags)
    if (document := next(filter(None, (image_of(engine, build) for build in tagged)), None)) is not None:
        return document
    by_name = select(table).where(table.c.name == familiar(wanted)).order_by(table.c.analysed_ns.desc()).limit(1)
    found = _documents(engine, by_name)
    if not found:
        start = wanted if wanted.startswith("sha256:") else f"sha256:{wanted}"
        if len(start) >= len("sha256:") + _MIN_PREFIX:
            within = (table.c.id >= start) & (table.c.id < start + _HIGHEST)
            # Not by the index of times: SQLite would find each row by its key, and reads whole documents to compare keys.
            newest = (table.c.analysed_ns + 0).desc()
            found = _documents(engine, select(table).where(within).order_by(newest).limit(2))
    if not found:
        raise NotFound(f"no analysed image is known as {image[:100]!r}")
    if len({document["id"] for document in found}) > 1:
        raise Ambiguous(f"{image[:100]!r} begins the ids of several images: give more of it")
    return found[0]


def image_of(engine: Engine, build: Build) -> Document | None:
    """The document of a build's image; None if it was not analysed."""
    if build.image is None:
        return None
    table = schema.images
    here = select(table).where(table.c.builder == build.builder, table.c.id == key_text(build.image.id))
    return next(iter(_documents(engine, here)), None)


def build_of_image(engine: Engine, image_ids: Collection[str]) -> Build | None:
    """The head of the newest build that made an image with one of these ids, among the last ones."""
    return next((one for one in _last_builds(engine) if _made(one, image_ids)), None)


def _last_builds(engine: Engine) -> list[Build]:
    return list_builds(engine, BuildFilter(limit=_LOOKED_THROUGH))


def _made(build: Build, image_ids: Collection[str]) -> bool:
    return build.image is not None and build.image.id in image_ids


def _documents(engine: Engine, statement: Select[Any]) -> list[Document]:
    with reading(engine) as connection:
        return [_document(row) for row in connection.execute(statement)]


def _document(row: Row[Any]) -> Document:
    document: Document = json.loads(row.document)
    return document
