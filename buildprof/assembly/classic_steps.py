"""Steps of a classic build: what the history of its images and the events of its containers say together.

A classic build is a chain: each instruction makes an image whose parent is the one before. An instruction that runs
has a container (all but COPY and ADD), and everything after the first one that missed misses too, stage by stage.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace

from buildprof.assembly.classic_facts import ImageRecord
from buildprof.assembly.history_text import HistoryText, command_text, parse_history_text
from buildprof.assembly.layer_entries import layer_entries
from buildprof.model.build import UNKNOWN_PROJECT
from buildprof.model.events import HistoryEntry
from buildprof.model.step import CACHEABLE_KINDS, Kind, Layer, Outcome, Step
from buildprof.model.text import NANOSECONDS

MAX_NAME_CHARS = 500
MAX_COMPARED_CHARS = 8000
"""Longer commands come cut from the engine's API."""

ADJACENT_NS = 2 * NANOSECONDS
"""An image that was committed this shortly before the next container was made belongs to the same run."""

COPY_NS = 60 * NANOSECONDS
"""A COPY or ADD has no start of its own: it is taken to last this long at most where nothing else bounds it."""


@dataclass(slots=True)
class Container:
    """A container of a build, as far as its events came. `image` is the parent of what it makes.

    `product` is the image that it is taken to have made, once that is seen.
    """

    id: str
    image: str
    created_ns: int
    command: tuple[str, ...] = ()
    confirmed: bool = False
    started_ns: int | None = None
    died_ns: int | None = None
    destroyed_ns: int | None = None
    exit_code: int | None = None
    killed: bool = False
    product: HistoryEntry | None = None
    environment: tuple[str, ...] = field(default=(), repr=False)

    @property
    def ended_ns(self) -> int | None:
        """When it was done with; None while it runs."""
        return self.destroyed_ns or self.died_ns

    def is_busy(self, at_ns: int, *, is_kept: bool) -> bool:
        """Whether it may run still.

        One of a metadata instruction never starts, so only its removal tells its end. `is_kept` says that the build
        removes none (`--rm=false`, the default of docker-py): then, or after a while, it is taken to have ended.
        """
        if self.ended_ns is not None:
            return False
        text = command_text(self.command) if self.command else None
        if text is None or text.kind is Kind.RUN or self.started_ns is not None:
            return True
        return not is_kept and at_ns - self.created_ns < ADJACENT_NS

    def made(self, entry: HistoryEntry) -> bool:
        """Whether this container's commit may be that entry: it has its command, and its time is within its life."""
        if parse_history_text(entry.created_by) is None or not _same_command(self.command, entry.created_by):
            return False
        # The builder removes a container right after its commit, unless told to keep it.
        latest_ns = self.destroyed_ns or (self.died_ns or self.created_ns) + COPY_NS
        return self.created_ns <= entry.created_ns <= latest_ns

    def distance(self, made_ns: int) -> tuple[bool, int]:
        """How far it is from having made an image at that time, to choose between builds of the same at once.

        The builder removes a container some 10 to 150 ms after its commit and before the next step, so the nearest
        removal is the best guess, and a container that is not removed yet the worst.
        """
        return self.destroyed_ns is None, abs((self.ended_ns or self.created_ns) - made_ns)


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage as seen: the image it came to, and its containers in order.

    `fresh` are images not known before. `is_result` tells that the image is the build's own result; otherwise its
    last container is still to be added. `since_ns` is the build's first event, `watched_ns` the first event of all.
    """

    image: ImageRecord
    containers: tuple[Container, ...]
    fresh: Collection[str]
    is_result: bool
    since_ns: int
    watched_ns: int


def stage_entries(image: ImageRecord, *, is_result: bool) -> tuple[HistoryEntry | None, list[HistoryEntry]]:
    """The base, None for `FROM scratch`, and the entries of the build itself, oldest first.

    The base is the nearest image below that has a tag, or was not built here by the classic builder. A tag of the
    result's own repository is no base but an earlier build of the same Dockerfile.
    """
    own = {repository(tag) for tag in image.tags} if is_result else set()
    entries: list[HistoryEntry] = []
    for index, entry in enumerate(image.history):
        is_top = index == 0 and is_result
        tagged = bool(entry.tags) and not own & {repository(tag) for tag in entry.tags}
        if not is_top and (tagged or not entry.id or parse_history_text(entry.created_by) is None):
            return entry, entries[::-1]
        entries.append(entry)
    return None, entries[::-1]


def repository(tag: str) -> str:
    """The name of an image without its tag: a colon after the last slash begins one."""
    head, colon, tail = tag.rpartition(":")
    return head if colon and "/" not in tail else tag


def stage_steps(
    stage: Stage, number: int, seen: Collection[str], ending: Outcome, redact: Callable[[str], str]
) -> list[Step]:
    """The steps of one stage, FROM first. `seen` are ids of earlier stages' steps; `ending` is the last one's outcome."""
    base, entries = stage_entries(stage.image, is_result=stage.is_result)
    while entries and entries[0].id in seen:  # FROM an earlier stage
        base = entries.pop(0)
    ran = _executions(entries, base, stage.containers)
    first = _first_executed(entries, ran, stage)
    from_id = f"{number}:{base.id if base and base.id else 'from'}"
    steps = [_from_step(base, from_id, base.id if base and base.id in seen else "", redact)]
    layers = _layers(stage.image, entries)
    previous_end_ns: int | None = None
    for index, entry in enumerate(entries):
        text = parse_history_text(entry.created_by) or HistoryText("", "", Kind.OTHER)
        container = ran.get(entry.id)
        executed = index >= first
        started_ns = (container.created_ns if container else previous_end_ns) if executed else None
        completed_ns = _completed_ns(entry, container) if executed else None
        if started_ns is not None and completed_ns is not None:
            completed_ns = max(started_ns, completed_ns)
        previous_end_ns = _released_ns(container, completed_ns)
        outcome = Outcome.MISS if executed else Outcome.HIT
        step = _step(entry.id or f"{number}:{index}", text, outcome, (steps[-1].id,), redact)
        layer = layers[index] if step.cacheable else None
        steps.append(_timed(replace(step, layer=layer, stored_bytes=entry.size_bytes), started_ns, completed_ns))
    if not stage.is_result and stage.containers:
        steps.append(_last_step(stage.containers[-1], steps[-1].id, ending, redact))
    return steps


def _layers(image: ImageRecord, entries: Sequence[HistoryEntry]) -> list[Layer | None]:
    """What each of the last entries of an image's history put into it; where the image tells no digest, by size alone."""
    history = [(entry.created_by, entry.size_bytes) for entry in reversed(image.history)]
    found = layer_entries(history, len(image.digests)) if image.digests else None
    if found is None:
        return [Layer("", entry.size_bytes) for entry in entries]
    digests = dict(zip(found, image.digests, strict=True))
    first = len(history) - len(entries)
    return [
        Layer(digests[first + index], entry.size_bytes) if first + index in digests else None
        for index, entry in enumerate(entries)
    ]


