"""What a vertex' name says: the Dockerfile frontend's grammar, taken apart.

The frontend names a step `[<platform>[->target] <stage> i/n] COMMAND`, with `i` padded to the width of `n`; the
platform only if several were asked for, the stage not in a Dockerfile of one unnamed stage (moby/buildkit
frontend/dockerfile/dockerfile2llb, prefixCommand). A merge made for `COPY --link` says `LINK` first, a trigger of the
base `ONBUILD`. Clients that run several builds in one call put the build's name first: `[web build 1/4] …`
(docker/buildx, util/progress).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from buildprof.model.step import Kind

# Possessive, so that no input takes more than linear time.
_NUMBERED = re.compile(
    r"\[\s*+(?P<words>(?:[^\]\s]++\s++){0,3}?)(?P<position>\d{1,6})/(?P<of>\d{1,6})\] ?(?P<text>.*)", re.DOTALL
)
_BRACKETED = re.compile(r"\[(?P<word>internal|auth|context)\b[^\]]*\] ?(?P<text>.*)", re.DOTALL)
_KEYWORD = re.compile(r"(?P<keyword>[A-Za-z]+)\s*(?P<rest>.*)", re.DOTALL)

_INSTRUCTION_KINDS = {
    "FROM": Kind.FROM,
    "RUN": Kind.RUN,
    "COPY": Kind.COPY,
    "ADD": Kind.ADD,
    "WORKDIR": Kind.WORKDIR,
}
_STARTS = (
    ("importing cache manifest", Kind.CACHE_IMPORT),
    ("exporting cache", Kind.CACHE_EXPORT),
    ("exporting content cache", Kind.CACHE_EXPORT),
    ("exporting inline cache", Kind.CACHE_EXPORT),
    ("exporting to GitHub Actions Cache", Kind.CACHE_EXPORT),
    ("exporting ", Kind.EXPORT),
    # The frontend's own image, of a Dockerfile's `# syntax=` line.
    ("resolve image config for ", Kind.METADATA),
    ("docker-image://", Kind.METADATA),
)
"""Names without brackets (the `Name` of each of moby/buildkit's exporters), the longer start first."""

_INTERNAL_KINDS = (
    ("load build definition", Kind.DOCKERFILE),
    ("load remote build context", Kind.CONTEXT),
    ("load build context", Kind.CONTEXT),
    ("load .dockerignore", Kind.DOCKERFILE),
    ("load metadata for", Kind.METADATA),
)


@dataclass(frozen=True, slots=True)
class VertexName:
    """A name's parts; "" or None where it has no such part."""

    kind: Kind
    stage: str = ""
    position: int | None = None
    of: int | None = None
    platform: str = ""
    instruction: str = ""
    command: str = ""


def parse_name(name: str, client_prefix: str = "") -> VertexName:
    """Take a vertex' name apart.

    `client_prefix` is the build's name that a client put first, "" on a stream from the server.
    """
    name = without_client_prefix(name, client_prefix)
    if match := _NUMBERED.fullmatch(name):
        return _numbered(match)
    if match := _BRACKETED.fullmatch(name):
        return VertexName(_bracketed_kind(match["word"], match["text"]), command=match["text"])
    return VertexName(next((kind for start, kind in _STARTS if name.startswith(start)), Kind.OTHER), command=name)


def without_client_prefix(name: str, client_prefix: str) -> str:
    """The name as the server gave it: `[web build 1/4] RUN` and `[web] exporting` lose `web`."""
    if not client_prefix:
        return name
    if name.startswith(f"[{client_prefix}] "):
        return name.removeprefix(f"[{client_prefix}] ")
    if name.startswith(f"[{client_prefix} "):
        return "[" + name.removeprefix(f"[{client_prefix} ")
    return name


def _numbered(match: re.Match[str]) -> VertexName:
    words = match["words"].split()
    # A platform has a slash, and the name of a stage cannot.
    platform = words.pop(0) if words and "/" in words[0] else ""
    text = match["text"].removeprefix("ONBUILD ")
    is_merge = text.startswith("LINK ")
    text = text.removeprefix("LINK ")
    keyword = _KEYWORD.fullmatch(text)
    instruction, command = (keyword["keyword"].upper(), keyword["rest"]) if keyword else ("", text)
    return VertexName(
        kind=Kind.MERGE if is_merge else _INSTRUCTION_KINDS.get(instruction, Kind.OTHER),
        stage=words[-1] if words else "",
        position=int(match["position"]),
        of=int(match["of"]),
        platform=platform.partition("->")[0],
        instruction=instruction,
        command=command,
    )


def _bracketed_kind(word: str, text: str) -> Kind:
    if word == "auth":
        return Kind.AUTH
    for start, kind in _INTERNAL_KINDS:
        if text.startswith(start):
            return kind
    if word == "context":
        # A named context is files from the client or the network, or an image (a base, like FROM).
        return Kind.CONTEXT if text.startswith("load from client") or "://" in text else Kind.FROM
    return Kind.OTHER
