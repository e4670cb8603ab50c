"""Builds made by hand, to render. Times are seconds after START."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from buildprof.model.build import Build, BuildError, Engine, Image, Options, Source, Status, Summary, Vcs
from buildprof.model.step import CACHEABLE_KINDS, Kind, Layer, Outcome, Step

START = 1_790_000_000_123_456_789
NOW = START + 221_800_000_000


def at(seconds: float) -> int:
    return START + round(seconds * 1e9)


def step(
    name: str,
    outcome: Outcome = Outcome.NONE,
    begin: float | None = None,
    end: float | None = None,
    *,
    place: tuple[str, int, int] | None = None,
    kind: Kind | None = None,
    size: int | None = None,
    **more: object,
) -> Step:
    """A step; with a `place` its instruction and kind are taken from the name."""
    stage, position, of = place or ("", None, None)
    instruction, _, command = name.partition(" ") if place else ("", "", name)
    kind = kind or (Kind(instruction.lower()) if place else Kind.OTHER)
    values: dict[str, object] = {
        "id": f"sha256:{name}:{stage}:{more.get('platform', '')}",
        "name": f"[{stage} {position}/{of}] {name}" if place else name,
        "kind": kind,
        "outcome": outcome,
        "stage": stage,
        "position": position,
        "of": of,
        "instruction": instruction,
        "command": command,
        "cacheable": kind in CACHEABLE_KINDS,
        "started_ns": None if begin is None else at(begin),
        "completed_ns": None if end is None else at(end),
        "duration_seconds": None if begin is None or end is None else end - begin,
    }
    if size is not None and kind is Kind.CONTEXT:
        values["transferred_bytes"] = size
    elif size is not None:
        values["layer"] = Layer(f"sha256:{name}:{size}", size)
    return Step(**(values | more))  # type: ignore[arg-type]


def build(steps: tuple[Step, ...], **more: object) -> Build:
    values: dict[str, object] = {
        "ref": "k6g3ggdnq2v0mdv2fv3k0a1bz",
        "builder": "default",
        "engine": Engine("docker", "28.5.2"),
        "source": Source.BUILDKIT,
        "project": "shop",
        "target": "web",
        "status": Status.COMPLETED,
        "started_ns": START,
        "completed_ns": at(41.8),
        "dockerfile": "Dockerfile",
        "platforms": ("linux/amd64",),
        "steps": steps,
        "summary": Summary(steps=len(steps)),
    }
    return Build(**(values | more))  # type: ignore[arg-type]


def linked(*steps: Step) -> tuple[Step, ...]:
    """Each step takes the one before it."""
    ids = (None, *(one.id for one in steps))
    return tuple(replace(one, inputs=(before,)) if before else one for one, before in zip(steps, ids, strict=False))


def shop() -> Build:
    """Hits, a root miss with its collateral, and a third stage."""
    context = step("[internal] load build context", begin=0.1, end=0.4, kind=Kind.CONTEXT, size=48_200)
    base = step("FROM docker.io/library/node:20@sha256:" + "a" * 64, begin=0.1, end=0.15, place=("deps", 1, 4))
    deps = linked(
        base,
        step("WORKDIR /app", Outcome.HIT, 0.4, 0.4, place=("deps", 2, 4), size=0, saved_seconds=0.0),
        step("COPY package.json .", Outcome.HIT, 0.4, 0.4, place=("deps", 3, 4), size=1_210, saved_seconds=0.0),
        step("RUN npm ci", Outcome.HIT, 0.4, 0.4, place=("deps", 4, 4), size=96_000_000, saved_seconds=130.0),
    )
    rest = (
        step(
            "COPY . .",
            Outcome.MISS,
            0.4,
            0.8,
            place=("build", 1, 2),
            size=1_200_000,
            inputs=(deps[-1].id, context.id),
            on_critical_path=True,
        ),
        step(
            "RUN npm run build", Outcome.MISS, 0.8, 38.6, place=("build", 2, 2), size=3_100_000, on_critical_path=True
        ),
        step(
            "COPY --from=build /dist .",
            Outcome.MISS,
            38.6,
            39.3,
            place=("final", 3, 3),
            size=3_100_000,
            on_critical_path=True,
        ),
        step("exporting to image", begin=39.9, end=40.8, kind=Kind.EXPORT),
    )
    rest = (rest[0], replace(rest[1], inputs=(rest[0].id,)), replace(rest[2], inputs=(rest[1].id,)), rest[3])
    internal = (
        step("[internal] load build definition from Dockerfile", begin=0.0, end=0.02, kind=Kind.DOCKERFILE),
        step("[internal] load metadata for docker.io/library/node:20", begin=0.02, end=0.05, kind=Kind.METADATA),
        step("[internal] load .dockerignore", begin=0.05, end=0.06, kind=Kind.DOCKERFILE),
    )
    steps = (*internal, *deps, context, *rest)
    return build(
        steps,
        image=Image("sha256:" + "b" * 64, ("shop-web:latest",), 214_000_000, 9),
        vcs=Vcs("https://git.example/shop", "0123456789abcdef0123"),
        summary=Summary(
            steps=len(steps),
            cacheable_steps=6,
            cache_hits=3,
            cache_misses=3,
            executed_seconds=38.9,
            saved_seconds=130.0,
            critical_path_seconds=38.9,
            context_bytes=48_200,
            context_seconds=0.3,
            export_seconds=0.9,
        ),
    )


def failed() -> Build:
    """The second RUN fails, a third never runs, one beside it is stopped."""
    steps = linked(
        step("FROM docker.io/library/alpine:3", begin=0.0, end=0.1, place=("", 1, 4)),
        step("RUN apk add make", Outcome.HIT, 0.1, 0.1, place=("", 2, 4), size=9_500_000),
        step("RUN make test", Outcome.FAILED, 0.1, 72.0, place=("", 3, 4), lines=(4, 4), error="exit code: 2"),
        step("RUN make install", Outcome.SKIPPED, place=("", 4, 4)),
    )
    aside = step("RUN sleep 100", Outcome.CANCELED, 0.1, 72.0, place=("docs", 2, 2), error="context canceled")
    message = 'failed to solve: process "/bin/sh -c make test" did not complete successfully: exit code: 2'
    return build(
        (*steps, aside),
        target="default",
        status=Status.FAILED,
        completed_ns=at(72.1),
        error=BuildError(
            message, steps[2].id, (*(f"\x1b[31mtest {n}\x1b[0m ... ok" for n in range(20)), "\tfailed: 1")
        ),
        summary=Summary(steps=5, cacheable_steps=4, cache_hits=1, cache_misses=0),
    )


def canceled() -> Build:
    steps = linked(
        step("FROM busybox", begin=0.0, end=0.1, place=("", 1, 2)),
        step("RUN sleep 1000", Outcome.CANCELED, 0.1, 12.5, place=("", 2, 2), error="context canceled"),
    )
    return build(
        steps,
        status=Status.CANCELED,
        completed_ns=at(12.5),
        options=Options(no_cache=True, build_args={"TOKEN": None, "V": "2"}, cache_from=("type=gha",)),
    )


def running() -> Build:
    steps = linked(
        step("FROM busybox", begin=0.0, end=0.1, place=("", 1, 4), on_critical_path=True),
        step("COPY . .", Outcome.MISS, 0.1, 0.5, place=("", 2, 4), size=3_000),
        step("RUN make", Outcome.NONE, 0.5, None, place=("", 3, 4)),
        step("RUN make install", Outcome.SKIPPED, place=("", 4, 4)),
    )
    return build(steps, status=Status.RUNNING, completed_ns=None)


def multi_platform() -> Build:
    steps: list[Step] = []
    for number, platform in enumerate(("linux/amd64", "linux/arm64")):
        base = step("FROM busybox", begin=0.1, end=0.2, place=("build", 1, 3), platform=platform)
        copy = step("COPY . /src", Outcome.MISS, 0.2, 0.4, place=("build", 2, 3), platform=platform, size=52_000)
        run = step(
            "RUN make -C /src",
            Outcome.MISS,
            0.4,
            6.0 + 3 * number,
            place=("build", 3, 3),
            platform=platform,
            size=11_000_000,
            on_critical_path=number == 1,
        )
        steps += linked(base, copy, run)
    return build(
        tuple(steps),
        platforms=("linux/amd64", "linux/arm64"),
        completed_ns=at(9.5),
        summary=Summary(
            steps=6,
            cacheable_steps=4,
            cache_hits=0,
            cache_misses=4,
            executed_seconds=14.6,
            critical_path_seconds=8.9,
        ),
    )


def wide() -> Build:
    """Names in scripts whose characters take two columns, or none."""
    steps = linked(
        step("FROM busybox", begin=0.0, end=0.1, place=("構築段階その一", 1, 3)),
        step(
            "COPY ファイル名がとても長いファイル.txt /目的地/",
            Outcome.MISS,
            0.1,
            0.4,
            place=("構築段階その一", 2, 3),
            size=4_096,
        ),
        step("RUN echo 'e\u0301te\u0301 🚀🚀🚀'", Outcome.MISS, 0.4, 2.0, place=("構築段階その一", 3, 3), size=0),
    )
    return build(steps, project="店舗", target="ウェブ", completed_ns=at(2.0))


HOSTILE = (
    "[bold red]markup[/] \x1b[2J\x1b]0;title\x07\x9b31m \u202egnp.exe\u2066 \r\n\x00\x7f\u2028new\tline "
    "<script>alert(1)</script> \ud800 :smile: " + "A" * 1_000_000
)


@cache
def hostile() -> Build:
    steps = linked(
        step("FROM " + HOSTILE, begin=0.0, end=0.1, place=(HOSTILE, 1, 3)),
        step("RUN " + HOSTILE, Outcome.MISS, 0.1, 1.4, place=(HOSTILE, 2, 3), size=4_096),
        step("RUN x" + HOSTILE, Outcome.FAILED, 1.4, 2.0, place=(HOSTILE, 3, 3), error=HOSTILE),
    )
    internal = step(HOSTILE, begin=0.0, end=1.0)
    return build(
        (internal, *steps),
        ref=HOSTILE,
        builder=HOSTILE,
        project=HOSTILE,
        target=HOSTILE,
        status=Status.FAILED,
        completed_ns=at(2.0),
        image=Image(HOSTILE, (HOSTILE,), 2**60, 10**9),
        vcs=Vcs(HOSTILE, HOSTILE),
        options=Options(build_args={HOSTILE: HOSTILE}, cache_from=(HOSTILE,), cache_to=(HOSTILE,)),
        error=BuildError(HOSTILE, steps[2].id, (HOSTILE, "\n".join(["x"] * 300))),
    )


ALL = {
    "completed": shop,
    "failed": failed,
    "canceled": canceled,
    "running": running,
    "multi_platform": multi_platform,
    "wide": wide,
    "hostile": hostile,
}