def numbered(steps: Sequence[Step], stage: str) -> list[Step]:
    """The steps with their stage, position and the number that people read: `[stage-0 2/5] RUN make`."""
    of = len(steps)
    return [
        replace(
            step, stage=stage, position=position, of=of,
            name=f"[{stage + ' ' if stage else ''}{position}/{of}] {step.instruction} {step.command}".strip(),
        )
        for position, step in enumerate(steps, 1)
    ]  # fmt: skip


def with_identities(steps: Sequence[Step], project: str, target: str) -> tuple[Step, ...]:
    """Cacheable steps get what is the same in every build: project, target, base, instruction and its occurrence.

    The base stands for the stage: a stage that came from the cache is not seen, so neither names nor numbers last.
    The project "unknown" is many projects, told apart by the texts of the stage as far as the step.
    """
    seen: Counter[str] = Counter()
    found = []
    base = ""
    before = hashlib.blake2b(digest_size=16)
    for step in steps:
        identity = ""
        if step.kind is Kind.FROM:
            base = step.command
            before = hashlib.blake2b(digest_size=16)
        if step.cacheable:
            text = " ".join(step.command.split())
            place = f"{project}\0{before.hexdigest()}" if project == UNKNOWN_PROJECT else project
            before.update(f"{step.instruction}\0{text}\0".encode("utf-8", "replace"))
            parts = ("classic", place, target, step.platform, base, step.kind.value, step.instruction, text)
            key = "\0".join(parts)
            seen[key] += 1
            identity = hashlib.blake2b(f"{key}\0{seen[key]}".encode("utf-8", "replace"), digest_size=16).hexdigest()
        found.append(replace(step, identity=identity))
    return tuple(found)


