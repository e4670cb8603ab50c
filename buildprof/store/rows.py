"""Builds and steps as rows, and back: what goes in comes out equal, but for what no database can hold as text."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Row

from buildprof.model.build import Build, BuildError, Engine, Image, Options, Source, Status, Summary, Vcs
from buildprof.model.recipe import Recipe
from buildprof.model.series import Labels
from buildprof.model.snapshot import Snapshot
from buildprof.model.step import Kind, Layer, Outcome, Resources, Step
from buildprof.store.recipes import recipe_digest

KEY_CHARACTERS = 255
"""How much is kept of a text that stands in an index, whose entries PostgreSQL limits to 2.7 kB."""

_NO_RECIPES: Mapping[str, Recipe] = {}

_dump = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_dump_sorted = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode


def clean(text: str) -> str:
    """Strip NUL and lone surrogates, which PostgreSQL cannot store and no terminal can print."""
    if "\0" not in text and text.isascii():
        return text
    return text.replace("\0", "").encode("utf-8", "ignore").decode()


def key_text(text: str) -> str:
    """Clean and bound a text that stands in an index."""
    return clean(text)[:KEY_CHARACTERS]


def dump_json(value: Any) -> str:
    """JSON text of lists, dicts and scalars, cleaned."""
    return _dump(_clean_deep(value))


@lru_cache(maxsize=8192)
def dump_labels(labels: Labels) -> str:
    """Canonical JSON text of labels: an object with its names sorted."""
    return _dump_sorted({clean(name): key_text(value) for name, value in labels})


def load_labels(texts: Sequence[str]) -> list[Labels]:
    """Undo `dump_labels` for many at once, which takes a third of the time that one after another does."""
    return [tuple(labels.items()) for labels in json.loads(f"[{','.join(texts)}]")]


def _clean_deep(value: Any) -> Any:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {clean(key): _clean_deep(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean_deep(item) for item in value]
    return value


def build_row(key: int, build: Build) -> tuple[Any, ...]:
    """All columns of `builds`, in the schema's order."""
    summary, error, image, vcs, options = build.summary, build.error, build.image, build.vcs, build.options
    return (
        key,
        key_text(build.ref),
        key_text(build.builder),
        build.generation,
        clean(build.engine.name),
        clean(build.engine.version),
        str(build.source),
        key_text(build.project),
        key_text(build.target),
        str(build.status),
        build.started_ns,
        build.completed_ns,
        clean(build.group),
        clean(build.directory),
        clean(build.dockerfile),
        key_text(build.dockerfile_digest),
        clean(build.context),
        dump_json(build.platforms) if build.platforms else "[]",
        None if error is None else dump_json([error.message, error.step_id, error.log_tail]),
        None if image is None else dump_json([image.id, image.tags, image.layers]),
        None if image is None else image.size_bytes,
        None if vcs is None else dump_json([vcs.source, vcs.revision]),
        dump_json(
            [
                options.no_cache,
                options.build_args,
                options.build_arg_hashes,
                options.cache_from,
                options.cache_to,
                options.no_cache_stages,
            ]
        ),
        summary.steps,
        summary.cacheable_steps,
        summary.cache_hits,
        summary.cache_misses,
        summary.executed_seconds,
        summary.saved_seconds,
        summary.critical_path_seconds,
        summary.context_bytes,
        summary.context_seconds,
        summary.export_seconds,
        summary.cache_import_seconds,
        summary.cache_export_seconds,
        summary.base_pull_seconds,
        None if build.snapshot is None else dump_snapshot(build.snapshot),
    )


def build_from(row: Row[Any], dockerfile_text: str = "", steps: tuple[Step, ...] = ()) -> Build:
    """Make the build that a row of `builds` holds, all columns in order; more columns after them are ignored."""
    columns: Sequence[Any] = row
    (
        _, ref, builder, generation, engine_name, engine_version, source, project, target, status,
        started_ns, completed_ns, group, directory, dockerfile, dockerfile_digest, context, platforms,
        error, image, image_size_bytes, vcs, options, *summary,
    ) = columns  # fmt: skip
    no_cache, build_args, hashes, cache_from, cache_to, *more = json.loads(options)
    snapshot = summary[13]
    return Build(
        ref=ref,
        builder=builder,
        engine=Engine(engine_name, engine_version),
        source=Source(source),
        project=project,
        target=target,
        status=Status(status),
        started_ns=started_ns,
        generation=generation,
        group=group,
        directory=directory,
        dockerfile=dockerfile,
        dockerfile_digest=dockerfile_digest,
        dockerfile_text=dockerfile_text,
        context=context,
        platforms=tuple(json.loads(platforms)),
        completed_ns=completed_ns,
        error=None if error is None else _error(json.loads(error)),
        image=None if image is None else _image(json.loads(image), image_size_bytes),
        vcs=None if vcs is None else Vcs(*json.loads(vcs)),
        options=Options(no_cache, build_args, hashes, tuple(cache_from), tuple(cache_to), *map(tuple, more)),
        summary=Summary(*summary[:13]),
        steps=steps,
        snapshot=None if snapshot is None else Snapshot(*json.loads(snapshot)),
    )


