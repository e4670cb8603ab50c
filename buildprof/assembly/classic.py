"""Builds from the Docker events stream: the classic builder's, and BuildKit's images where there is no history.

What marks a classic build is in `ContainerRecord.is_classic_build`; what ties its containers together is the chain of
images: each is made from the image that the one before it made. What cannot be told, since the engine says nothing:

- A build of which nothing ran has one event, the tag, as `docker tag` does. It counts as a build if the name was that
  image's already, or the image had no name; under a further name it is taken for `docker tag`.
- A build without a tag, and one that fails or is cancelled at a COPY or an ADD, end without an event: they are closed
  after `QUIET_NS` and count as completed, with no image. One of which nothing ran leaves no trace at all.
- A step that never ran in a failed build is unknown: the events do not hold the Dockerfile.
- Stages served from the cache, and a COPY at the end of a stage that is not the last, are not in the result's
  history. Names of stages are nowhere; they are numbered as they are seen.
- The first COPY or ADD of a build has no known start, and what is sent as context before it is not seen.
- `docker kill` on a build's container looks like a cancelled build.
- Of builds at the same time, a later stage is put with the build that was active last.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from buildprof.assembly.classic_build import COMPOSE_LABELS, Ending, build_ref, buildkit_image, classic_build
from buildprof.assembly.classic_facts import (
    IMAGE_ID,
    Answers,
    ContainerQuestion,
    ImageQuestion,
    ImageRecord,
    Question,
    container_answer,
    image_answer,
)
from buildprof.assembly.classic_makers import find_maker
from buildprof.assembly.classic_recipes import classic_recipes, history_texts, without_arguments
from buildprof.assembly.classic_runs import Run, Thread, joined, made_in
from buildprof.assembly.classic_steps import Container, Stage
from buildprof.assembly.history_text import HistoryText, parse_history_text
from buildprof.assembly.redact import Redactor
from buildprof.model.build import Build, Engine, Status
from buildprof.model.events import EngineEvent
from buildprof.model.step import Kind
from buildprof.model.text import NANOSECONDS

QUIET_NS = 120 * NANOSECONDS
"""A build without events for this long, and with no container that runs, has ended without saying so."""

STAGE_GAP_NS = 5 * NANOSECONDS
"""The next stage of a build begins this soon after the last sign of it."""

MORE_TAGS_NS = NANOSECONDS
"""Further tags of one build follow within this time."""

FRESH_NS = 5 * NANOSECONDS
"""An image made this shortly before its tag was made by what tagged it."""

MAX_RUNS = 64
MAX_CONTAINERS = 2000
_MAX_REMEMBERED = 16_384
_MAX_NAMED = 2048
_MAX_ENDED = 32


@dataclass(frozen=True, slots=True, eq=False)
class _Closed:
    """A build that has ended while others are open. `container_ids` are those that it was told with."""

    run: Run
    status: Status
    at_ns: int
    image: ImageRecord | None
    tag: str
    container_ids: tuple[str, ...]


class ClassicTracker:
    """Folds events and answers into builds; the same events and answers give the same builds.

    For each event in order: ask the engine what `questions` wants to know, then `fold` the event with the answers and
    save what comes out. Call `expire` now and then. A Build may come again with a higher generation. With a `redactor`
    cacheable steps have recipes, and the values of build arguments are taken out of all texts.
    """

    def __init__(
        self,
        builder: str,
        engine: Engine,
        redact: Callable[[str], str] = str,
        *,
        buildkit_images: bool = False,
        redactor: Redactor | None = None,
    ) -> None:
        self.engine = engine
        self.buildkit_images = buildkit_images
        """Whether images that BuildKit made become builds without steps: for an engine that keeps no history."""
        self._builder, self._redact, self._redactor = builder, redact, redactor
        self._watched_ns = 1 << 62
        self._runs: list[Run] = []
        self._known: OrderedDict[str, None] = OrderedDict()
        self._names: OrderedDict[str, set[str]] = OrderedDict()
        self._committed: OrderedDict[str, None] = OrderedDict()
        self._made: OrderedDict[str, None] = OrderedDict()
        self._ended: OrderedDict[str, Build] = OrderedDict()
        self._generations: OrderedDict[str, int] = OrderedDict()
        self._closed: list[_Closed] = []

    @property
    def open_since_ns(self) -> int | None:
        """The first event of the oldest build that has not ended: from here a stream is to be read again."""
        return min((run.started_ns for run in self._runs), default=None)

    @property
    def open_refs(self) -> list[str]:
        """The refs that builds which have not ended will have."""
        return list(map(self._ref, self._runs))

    def questions(self, event: EngineEvent) -> list[Question]:
        """What must be known to fold an event, the most urgent first."""
        image = event.attributes.get("image", "")
        if (event.type, event.action) == ("container", "create") and IMAGE_ID.fullmatch(image):
            return [ContainerQuestion(event.id), ImageQuestion(image)]
        if (event.type, event.action) == ("image", "tag"):
            return [ImageQuestion(event.id)]
        return []

    def fold(self, event: EngineEvent, answers: Answers, gone: Collection[str] = ()) -> list[Build]:
        """Take an event; the builds that it ended or amended.

        `gone` are the refs of builds whose clients have gone: what comes now is no later stage of theirs.
        """
        self._watched_ns = min(self._watched_ns, event.at_ns)
        builds = self.expire(event.at_ns)
        if event.type == "container":
            if event.action == "create":
                builds += self._created(event, answers, gone)
            elif event.action == "commit":
                _remember(self._committed, event.attributes.get("imageID", ""))
            else:
                builds += self._lived(event)
        elif event.type == "image":
            if event.action == "tag":
                builds += self._tagged(event, image_answer(answers, event.id))
            elif event.action in ("untag", "delete"):
                self._names.pop(event.id, None)
        return builds + self._mended()

    def expire(self, now_ns: int) -> list[Build]:
        """Close builds that have been quiet for long. Those of which no container was seen for sure are forgotten."""
        quiet = [run for run in self._runs if run.last_ns + QUIET_NS < now_ns and not run.is_busy(now_ns)]
        return [build for run in quiet for build in self._close(run, Status.COMPLETED, run.last_ns)]

    def busy_refs(self, at_ns: int) -> list[str]:
        """Those of them in which something runs now."""
        return [self._ref(run) for run in self._runs if run.is_busy(at_ns)]

    def _ref(self, run: Run) -> str:
        return build_ref(self._builder, run.threads[0].containers[0].id)

    def running_containers(self, before_ns: int) -> list[str]:
        """The containers, made before a time, at which builds are now as far as the events tell."""
        return [run.last.id for run in self._runs if run.last.ended_ns is None and run.last.created_ns < before_ns]

    def interrupted(self, dead_containers: Collection[str]) -> list[Build]:
        """Close the builds at containers that run no more: their engine was killed, and never said how they ended."""
        over = [run for run in self._runs if run.last.ended_ns is None and run.last.id in dead_containers]
        return [build for run in over for build in self._close(run, Status.CANCELED, run.last_ns)]

    def _created(self, event: EngineEvent, answers: Answers, gone: Collection[str]) -> list[Build]:
        image = image_answer(answers, event.attributes.get("image", ""))
        record = container_answer(answers, event.id)
        if image is None or (record is not None and not record.is_classic_build):
            return []
        container = Container(event.id, image.id, event.at_ns)
        if record is not None:
            container.confirmed, container.command = True, record.command
            container.environment = record.environment
        fresh = {entry.id for entry in image.history if entry.id and entry.id not in self._known}
        run = self._continued(container, image) or self._later_stage(container, image, fresh, gone)
        builds: list[Build] = []
        if run is None:
            labels = {name: event.attributes.get(name, "") for name in COMPOSE_LABELS}
            run = Run([Thread(image, [container])], labels)
            self._runs.append(run)
            if len(self._runs) > MAX_RUNS:
                builds += self._close(self._runs[0], Status.COMPLETED, self._runs[0].last_ns)
        run.fresh |= fresh
        run.last_ns = event.at_ns
        self._know(image)
        return builds

    def _continued(self, container: Container, image: ImageRecord) -> Run | None:
        """The build with a container that made an image that this one's comes from; it gets the container."""
        if (found := self._maker(image)) is None:
            return None
        run, thread = found
        if run.others_are_busy(thread, container.created_ns):
            run, thread = self._split(run, thread)
        if len(run.containers) >= MAX_CONTAINERS:
            return run
        if thread is run.threads[-1]:
            thread.image = image
            thread.containers.append(container)
        else:
            run.threads.append(Thread(image, [container], thread))
        return run

    def _split(self, run: Run, thread: Thread) -> tuple[Run, Thread]:
        """Make a thread, with what went before it, a build of its own: it and the rest were taken for one build."""
        whole = joined([one for one in run.threads if one.root is thread.root])
        split = Run([whole], run.labels, set(run.fresh), run.last_ns)
        rest = [one for one in run.threads if one.root is not thread.root]
        # What went on after the other had come between was no later stage.
        run.threads = [joined(rest)] if len({id(one.root) for one in rest}) == 1 else rest
        self._runs.append(split)
        return split, whole

    def _later_stage(
        self, container: Container, image: ImageRecord, fresh: set[str], gone: Collection[str]
    ) -> Run | None:
        """The build that was active last, if this container can begin its next stage; it gets the container."""
        run = self._idle(container.created_ns, lambda run: self._ref(run) not in gone)
        if run is None or any((one.image, one.command) == (image.id, container.command) for one in run.containers):
            return None
        copied = [entry.created_ns for entry in image.history if entry.id in fresh]
        last_sign_ns = max([run.last_ns, *(at_ns for at_ns in copied if at_ns <= container.created_ns)])
        if container.created_ns - last_sign_ns > STAGE_GAP_NS:
            return None
        run.threads.append(Thread(image, [container]))
        return run

    def _lived(self, event: EngineEvent) -> list[Build]:
        """Take what became of a container; a build ends with one that fails."""
        for run in self._runs:
            for container in run.containers:
                if container.id == event.id:
                    return self._changed(run, container, event)
        return []

    def _changed(self, run: Run, container: Container, event: EngineEvent) -> list[Build]:
        run.last_ns = max(run.last_ns, event.at_ns)
        match event.action:
            case "start":
                container.started_ns = event.at_ns
            case "kill":
                container.killed = True
            case "destroy":
                container.destroyed_ns = event.at_ns
            case "die":
                container.died_ns = event.at_ns
                container.exit_code = _integer(event.attributes.get("exitCode", ""))
                if container.exit_code != 0:
                    status = Status.CANCELED if container.killed else Status.FAILED
                    return self._close(run, status, event.at_ns)
        return []

    def _tagged(self, event: EngineEvent, image: ImageRecord | None) -> list[Build]:
        name = event.attributes.get("name", "")
        if image is None:
            return []
        names = self._names.get(image.id)
        builds = self._tagged_build(event.at_ns, name, image, names)
        self._know(image)
        _remember(self._names, image.id, {*(names or ()), *image.tags, name}, _MAX_NAMED)
        return builds

    def _tagged_build(self, at_ns: int, name: str, image: ImageRecord, names: set[str] | None) -> list[Build]:
        ended = self._ended.get(image.id)
        if ended and ended.image and at_ns - (ended.completed_ns or 0) < MORE_TAGS_NS and name not in ended.image.tags:
            tags = (*ended.image.tags, self._redact(name))
            return [self._done(replace(ended, image=replace(ended.image, tags=tags)))]
        fresh = {entry.id for entry in image.history if entry.id and entry.id not in self._known}
        is_again = name in names or not names if names is not None else set(image.tags) <= {name}
        if run := self._result_of(image, fresh, at_ns, is_again=is_again):
            run.fresh |= fresh
            return self._close(run, Status.COMPLETED, at_ns, image, name)
        is_new = image.id in fresh and 0 <= at_ns - image.created_ns < FRESH_NS
        if image.is_buildkit and self.buildkit_images and (is_new or is_again):
            return [self._done(buildkit_image(self._imaged(at_ns, name, image), image, self._redact))]
        text = _classic_text(image)
        if text is None or image.id in self._committed:
            return []
        if is_new:
            # What is new and has no container of a build was copied, or made by `docker commit`.
            is_copied = text.kind in (Kind.COPY, Kind.ADD)
            return [self._without_containers(at_ns, name, image, fresh)] if is_copied else []
        return [self._without_containers(at_ns, name, image, set())] if is_again else []

    def _result_of(self, image: ImageRecord, fresh: set[str], at_ns: int, *, is_again: bool) -> Run | None:
        """The open build that made an image: by its last container, or, if the last stage had none, by its time."""
        if (found := self._maker(image)) is not None:
            run, thread = found
            # A build's last stage is its result: what came after is of another build.
            return run if thread is run.threads[-1] else self._split(run, thread)[0]
        text = _classic_text(image)
        if text is None:
            return None
        if image.id in fresh:
            is_copied = text.kind in (Kind.COPY, Kind.ADD) and at_ns - image.created_ns < FRESH_NS
            since_ns = image.created_ns if is_copied else 0
            return self._idle(at_ns, lambda run: run.last_ns <= since_ns)
        # The last stage came from the cache, though an earlier one ran.
        return self._idle(at_ns, lambda run: at_ns - run.last_ns < STAGE_GAP_NS) if is_again else None

    def _maker(self, image: ImageRecord) -> tuple[Run, Thread] | None:
        """The thread, and its build, whose last container made an image of this history."""
        return find_maker(self._runs, image, [one.run for one in self._closed], self._made)

    def _idle(self, at_ns: int, condition: Callable[[Run], bool]) -> Run | None:
        """Of the builds in which nothing runs, the one that was active last."""
        idle = [run for run in self._runs if not run.is_busy(at_ns) and condition(run)]
        return max(idle, key=lambda run: run.last_ns, default=None)

    def _close(
        self, run: Run, status: Status, at_ns: int, image: ImageRecord | None = None, tag: str = ""
    ) -> list[Build]:
        self._runs.remove(run)
        if not any(one.confirmed for one in run.containers) and image is None:
            return []
        closed = _Closed(run, status, at_ns, image, tag, run.container_ids)
        self._closed.append(closed)
        return [self._done(self._built(closed))]

    def _built(self, closed: _Closed) -> Build:
        run, image = closed.run, closed.image
        stages = [
            Stage(
                thread.image,
                tuple(thread.containers),
                run.fresh,
                is_result=False,
                since_ns=run.started_ns,
                watched_ns=self._watched_ns,
            )
            for thread in run.threads
        ]
        if image is not None:
            if made_in(run.last, image.history) is not None:
                last = stages.pop().containers
                stages.append(
                    Stage(image, last, run.fresh, is_result=True, since_ns=run.started_ns, watched_ns=self._watched_ns)
                )
            else:
                stages.append(
                    Stage(image, (), run.fresh, is_result=True, since_ns=closed.at_ns, watched_ns=self._watched_ns)
                )
        first = run.threads[0].containers[0]
        ending = Ending(
            self._builder, self.engine, first.id, closed.status, closed.at_ns, run.labels, image, closed.tag, run.last
        )
        return self._assembled(ending, stages)

    def _mended(self) -> list[Build]:
        """Builds that had ended when a later event showed that another's container was taken for theirs."""
        found = []
        for number, closed in enumerate(self._closed):
            if closed.container_ids == closed.run.container_ids:
                continue
            self._closed[number] = replace(closed, container_ids=closed.run.container_ids)
            build = self._built(closed)
            if build.image is not None and (known := self._ended.get(build.image.id)) and known.image:
                build = replace(build, image=known.image)
            found.append(self._done(build))
        since_ns = min((run.started_ns for run in self._runs), default=1 << 62)
        kept = [one for one in self._closed if one.at_ns >= since_ns][-_MAX_ENDED:]
        for closed in self._closed:
            if closed not in kept:
                for product in (one.product for one in closed.run.containers if one.product is not None):
                    _remember(self._made, product.id)
        self._closed = kept
        return found

    def _without_containers(self, at_ns: int, name: str, image: ImageRecord, fresh: set[str]) -> Build:
        """A build of which nothing ran but COPY and ADD, or nothing at all."""
        stage = Stage(image, (), fresh, is_result=True, since_ns=at_ns, watched_ns=self._watched_ns)
        return self._done(self._assembled(self._imaged(at_ns, name, image), [stage]))

    def _assembled(self, ending: Ending, stages: Sequence[Stage]) -> Build:
        if self._redactor is None:
            return classic_build(ending, stages, self._redact)
        texts = history_texts(stages)
        build = classic_build(ending, stages, without_arguments(texts, self._redactor).text)
        recipes = classic_recipes(build.steps, texts, self._redactor)
        return replace(build, steps=tuple(replace(one, recipe=recipes.get(one.id)) for one in build.steps))

    def _imaged(self, at_ns: int, name: str, image: ImageRecord) -> Ending:
        """The end of a build of which nothing but its image is known."""
        run_id = f"{image.id} {at_ns}"
        return Ending(self._builder, self.engine, run_id, Status.COMPLETED, at_ns, {}, image, name)

    def _done(self, build: Build) -> Build:
        generation = self._generations.get(build.ref, -1) + 1
        _remember(self._generations, build.ref, generation, _MAX_NAMED)
        build = replace(build, generation=generation)
        if build.image is not None:
            _remember(self._ended, build.image.id, build, _MAX_ENDED)
        return build

    def _know(self, image: ImageRecord) -> None:
        for entry in image.history:
            if entry.id:
                _remember(self._known, entry.id)


def _classic_text(image: ImageRecord) -> HistoryText | None:
    """The last instruction of an image that may come from the classic builder; None for one that cannot."""
    if image.is_buildkit or not image.parent or not image.history:
        return None
    return parse_history_text(image.history[0].created_by)


def _integer(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 10 else -1


def _remember(memory: OrderedDict[str, Any], key: str, value: Any = None, limit: int = _MAX_REMEMBERED) -> None:
    memory[key] = value
    memory.move_to_end(key)
    if len(memory) > limit:
        memory.popitem(last=False)
