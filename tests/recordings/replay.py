"""Recordings of engines as the events that the sources would have emitted, and as the builds that come of them.

`python -m tests.recordings.replay --write` writes the builds anew to tests/recordings/buildkit/expected. Read the
difference before it is committed: each expectation was checked by eye against its recording.
"""

from __future__ import annotations

import base64
import json
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from google.protobuf.json_format import ParseDict

from buildprof.analysis.profile import profiled
from buildprof.assembly.build import BuildInputs, assemble, build_arguments
from buildprof.assembly.facts import BuildFacts
from buildprof.assembly.outcomes import Neighbour, as_neighbour
from buildprof.assembly.projects import Placement
from buildprof.assembly.provenance import Provenance, merge_provenances, parse_provenance
from buildprof.assembly.redact import make_redactor
from buildprof.model.build import Build, Engine
from buildprof.model.cache import CacheUsage
from buildprof.model.document import build_document
from buildprof.model.events import BuildRecord, StatusUpdate
from buildprof.sources.buildkit.convert import record_from_wire, status_from_wire, usage_from_wire
from buildprof.sources.buildkit.wire import control_pb2 as wire

DIRECTORY = Path(__file__).parent / "buildkit"
EXPECTED = DIRECTORY / "expected"
NAMES = tuple(sorted(path.stem for path in DIRECTORY.glob("*.jsonl")))


@dataclass(frozen=True, slots=True)
class Recording:
    """One build as an engine told of it."""

    name: str
    files: dict[str, str]
    record: BuildRecord
    updates: tuple[StatusUpdate, ...]
    provenance: Provenance = field(default_factory=Provenance)
    usage: CacheUsage | None = None

    @property
    def facts(self) -> BuildFacts:
        facts = BuildFacts()
        for update in self.updates:
            facts.observe(update)
        return facts

    def as_neighbour(self) -> Neighbour:
        return as_neighbour(self.record.ref, self.record.created_ns, self.facts.vertices)


def load(name: str) -> Recording:
    """Read a recording by its name, without the ending."""
    lines: list[dict[str, Any]] = [json.loads(line) for line in (DIRECTORY / f"{name}.jsonl").read_text().splitlines()]
    records = [line for line in lines if "record" in line]
    provenances = [parse_provenance(base64.b64decode(line["provenance"])) for line in lines if "provenance" in line]
    usages = [ParseDict(line["usage"], wire.DiskUsageResponse()) for line in lines if "usage" in line]
    return Recording(
        name,
        lines[0]["files"],
        record_from_wire(records[0]["type"], ParseDict(records[0]["record"], wire.BuildHistoryRecord())),
        tuple(status_from_wire(ParseDict(line["status"], wire.StatusResponse())) for line in lines if "status" in line),
        merge_provenances(provenances) if provenances else Provenance(),
        usage_from_wire("default", 0, usages[0]) if usages else None,
    )


def replay(recording: Recording, neighbours: tuple[Recording, ...] = ()) -> Build:
    """The build that comes of a recording, as it would be stored."""
    inputs = BuildInputs(
        builder="default",
        engine=Engine("docker", recording.name),
        record=recording.record,
        facts=recording.facts,
        placement=Placement(project="app"),
        redactor=make_redactor(b"key").for_build(build_arguments(recording.record)),
        provenance=recording.provenance,
        dockerfile_text=recording.files[recording.record.frontend_attrs["filename"]],
        usage=recording.usage,
        neighbours=[one.as_neighbour() for one in neighbours],
    )
    return profiled(assemble(inputs), {})


def replay_name(name: str) -> Build:
    """The build of a recording, with the builds of the same bake call as neighbours."""
    group = re.sub(r"-\d$", "", name)
    siblings = [one for one in NAMES if one != name and one[:-2] == group]
    return replay(load(name), tuple(load(one) for one in siblings))


def document_text(build: Build) -> str:
    """The build as `show --json` tells it, in a form that is easy to compare."""
    return json.dumps(build_document(build), indent=1, ensure_ascii=False) + "\n"


def _write() -> None:
    EXPECTED.mkdir(exist_ok=True)
    for name in NAMES:
        (EXPECTED / f"{name}.json").write_text(document_text(replay_name(name)))
        print(f"wrote {name}")


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit("usage: python -m tests.recordings.replay --write")
    _write()
