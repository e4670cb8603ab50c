"""The instructions that made layers, as an image's history has them, without the values of build arguments."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import reduce

from buildprof.assembly.history_text import layer_command, parse_history_text
from buildprof.assembly.redact import make_redactor
from buildprof.model.step import Kind


def layer_commands(texts: Sequence[str], history: Iterable[str] = ()) -> list[str]:
    """The instruction of each text; `history` are all texts of the image, in which arguments and their values stand.

    A RUN tells the arguments that were in force, an ARG of BuildKit's its value; both builders fill them in elsewhere.
    """
    plain = make_redactor(bytes(32), (), ())  # no hash is made by it
    # An argument can have had one value in the base image and another one here; a long one may hold a short one.
    arguments = sorted({pair for text in (*texts, *history) for pair in _arguments(text)}, key=lambda one: -len(one[1]))
    redactors = [plain, *(plain.for_build(dict([one])) for one in arguments)]
    return [reduce(lambda left, one: one.text(left), redactors, layer_command(text)) for text in texts]


def _arguments(text: str) -> Iterator[tuple[str, str]]:
    plain = text.strip().removesuffix("# buildkit").rstrip()
    found = parse_history_text(plain.removeprefix("RUN "))
    if found is not None and found.kind is Kind.RUN:
        yield from found.assigned
    if plain.startswith("ARG ") and "=" in plain:
        name, _, value = plain.removeprefix("ARG ").partition("=")
        yield name, value
