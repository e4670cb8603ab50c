"""One operation of a build's graph (LLB), as the provenance shows it: what it is, what it reads, what it runs with.

The names are those of moby/buildkit solver/pb/ops.proto in protobuf's JSON, where a field that is 0, false or empty is
left out, and not by every version.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

MAX_NAME_CHARS = 4_096
"""Of a source's identifier, a path or a pattern: a longer one is read as if it was not there, which is as "all"."""

MAX_VARIABLES = 10_000

_ROOT = "/"
_LOCAL = "local://"
_IMAGES = ("docker-image://", "oci-layout://")
_REMOTES = ("http://", "https://", "git://")
_FULL_URL = "git.fullurl"

# What of a RUN is no part of the engine's cache key (ExecOp.CacheMap), or is told apart from the rest in a recipe.
_META_LEFT_OUT = frozenset({"env", "proxy_env", "proxyEnv", "removeMountStubsRecursive"})
_MOUNT_LEFT_OUT = frozenset({"input", "output", "selector"})


@dataclass(frozen=True, slots=True)
class Read:
    """What an operation reads of one of its inputs, by that vertex' digest.

    `path` is from the input's root, without a slash at either end; `include` and `exclude` are patterns on paths below
    it (below what it matches, if `wildcard`), as the operation has them.
    """

    input: str
    path: str = ""
    wildcard: bool = False
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Operation:
    """What one vertex does.

    `inputs` are digests of vertices, "" where the provenance does not tell. `source` is the identifier of what a source
    fetches, "" of other operations; `url` is the address of a git source. `platform` is as in "linux/arm/v7".
    `environment` is a RUN's, in clear. `definition` is what is to be done, the same text for the same thing in every
    version: without environment, inputs and what is read of them.
    """

    inputs: tuple[str, ...] = ()
    source: str = ""
    url: str = ""
    platform: str = ""
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    reads: tuple[Read, ...] = ()
    definition: str = field(default="", repr=False)

    @property
    def context(self) -> str:
        """The name of the directory that it takes from the client; "" if it does not."""
        return self.source.removeprefix(_LOCAL) if self.source.startswith(_LOCAL) else ""

    @property
    def image(self) -> str:
        """The reference of the image that it fetches; "" if it does not."""
        return next((self.source.removeprefix(one) for one in _IMAGES if self.source.startswith(one)), "")

    @property
    def remote(self) -> str:
        """The address of what it fetches by HTTP or git; "" if it does not. A git address ends in `#ref:directory`."""
        if not self.source.startswith(_REMOTES):
            return ""
        return "#".join([self.url, *self.source.split("#", 1)[1:]]) if self.url else self.source


def parse_operation(op: Any, inputs: Sequence[str]) -> Operation:
    """Read the `op` of a step; what is not as BuildKit writes it is left out. Never fails."""
    op = as_mapping(op)
    kinds = as_mapping(op.get("Op"))
    source, execution, file = (as_mapping(kinds.get(kind)) for kind in ("source", "exec", "file"))
    platform = as_mapping(op.get("platform"))
    names = [_name(platform.get(part)) for part in ("OS", "Architecture", "Variant")]
    return Operation(
        inputs=tuple(inputs),
        source=_name(source.get("identifier")),
        url=_name(as_mapping(source.get("attrs")).get(_FULL_URL)),
        platform="/".join(name for name in names if name),
        environment=_environment(as_mapping(execution.get("meta")).get("env")),
        reads=tuple(_copies(file, inputs)) + tuple(_mounts(execution, inputs)),
        definition=_definition(kinds, names),
    )


def _environment(value: Any) -> dict[str, str]:
    pairs = (one.partition("=") for one in as_list(value)[:MAX_VARIABLES] if isinstance(one, str))
    return {name: text for name, _, text in pairs}


