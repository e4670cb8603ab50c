"""How much of a ref a person has to type."""

from __future__ import annotations

from sqlalchemy import Engine, func, select

from buildprof.store import schema
from buildprof.store.connect import reading
from buildprof.store.rows import key_text

MIN_CHARACTERS = 8


def short_ref(engine: Engine, ref: str) -> str:
    """The shortest prefix of a ref, of eight characters at least, that no other stored ref begins with.

    Of all refs those that stand before and after it in the index have most in common with it. Raises StoreError.
    """
    refs, ref = schema.builds.c.ref, key_text(ref)
    neighbours = select(
        select(func.max(refs)).where(refs < ref).scalar_subquery(),
        select(func.min(refs)).where(refs > ref).scalar_subquery(),
    )
    with reading(engine) as connection:
        found = connection.execute(neighbours).one()
    return ref[: max(MIN_CHARACTERS, *(_shared_characters(ref, neighbour or "") + 1 for neighbour in found))]


def _shared_characters(one: str, other: str) -> int:
    return next((at for at, (ours, theirs) in enumerate(zip(one, other, strict=False)) if ours != theirs), len(other))
