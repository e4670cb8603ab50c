"""Reports on vertices in few words, for streams that no engine here can be made to send."""

from buildprof.assembly.facts import BuildFacts
from buildprof.model.events import StatusUpdate, Vertex


def vertex(digest, *runs, inputs=(), name=None, cached=False, error=""):
    """The reports on one vertex. A run is (start, end) of work, (start, end, "cached"), or (start, end, error)."""
    name = name or f"[1/9] RUN {digest}"
    reports = [Vertex(digest, name, tuple(inputs), cached=cached)]
    for started_ns, completed_ns, *mark in runs:
        is_cached = mark == ["cached"]
        failure = mark[0] if mark and not is_cached else error
        reports.append(Vertex(digest, name, tuple(inputs), is_cached, started_ns, completed_ns, failure))
    return reports


def facts_of(*vertices):
    """What a build knows after all these reports."""
    facts = BuildFacts()
    facts.observe(StatusUpdate(vertices=tuple(report for reports in vertices for report in reports)))
    return facts