def dump_snapshot(snapshot: Snapshot) -> str:
    """JSON text of a snapshot."""
    return dump_json([snapshot.directory, snapshot.number, snapshot.at_ns, snapshot.is_exact])


def _error(value: list[Any]) -> BuildError:
    message, step_id, log_tail = value
    return BuildError(message, step_id, tuple(log_tail))


def _image(value: list[Any], size_bytes: int | None) -> Image:
    image_id, tags, layers = value
    return Image(image_id, tuple(tags), size_bytes, layers)


def step_rows(build_key: int, steps: Sequence[Step]) -> list[tuple[Any, ...]]:
    """All columns of `steps`, in the schema's order, a row for each step.

    An input is the ordinal of its step, which is shorter than its digest; its id where the build has no such step.
    """
    ordinals: dict[str, int] = {step.id: ordinal for ordinal, step in enumerate(steps)}
    rows = []
    for ordinal, step in enumerate(steps):
        layer, lines, resources = step.layer, step.lines, step.resources
        rows.append(
            (
                build_key,
                ordinal,
                clean(step.id),
                clean(step.name),
                str(step.kind),
                str(step.outcome),
                clean(step.stage),
                step.position,
                step.of,
                clean(step.platform),
                clean(step.instruction),
                clean(step.command),
                clean(step.identity),
                *((None, None) if lines is None else lines),
                _dump_inputs(step.inputs, ordinals) if step.inputs else None,
                step.cacheable,
                step.started_ns,
                step.completed_ns,
                step.duration_seconds,
                step.on_critical_path,
                step.slack_seconds,
                step.saved_seconds,
                step.transferred_bytes,
                *(
                    (None, None, None)
                    if layer is None
                    else (clean(layer.digest), layer.size_bytes, layer.compressed_bytes)
                ),
                step.stored_bytes,
                None if resources is None else _dump_resources(resources),
                None if step.error is None else clean(step.error),
                None if step.recipe is None else recipe_digest(step.recipe),
            )
        )
    return rows


def _dump_inputs(inputs: tuple[str, ...], ordinals: dict[str, int]) -> str:
    try:
        return str([ordinals[step_id] for step_id in inputs])  # a list of integers reads the same in JSON
    except KeyError:
        return dump_json([ordinals.get(step_id, step_id) for step_id in inputs])


def load_inputs(inputs: str | None, ids: Sequence[str]) -> tuple[str, ...]:
    """Ids of steps from the column `inputs`; `ids` are those of all steps of the build, in order."""
    return () if inputs is None else tuple(ids[i] if isinstance(i, int) else i for i in json.loads(inputs))


def _dump_resources(used: Resources) -> str:
    return _dump([used.cpu_seconds, used.memory_peak_bytes, used.read_bytes, used.written_bytes, used.network_bytes])


def steps_from(rows: Sequence[Row[Any]], recipes: Mapping[str, Recipe] = _NO_RECIPES) -> tuple[Step, ...]:
    """Make the steps of one build from its rows of `steps`, all columns in order, sorted by ordinal.

    `recipes` are by digest; steps of others have none.
    """
    ids = [row.id for row in rows]
    return tuple(_step(row, ids, recipes) for row in rows)


def _step(row: Row[Any], ids: list[str], recipes: Mapping[str, Recipe]) -> Step:
    columns: Sequence[Any] = row
    (
        _, _, step_id, name, kind, outcome, stage, position, of, platform, instruction, command, identity,
        first_line, last_line, inputs, cacheable, started_ns, completed_ns, duration_seconds, on_critical_path,
        slack_seconds, saved_seconds, transferred_bytes, layer_digest, layer_size_bytes, layer_compressed_bytes,
        stored_bytes, resources, error, recipe,
    ) = columns  # fmt: skip
    return Step(
        id=step_id,
        name=name,
        kind=Kind(kind),
        outcome=Outcome(outcome),
        stage=stage,
        position=position,
        of=of,
        platform=platform,
        instruction=instruction,
        command=command,
        identity=identity,
        lines=None if first_line is None else (first_line, last_line),
        inputs=load_inputs(inputs, ids),
        cacheable=bool(cacheable),
        started_ns=started_ns,
        completed_ns=completed_ns,
        duration_seconds=duration_seconds,
        on_critical_path=bool(on_critical_path),
        slack_seconds=slack_seconds,
        saved_seconds=saved_seconds,
        transferred_bytes=transferred_bytes,
        layer=None if layer_digest is None else Layer(layer_digest, layer_size_bytes, layer_compressed_bytes),
        stored_bytes=stored_bytes,
        resources=None if resources is None else Resources(*json.loads(resources)),
        error=error,
        recipe=None if recipe is None else recipes.get(recipe),
    )
