import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from buildprof import supervisor as module
from buildprof.sources.endpoint import EndpointError, UnsupportedError
from buildprof.supervisor import Source, SourceHealth, State, pause_after, supervise


class Observer:
    """Writes down what it is told, and of whom."""

    def __init__(self):
        self.ups = []
        self.of = set()
        self.restarts = self.dropped = self.events = 0

    def source_state(self, source, builder, *, up):
        self.of.add((source, builder))
        self.ups.append(up)

    def source_event(self, source, builder, at_ns, count=1):
        assert at_ns > 0
        self.of.add((source, builder))
        self.events += count

    def source_dropped(self, source, count=1):
        self.of.add(source)
        self.dropped += count

    def source_restarted(self, source):
        self.of.add(source)
        self.restarts += 1


@pytest.fixture(autouse=True)
def logged():
    with capture_logs() as entries:
        yield entries


@pytest.fixture
def observer():
    return Observer()


@pytest.fixture
def health(observer):
    return SourceHealth("history", "default", observer)


@pytest.fixture
def pauses(monkeypatch):
    """Every pause that the supervisor made; none takes time."""
    made = []

    async def pause(seconds):
        made.append(seconds)
        await ordinary_sleep(0)

    ordinary_sleep = asyncio.sleep
    monkeypatch.setattr(module.asyncio, "sleep", pause)
    monkeypatch.setattr(module.random, "random", lambda: 1.0)
    return made


class Enough(BaseException):
    """Ends the supervisor from inside a source."""


async def run(health, *acts):
    """Supervise a source that does one act after the other, and return its state before each and at the end."""
    states = []
    remaining = list(acts)

    async def source(health):
        states.append((health.state, health.reason))
        if not remaining:
            raise Enough
        act = remaining.pop(0)
        if act == "up":
            health.up()
        elif act is not None:
            if isinstance(act, tuple):
                health.up()
                act = act[1]
            raise act

    with pytest.raises(BaseExceptionGroup) as caught:
        await supervise([Source(health, source)])
    assert caught.group_contains(Enough)
    return states


async def test_a_source_that_fails_is_started_again_with_growing_pauses(health, observer, pauses):
    await run(health, *[EndpointError("gone")] * 10)

    assert pauses == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 15.0, 15.0, 15.0]
    assert observer.restarts == 10


async def test_a_source_that_worked_for_long_begins_with_a_short_pause(health, pauses, monkeypatch):
    monkeypatch.setattr(module, "STEADY_SECONDS", 0.0000001)
    await run(health, ("up", EndpointError("a")), ("up", EndpointError("b")), ("up", EndpointError("c")))

    assert pauses == [0.2, 0.2, 0.2]


async def test_a_source_that_comes_up_only_to_fail_at_once_is_paused_for_longer_each_time(health, pauses):
    await run(health, ("up", EndpointError("a")), ("up", EndpointError("b")), ("up", EndpointError("c")))

    assert pauses == [0.2, 0.4, 0.8]


async def test_a_source_that_ends_is_started_again(health, pauses):
    states = await run(health, "up", None)

    assert states[1:] == [(State.DOWN, "the connection ended")] * 2
    assert pauses == [0.2, 0.4]


async def test_what_an_engine_cannot_do_is_asked_for_rarely(health, pauses):
    states = await run(health, UnsupportedError("needs Engine 24"), UnsupportedError("needs Engine 24"))

    assert states[1] == (State.UNSUPPORTED, "needs Engine 24")
    assert pauses == [module.UNSUPPORTED_PAUSE_SECONDS] * 2


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (EndpointError("no engine"), "no engine"),
        (ConnectionResetError(), "ConnectionResetError"),
        (TimeoutError(), "TimeoutError"),
        (ValueError("a fault\nof ours\x1b[31m"), "ValueError: a fault of ours"),
        (RuntimeError("x" * 100_000), "RuntimeError: " + "x" * (module.MAX_REASON_CHARS - 15) + "…"),
        (ExceptionGroup("several", [ValueError()]), "ExceptionGroup: several (1 sub-exception)"),
    ],
)
async def test_the_reason_of_a_failure_is_one_short_line(health, pauses, error, reason):
    assert (await run(health, error))[1] == (State.DOWN, reason)


async def test_a_source_that_interrupts_itself_is_started_again(health, pauses):
    assert (await run(health, asyncio.CancelledError()))[1] == (State.DOWN, "it was interrupted")


async def test_an_observer_sees_every_change_and_nothing_else(health, observer, pauses):
    assert (health.state, observer.ups) == (State.STARTING, [False])
    await run(health, "up", EndpointError("gone"), "up")

    assert observer.ups == [False, True, False, False, True, False]
    assert observer.restarts == 3


async def test_a_reason_is_gone_when_the_source_works(health):
    assert health.reason == "not connected yet"
    health.down(State.DOWN, "gone")
    health.up()

    assert (health.state, health.reason) == (State.UP, "")
    assert health.up_seconds > 0
    health.down(State.DOWN, "gone")
    assert health.up_seconds == 0


async def test_a_failure_that_repeats_is_said_once(health, pauses, logged):
    await run(health, *[EndpointError("gone")] * 5, "up", EndpointError("gone"))

    said = [(entry["event"], entry.get("reason")) for entry in logged]
    ended = [("source down", "the connection ended")]
    assert said == [("source down", "gone"), ("source up", None), *ended, ("source down", "gone")]


async def test_a_fault_of_ours_is_logged_whole(health, pauses, logged):
    await run(health, RuntimeError("a bug"))

    assert any(entry["event"] == "source failed" and entry["exc_info"] for entry in logged)


async def test_events_and_losses_are_told(health, observer):
    health.event()
    health.event(4)
    health.dropped(7)

    assert (observer.events, observer.dropped) == (5, 7)
    assert observer.of == {("history", "default"), "history"}


async def test_a_failing_source_does_not_stop_the_others(observer, pauses):
    failures = 0
    worked = asyncio.Event()

    async def failing(_health):
        nonlocal failures
        failures += 1
        if failures == 50:
            worked.set()
        raise RuntimeError("again")

    async def working(health):
        health.up()
        await asyncio.Event().wait()

    healthy = SourceHealth("working", "default", observer)
    supervisor = asyncio.create_task(
        supervise([Source(SourceHealth("failing", "default", observer), failing), Source(healthy, working)])
    )
    await worked.wait()
    assert healthy.state is State.UP
    supervisor.cancel()
    await asyncio.wait([supervisor])


async def test_cancelling_stops_every_source_wherever_it_is(observer):
    cleaned, started = [], []

    async def running(health):
        started.append(health)
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.append(health.name)

    async def pausing(health):
        started.append(health)
        raise UnsupportedError("never")

    sources = [
        Source(SourceHealth(name, "default", observer), act)
        for name, act in (("a", running), ("b", pausing), ("c", running))
    ]
    before = asyncio.all_tasks()
    supervisor = asyncio.create_task(supervise(sources))
    while len(started) < 3:
        await asyncio.sleep(0)
    supervisor.cancel()

    with pytest.raises(asyncio.CancelledError):
        await supervisor
    assert sorted(cleaned) == ["a", "c"]
    assert asyncio.all_tasks() == before


@given(st.integers(1, 10**9), st.floats(0, 1))
def test_a_pause_is_never_long_nor_none(failures, chance):
    assert module.FIRST_PAUSE_SECONDS / 2 <= pause_after(failures, chance) <= module.MAX_PAUSE_SECONDS


def test_pauses_are_spread_so_that_many_agents_do_not_come_at_once():
    assert pause_after(3, 0.0) == pause_after(3, 1.0) / 2
