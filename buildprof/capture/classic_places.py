"""Where classic builds are made: by the client's command that runs meanwhile.

The events stream names no directory. A client that runs on this machine does, in its command, and what the build was
made of tells whether it was that client's: its steps agree with the Dockerfile, and its image has the name that the
command gives. So two builds at once are told apart, and where they cannot be, neither is placed; nor is a build whose
client was not seen, but for one that came to the very image of a build that was placed.
"""

from __future__ import annotations

import asyncio
import os
from collections import OrderedDict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from buildprof.assembly.build import text_digest
from buildprof.assembly.classic_dockerfile import Fit, fit, with_dockerfile
from buildprof.assembly.classic_steps import with_identities
from buildprof.assembly.dockerfile import Dockerfile, parse
from buildprof.assembly.image_names import familiar
from buildprof.assembly.provenance import MAX_DOCKERFILE_BYTES
from buildprof.capture.desk import COMPOSE_PROJECT, COMPOSE_SERVICE, Desk
from buildprof.model.build import DEFAULT_TARGET, UNKNOWN_PROJECT, Build, Source
from buildprof.model.events import BuildCommand, BuildRecord, RecordState
from buildprof.model.snapshot import Snapshot
from buildprof.model.text import NANOSECONDS
from buildprof.sources.build_clients import build_clients
from buildprof.sources.working_tree import read_dockerfile

REMEMBERED_BUILDS = 64
REMEMBERED_IMAGES = 256

CLOCK_SLACK_NS = 2 * NANOSECONDS
"""A client was started before its build's first event, by clocks that may differ by so much."""

_UNIX = "unix://"


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A client, with its Dockerfile as it stood when a build was first seen; `key` is that of its directory's snapshot."""

    key: str
    client: BuildCommand
    text: str
    dockerfile: Dockerfile

    def may_make(self, build: Build) -> bool:
        """Whether the image has a name that the client gives it, as far as that is known."""
        if build.image is None:
            return True
        return not {familiar(one) for one in build.image.tags}.isdisjoint(map(familiar, self.client.tags))


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a build was placed, and the snapshot of its start."""

    candidate: _Candidate
    snapshot: Snapshot | None


class ClassicPlaces:
    """Knows who was building when a classic build was first seen, and places the build when it has ended."""

    def __init__(self, desk: Desk, engine_url: str) -> None:
        self._desk = desk
        self._engine_url = engine_url
        self._clients: tuple[BuildCommand, ...] = ()
        self._seen: OrderedDict[str, tuple[_Candidate, ...]] = OrderedDict()
        self._at_tag: tuple[int, tuple[_Candidate, ...]] = (0, ())
        self._images: OrderedDict[str, _Place] = OrderedDict()
        self._count = 0

    async def look(self, at_ns: int) -> None:
        """See who builds at an event of a build. Costs a look at all processes, two milliseconds where there are 100.

        Of a stream that is read again the events are old: who was started later had no part in them.
        """
        clients = await asyncio.to_thread(build_clients)
        self._clients = tuple(
            one
            for one in clients
            if one.started_ns <= at_ns + CLOCK_SLACK_NS and _may_be_at(one.host, self._engine_url)
        )

    def gone(self, open_refs: Collection[str]) -> list[str]:
        """The builds, of those that have not ended, whose client no longer runs."""
        running = {one.key for one in self._clients}
        return [
            ref
            for ref in open_refs
            if (candidates := self._seen.get(ref)) and running.isdisjoint(one.client.key for one in candidates)
        ]

    async def began(self, open_refs: Collection[str], busy_refs: Collection[str]) -> None:
        """Tie who was seen to the builds that began with an event; `open_refs` are all that have not ended.

        Where more builds run than clients are seen, some client is hidden, and nobody knows whose which build is.
        """
        if len(busy_refs) > len(self._clients):
            self._seen |= dict.fromkeys(busy_refs, ())
        if new := [ref for ref in open_refs if ref not in self._seen]:
            self._seen |= dict.fromkeys(new, await self._begin())
        while len(self._seen) > REMEMBERED_BUILDS:
            self._seen.popitem(last=False)

    async def tagged(self, at_ns: int) -> None:
        """Tie who was seen to a build of which a tag is the only event."""
        self._at_tag = at_ns, await self._begin()

    async def placed(self, build: Build) -> Build:
        """A build that has ended, with its directory, lines and snapshot where they can be told."""
        if build.source is not Source.CLASSIC:
            return build
        at_tag_ns, at_tag = self._at_tag
        candidates = self._seen.get(build.ref, at_tag if at_tag_ns == build.completed_ns else ())
        found = await asyncio.to_thread(self._fitting, build, candidates)
        image_id = build.image.id if build.image else ""
        if found is not None:
            place = _Place(found, await self._desk.snapshot_of(found.key, wait=True))
            if image_id:
                self._images[image_id] = place
                while len(self._images) > REMEMBERED_IMAGES:
                    self._images.popitem(last=False)
        elif (known := self._images.get(image_id)) is not None:
            place = known  # what went into the same image is the same
        else:
            return build
        return await self._with_place(build, place)

    async def _begin(self) -> tuple[_Candidate, ...]:
        """Note how the clients' directories stand."""
        candidates = await asyncio.to_thread(self._read, self._clients)
        for one in candidates:
            # The classic builder knows no ignore file of a Dockerfile's own.
            place = replace(one.client.place, dockerfile_path="")
            self._desk.begin(one.key, place, one.client.started_ns)
        return candidates

    def _read(self, clients: Sequence[BuildCommand]) -> tuple[_Candidate, ...]:
        found = []
        for client in clients:
            place = client.place
            text = read_dockerfile(Path(place.dockerfile_path), MAX_DOCKERFILE_BYTES, place.owner_uid)
            dockerfile = parse(text) if text else None
            if text and dockerfile is not None:
                self._count += 1
                found.append(_Candidate(f"classic {self._count}", client, text, dockerfile))
        return tuple(found)

    def _fitting(self, build: Build, candidates: Sequence[_Candidate]) -> _Candidate | None:
        """The one that the build is of; None where several would do."""
        fits = [
            (fit(build, one.dockerfile, one.client.place.target, self._desk.redact), one)
            for one in candidates
            if one.may_make(build)
        ]
        for wanted in (Fit.WHOLE, Fit.LIKE):
            fitting = {
                (one.client.place.context_path, one.client.place.dockerfile_path): one
                for how, one in fits
                if how is wanted
            }
            if fitting:
                return next(iter(fitting.values())) if len(fitting) == 1 else None
        return None

    async def _with_place(self, build: Build, place: _Place) -> Build:
        desk, found = self._desk, place.candidate
        state = found.client.place
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
            snapshot=place.snapshot,
        )


def _may_be_at(host: str, engine_url: str) -> bool:
    """Whether a client that names a host may mean that engine: two sockets are two engines, of the rest nobody knows."""
    if not host.startswith(_UNIX) or not engine_url.startswith(_UNIX):
        return True
    return os.path.realpath(host.removeprefix(_UNIX)) == os.path.realpath(engine_url.removeprefix(_UNIX))
