"""The HTTP API as one table, and the OpenAPI 3.1 document made of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from buildprof.model.build import Status

DEFAULT_LIMIT = 50
MAX_LIMIT = 500

_TEXT = {"type": "string", "minLength": 1, "maxLength": 255}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of an operation: in the path if the path names it, else in the query."""

    name: str
    description: str
    schema: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Operation:
    """What GET of one path does. `problems` are the status codes of the errors of its own."""

    path: str
    summary: str
    media_type: str = "application/json"
    parameters: tuple[Parameter, ...] = ()
    problems: tuple[int, ...] = ()


_REF = Parameter("ref", "A build's ref, a unique prefix of it, or `last`", _TEXT)

OPERATIONS: tuple[Operation, ...] = (
    Operation("/", "A page with the latest builds", "text/html", problems=(503,)),
    Operation("/metrics", "Metrics for Prometheus; OpenMetrics on request", "text/plain", problems=(503,)),
    Operation("/-/healthy", "Whether the process lives", "text/plain"),
    Operation("/-/ready", "Whether the engine's history has been read; 503 with the reason until then"),
    Operation(
        "/api/v1/builds",
        "Builds, newest first",
        parameters=(
            Parameter("project", "Only this project", _TEXT),
            Parameter("target", "Only this target", _TEXT),
            Parameter("status", "Only builds that stand like this", {"enum": [status.value for status in Status]}),
            Parameter("since", "Only builds started since: a length such as 7d, or a time of RFC 3339", _TEXT),
            Parameter("limit", "How many", {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT}),
            Parameter("before", "The `next` of the page before", _TEXT),
        ),
        problems=(400, 503),
    ),
    Operation(
        "/api/v1/builds/{ref}",
        "One build with its steps",
        parameters=(_REF,),
        problems=(400, 404, 503),
    ),
    Operation(
        "/api/v1/builds/{ref}/explain",
        "Why each step of a build missed the cache; 404 for a build that runs or is not explained as well",
        parameters=(_REF,),
        problems=(400, 404, 503),
    ),
    Operation(
        "/api/v1/builds/{ref}/trace",
        "One build in the Trace Event Format, for Perfetto or chrome://tracing",
        parameters=(_REF,),
        problems=(400, 404, 503),
    ),
    Operation(
        "/api/v1/images/{image}",
        "What an image is made of, and what of it nobody sees; 404 for one that was not analysed",
        parameters=(
            Parameter("image", "An image's name, with slashes as they are, or its id, or a prefix of it", _TEXT),
        ),
        problems=(400, 404, 503),
    ),
    Operation(
        "/api/v1/projects",
        "What is known of each project, and which of its signals are worse than usual",
        problems=(503,),
    ),
    Operation(
        "/api/v1/events",
        "Live events: build_started, step_finished, build_finished; a ping when nothing happens",
        "text/event-stream",
        problems=(503,),
    ),
    Operation("/api/v1/openapi.json", "This document"),
)


def openapi_document(version: str) -> dict[str, Any]:
    """Make the OpenAPI document. Every operation is a GET; every error is a problem document of RFC 9457."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "buildprof",
            "version": version,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": {operation.path: {"get": _operation(operation)} for operation in OPERATIONS},
        "components": {"schemas": {"Problem": _PROBLEM}},
    }


_PROBLEM = {
    "type": "object",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
    },
}


def _operation(operation: Operation) -> dict[str, Any]:
    schema = {"type": "object"} if operation.media_type == "application/json" else {"type": "string"}
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    responses: dict[str, Any] = {"200": {"description": "OK", "content": {operation.media_type: {"schema": schema}}}}
    responses |= {str(status): {"description": "Problem", "content": problem} for status in operation.problems}
    if operation.path == "/-/ready":
        responses["503"] = {"description": "Not yet", "content": {operation.media_type: {"schema": schema}}}
    return {
        "summary": operation.summary,
        "parameters": [_parameter(operation, parameter) for parameter in operation.parameters],
        "responses": responses,
    }


def _parameter(operation: Operation, parameter: Parameter) -> dict[str, Any]:
    in_path = f"{{{parameter.name}}}" in operation.path
    return {
        "name": parameter.name,
        "in": "path" if in_path else "query",
        "required": in_path,
        "description": parameter.description,
        "schema": parameter.schema,
    }
