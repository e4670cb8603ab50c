"""The builds that are measured: directories with a Dockerfile."""

from __future__ import annotations

from pathlib import Path


def thirty_steps(directory: Path, pause_seconds: float = 0.0) -> Path:
    """30 cacheable steps in 6 stages, 4 of which need only the base and can run at once.

    `pause_seconds` is what each RUN sleeps, so that stages overlap.
    """
    for name in ("manifest.txt", "src/main.txt", "src/part.txt", "assets/logo.txt", "docs/index.txt"):
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(f"{name}\n")
    lines = ["FROM base AS deps", "WORKDIR /app", "COPY manifest.txt .", *_runs("deps", 4, pause_seconds)]
    lines += ["FROM deps AS lint", "COPY src/ src/", *_runs("lint", 2, pause_seconds)]
    lines += ["FROM deps AS compile", "COPY src/ src/", *_runs("compile", 4, pause_seconds)]
    lines += ["FROM base AS assets", "WORKDIR /assets", "COPY assets/ .", *_runs("assets", 3, pause_seconds)]
    lines += ["FROM base AS docs", "COPY docs/ /docs/", *_runs("docs", 2, pause_seconds)]
    lines += ["FROM base AS final", "WORKDIR /srv"]
    lines += [f"COPY --from={stage} /done/ /srv/{stage}/" for stage in ("lint", "compile", "assets", "docs")]
    lines += ["COPY --link manifest.txt /manifest.txt", *_runs("final", 2, pause_seconds)]
    return _write(directory, lines)


def loud(directory: Path, stages: int = 4, megabytes: int = 60) -> Path:
    """RUNs that write as fast as the engine reads, all at once.

    BuildKit passes on 200 KiB a second of a step's log, 2 MiB in all, and drops the rest (moby/buildkit
    util/progress/logs), so several steps are louder than one.
    """
    lines: list[str] = []
    for number in range(stages):
        lines += [f"FROM base AS loud{number}", f"RUN yes {number:_>98} | head -c {megabytes}000000; touch /{number}"]
    lines += ["FROM base", *(f"COPY --from=loud{number} /{number} /{number}" for number in range(stages))]
    return _write(directory, lines)


def _runs(stage: str, count: int, pause_seconds: float) -> list[str]:
    pause = f"sleep {pause_seconds}; " if pause_seconds else ""
    return [f"RUN mkdir -p /done; {pause}echo {stage} > /done/{number}" for number in range(count)]


def _write(directory: Path, lines: list[str]) -> Path:
    (directory / "Dockerfile").write_text("\n".join([*lines, ""]))
    return directory
