"""What every step of a build is made of: from the provenance where the build has one, else from the Dockerfile's text.

A recipe has what the step itself adds. What the frontend makes on the way to a step and that is no step of its own (an
inline document, the directory of a cache mount, an archive that is unpacked) belongs to the step that needs it.

Every size is bounded. Of too many variables those past MAX_VARIABLES are one, named "…", and change together. What is
taken of a context by too many paths or patterns, or by too long a path, is said to be more than it is, at most all of
it. Of too many images and remotes the first are kept. A long instruction keeps its beginning and a hash of all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from buildprof.assembly.dockerfile import Dockerfile, Heredoc, Instruction
from buildprof.assembly.facts import VertexFacts
from buildprof.assembly.image_names import Materials, read_materials, split_digest
from buildprof.assembly.ingredients import Contexts, Ingredients, address, below, contexts_of, ingredients
from buildprof.assembly.names import parse_name
from buildprof.assembly.operations import Operation, has_wildcards
from buildprof.assembly.outcomes import is_cacheable
from buildprof.assembly.provenance import Provenance
from buildprof.assembly.redact import Redactor, looks_secret
from buildprof.assembly.variables import (
    Scope,
    StageScope,
    argument_scope,
    platform_variables,
)
from buildprof.model.recipe import ContextUse, Recipe, Written
from buildprof.model.step import Kind
from buildprof.model.text import clean

MAX_WRITTEN_CHARS = 16_384
MAX_BEFORE = 50
MAX_VARIABLES = 250
MAX_NAME_CHARS = 200
MAX_USES = 200
MAX_PATTERNS = 100
MAX_PATH_CHARS = 1_000
MAX_ORIGINS = 50
OTHERS = "…"


@dataclass(frozen=True, slots=True)
class Placed:
    """A vertex as far as its recipe needs it: its kind, its platform ("" if the build has one), where it is written."""

    kind: Kind
    platform: str = ""
    instruction: Instruction | None = None


@dataclass(frozen=True, slots=True)
class RecipeFacts:
    """What the recipes of one build are made from.

    `redact_written` is for the Dockerfile's own text. `attributes` are the build record's, `build_args` in clear.
    """

    redactor: Redactor
    redact_written: Callable[[str], str]
    dockerfile: Dockerfile | None = None
    provenance: Provenance = field(default_factory=Provenance)
    attributes: Mapping[str, str] = field(default_factory=dict)
    build_args: Mapping[str, str] = field(default_factory=dict)


def make_recipes(
    vertices: Mapping[str, VertexFacts], placed: Mapping[str, Placed], facts: RecipeFacts
) -> dict[str, Recipe]:
    """The recipe of every cacheable step by its digest; none for a step of which nothing is known but its name."""
    steps = frozenset(digest for digest, vertex in vertices.items() if is_cacheable(vertex, placed[digest].kind))
    if not steps:
        return {}
    build = _Build(facts, vertices, steps)
    recipes: dict[str, Recipe] = {}
    for digest in (one for one in vertices if one in steps):
        place = placed[digest]
        operation = build.operation(digest)
        if place.instruction is None and operation is None:
            continue
        written, before = build.text(place.instruction)
        scope = build.scope(place)
        asked = build.ingredients(place, scope)
        if place.kind is not Kind.RUN:
            scope = {name: scope[name] for name in asked.variables if name in scope}
        seen = operation.environment if operation and place.kind is Kind.RUN else scope
        environment = build.hashed(seen)
        if operation is None:
            recipes[digest] = Recipe(
                written=written,
                before=before,
                environment=environment,
                takes=build.bounded(asked.takes),
                images=build.named(split_digest(name) for name in build.image_names(digest)),
                remotes=build.named((url, "") for url in asked.remotes),
            )
            continue
        made_of = list(build.made_of(digest))
        recipes[digest] = Recipe(
            written=written,
            before=before,
            operation=build.hash("operation", "\n".join(one.definition for one in made_of)),
            environment=environment,
            is_exact=True,
            takes=build.bounded(build.uses(made_of)),
            images=build.named(build.images(made_of)),
            remotes=build.named(build.remotes(made_of)),
        )
    return recipes


class _Build:
    """The facts of one build, each of which is worked out once for all its steps."""

    def __init__(self, facts: RecipeFacts, vertices: Mapping[str, VertexFacts], steps: frozenset[str]) -> None:
        self._facts, self._vertices, self._steps = facts, vertices, steps
        self._contexts: Contexts = contexts_of(facts.attributes)
        self._materials: Materials = read_materials(facts.provenance.materials)
        secret = {name: value for name, value in facts.build_args.items() if looks_secret(name)}
        self._redactor = facts.redactor.for_build(secret)
        if facts.dockerfile:
            self._redactor = self._redactor.with_assignments(facts.dockerfile.assignments)
        self._scopes: dict[str, list[Scope]] = {}
        self._written: dict[tuple[str, tuple[Heredoc, ...]], tuple[str, str]] = {}
        self._last_hashed: tuple[Scope, dict[str, str]] | None = None
        self._hashes: dict[tuple[str, str], str] = {}
        self._redacted: dict[str, str] = {}
        self._instructions: tuple[Instruction, ...] = (
            tuple(one for stage in facts.dockerfile.stages for one in stage.instructions) if facts.dockerfile else ()
        )
        # One look at all of them is much cheaper than one at each, and mostly there is nothing to find.
        texts = {(one.source, one.heredocs): one for one in self._instructions}
        whole = "\n".join(one.written for one in texts.values())
        self._has_no_secrets = facts.redact_written(whole) == whole
        asked = facts.attributes.get("platform", "")
        self._platform = asked if "," not in asked else ""

    def operation(self, digest: str) -> Operation | None:
        step = self._facts.provenance.steps.get(digest)
        return step.operation if step else None

    def text(self, instruction: Instruction | None) -> tuple[Written | None, tuple[Written, ...]]:
        """The instruction as written, and the last MAX_BEFORE before it that make no step."""
        if instruction is None:
            return None, ()
        before: list[Written] = []
        for one in reversed(self._instructions[max(0, instruction.index - MAX_BEFORE) : instruction.index]):
            if one.position is not None or one.stage != instruction.stage:
                break
            before.append(self._as_written(one))
            if one.keyword == "FROM":
                break
        return self._as_written(instruction), tuple(reversed(before))

    def _as_written(self, instruction: Instruction) -> Written:
        key = (instruction.source, instruction.heredocs)  # a trigger is one text in all the stages that it comes to
        if key not in self._written:
            whole = instruction.written
            text = whole if self._has_no_secrets else self._facts.redact_written(whole)
            digest = self.hash("written", whole) if text != whole else ""
            if len(text) > MAX_WRITTEN_CHARS:
                text = f"{text[:MAX_WRITTEN_CHARS]}… [{self.hash('written', text)}]"
            self._written[key] = text, digest
        text, digest = self._written[key]
        return Written(text, instruction.lines, digest)

    def scope(self, place: Placed) -> Scope:
        """The variables that a step sees."""
        dockerfile, instruction = self._facts.dockerfile, place.instruction
        if dockerfile is None or instruction is None:
            return {}
        platform = place.platform or self._platform
        if platform not in self._scopes:
            self._scopes[platform] = list(_scopes(dockerfile, self._facts.build_args, platform))
        return self._scopes[platform][instruction.index]

    def ingredients(self, place: Placed, scope: Scope) -> Ingredients:
        """What a step takes as its instruction is written; the merge of a COPY --link adds nothing to the copy."""
        if self._facts.dockerfile is None or place.instruction is None or place.kind is Kind.MERGE:
            return Ingredients()
        platform = place.platform or self._platform
        return ingredients(place.instruction, self._facts.dockerfile.escape_token, scope, self._contexts, platform)

    def made_of(self, digest: str) -> Iterator[Operation]:
        """A step's operation, and those before it up to other steps."""
        seen, waiting = {digest}, [digest]
        while waiting:
            operation = self.operation(waiting.pop())
            if operation is not None:
                yield operation
                inputs = [one for one in operation.inputs if one not in seen and one not in self._steps]
                seen.update(inputs)
                waiting += reversed(inputs)

    def uses(self, made_of: Iterable[Operation]) -> Iterator[ContextUse]:
        for operation in made_of:
            for read in operation.reads:
                source = self.operation(read.input)
                if source and source.context:
                    use = below(source.context, read.path, read.include, read.exclude)
                    yield ContextUse(use.context, use.path, read.wildcard, use.include, use.exclude)

    def images(self, made_of: Iterable[Operation]) -> Iterator[tuple[str, str]]:
        for operation in made_of:
            if operation.image:
                name, digest = split_digest(operation.image)
                yield name, digest or self._materials.image(name, operation.platform)

    def image_names(self, digest: str) -> Iterator[str]:
        """References of the images that a step stands on, by the names of the vertices that fetch them."""
        seen, waiting = {digest}, [digest]
        while waiting:
            vertex = self._vertices.get(waiting.pop())
            for one in vertex.inputs if vertex else ():
                if one in seen or one in self._steps or one not in self._vertices:
                    continue
                seen.add(one)
                waiting.append(one)
                name = parse_name(self._vertices[one].name)
                if name.kind is Kind.FROM or name.command.startswith("FROM "):
                    yield name.command.removeprefix("FROM ").split(" ", 1)[0]

    def remotes(self, made_of: Iterable[Operation]) -> Iterator[tuple[str, str]]:
        for operation in made_of:
            if url := operation.remote:
                yield address(url), self._materials.remotes.get(url, "")

    def named(self, origins: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
        """Sorted, without secrets; MAX_ORIGINS at most."""
        cleaned = ((clean(self._without_secrets(name), MAX_PATH_CHARS), digest) for name, digest in origins)
        return tuple(sorted({(name, digest) for name, digest in cleaned if name}))[:MAX_ORIGINS]

    def bounded(self, uses: Iterable[ContextUse]) -> tuple[ContextUse, ...]:
        """Sorted, each once, none with a secret in it; what is too much becomes all of its context."""
        found = {self._bounded_use(use) for use in uses}
        if len(found) > MAX_USES:
            found = {ContextUse(context) for context in {use.context for use in found}}
        return tuple(sorted(found, key=lambda use: (use.context, use.path, use.wildcard, use.include, use.exclude)))

    def _bounded_use(self, use: ContextUse) -> ContextUse:
        parts = use.path.split("/")
        whole = next((i for i, part in enumerate(parts) if self._without_secrets(part) != part), len(parts))
        path = "/".join(parts[:whole])
        is_cut = path != use.path or len(path) > MAX_PATH_CHARS
        path = "" if len(path) > MAX_PATH_CHARS else path
        include, exclude = self._patterns(use.include), self._patterns(use.exclude)
        if is_cut:
            include = exclude = ()
        return ContextUse(use.context[:MAX_NAME_CHARS], path, use.wildcard and has_wildcards(path), include, exclude)

    def _patterns(self, patterns: tuple[str, ...]) -> tuple[str, ...]:
        """None of them if one cannot be kept: the rest could mean less."""
        is_fine = all(len(one) <= MAX_PATH_CHARS and self._without_secrets(one) == one for one in patterns)
        return patterns if len(patterns) <= MAX_PATTERNS and is_fine else ()

    def _without_secrets(self, text: str) -> str:
        if text not in self._redacted:
            self._redacted[text] = self._redactor.text(text)
        return self._redacted[text]

    def hashed(self, scope: Scope) -> dict[str, str]:
        """Names, sorted, with keyed hashes of their values; steps in a row mostly see the same scope."""
        if self._last_hashed is None or self._last_hashed[0] is not scope:
            values = {name: value for name, value in scope.items() if value is not None}
            kept = sorted(filter(_is_name, values))[:MAX_VARIABLES]
            hashes = {name: self.hash(name, values[name]) for name in kept}
            if len(kept) < len(values):
                hashes[OTHERS] = self.hash(OTHERS, repr(sorted(values.items() - {(one, values[one]) for one in kept})))
            self._last_hashed = scope, hashes
        return self._last_hashed[1]

    def hash(self, name: str, value: str) -> str:
        """The same keyed hash as that of a build argument."""
        if (name, value) not in self._hashes:
            self._hashes[name, value] = self._facts.redactor.build_args({name: value})[1][name]
        return self._hashes[name, value]


@lru_cache(maxsize=4096)
def _is_name(name: str) -> bool:
    return 0 < len(name) <= MAX_NAME_CHARS and clean(name) == name


def _scopes(dockerfile: Dockerfile, build_args: Mapping[str, str], platform: str) -> Iterator[Scope]:
    """What each instruction of a Dockerfile sees, by its index."""
    escape = dockerfile.escape_token
    given = argument_scope(dockerfile.arguments, escape, build_args, platform_variables(platform))
    ends: list[StageScope] = []
    for stage in dockerfile.stages:
        scope = StageScope({}, {}) if stage.parent is None else ends[stage.parent].below()
        for instruction in stage.instructions:
            yield scope.seen
            scope = scope.after(instruction.keyword, instruction.words, escape, build_args, given)
        ends.append(scope)
