"""A build as a file for Perfetto and chrome://tracing, in the Trace Event Format (JSON object form).

The format: "Trace Event Format" by the Chromium authors, 2016. Complete events (`ph` "X") have `ts` and `dur` in
microseconds, which may be fractions; metadata events (`ph` "M") name the process and its threads. Events of one thread
must nest, so steps that ran side by side stand on threads of their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from buildprof.analysis.build_words import build_label
from buildprof.analysis.compare import step_size_bytes
from buildprof.analysis.sentences import miss_sentence
from buildprof.analysis.step_words import step_name, step_place
from buildprof.analysis.waterfall import Row, drawn_seconds, waterfall
from buildprof.model.build import Build
from buildprof.model.document import Document, rounded_seconds
from buildprof.model.explanation import Explanation, Miss
from buildprof.model.step import Step
from buildprof.model.text import clean, rfc3339

PROCESS = 1
MAX_COMMAND = 1000


def trace_document(build: Build, explanation: Explanation | None, now_ns: int) -> Document:
    """The document: times count from the build's start, in microseconds; what still runs ends at `now_ns`.

    One thread for each stage on each platform and for what is before and after the stages; where steps of one ran at
    the same time, further threads of the same name with a number. Steps that did not run have no event.
    """
    misses = {miss.step_id: miss for miss in explanation.misses} if explanation else {}
    caused_by = {step_id: miss for miss in misses.values() for step_id in miss.collateral}
    name = f"{build_label(build)} {clean(build.ref, 100)}"
    events = [_metadata("process_name", 0, name=name)]
    thread = 0
    for lane in waterfall(build, now_ns).lanes:
        title = " ".join(filter(None, (clean(lane.name, 60), clean(lane.platform, 60))))
        rows = [row for run in lane.runs for row in run.rows if row.step.started_ns is not None]
        times = {row.step.id: _times(row.step, build, now_ns) for row in rows}
        for number, together in enumerate(_side_by_side(rows, times), 1):
            thread += 1
            events.append(_metadata("thread_name", thread, name=title if number == 1 else f"{title} ({number})"))
            events.append(_metadata("thread_sort_index", thread, sort_index=thread))
            for row in together:
                why = misses.get(row.step.id) or caused_by.get(row.step.id)
                event = _event(row, times[row.step.id], build, thread)
                events.append({**event, "args": {**event["args"], **_why(why, row, build)}})
    return {
        "traceEvents": events,
        "displayTimeUnit": "ms",
        "otherData": {
            "ref": clean(build.ref, 255),
            "builder": clean(build.builder, 255),
            "project": clean(build.project, 255),
            "target": clean(build.target, 255),
            "status": build.status.value,
            "started_at": rfc3339(build.started_ns),
        },
    }


def _metadata(kind: str, thread: int, **arguments: Any) -> Document:
    return {"ph": "M", "pid": PROCESS, "tid": thread, "name": kind, "args": arguments}


def _event(row: Row, times: tuple[int, int], build: Build, thread: int) -> Document:
    step = row.step
    start_ns, end_ns = times
    arguments = {
        "outcome": row.state,
        "seconds": rounded_seconds(row.seconds),
        "size_bytes": step_size_bytes(step),
        "transferred_bytes": step.transferred_bytes,
        "saved_seconds": rounded_seconds(step.saved_seconds),
        "slack_seconds": rounded_seconds(step.slack_seconds),
        "on_critical_path": step.on_critical_path or None,
        "root_miss": row.is_root or None,
        "stage": clean(step.stage, 100),
        "place": step_place(step).strip(),
        "platform": clean(step.platform, 100),
        "lines": list(step.lines) if step.lines else None,
        "instruction": clean(f"{step.instruction} {step.command}", MAX_COMMAND),
        "error": clean(step.error, MAX_COMMAND) if step.error else None,
    }
    return {
        "ph": "X",
        "pid": PROCESS,
        "tid": thread,
        "name": step_name(step, 200),
        "cat": row.state,
        "ts": (start_ns - build.started_ns) / 1000,
        "dur": (end_ns - start_ns) / 1000,
        "args": {key: value for key, value in arguments.items() if value not in (None, "")},
    }


def _why(miss: Miss | None, row: Row, build: Build) -> Document:
    """The cause of a root miss; of another miss the step that it follows from."""
    if miss is None:
        return {}
    said = {"cause": miss.finding.cause.value, "why": miss_sentence(miss, build)}
    if miss.step_id == row.step.id:
        return {
            **said,
            "confidence": miss.finding.confidence.value,
            "blamed_seconds": rounded_seconds(miss.blamed_seconds),
        }
    return {**said, "follows_from": clean(miss.step_id, 100)}


def _times(step: Step, build: Build, now_ns: int) -> tuple[int, int]:
    """Start and end. A step that ran in pieces is as long as they are together, as in every drawing of it."""
    start_ns = step.started_ns or 0
    return start_ns, start_ns + round(drawn_seconds(step, build, now_ns) * 1e9)


def _side_by_side(rows: Iterable[Row], times: Mapping[str, tuple[int, int]]) -> list[list[Row]]:
    """Rows in as few lists as it takes for none to overlap another of its list, each in the order of time."""
    lists: list[list[Row]] = []
    ends: list[int] = []
    for row in sorted(rows, key=lambda row: times[row.step.id]):
        start_ns, end_ns = times[row.step.id]
        at = next((at for at, end in enumerate(ends) if end <= start_ns), len(ends))
        if at == len(ends):
            lists.append([])
            ends.append(0)
        lists[at].append(row)
        ends[at] = end_ns
    return lists
