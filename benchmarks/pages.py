"""How long the server takes for each page, with 50,000 builds and a million steps in the store, and how large a page is.

Times are medians of the whole request inside this process, without a network; the limit is 100 ms. The page of a build
of 300 steps has to be smaller than 300 KB.

    python -m benchmarks.pages [--quick] [--store FILE]
"""

from __future__ import annotations

import asyncio
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx

from benchmarks.harness import Result, at_most, figure, make_parser, report
from benchmarks.store import GAP_NS, START_NS, batches, digest, make_build
from buildprof.analysis.readings import reading
from buildprof.exporters.prometheus.collector import StoredSeries
from buildprof.exporters.prometheus.selfmetrics import SelfMetrics
from buildprof.model.build import Build
from buildprof.model.explanation import Cause, Confidence, Explanation, Finding, Miss
from buildprof.model.image import WasteKind
from buildprof.model.regression import Changes, Reading, Regression, Signal
from buildprof.model.step import Outcome, Step
from buildprof.store.connect import open_store
from buildprof.store.queries import find_build
from buildprof.store.writer import Writer
from buildprof.web.app import AppState, create_app
from buildprof.web.live import LiveEvents

BUILDS, QUICK_BUILDS = 50_000, 5_000
IMAGES = 1_000
LAYERS, WASTE = 12, 300
"""Of an analysed image: layers, and paths that are wasted in it."""

LARGE_STEPS, MOST_LAYERS = 300, 125
"""Of the largest build that is looked at: steps, and layers of its image (moby: layer_store.go, maxLayerDepth)."""

LIMIT_MS, LIMIT_KB = 100.0, 300.0
ROUNDS = 11
BATCH = 250
SCOPE = "agent"

_CAUSES = tuple(Cause)
_OK = 200


def fill(path: Path, count: int) -> None:
    """Make a store of so many builds, explained, the last of them with analysed images, some targets with regressions."""
    store = open_store(f"sqlite:///{path}")
    writer = Writer(store)
    for batch in batches(range(count), BATCH):
        lately = [_moved(build, count) for build, _ in batch]
        keys = [(build.builder, build.ref) for build in lately]
        told = {key: explained(build) for key, build in zip(keys, lately, strict=True)}
        readings: dict[tuple[str, str], Reading] = {}
        for key, build in zip(keys, lately, strict=True):
            if (one := reading(build, told[key])) is not None:
                readings[key] = one
        writer.save_builds([(build, ()) for build in lately], scope=SCOPE, explanations=told, readings=readings)
        if sys.stderr.isatty():
            print(f"\r{len(batch)} more of {count:,} builds", end="", file=sys.stderr)
    for number in range(max(count - IMAGES, 0), count):
        build = _moved(make_build(number)[0], count)
        writer.save_image("default", image_document(build), (), scope=SCOPE, at_ns=build.completed_ns or 0)
    for number in range(max(count - 20, 0), count):
        build = _moved(make_build(number)[0], count)
        writer.save_regressions(build.project, build.target, [regression(build)], (), scope=SCOPE)
    large = large_build(_moved(make_build(count)[0], count))
    writer.save_build(large, scope=SCOPE, explanation=explained(large))
    writer.close()
    store.dispose()


def _moved(build: Build, count: int) -> Build:
    """The build at a time so that the last one has ended just now: what pages show by default is of the last days."""
    shift = _NOW_NS - START_NS - (count + 1) * GAP_NS
    steps = tuple(
        replace(one, started_ns=(one.started_ns or 0) + shift, completed_ns=(one.completed_ns or 0) + shift)
        for one in build.steps
    )
    ended_ns = None if build.completed_ns is None else build.completed_ns + shift
    return replace(build, started_ns=build.started_ns + shift, completed_ns=ended_ns, steps=steps)


_NOW_NS = time.time_ns()


