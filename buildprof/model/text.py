"""Text for people: hostile strings made safe for one line of a terminal, figures in the form people read."""

from __future__ import annotations

import math
import re
import unicodedata
from datetime import UTC, datetime
from functools import lru_cache

MAX_TEXT = 4096
NANOSECONDS = 1_000_000_000

# CSI, then OSC and its kin (ended by BEL or ST), then two-character escapes: ECMA-48, 5.4, 5.6 and 5.5.
_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]*[0-~]"
)
_PLAIN = re.compile(r"[ -~]*")
_SPACE = re.compile(r"\s+")


def clean(text: object, limit: int = MAX_TEXT) -> str:
    """One line without escape sequences, control, bidirectional or invisible characters, `limit` characters at most.

    Runs of white space become one space; what is cut off leaves an ellipsis.
    """
    raw = str(text)
    # Escapes are longer than what they leave, so more is read than is kept, and no more than that.
    head = raw[: limit * 8 + 64]
    if not _PLAIN.fullmatch(head):
        head = "".join(map(_safe_character, _ESCAPES.sub("", head)))
    head = _SPACE.sub(" ", head).strip()
    return head if len(head) <= limit and len(raw) <= limit * 8 + 64 else head[: limit - 1] + "…"


def clean_lines(text: str, limit: int = MAX_TEXT) -> list[str]:
    """`clean`, line by line; leading white space is kept, and a line that was rewritten in place shows its last form."""
    lines = []
    # Not splitlines: to a terminal a carriage return alone ends no line.
    for line in text.removesuffix("\n").split("\n"):
        shown = line.rstrip("\r").rpartition("\r")[2]
        expanded = shown[:limit].expandtabs(4)
        indent = len(expanded) - len(expanded.lstrip(" "))
        lines.append(" " * indent + clean(shown, limit))
    return lines


@lru_cache(maxsize=4096)
def _safe_character(character: str) -> str:
    category = unicodedata.category(character)
    if character.isspace():
        return " "
    # Cc control, Cf format (bidirectional, zero width), Cs surrogates, Co private use, Cn unassigned: whatever a
    # terminal does with them, it is not showing text. Variation selectors change the width of what precedes them.
    if category[0] == "C" or "\ufe00" <= character <= "\ufe0f" or "\U000e0100" <= character <= "\U000e01ef":
        return ""
    return character


def human_duration(seconds: float) -> str:
    """Such as "41.8 s", "2 m 10 s", "1 h 05 m"."""
    short = short_duration(seconds)
    return short if short.endswith(("s", "m")) else f"{short} s"


def said_duration(seconds: float) -> str:
    """As `human_duration`, and "18 ms" below a tenth of a second: for sentences, where no column shows the scale."""
    if seconds == 0:
        return "0 s"
    if not 0 < seconds < 0.0995:
        return human_duration(seconds)
    return f"{seconds * 1000:.0f} ms" if seconds >= 0.001 else "<1 ms"


def short_duration(seconds: float) -> str:
    """As `human_duration`, without the unit below a minute: "41.8"; "?" for what is no number."""
    if not math.isfinite(seconds):
        return "?"
    if seconds < 0:
        return "-" + short_duration(-seconds)
    if round(seconds, 1) < 60:
        return f"{seconds:.1f}"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} m {whole % 60} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02} m"


def short_size(size_bytes: int) -> str:
    """Decimal units, in at most four characters: "0", "512", "1.2M", "96M"."""
    value, unit = _scale(size_bytes)
    return f"{value}{unit}"


def human_size(size_bytes: int) -> str:
    """Decimal units, as docker shows sizes: "512 B", "48 kB", "214 MB"."""
    value, unit = _scale(size_bytes)
    return f"{value} {unit}B"


def _scale(size_bytes: int) -> tuple[str, str]:
    size = float(abs(size_bytes))
    unit = ""
    for larger in ("k", "M", "G", "T"):
        # 999.5 would be shown as 1000: it belongs to the next unit.
        if size < 999.5:
            break
        size, unit = size / 1000, larger
    digits = f"{size:.1f}".removesuffix(".0") if unit and size < 9.95 else f"{size:.0f}"
    return ("-" if size_bytes < 0 else "") + digits, unit


_AGES = (("day", "days", 86_400), ("hour", "hours", 3600), ("minute", "min", 60), ("second", "sec", 1))


def human_age(seconds: float) -> str:
    """Such as "3 minutes ago"; "just now" below a second and for times that lie ahead."""
    for name, _, length in _AGES:
        if (count := int(seconds // length)) >= 1:
            return f"{count} {plural(count, name)} ago"
    return "just now"


def short_age(seconds: float) -> str:
    """Such as "3 min ago", for columns."""
    for name, short, length in _AGES:
        if (count := int(seconds // length)) >= 1:
            return f"{count} {name if count == 1 and short == f'{name}s' else short} ago"
    return "just now"


def plural(count: int, word: str) -> str:
    """The word with an s unless there is one."""
    return word if count == 1 else f"{word}s"


def rfc3339(time_ns: int) -> str:
    """UTC with all nine digits of the nanoseconds."""
    seconds, nanoseconds = divmod(time_ns, NANOSECONDS)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{nanoseconds:09}Z"


_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def parse_since(text: str, now_ns: int) -> int:
    """A moment as "7d" before `now_ns` (s, m, h, d, w) or in RFC 3339, in nanoseconds since the epoch.

    Raises:
        ValueError: it is neither.
    """
    if found := re.fullmatch(r"(\d{1,9})([smhdw])", text):
        return max(0, now_ns - int(found[1]) * _UNIT_SECONDS[found[2]] * NANOSECONDS)
    if not re.match(r"\d{4}-\d{2}-\d{2}([T ]|$)", text):
        raise ValueError("use a length such as 30m, 12h, 7d, 2w, or a time such as 2026-01-31T12:00:00Z")
    try:
        moment = datetime.fromisoformat(text)
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return max(0, round(aware.timestamp()) * NANOSECONDS)
    except (ValueError, OverflowError) as error:
        raise ValueError("not a time of RFC 3339, such as 2026-01-31T12:00:00Z") from error
