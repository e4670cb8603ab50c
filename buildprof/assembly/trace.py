"""What a build's trace says that nothing else does: which blobs were uploaded to a registry.

The trace is a run of OpenTelemetry spans as JSON objects, one after another, in the form of the Go SDK's stdout
exporter. A blob that the registry had already is asked for by HEAD only; an upload ends with a PUT that names its
digest (OCI distribution specification, "Pushing blobs"; seen on Engine 28.5).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

_URL_KEYS = ("url.full", "http.url")
_METHOD_KEYS = ("http.request.method", "http.method")
_STATUS_KEYS = ("http.response.status_code", "http.status_code")
_CREATED = 201


def uploaded_digests(trace: bytes) -> frozenset[str]:
    """Digests of the blobs that were uploaded while the build ran; what cannot be read of a trace is passed over."""
    found: set[str] = set()
    for span in _spans(trace.decode("utf-8", "replace")):
        attributes = _attributes(span)
        method, status = _first(attributes, _METHOD_KEYS), _first(attributes, _STATUS_KEYS)
        if method == "PUT" and status == _CREATED:
            try:
                query = parse_qs(urlsplit(str(_first(attributes, _URL_KEYS))).query)
            except ValueError:
                continue
            found.update(query.get("digest", ()))
    return frozenset(found)


def _spans(text: str) -> Iterator[dict[str, Any]]:
    decoder, position = json.JSONDecoder(), 0
    while position < len(text):
        if text[position].isspace():
            position += 1
            continue
        try:
            span, position = decoder.raw_decode(text, position)
        except (ValueError, RecursionError):
            return
        if isinstance(span, dict):
            yield span


def _attributes(span: dict[str, Any]) -> dict[str, Any]:
    listed = span.get("Attributes")
    pairs = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    return {str(one.get("Key")): one["Value"].get("Value") for one in pairs if isinstance(one.get("Value"), dict)}


def _first(attributes: dict[str, Any], keys: tuple[str, ...]) -> Any:
    return next((attributes[key] for key in keys if key in attributes), None)