def explained(build: Build) -> Explanation:
    """One or two root misses, each with files or another thing at fault."""
    chance = random.Random(build.ref)
    missed = [step for step in build.steps if step.outcome is Outcome.MISS]
    misses = []
    for root in missed[: chance.randrange(1, 3)]:
        cause = chance.choice(_CAUSES)
        evidence: dict[str, Any] = {}
        if cause is Cause.SOURCE_CHANGED:
            evidence = {"changed": [f"src/module_{chance.randrange(200)}.py" for _ in range(3)]}
        seconds = root.duration_seconds or 0.0
        collateral = tuple(one.id for one in missed[-2:] if one is not root)
        misses.append(
            Miss(root.id, Finding(cause, Confidence.CERTAIN, evidence), (), "", seconds, collateral, 2 * seconds)
        )
    blamed = sum(miss.blamed_seconds or 0.0 for miss in misses)
    return Explanation(build.ref, build.project, build.target, None, tuple(misses), blamed)


def image_document(build: Build) -> dict[str, Any]:
    """What the analysis of a build's image finds, with a long list of waste."""
    chance = random.Random(build.ref)
    steps = [step for step in build.steps if step.layer is not None][-LAYERS:]
    layers = [
        {
            "index": index,
            "digest": step.layer.digest if step.layer else "",
            "size_bytes": chance.randrange(10**8),
            "compressed_bytes": None,
            "command": f"{step.instruction} {step.command}",
            "base": index < 3,
            "step": {"ref": build.ref, "step_id": step.id, "lines": list(step.lines or (1, 1))},
            "files_added": chance.randrange(1000),
            "files_changed": 3,
            "files_removed": 1,
            "wasted_bytes": chance.randrange(10**6),
        }
        for index, step in enumerate(steps)
    ]
    stored = sum(layer["size_bytes"] for layer in layers)
    waste = [
        {
            "path": f"usr/lib/part{chance.randrange(9)}/module{chance.randrange(30)}/file{number}.so",
            "bytes": chance.randrange(10**6),
            "kind": chance.choice(tuple(WasteKind)).value,
            "layer": chance.randrange(len(layers)),
            "caused_by_layer": len(layers) - 1,
        }
        for number in range(WASTE)
    ]
    wasted = sum(one["bytes"] for one in waste if one["kind"] != WasteKind.DUPLICATE.value)
    return {
        "image": build.image.tags[0] if build.image else "",
        "id": build.image.id if build.image else "",
        "size_bytes": stored,
        "stored_bytes": stored,
        "visible_bytes": stored - wasted,
        "wasted_bytes": wasted,
        "own_wasted_bytes": wasted // 2,
        "efficiency": (stored - wasted) / stored,
        "layers": layers,
        "waste": sorted(waste, key=lambda one: -one["bytes"]),
        "waste_bytes": {kind.value: sum(one["bytes"] for one in waste if one["kind"] == kind) for kind in WasteKind},
        "waste_count": {kind.value: sum(one["kind"] == kind for one in waste) for kind in WasteKind},
    }


def regression(build: Build) -> Regression:
    """The build time of a target is worse since a build."""
    changes = Changes(sentence="RUN make takes 12 s longer than it did.")
    where = ("default", "Dockerfile", "linux/amd64")
    return Regression(
        Signal.DURATION_SECONDS, *where, False, build.ref, build.started_ns, build.ref, 1, 30.0, 10.0, 13.0, changes
    )


