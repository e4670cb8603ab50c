"""What a finished build adds to the exported series: a list of changes, which the store applies once."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from buildprof.analysis.image_steps import image_steps
from buildprof.model.build import DEFAULT_TARGET, UNKNOWN_PROJECT, Build, Status
from buildprof.model.document import Document
from buildprof.model.explanation import Cause, Explanation
from buildprof.model.series import Contribution, Effect, Labels
from buildprof.model.step import Kind, Outcome, Step
from buildprof.model.text import clean

BUILD_DURATION_BUCKETS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 3600.0)
STEP_DURATION_BUCKETS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)
"""Upper bounds in seconds, inclusive; one more bucket, `+Inf`, takes what is above the last."""

OTHER_LABEL = "other"
"""The project, and the target, under which builds are counted that exceed the label budget."""

MAX_AMOUNT = 1e18
"""More seconds, and more bytes, than any build can have: what is above is an error and must not spoil the sum."""

MAX_LABEL_CHARACTERS = 100
MAX_LAYERS = 20
INSTRUCTIONS = frozenset({"ADD", "COPY", "FROM", "MERGE", "RUN", "WORKDIR"})
OTHER_INSTRUCTION = "OTHER"
"""Values of the label `instruction`; any other instruction is OTHER."""

_EXECUTED = frozenset({Outcome.MISS, Outcome.FAILED})


@dataclass(frozen=True, slots=True)
class LabelBudget:
    """How many projects, and targets of each project, may have labels of their own.

    `known` are the projects, each with its targets, that stand in the stored series already: they stay as they are.
    """

    max_projects: int = 100
    max_targets: int = 20
    known: Mapping[str, AbstractSet[str]] = field(default_factory=dict)

    def place(self, project: str, target: str) -> tuple[str, str]:
        """Give the labels of a project and a target: their own where they are known or there is room, else `other`.

        A project that has no room loses its targets as well. A project that is really named `other` keeps them.
        """
        project, target = label_value(project, UNKNOWN_PROJECT), label_value(target, DEFAULT_TARGET)
        if project != OTHER_LABEL and project not in self.known:
            taken = sum(1 for name in self.known if name != OTHER_LABEL)
            if taken >= self.max_projects:
                return OTHER_LABEL, OTHER_LABEL
        targets = self.known.get(project, frozenset())
        if target in targets or sum(1 for name in targets if name != OTHER_LABEL) < self.max_targets:
            return project, target
        return project, OTHER_LABEL


def label_value(text: str, default: str) -> str:
    """Make `text` a label's value: one line of valid UTF-8, 100 characters at most; `default` if nothing is left."""
    return clean(text, MAX_LABEL_CHARACTERS) or default


def instruction_label(step: Step) -> str:
    """Give the value of the label `instruction` for a step: one of INSTRUCTIONS, else OTHER."""
    word = "MERGE" if step.kind is Kind.MERGE else step.instruction.upper() or step.kind.upper()
    return word if word in INSTRUCTIONS else OTHER_INSTRUCTION


def bucket_label(bounds: tuple[float, ...], value: float) -> str:
    """Give the label `le` of the bucket that `value` falls in: the smallest bound that is not below it, else `+Inf`."""
    index = bisect_left(bounds, value)
    return repr(bounds[index]) if index < len(bounds) else "+Inf"


def contributions(build: Build, budget: LabelBudget, explanation: Explanation | None = None) -> list[Contribution]:
    """Give all changes that a finished build makes to the series that the catalog calls fed by the store.

    Counters are contributed with 0 as well, so that a series exists from the project's first build on; those of misses
    for every cause, whether the build is explained or not. Gauges tell of the last build of one project and target;
    builds that are counted under `other` for want of room have none, as they would mix projects.

    Raises ValueError for a build that still runs.
    """
    if build.completed_ns is None or build.status is Status.RUNNING:
        raise ValueError(f"build {build.ref} has not finished")
    project, target = budget.place(build.project, build.target)
    where = {"project": project, "target": target}
    changes = [*_build_counters(build, where), *_step_counters(build, where), *_durations(build, where)]
    changes.extend(_miss_counters(explanation, where))
    own = (label_value(build.project, UNKNOWN_PROJECT), label_value(build.target, DEFAULT_TARGET))
    if own == (project, target):
        changes.extend(_gauges(build, build.completed_ns, where))
    return changes


