"""Evidence in words: steps, files, images and times as people write them, bounded and clean whatever they hold."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from buildprof.model.build import Build
from buildprof.model.step import Step
from buildprof.model.text import clean, plural

MAX_SENTENCE = 500

NAMED, STEP_CHARS, PATH_CHARS, EXCERPT_CHARS = 3, 80, 60, 60
"""How many names a list gives before it counts, and how many characters of each thing are shown."""

Evidence = Mapping[str, Any]


def named_step(step: Step, build: Build) -> str:
    """A step and where it stands: "COPY . . (Dockerfile:7)"."""
    name = clean(f"{step.instruction} {step.command}", STEP_CHARS) or clean(step.name, STEP_CHARS) or "a step"
    where = [f"{dockerfile_place(build)}{step.lines[0]}"] if step.lines else []
    if not where and step.position is not None:
        where = [clean(f"{step.stage} {step.position}/{step.of}", 60)]
    if len(build.platforms) > 1 and step.platform:
        where.append(clean(step.platform, 40))
    return f"{name} ({', '.join(where)})" if where else name


def dockerfile_place(build: Build) -> str:
    """What stands before a line's number: "Dockerfile:", or "line " where its name is not known."""
    return f"{path_tail(build.dockerfile)}:" if clean(build.dockerfile, PATH_CHARS) else "line "


def image_name(evidence: Evidence) -> str:
    """The image that evidence names, as people write it: without digest and default registry."""
    name = text_of(evidence, "image", 200).partition("@")[0].removeprefix("docker.io/").removeprefix("library/")
    return clean(name, 100)


def short_digest(digest: str) -> str:
    """As much of a digest or a commit as people compare."""
    found = re.fullmatch(r"(?:\w+:)?([0-9a-f]{12})[0-9a-f]*", digest)
    return found[1] if found else clean(digest, 20)


def minute(moment: object) -> str:
    """A time in RFC 3339 to the minute; "" of anything else."""
    found = re.match(r"([0-9]{4}-[0-9]{2}-[0-9]{2})T([0-9]{2}:[0-9]{2})", str(moment))
    return f"{found[1]} {found[2]}" if found else ""


def path_tail(path: str) -> str:
    """The end of a path, by which people know a file."""
    shown = clean(path, 4096)
    return shown if len(shown) <= PATH_CHARS else f"…{shown[1 - PATH_CHARS :]}"


def all_paths(evidence: Evidence) -> list[str]:
    """The paths that evidence names, whatever became of them."""
    return [path for kind in ("changed", "added", "removed") for path in texts_of(evidence.get(kind))]


def listed(names: Sequence[str], *, count: int | None = None, most: int = NAMED) -> str:
    """Write "a", "a and b", or "a, b, c and 9 more" of `count` names."""
    shown = [clean(name, PATH_CHARS) for name in names[:most]]
    rest = (len(names) if count is None else count) - len(shown)
    return joined([*shown, f"{rest} more" if shown else f"{rest} {plural(rest, 'file')}"] if rest > 0 else shown)


def joined(parts: Sequence[str]) -> str:
    """Write "a", "a and b", or "a, b and c"."""
    return " and ".join(filter(None, [", ".join(parts[:-1]), *parts[-1:]]))


def texts_of(value: object) -> list[str]:
    """Texts that evidence has under a key, bounded and cleaned; none if it has something else there."""
    if not isinstance(value, Iterable) or isinstance(value, str | bytes | Mapping):
        return []
    return [text for text in (clean(one, 4096) for one in list(value)[:50]) if text]


def text_of(evidence: Evidence, key: str, limit: int) -> str:
    """A text that evidence has under a key, clean and cut; "" if it has none."""
    value = evidence.get(key)
    return clean(value, limit) if isinstance(value, str) else ""


def count_of(evidence: Evidence, key: str) -> int:
    """A count that evidence has under a key; 0 if it has none."""
    value = evidence.get(key)
    return value if isinstance(value, int) and value > 0 else 0


def ended(text: str, more: str = "") -> str:
    """A sentence with its full stop, cut to its length."""
    return f"{clean(f'{text}{more}', MAX_SENTENCE - 1)}."
