"""Recipes as JSON text and back, known by the digest of that text: most steps of a build have the last build's."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from typing import Any

from buildprof.model.recipe import ContextUse, Recipe, Written


def recipe_digest(recipe: Recipe) -> str:
    """What a recipe is known by."""
    return _known(_dump(recipe))


def dump_recipe(recipe: Recipe) -> tuple[str, str]:
    """Digest and JSON text."""
    text = _dump(recipe)
    return _known(text), text


@lru_cache(maxsize=1024)
def load_recipe(text: str) -> Recipe:
    """Undo `dump_recipe`."""
    written, before, operation, environment, is_exact, takes, images, remotes, content = json.loads(text)
    return Recipe(
        written=None if written is None else _written(written),
        before=tuple(_written(one) for one in before),
        operation=operation,
        environment=environment,
        is_exact=is_exact,
        takes=tuple(
            ContextUse(context, path, wildcard, tuple(include), tuple(exclude))
            for context, path, wildcard, include, exclude in takes
        ),
        images=tuple((name, digest) for name, digest in images),
        remotes=tuple((url, digest) for url, digest in remotes),
        content=content,
    )


def _dump(recipe: Recipe) -> str:
    value: list[Any] = [
        _lines(recipe.written) if recipe.written else None,
        [_lines(one) for one in recipe.before],
        recipe.operation,
        recipe.environment,
        recipe.is_exact,
        [[one.context, one.path, one.wildcard, one.include, one.exclude] for one in recipe.takes],
        recipe.images,
        recipe.remotes,
        recipe.content,
    ]
    # Only ASCII, so that lone surrogates and NUL of a hostile Dockerfile are escaped for any database.
    return json.dumps(value, separators=(",", ":"), sort_keys=True)


def _known(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _lines(written: Written) -> list[Any]:
    return [written.text, *written.lines, *filter(None, [written.digest])]


def _written(value: list[Any]) -> Written:
    text, first, last, *digest = value
    return Written(text, (first, last), *digest)
