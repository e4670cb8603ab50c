"""Engines and a registry as pytest fixtures: each is started when the first test asks, and shared by all after it.

| fixture | engine |
|---|---|
| `engine_20`, `engine_26`, `engine_28`, `engine_28_containerd` | that one |
| `any_engine` | each of the four in turn |
| `history_engine` | each that keeps a history of builds: all but 20.10 |
| `fresh_engine(kind, *options)` | a new one for this test alone, to restart, kill or fill |

Every engine has `base:latest`. A shared engine is nobody's own: tests use tags and projects that no other test uses,
count only what is theirs, and never prune or restart. Tests that ask for one of these get the mark `engine`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import pytest

from tests.engines.engine import Engine, running_engine
from tests.engines.images import import_base
from tests.engines.machine import machine_engine
from tests.engines.registry import Registry, running_registry
from tests.engines.rootfs import EngineUnavailable

KINDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "bookworm": ("bookworm", ()),
    "trixie": ("trixie", ()),
    "forky": ("forky", ()),
    "forky-containerd": ("forky", ("--feature", "containerd-snapshotter=true")),
}
"""Suite and options of dockerd for each kind of engine."""

_WITH_HISTORY = [kind for kind in KINDS if kind != "bookworm"]
_FIXTURES = {"shared_engine", "fresh_engine", "registry"}  # all the others stand on these


@contextlib.contextmanager
def _engine(kind: str, options: tuple[str, ...] = ()) -> Iterator[Engine]:
    suite, kind_options = KINDS[kind]
    with running_engine(suite, (*kind_options, *options), name=kind) as engine:
        import_base(engine)
        yield engine


@contextlib.contextmanager
def _machine_engine(unavailable: EngineUnavailable) -> Iterator[Engine]:
    """The machine's own engine where none can be made, with a base image for the time of the tests."""
    engine = machine_engine()
    if engine is None:
        raise EngineUnavailable(f"{unavailable}; and this machine has no Docker Engine") from unavailable
    had_base = engine.docker("image", "inspect", "base:latest", check=False).returncode == 0
    if not had_base:
        import_base(engine)
    try:
        yield engine
    finally:
        if not had_base:
            engine.docker("image", "rm", "base:latest", check=False)


@pytest.fixture(scope="session")
def shared_engine() -> Iterator[Callable[[str], Engine]]:
    """The shared engine of a kind; the machine's own stands in for the newest kind where none can be made."""
    outcomes: dict[str, Engine | EngineUnavailable] = {}
    with contextlib.ExitStack() as running:

        def start(kind: str) -> Engine | EngineUnavailable:
            try:
                return running.enter_context(_engine(kind))
            except EngineUnavailable as error:
                if kind != "forky":
                    return error
                unavailable = error
            try:
                return running.enter_context(_machine_engine(unavailable))
            except EngineUnavailable as error:
                return error

        def shared(kind: str) -> Engine:
            outcome = outcomes[kind] = outcomes.get(kind) or start(kind)
            if isinstance(outcome, EngineUnavailable):
                pytest.skip(f"no engine {kind}: {outcome}")
            return outcome

        yield shared


@pytest.fixture
def fresh_engine() -> Iterator[Callable[..., Engine]]:
    """`fresh_engine(kind, *options)` starts an engine that is gone after the test."""
    with contextlib.ExitStack() as running:

        def start(kind: str = "forky", *options: str) -> Engine:
            try:
                return running.enter_context(_engine(kind, options))
            except EngineUnavailable as error:
                pytest.skip(f"no engine {kind}: {error}")

        yield start


@pytest.fixture(scope="session")
def engine_20(shared_engine: Callable[[str], Engine]) -> Engine:
    return shared_engine("bookworm")


@pytest.fixture(scope="session")
def engine_26(shared_engine: Callable[[str], Engine]) -> Engine:
    return shared_engine("trixie")


@pytest.fixture(scope="session")
def engine_28(shared_engine: Callable[[str], Engine]) -> Engine:
    return shared_engine("forky")


@pytest.fixture(scope="session")
def engine_28_containerd(shared_engine: Callable[[str], Engine]) -> Engine:
    return shared_engine("forky-containerd")


@pytest.fixture(params=list(KINDS))
def any_engine(request: pytest.FixtureRequest, shared_engine: Callable[[str], Engine]) -> Engine:
    return shared_engine(request.param)


@pytest.fixture(params=_WITH_HISTORY)
def history_engine(request: pytest.FixtureRequest, shared_engine: Callable[[str], Engine]) -> Engine:
    engine = shared_engine(request.param)
    if not engine.has_build_history:
        pytest.skip("this machine's engine keeps no history of builds")
    return engine


@pytest.fixture(scope="session")
def registry() -> Iterator[Registry]:
    try:
        with running_registry() as running:
            yield running
    except EngineUnavailable as error:
        pytest.skip(str(error))


@pytest.hookimpl(tryfirst=True)  # before -m selects
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker("engine")
