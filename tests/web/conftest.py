from __future__ import annotations

from dataclasses import dataclass, field

import httpx
import pytest

from buildprof.analysis.contributions import LabelBudget, contributions
from buildprof.exporters.prometheus.collector import StoredSeries
from buildprof.exporters.prometheus.selfmetrics import SelfMetrics
from buildprof.model.build import Build, Engine, Image, Source, Status, Summary
from buildprof.model.explanation import Cause, Confidence, Explanation, Finding, Miss
from buildprof.model.step import Kind, Outcome, Step
from buildprof.store.connect import open_store
from buildprof.store.queries import changed_series
from buildprof.store.writer import Writer
from buildprof.web.app import AppState, create_app
from buildprof.web.live import LiveEvents

START_NS = 1_700_000_000_123_456_789
SCOPE = "here"

STEP = Step(
    id="sha256:1",
    name="[web 1/1] RUN make",
    kind=Kind.RUN,
    outcome=Outcome.MISS,
    stage="web",
    instruction="RUN",
    command="make",
    cacheable=True,
    duration_seconds=1.5,
)


def a_build(ref="k6g3ggdn", *, minutes=0, **changes) -> Build:
    started_ns = START_NS + minutes * 60_000_000_000
    fields = {
        "builder": "default",
        "engine": Engine("docker", "28.5.2"),
        "source": Source.BUILDKIT,
        "project": "shop",
        "target": "web",
        "status": Status.COMPLETED,
        "started_ns": started_ns,
        "completed_ns": started_ns + 2_000_000_000,
        "image": Image("sha256:i", ("shop-web:latest",), 214_000_000, 9),
        "summary": Summary(steps=1, cacheable_steps=1, cache_hits=0, cache_misses=1, executed_seconds=1.5),
        "steps": (STEP,),
        **changes,
    }
    return Build(ref=ref, **fields)


def an_explanation(ref="k6g3ggdn") -> Explanation:
    finding = Finding(Cause.NO_CACHE, Confidence.CERTAIN, {"option": "--no-cache"})
    return Explanation(ref, "shop", "web", None, (Miss(STEP.id, finding, (), "", 1.5, (), 1.5),), 1.5)


@dataclass
class Site:
    """An application over a real store, and a client that talks to it without a network."""

    state: AppState
    writer: Writer
    client: httpx.AsyncClient
    unready: list[str] = field(default_factory=list)

    def save(self, build: Build, explanation: Explanation | None = None) -> None:
        changes = contributions(build, LabelBudget(), explanation)
        self.writer.save_build(build, changes, scope=SCOPE, explanation=explanation)


@pytest.fixture
async def site(tmp_path):
    engine = open_store(f"sqlite:///{tmp_path}/store.db")
    writer = Writer(engine)
    unready: list[str] = []
    state = AppState(
        store=engine,
        stored_series=StoredSeries(lambda since_seq: changed_series(engine, SCOPE, since_seq)),
        self_metrics=SelfMetrics("0.1.0"),
        live=LiveEvents(max_clients=2, max_waiting=8),
        unready=lambda: unready[0] if unready else None,
        version="0.1.0",
    )
    transport = httpx.ASGITransport(create_app(state), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:19323") as client:
        yield Site(state, writer, client, unready)
    writer.close()
    engine.dispose()