def image_contributions(document: Document, build: Build, budget: LabelBudget) -> list[Contribution]:
    """Give what the analysis of a build's image, its document, sets; nothing for a build that is counted under `other`.

    Its layers are the base's too, with the bytes of their files. They stand a nanosecond after the build's end, so that
    they take the place of those that the build itself set.
    """
    own = (label_value(build.project, UNKNOWN_PROJECT), label_value(build.target, DEFAULT_TARGET))
    if build.completed_ns is None or budget.place(build.project, build.target) != own:
        return []
    where = {"project": own[0], "target": own[1]}
    at_ns = build.completed_ns
    values = {"image_wasted_bytes": document["wasted_bytes"], "image_efficiency_ratio": document["efficiency"]}
    changes = [
        Contribution(metric, _labels(**where), float(value), Effect.SET, at_ns) for metric, value in values.items()
    ]
    steps = {step.id: step for step in build.steps}
    sizes = [
        (f"{layer['index'] + 1:02} {_layer_instruction(layer, steps)}", layer["size_bytes"])
        for layer in document["layers"]
    ]
    return changes + list(_layer_series(_largest(sizes), where, at_ns + 1))


def _layer_instruction(layer: Document, steps: Mapping[str, Step]) -> str:
    """What made a layer, as `instruction_label` gives it: by the step, of a base layer by the image's history."""
    step = steps.get(layer["step"]["step_id"]) if layer["step"] else None
    if step is not None:
        return instruction_label(step)
    word = str(layer["command"]).partition(" ")[0].upper()
    return word if word in INSTRUCTIONS else OTHER_INSTRUCTION


def evictions(builder: str, records: int, size_bytes: int) -> list[Contribution]:
    """Give what cache records that vanished between two readings add; zeros make the series exist."""
    labels = _labels(builder=label_value(builder, "unknown"))
    return [
        Contribution("build_cache_evicted_records_total", labels, _amount(records)),
        Contribution("build_cache_evicted_bytes_total", labels, _amount(size_bytes)),
    ]


def _build_counters(build: Build, where: Mapping[str, str]) -> Iterator[Contribution]:
    with_builder = _labels(builder=label_value(build.builder, "unknown"), **where)
    yield Contribution("builds_total", with_builder, 1.0)
    yield Contribution("build_failures_total", with_builder, float(build.status is Status.FAILED))
    yield Contribution("build_cancellations_total", with_builder, float(build.status is Status.CANCELED))
    summary, labels = build.summary, _labels(**where)
    for metric, amount in (
        ("executed_seconds_total", summary.executed_seconds),
        ("cache_saved_seconds_total", summary.saved_seconds),
        ("context_transfer_bytes_total", summary.context_bytes),
        ("context_transfer_seconds_total", summary.context_seconds),
        ("cache_import_seconds_total", summary.cache_import_seconds),
        ("cache_export_seconds_total", summary.cache_export_seconds),
        ("image_export_seconds_total", summary.export_seconds),
        ("base_pull_seconds_total", summary.base_pull_seconds),
    ):
        yield Contribution(metric, labels, _amount(amount))


def _step_counters(build: Build, where: Mapping[str, str]) -> Iterator[Contribution]:
    cacheable = [step for step in build.steps if step.cacheable]
    hits = Counter(instruction_label(step) for step in cacheable if step.outcome is Outcome.HIT)
    for instruction, count in sorted(Counter(map(instruction_label, cacheable)).items()):
        labels = _labels(instruction=instruction, **where)
        yield Contribution("cacheable_steps_total", labels, float(count))
        yield Contribution("cache_hits_total", labels, float(hits[instruction]))


def _miss_counters(explanation: Explanation | None, where: Mapping[str, str]) -> Iterator[Contribution]:
    misses, lost = Counter[Cause](), defaultdict[Cause, float](float)
    for miss in explanation.misses if explanation else ():
        misses[miss.finding.cause] += 1
        lost[miss.finding.cause] += _amount(miss.blamed_seconds)
    for cause in Cause:
        labels = _labels(cause=cause.value, **where)
        yield Contribution("cache_misses_total", labels, float(misses[cause]))
        yield Contribution("cache_lost_seconds_total", labels, lost[cause])