def large_build(build: Build) -> Build:
    """A build of 300 steps: stages of ten, one after the other, and a last one that makes all the layers an image can have."""
    sizes = [10] * ((LARGE_STEPS - MOST_LAYERS) // 10)
    sizes.append(LARGE_STEPS - sum(sizes))
    places = [(f"stage-{stage}", place, size) for stage, size in enumerate(sizes) for place in range(1, size + 1)]
    steps: list[Step] = []
    at_ns = build.started_ns
    for number, (stage, place, size) in enumerate(places):
        one = build.steps[number % len(build.steps)]
        # What begins a stage takes from the one before it, and stands on no file system of it.
        parents = [steps[-1].id] if place > 2 else [step.id for step in steps[:-3:-1]] if place > 1 else []
        name = f"[{stage} {place}/{size}] {one.instruction} {one.command}"
        made = {"id": digest(build.ref, number), "inputs": tuple(parents), "stage": stage, "name": name, "of": size}
        ended_ns = at_ns + round((one.duration_seconds or 0.0) * 1e9)
        lines = number + 1, number + 1
        steps.append(replace(one, position=place, lines=lines, started_ns=at_ns, completed_ns=ended_ns, **made))
        at_ns = ended_ns
    text = "\n".join(f"{step.instruction} {step.command}" for step in steps)
    summary = replace(build.summary, steps=LARGE_STEPS)
    written = {"dockerfile_text": text, "dockerfile_digest": digest(text)}
    return replace(build, ref="large", steps=tuple(steps), completed_ns=at_ns, summary=summary, **written)


def pages(middle: Build, last: Build, before: Build) -> Iterator[tuple[str, str]]:
    """What a person looks at: its name, and its address."""
    project, ref = middle.project.replace("/", "%2F"), middle.ref
    image = last.image.tags[0] if last.image else ""
    yield "builds", "/"
    yield "builds of a project", f"/?project={project}"
    yield "a build", f"/builds/{ref}"
    yield "a build of 300 steps", "/builds/large"
    yield "two builds", f"/compare/{before.ref}/{ref}"
    yield "projects", "/projects"
    yield "projects, 30 days", "/projects?since=30d"
    yield "a project", f"/projects/{project}"
    yield "a target", f"/projects/{project}?target={middle.target}"
    yield "a target, 30 days", f"/projects/{project}?target={middle.target}&since=30d"
    yield "images", "/images"
    yield "an image", f"/images/{image}"
    yield "health", "/health"


async def measure(path: Path, count: int, rounds: int) -> list[Result]:
    """Ask for every page some times, one after another."""
    store = open_store(f"sqlite:///{path}")
    state = AppState(
        store=store,
        stored_series=StoredSeries(lambda _since: ([], 0)),
        self_metrics=SelfMetrics("benchmark"),
        live=LiveEvents(),
        unready=lambda: None,
        version="benchmark",
    )
    middle, before, last = (find_build(store, make_build(number)[0].ref) for number in (count // 2, 0, count - 1))
    results = []
    transport = httpx.ASGITransport(create_app(state), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:19323") as client:
        for name, address in pages(middle, last, before):
            clock, processor = [], []
            for _ in range(rounds + 1):
                began, began_processor = time.perf_counter(), time.process_time()
                response = await client.get(address)
                clock.append((time.perf_counter() - began) * 1e3)
                processor.append((time.process_time() - began_processor) * 1e3)
            size_kb = len(response.content) / 1000
            if response.status_code != _OK:
                results.append(figure(name, response.status_code, "is its status", "not measured"))
                continue
            detail = f"{statistics.median(processor[1:]):.1f} ms of a processor, the first {clock[0]:.0f} ms"
            results.append(at_most(name, statistics.median(clock[1:]), LIMIT_MS, "ms", f"{detail}, {size_kb:.0f} KB"))
            if address == "/builds/large":
                results.append(at_most(f"{name}, size", size_kb, LIMIT_KB, "KB"))
    store.dispose()
    return results


def main() -> int:
    """Fill a store, and ask."""
    parser = make_parser(__doc__)
    parser.add_argument("--store", type=Path, metavar="FILE", help="use this store, which is made if it is not there")
    options = parser.parse_args()
    count = QUICK_BUILDS if options.quick else BUILDS
    with tempfile.TemporaryDirectory(prefix="buildprof-pages-") as directory:
        path = options.store or Path(directory) / "store.db"
        if not path.exists():
            fill(path, count)
        results = asyncio.run(measure(path, count, ROUNDS))
    report("pages", results, options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
