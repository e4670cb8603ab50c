"""Contributions and durations of many builds, folded so that each series and each step is written once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable

from buildprof.model.build import Build
from buildprof.model.series import Contribution, Effect
from buildprof.model.step import Outcome
from buildprof.store.rows import dump_labels, key_text

SeriesKey = tuple[str, str]
"""The metric and its labels as canonical JSON."""

SeriesState = tuple[float, int, str, float | None]
"""value, at_ns, ref, exemplar_value."""

Durations = list[tuple[int, float]]
"""When a step ended and how long it took: (ns since the epoch, seconds), newest first."""

KEPT_DURATIONS = 5
"""How many executed durations of a step are kept: what its median is taken of."""


def fold(contributions: Iterable[Contribution]) -> tuple[dict[SeriesKey, SeriesState], dict[SeriesKey, SeriesState]]:
    """Fold into what is to be added to series, and what they are to be set to. A series is fed by one effect only."""
    added: dict[SeriesKey, SeriesState] = {}
    replaced: dict[SeriesKey, SeriesState] = {}
    for new in contributions:
        key = (new.metric, dump_labels(new.labels))
        ref = key_text(new.ref)
        if new.effect is Effect.ADD:
            before = added.get(key)
            if before is None:
                added[key] = (new.value, new.at_ns, ref, new.exemplar_value)
            else:
                value, at_ns, old_ref, exemplar_value = before
                if ref and new.at_ns >= at_ns:
                    old_ref, exemplar_value = ref, new.exemplar_value
                added[key] = (value + new.value, max(at_ns, new.at_ns), old_ref, exemplar_value)
        elif key not in replaced or new.at_ns >= replaced[key][1]:
            replaced[key] = (new.value, new.at_ns, ref, new.exemplar_value)
    return added, replaced


def executed_durations(build: Build) -> dict[str, Durations]:
    """How long the steps took that this build executed, by the key of `step_history`."""
    at_ns = build.completed_ns or build.started_ns
    found: dict[str, Durations] = {}
    for step in build.steps:
        if step.outcome is Outcome.MISS and step.identity and step.duration_seconds is not None:
            found.setdefault(history_key(step.identity), []).append((at_ns, step.duration_seconds))
    return found


def newest(*lists: Durations) -> Durations:
    """Pick the last few of several lists, newest first, whatever the order in which they came."""
    return sorted((pair for durations in lists for pair in durations), reverse=True)[:KEPT_DURATIONS]


def history_key(identity: str) -> str:
    """Give an identity as it stands in an index: itself, or its digest where it is long."""
    if len(identity) <= 128 and identity.isascii() and "\0" not in identity:
        return identity
    return "sha256:" + hashlib.sha256(identity.encode("utf-8", "replace")).hexdigest()


def dump_durations(durations: Durations) -> str:
    """JSON text of durations."""
    return json.dumps(durations)


def load_durations(text: str) -> Durations:
    """Undo `dump_durations`."""
    return [(at_ns, seconds) for at_ns, seconds in json.loads(text)]
