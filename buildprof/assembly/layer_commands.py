"""The instructions that made layers, as an image's history has them, without the values of build arguments."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from buildprof.assembly.history_text import layer_command, parse_history_text
from buildprof.assembly.redact import make_redactor
from buildprof.model.step import Kind


def layer_commands(texts: Sequence[str], history: Iterable[str] = ()) -> list[str]:
    """The instruction of each text; `history` are all texts of the image, in which arguments and their values stand.

    A RUN tells the arguments that were in force, an ARG of BuildKit's its value; both builders fill them in elsewhere.
    """
    values = dict(pair for text in (*texts, *history) for pair in _arguments(text))
    redact = make_redactor(bytes(32), (), ()).for_build(values).text  # no hash is made by it
    return [redact(layer_command(text)) for text in texts]


def _arguments(text: str) -> Iterator[tuple[str, str]]:
    plain = text.strip().removesuffix("# buildkit").rstrip()
    found = parse_history_text(plain.removeprefix("RUN "))
    if found is not None and found.kind is Kind.RUN:
        yield from found.assigned
    if plain.startswith("ARG ") and "=" in plain:
        name, _, value = plain.removeprefix("ARG ").partition("=")
        yield name, value