def _copies(file: Mapping[str, Any], inputs: Sequence[str]) -> Iterator[Read]:
    """What COPY and ADD read: an index past the inputs is the result of an earlier action of the same step."""
    for action in filter(None, map(as_mapping, as_list(file.get("actions")))):
        copy = as_mapping(as_mapping(action.get("Action")).get("copy"))
        if copy and (read := _at(inputs, action.get("secondaryInput", 0))):
            path = _path(copy.get("src"))
            is_wildcard = copy.get("allowWildcard") is True and has_wildcards(path)
            include, exclude = (_names(copy.get(f"{kind}_patterns")) for kind in ("include", "exclude"))
            yield Read(read, path, is_wildcard, include, exclude)
        if stands_on := _at(inputs, action.get("input", 0)):
            yield Read(stands_on)


def _mounts(execution: Mapping[str, Any], inputs: Sequence[str]) -> Iterator[Read]:
    for mount in filter(None, map(as_mapping, as_list(execution.get("mounts")))):
        if read := _at(inputs, mount.get("input", 0)):
            yield Read(read, _path(mount.get("selector")))


def _definition(kinds: Mapping[str, Any], platform: Sequence[str]) -> str:
    """Follows the engine's cache keys: ExecOp.CacheMap and fileOp.CacheMap in moby/buildkit solver/llbsolver/ops."""
    parts: dict[str, Any] = {kind: value for kind, value in kinds.items() if kind not in ("exec", "file", "merge")}
    if execution := as_mapping(kinds.get("exec")):
        meta = {key: value for key, value in as_mapping(execution.get("meta")).items() if key not in _META_LEFT_OUT}
        meta["extraHosts"] = [as_mapping(host).get("Host") for host in as_list(meta.get("extraHosts"))]
        mounts = [_without(as_mapping(mount), _MOUNT_LEFT_OUT) for mount in as_list(execution.get("mounts"))]
        parts["exec"] = {
            **execution,
            "meta": meta,
            "mounts": [one for one in mounts if _filled(one) != {"dest": _ROOT}],
        }
        parts["platform"] = list(platform)
    if file := as_mapping(kinds.get("file")):
        parts["file"] = [_action(as_mapping(action)) for action in as_list(file.get("actions"))]
    if "merge" in kinds:
        parts["merge"] = "merge"
    try:
        return json.dumps(_filled(parts), sort_keys=True, separators=(",", ":"))
    except (ValueError, RecursionError):
        return ""


def _action(action: Mapping[str, Any]) -> dict[str, Any]:
    """One action of a COPY, ADD or WORKDIR. Of what is copied only the last name counts, as in fileOp.CacheMap."""
    done = dict(as_mapping(action.get("Action")))
    if copy := as_mapping(done.get("copy")):
        source = copy.get("src")
        done["copy"] = {**copy, "src": posixpath.basename(source) if isinstance(source, str) else ""}
    return done


def _filled(value: Any) -> Any:
    """The value without what is 0, false or empty, at any depth: versions differ in whether they write it."""
    if isinstance(value, dict):
        filled = ((key, _filled(one)) for key, one in value.items())
        return {key: one for key, one in filled if one}
    if isinstance(value, list):
        return [_filled(one) for one in value]
    return value


def has_wildcards(path: str) -> bool:
    r"""Whether a path has `*`, `?` or `[` that no backslash takes the meaning of (dockerfile2llb, containsWildcards)."""
    escaped = False
    for character in path:
        if escaped:
            escaped = False
        elif character in "*?[":
            return True
        else:
            escaped = character == "\\"
    return False


def _at(inputs: Sequence[str], index: Any) -> str:
    return inputs[index] if type(index) is int and 0 <= index < len(inputs) else ""


def _without(mapping: Mapping[str, Any], keys: frozenset[str]) -> dict[str, Any]:
    return {key: value for key, value in mapping.items() if key not in keys}


def _path(value: Any) -> str:
    return posixpath.normpath(_ROOT + _name(value)).strip(_ROOT)


def _names(value: Any) -> tuple[str, ...]:
    """None at all if one of them cannot be read: the rest alone could mean less than what is read."""
    names = tuple(map(_name, as_list(value)))
    return names if all(names) else ()


def _name(value: Any) -> str:
    return value if isinstance(value, str) and len(value) <= MAX_NAME_CHARS else ""


def as_mapping(value: Any) -> Mapping[str, Any]:
    """What is no JSON object is an empty one."""
    return value if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    """What is no JSON list is an empty one."""
    return value if isinstance(value, list) else []
