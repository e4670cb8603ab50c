"""What is asked of an engine to make sense of its events, and the answers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from buildprof.model.events import HistoryEntry

IMAGE_ID = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class ContainerQuestion:
    """What is this container. To be asked at once: one of a metadata instruction lives for milliseconds."""

    id: str


@dataclass(frozen=True, slots=True)
class ImageQuestion:
    """What is this image, and how was it made: asked by its id."""

    id: str


Question = ContainerQuestion | ImageQuestion


@dataclass(frozen=True, slots=True)
class ContainerRecord:
    """A container as inspected: the image as its maker named it, its command, its log driver, whether it runs.

    `environment` are its `NAME=value`, in clear; that of a RUN has the build arguments in force.
    """

    id: str
    image: str
    command: tuple[str, ...]
    log_driver: str
    is_running: bool = False
    environment: tuple[str, ...] = field(default=(), repr=False)

    @property
    def is_classic_build(self) -> bool:
        """Whether the classic builder made it: by image id, without logs.

        The builder alone sets the log driver `none` by itself (moby/moby builder/dockerfile/internals.go,
        hostConfigFromOptions; seen on Engine 20.10 and 28.5). `docker run --log-driver none sha256:…` looks the same.
        """
        return self.log_driver == "none" and IMAGE_ID.fullmatch(self.image) is not None


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """An image as inspected. `history` is newest first; its times have nanoseconds where an entry has an id.

    `parent` is "" for what was not built or committed on this engine, or by BuildKit. `digests` are those of its layers
    (`diff_id`), the lowest first.
    """

    id: str
    parent: str
    created_ns: int
    tags: tuple[str, ...] = ()
    labels: dict[str, str] = field(default_factory=dict)
    size_bytes: int | None = None
    layers: int | None = None
    platform: str = ""
    is_buildkit: bool = False
    history: tuple[HistoryEntry, ...] = ()
    digests: tuple[str, ...] = ()


Answers = Mapping[Question, ContainerRecord | ImageRecord | None]
"""None for what is gone already."""


def container_answer(answers: Answers, container_id: str) -> ContainerRecord | None:
    """The answer on a container, None where there is none."""
    answer = answers.get(ContainerQuestion(container_id))
    return answer if isinstance(answer, ContainerRecord) else None


def image_answer(answers: Answers, image_id: str) -> ImageRecord | None:
    """The answer on an image, None where there is none."""
    answer = answers.get(ImageQuestion(image_id))
    return answer if isinstance(answer, ImageRecord) else None