def _durations(build: Build, where: Mapping[str, str]) -> Iterator[Contribution]:
    if build.duration_seconds is not None:
        yield from _observed("build_duration_seconds", BUILD_DURATION_BUCKETS, where, [build.duration_seconds], build)
    executed: defaultdict[str, list[float]] = defaultdict(list)
    for step in build.steps:
        if step.outcome in _EXECUTED and step.duration_seconds is not None:
            executed[instruction_label(step)].append(step.duration_seconds)
    for instruction, seconds in sorted(executed.items()):
        labels = {"project": where["project"], "instruction": instruction}
        yield from _observed("step_duration_seconds", STEP_DURATION_BUCKETS, labels, seconds, build)


def _observed(
    metric: str, bounds: tuple[float, ...], labels: Mapping[str, str], values: Iterable[float], build: Build
) -> Iterator[Contribution]:
    """Give observations of one histogram: per bucket their count and the largest as exemplar, and their sum."""
    amounts, at_ns, ref = sorted(map(_amount, values)), build.completed_ns or 0, build.ref
    buckets: defaultdict[str, list[float]] = defaultdict(list)
    for amount in amounts:
        buckets[bucket_label(bounds, amount)].append(amount)
    for bound, members in buckets.items():
        in_bucket = _labels(le=bound, **labels)
        yield Contribution(f"{metric}_bucket", in_bucket, len(members), Effect.ADD, at_ns, ref, members[-1])
    yield Contribution(f"{metric}_sum", _labels(**labels), math.fsum(amounts))


def _gauges(build: Build, at_ns: int, where: Mapping[str, str]) -> Iterator[Contribution]:
    image = build.image
    values: list[tuple[str, float | None]] = [
        ("last_build_timestamp_seconds", at_ns / 1e9),
        ("last_build_success", float(build.status is Status.COMPLETED)),
        ("last_build_duration_seconds", None if build.duration_seconds is None else _amount(build.duration_seconds)),
        ("last_build_cacheable_steps", build.summary.cacheable_steps),
        ("last_build_cache_hits", build.summary.cache_hits),
        ("image_size_bytes", image.size_bytes if image else None),
        ("image_layers", image.layers if image else None),
    ]
    labels = _labels(**where)
    for metric, value in values:
        if value is not None:
            yield Contribution(metric, labels, float(value), Effect.SET, at_ns)
    yield from _layer_series(layer_sizes(build), where, at_ns)


def layer_sizes(build: Build) -> list[tuple[str, int]]:
    """Find the 20 largest layers that a build's steps put into its image: `NN INSTRUCTION` and bytes, largest first.

    Not those that came with FROM, of which only the last is known: see `image_contributions`.
    NN counts the image's layers from 1, those of the base image too where the image's number of layers is known. Empty
    without an image.
    """
    if build.image is None:
        return []
    chain = image_steps(build)
    base_layers = max((build.image.layers or 0) - len(chain), 0)
    sizes = [
        (f"{number:02} {instruction_label(step)}", step.layer.size_bytes)
        for number, step in enumerate(chain, base_layers + 1)
        if step.kind is not Kind.FROM
        and step.layer is not None
        and step.layer.size_bytes is not None
        and step.layer.size_bytes >= 0
    ]
    return _largest(sizes)


def _largest(sizes: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
    return sorted(sizes, key=lambda size: (-size[1], size[0]))[:MAX_LAYERS]


def _layer_series(sizes: Iterable[tuple[str, int]], where: Mapping[str, str], at_ns: int) -> Iterator[Contribution]:
    for layer, size_bytes in sizes:
        yield Contribution("layer_size_bytes", _labels(layer=layer, **where), float(size_bytes), Effect.SET, at_ns)


def _labels(**labels: str) -> Labels:
    return tuple(sorted(labels.items()))


def _amount(value: float | None) -> float:
    """Give what may be added to a counter: 0 for what is unknown, negative (a clock that was set back) or not a number."""
    return min(float(value), MAX_AMOUNT) if value is not None and math.isfinite(value) and value > 0 else 0.0