def _same_command(command: Sequence[str], created_by: str) -> bool:
    """Whether a history's text is of that command: build arguments stand before it. Unknown and cut ones may be."""
    if not command or len(created_by) > MAX_COMPARED_CHARS:
        return True
    return " ".join(created_by.split()).endswith(" ".join(" ".join(command).split()))


def _executions(
    entries: Sequence[HistoryEntry], base: HistoryEntry | None, containers: Sequence[Container]
) -> dict[str, Container]:
    """Which container made which entry: the one that was made from the entry's parent and lived when it was committed."""
    ran: dict[str, Container] = {}
    parent = base.id if base else ""
    for entry in entries:
        # Of two builds of the same at once, the commit is nearest to the removal of its own container.
        able = [one for one in containers if one.image == parent and one.made(entry)]
        if able:
            ran[entry.id] = min(able, key=lambda one: abs((one.ended_ns or entry.created_ns) - entry.created_ns))
        parent = entry.id
    return ran


def _first_executed(entries: Sequence[HistoryEntry], ran: dict[str, Container], stage: Stage) -> int:
    """The index of the first entry that this build made; their number if all came from the cache.

    Without a container (COPY, ADD; others only while nobody watched) the time of the commit decides: right before the
    next step began, or since the build's own first event.
    """
    first = next((index for index, entry in enumerate(entries) if entry.id in ran), len(entries))
    if first < len(entries):
        next_ns = ran[entries[first].id].created_ns
    elif not stage.is_result and stage.containers:
        next_ns = stage.containers[-1].created_ns
    else:
        next_ns = stage.since_ns
    is_copy_next = False
    while first > 0:
        entry = entries[first - 1]
        text = parse_history_text(entry.created_by)
        is_copy = text is not None and text.kind in (Kind.COPY, Kind.ADD)
        is_watched = entry.created_ns >= stage.watched_ns
        slack_ns = COPY_NS if is_copy and is_copy_next and is_watched else ADJACENT_NS
        is_recent = min(next_ns - slack_ns, stage.since_ns) <= entry.created_ns <= next_ns
        if not is_recent or entry.id not in stage.fresh or (is_watched and not is_copy):
            break
        next_ns, is_copy_next = entry.created_ns, is_copy
        first -= 1
    return first


def _completed_ns(entry: HistoryEntry, container: Container | None) -> int:
    if container is None:
        return entry.created_ns
    return max(entry.created_ns, container.died_ns or entry.created_ns)


def _released_ns(container: Container | None, completed_ns: int | None) -> int | None:
    if container is None or completed_ns is None or container.destroyed_ns is None:
        return completed_ns
    return max(completed_ns, container.destroyed_ns)


def _from_step(base: HistoryEntry | None, step_id: str, earlier: str, redact: Callable[[str], str]) -> Step:
    command = "scratch"
    if base is not None:
        command = redact(base.tags[0]) if base.tags else base.id[:19] or "unknown"
    inputs = (earlier,) if earlier else ()
    return Step(step_id, "", Kind.FROM, Outcome.NONE, instruction="FROM", command=command, inputs=inputs)


def _last_step(container: Container, parent: str, outcome: Outcome, redact: Callable[[str], str]) -> Step:
    """The step of a container whose image is not known: the failed one, or the last of a stage."""
    text = command_text(container.command) or HistoryText("", "unknown", Kind.OTHER)
    step = _step(container.id, text, outcome, (parent,), redact)
    return _timed(step, container.created_ns, container.died_ns or container.ended_ns)


def _step(
    step_id: str, text: HistoryText, outcome: Outcome, inputs: tuple[str, ...], redact: Callable[[str], str]
) -> Step:
    cacheable = text.kind in CACHEABLE_KINDS
    counts = cacheable or outcome in (Outcome.FAILED, Outcome.CANCELED)
    return Step(
        id=step_id,
        name="",
        kind=text.kind,
        outcome=outcome if counts else Outcome.NONE,
        instruction=text.instruction,
        command=redact(text.command)[:MAX_NAME_CHARS],
        inputs=inputs,
        cacheable=cacheable,
    )


def _timed(step: Step, started_ns: int | None, completed_ns: int | None) -> Step:
    known = started_ns is not None and completed_ns is not None
    duration = (completed_ns - started_ns) / NANOSECONDS if known else None  # type: ignore[operator]
    return replace(step, started_ns=started_ns, completed_ns=completed_ns, duration_seconds=duration)
