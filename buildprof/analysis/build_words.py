"""What is said of a build as a whole: which it is, how it stands, what the cache did, what was moved and asked."""

from __future__ import annotations

from collections.abc import Iterator

from buildprof.model.build import DEFAULT_TARGET, Build, Image, Options, Status, Summary, Vcs
from buildprof.model.document import REDACTED, saved_seconds_unknown_hits
from buildprof.model.text import clean, human_size, plural, said_duration

_PHRASES = {
    Status.COMPLETED: ("completed", "in"),
    Status.FAILED: ("FAILED", "after"),
    Status.CANCELED: ("canceled", "after"),
    Status.RUNNING: ("running", "for"),
}


def build_label(build: Build) -> str:
    """project/target, without a target that nobody named."""
    project = clean(build.project, 200)
    return project if build.target == DEFAULT_TARGET else f"{project}/{clean(build.target, 200)}"


def status_phrase(build: Build, now_ns: int) -> str:
    """How the build stands and how long it took: "completed in 41.8 s", "running for 3.0 s"."""
    seconds, (done, word) = shown_seconds(build, now_ns), _PHRASES[build.status]
    return f"{done}, time not known" if seconds is None else f"{done} {word} {said_duration(seconds)}"


def shown_seconds(build: Build, now_ns: int) -> float | None:
    """How long the build took, or has taken so far; None for one that ended and of which only the end is known."""
    if build.status is Status.RUNNING:
        return max(now_ns - build.started_ns, 0) / 1e9
    return build.duration_seconds


def hits_said(summary: Summary) -> str:
    """Such as "5 of 9 steps hit"; "" if nothing was looked up."""
    if not summary.looked_up:
        return ""
    return f"{summary.cache_hits} of {summary.looked_up} {plural(summary.looked_up, 'step')} hit"


def saved_said(build: Build) -> tuple[str, str]:
    """What hits saved, "about 2 m 10 s", and what is not known of it, "2 hits not known yet"; "" for nothing to say."""
    summary = build.summary
    if not summary.cache_hits:
        return "", ""
    if summary.saved_seconds is None:
        return "", "not known yet"
    unknown = saved_seconds_unknown_hits(build)
    saved = said_duration(summary.saved_seconds)
    return (
        (f"at least {saved}", f"{unknown} {plural(unknown, 'hit')} not known yet")
        if unknown
        else (f"about {saved}", "")
    )


def image_name_said(image: Image) -> str:
    """Its first name, and how many more it has; else the beginning of its id."""
    name = clean(image.tags[0], 200) if image.tags else clean(image.id, 19)
    return f"{name} and {len(image.tags) - 1} more" if len(image.tags) > 1 else name


def growth_bytes(image: Image | None, before: Image | None) -> int | None:
    """How much larger an image is than an earlier one; None if a size is not known."""
    if image is None or before is None or image.size_bytes is None or before.size_bytes is None:
        return None
    return image.size_bytes - before.size_bytes


def size_change_said(grown_bytes: int) -> str:
    """Such as "+1.2 MB", "-3 kB", "unchanged"."""
    return f"{'+' if grown_bytes > 0 else ''}{human_size(grown_bytes)}" if grown_bytes else "unchanged"


def moved(summary: Summary) -> Iterator[tuple[str, float | None, int | None]]:
    """What went over the network and to the disk: what it was, the seconds it took, its bytes; None is unknown."""
    yield "context", summary.context_seconds, summary.context_bytes
    yield "base images", summary.base_pull_seconds, None
    yield "cache import", summary.cache_import_seconds, None
    yield "cache export", summary.cache_export_seconds, None
    yield "image export", summary.export_seconds, None


def asked(options: Options) -> list[str]:
    """What the builder was asked for, as options and build arguments."""
    parts = ["--no-cache"] if options.no_cache else []
    parts += [f"--cache-from {clean(one, 60)}" for one in options.cache_from]
    parts += [f"--cache-to {clean(one, 60)}" for one in options.cache_to]
    parts += [
        f"{clean(name, 40)}={REDACTED if value is None else clean(value, 40)}"
        for name, value in options.build_args.items()
    ]
    return parts


def revision_said(vcs: Vcs | None) -> str:
    """What was built, "https://… at 4f1c2d3e5a6b"; "" if it is not known."""
    if vcs is None:
        return ""
    return " at ".join(part for part in (clean(vcs.source, 200), clean(vcs.revision, 12).rstrip("…")) if part)
