"""The agent's log: structlog on stderr, lines for people or JSON objects, every value cleaned and bounded."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any, TextIO

MAX_VALUE = 1_000
MAX_TRACEBACK = 16_000
MAX_DEPTH = 4
MAX_ITEMS = 50

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


@contextmanager
def _without_rich() -> Iterator[None]:
    """structlog.dev loads rich when it finds it: 5 MB and 50 ms for tracebacks that we do not want."""
    if "rich" in sys.modules:
        yield
        return
    sys.modules["rich"] = None  # type: ignore[assignment]  # Python's own way to say "cannot be imported"
    try:
        yield
    finally:
        del sys.modules["rich"]


with _without_rich():
    import structlog

from buildprof.model.text import clean  # noqa: E402  # structlog has to be first, in its own block


def configure_logging(level: str, log_format: str, stream: TextIO | None = None) -> None:
    """Send the log of ours and of the libraries to `stream` (stderr). `level` and `log_format` as in the settings.

    Libraries are heard from warnings on, and in full at the level debug.
    """
    stream = stream or sys.stderr
    number = LEVELS[level]
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _bound,
    ]
    renderer: Any
    if log_format == "json":
        renderer = structlog.processors.JSONRenderer()
    else:
        renderer = structlog.dev.ConsoleRenderer(
            colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    for chatty in ("hpack", "h2", "urllib3", "docker", "asyncio"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    root.setLevel(number if number == logging.DEBUG else max(number, logging.WARNING))


def get_logger(name: str) -> Any:
    """A structlog logger whose lines say which part of the program speaks."""
    return structlog.get_logger(part=name)


def _bound(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key, value in event.items():
        if key == "exception" and isinstance(value, str):
            lines = value[-MAX_TRACEBACK:].splitlines()
            event[key] = "\n".join(" " * (len(line) - len(line.lstrip())) + clean(line, MAX_VALUE) for line in lines)
        elif not key.startswith("_"):
            event[key] = _bounded(value)
    return event


def _bounded(value: Any, depth: int = 0) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if depth < MAX_DEPTH and isinstance(value, dict):
        return {clean(key, MAX_VALUE): _bounded(item, depth + 1) for key, item in list(value.items())[:MAX_ITEMS]}
    if depth < MAX_DEPTH and isinstance(value, list | tuple | set | frozenset):
        return [_bounded(item, depth + 1) for item in list(value)[:MAX_ITEMS]]
    return clean(value, MAX_VALUE)
