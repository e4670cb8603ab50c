"""What a step is made of, as far as it decides whether the cache can serve it."""

from __future__ import annotations

from dataclasses import dataclass, field

MAIN_CONTEXT = "context"
"""BuildKit's name of the directory that a build is given; others are named by `--build-context`."""


@dataclass(frozen=True, slots=True)
class ContextUse:
    """What a step takes of a directory that the client sends: the sources of one COPY, ADD or bind mount.

    `path` is relative to the root of the context, without a slash at either end; "" is all of it. It may have wildcards
    if `wildcard`. `include` and `exclude` are patterns of .dockerignore's kind on paths below `path`, or below what its
    wildcards match, as the operation has them; no `include` is everything.
    """

    context: str = MAIN_CONTEXT
    path: str = ""
    wildcard: bool = False
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Written:
    """An instruction as it stands in the Dockerfile, secrets redacted, with its heredocs; lines count from 1.

    `digest` is a keyed hash of the whole instruction where something of it was redacted, else "".
    """

    text: str
    lines: tuple[int, int]
    digest: str = ""

    def differs_from(self, other: Written) -> bool:
        """Whether it says something else, also in what is redacted where that is known of both."""
        return self.text != other.text or (self.digest != other.digest and "" not in (self.digest, other.digest))


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that decides about the cache but the steps that a step stands on.

    `written` is the step's own instruction, `before` those right before it in its stage that make no step (ENV, ARG,
    USER, SHELL …). `operation` is a keyed hash of what the builder is to do (arguments, directory, user, mounts,
    flags), without the environment, the inputs and what is copied; "" where no provenance tells. `environment` maps
    names to keyed hashes of the values that the step sees: of a RUN all, of the rest those that its text names.
    `is_exact` tells that they come from the provenance; else names that only the base image sets are missing.
    `takes` is what it takes from contexts. `images` and `remotes` are (name or URL, digest) of what it stands on or
    takes directly, the digest "" if unknown. `content` is the engine's own hash of what is copied (the classic builder
    tells it), "" if it tells none.
    """

    written: Written | None = None
    before: tuple[Written, ...] = ()
    operation: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    is_exact: bool = False
    takes: tuple[ContextUse, ...] = ()
    images: tuple[tuple[str, str], ...] = ()
    remotes: tuple[tuple[str, str], ...] = ()
    content: str = ""
