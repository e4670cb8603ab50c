"""Where classic builds are made: by the client's command that runs meanwhile, and by Dockerfiles that are known.

The events stream names no directory. A client that runs on this machine does, in its command, and what the build was
made of tells whether it was that client's: its steps agree with the Dockerfile. So two builds at once are told apart, and
where they cannot be, neither is placed.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import OrderedDict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from buildprof.assembly.build import text_digest
from buildprof.assembly.classic_dockerfile import Fit, fit, with_dockerfile
from buildprof.assembly.classic_steps import with_identities
from buildprof.assembly.classic_texts import reference
from buildprof.assembly.dockerfile import Dockerfile, parse
from buildprof.assembly.provenance import MAX_DOCKERFILE_BYTES
from buildprof.capture.contexts import JUST_ENDED_NS
from buildprof.capture.desk import COMPOSE_PROJECT, COMPOSE_SERVICE, Desk
from buildprof.model.build import DEFAULT_TARGET, UNKNOWN_PROJECT, Build, Source
from buildprof.model.events import BuildCommand, BuildRecord, LocalState, RecordState
from buildprof.sources.build_clients import build_clients
from buildprof.sources.working_tree import read_dockerfile

REMEMBERED_BUILDS = 64
MAX_KNOWN = 32
"""Directories that are looked at when a build begins, beside those of running clients."""


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A directory that a build may be made of, as it stood when the build was first seen; `key` is its snapshot's.

    `tags` are the names that the client gives its image, None of a directory that is known without a client.
    """

    key: str
    place: LocalState
    text: str
    dockerfile: Dockerfile
    tags: tuple[str, ...] | None

    def may_make(self, build: Build) -> bool:
        """Whether the image has the names that the client gives it, as far as that is known."""
        if self.tags is None or build.image is None:
            return True
        return not {reference(one) for one in build.image.tags}.isdisjoint(map(reference, self.tags))


class ClassicPlaces:
    """Knows what was being built when a classic build was first seen, and places the build when it has ended."""

    def __init__(self, desk: Desk, engine_url: str, watch: Sequence[Path]) -> None:
        self._desk = desk
        self._engine_url = engine_url
        self._known: OrderedDict[tuple[str, str], LocalState] = OrderedDict()
        for one in watch:
            self._know(LocalState("", "", str(one), str(one / "Dockerfile")))
        self._seen: OrderedDict[str, tuple[_Candidate, ...]] = OrderedDict()
        self._last: tuple[_Candidate, ...] = ()
        self._clients: tuple[BuildCommand, ...] | None = None

    async def look(self, at_ns: int) -> None:
        """See who builds at an event of a build. Costs a look at all processes, two milliseconds where there are 100."""
        is_now = abs(time.time_ns() - at_ns) < JUST_ENDED_NS  # else a stream is read again
        self._clients = await asyncio.to_thread(build_clients) if is_now else None

    async def begin(self, at_ns: int) -> None:
        """Note how the directories stand of which something may be built now: those of the clients, and known ones."""
        candidates = await asyncio.to_thread(self._read, self._clients) if self._clients is not None else []
        for one in candidates:
            self._desk.begin(one.key, one.place, at_ns)
        self._last = tuple(candidates)

    async def began(self, open_refs: Collection[str], at_ns: int) -> None:
        """Tie what was seen to the builds that began with an event; `open_refs` are all that have not ended."""
        new = [ref for ref in open_refs if ref not in self._seen]
        if new:
            await self.begin(at_ns)
        for ref in new:
            self._seen[ref] = self._last
            while len(self._seen) > REMEMBERED_BUILDS:
                self._seen.popitem(last=False)

    async def placed(self, build: Build) -> Build:
        """A build that has ended, with its directory, lines and snapshot where they can be told."""
        if build.source is not Source.CLASSIC:
            return build
        candidates = self._seen.get(build.ref, self._last)
        found = await asyncio.to_thread(self._fitting, build, candidates)
        return build if found is None else await self._with_place(build, found)

    def _read(self, running_clients: Sequence[BuildCommand]) -> list[_Candidate]:
        clients = [one for one in running_clients if _may_be_at(one.host, self._engine_url)]
        running = {(one.place.context_path, one.place.dockerfile_path) for one in clients}
        others = [state for key, state in self._known.items() if key not in running]
        found = []
        asked = [*((one.place, one.tags) for one in clients), *((one, None) for one in others)]
        for number, (place, tags) in enumerate(asked):
            text = read_dockerfile(Path(place.dockerfile_path), MAX_DOCKERFILE_BYTES, place.owner_uid)
            dockerfile = parse(text) if text else None
            if text and dockerfile is not None:
                key = f"classic {time.monotonic_ns()} {number}"
                found.append(_Candidate(key, place, text, dockerfile, tags))
        return found

    def _fitting(self, build: Build, candidates: Sequence[_Candidate]) -> _Candidate | None:
        """The one that the build is of: a running client's before any other, None where several would do."""
        for is_client in (True, False):
            fits = [
                (fit(build, one.dockerfile, one.place.target, self._desk.redact), one)
                for one in candidates
                if (one.tags is not None) is is_client and one.may_make(build)
            ]
            for wanted in (Fit.WHOLE, Fit.LIKE):
                fitting = {
                    (one.place.context_path, one.place.dockerfile_path): one for how, one in fits if how is wanted
                }
                if fitting:
                    return next(iter(fitting.values())) if len(fitting) == 1 else None
        return None

    async def _with_place(self, build: Build, found: _Candidate) -> Build:
        desk, state = self._desk, found.place
        self._know(replace(state, target=""))
        attributes = {"target": state.target}
        if build.project != UNKNOWN_PROJECT:  # compose named it
            attributes |= {COMPOSE_PROJECT: build.project}
        if build.target != DEFAULT_TARGET:
            attributes |= {COMPOSE_SERVICE: build.target}
        record = BuildRecord(
            build.ref, RecordState.COMPLETE, 0, build.started_ns, build.completed_ns, frontend_attrs=attributes
        )
        placement = await desk.place_in(record, state, found.text)
        located = with_dockerfile(build, found.dockerfile, state.target, desk.redact)
        return replace(
            located,
            project=placement.project,
            target=placement.target,
            directory=placement.directory,
            context=desk.redact(state.context_path),
            dockerfile=desk.redact(state.dockerfile_path),
            dockerfile_digest=text_digest(found.text),
            dockerfile_text=desk.redact(found.text),
            steps=with_identities(located.steps, placement.project, placement.target),
            snapshot=await desk.snapshot_of(found.key, wait=True),
        )

    def _know(self, state: LocalState) -> None:
        key = (state.context_path, state.dockerfile_path)
        self._known[key] = state
        self._known.move_to_end(key)
        while len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)


def _may_be_at(host: str, engine_url: str) -> bool:
    """Whether a client that names a host may mean that engine: two sockets are two engines, of the rest nobody knows."""
    scheme = "unix://"
    if not host.startswith(scheme) or not engine_url.startswith(scheme):
        return True
    return os.path.realpath(host.removeprefix(scheme)) == os.path.realpath(engine_url.removeprefix(scheme))
