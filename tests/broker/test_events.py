"""Whoever watches hears how things are and what happens, and slows nobody down."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator

import pytest

from credd import wire_audit
from credd.broker import events as events_module
from credd.broker.events import Events
from credd.errors import UpstreamUnavailable
from tests.fakes.house import House, started
from tests.fakes.virtual_time import virtual


@contextlib.asynccontextmanager
async def watched(
    house: House,
) -> AsyncIterator[tuple[Events, AsyncGenerator[wire_audit.Event, None]]]:
    events = Events(house.shelf, house.around)
    stream = events.stream()
    try:
        yield events, stream
    finally:
        await stream.aclose()
        await house.stop()


async def until(stream: AsyncGenerator[wire_audit.Event, None], kind: str) -> wire_audit.Event:
    async for event in stream:
        if event["type"] == kind:
            return event
    raise AssertionError(f"the stream ended without {kind}")


@virtual
async def test_the_present_states_come_first() -> None:
    """So that a watcher need not ask anything else."""
    house = await started("hub", "lab")
    async with watched(house) as (_, stream):
        told = [await anext(stream), await anext(stream)]
    assert [(one["type"], one["credential"], one["state"], one["before"]) for one in told] == [
        ("state", "hub", "fresh", ""), ("state", "lab", "fresh", ""),
    ]  # fmt: skip


@virtual
async def test_a_refresh_is_told_with_its_generation() -> None:
    """And states that change because of it."""
    house = await started("lab")
    async with watched(house) as (events, stream):
        first = await anext(stream)
        await asyncio.sleep(60)
        await house.broker.refresh("lab")
        events.look()
        event = await until(stream, "refreshed")
    assert (event["credential"], event["generation"]) == ("lab", first["generation"] + 1)


@virtual
async def test_a_lost_login_is_told_with_its_remedy() -> None:
    """Once as a state, and once as what somebody must do."""
    house = await started("lab")
    async with watched(house) as (events, stream):
        await anext(stream)
        await house.broker.forget("lab", keep_going=True)
        events.look()
        state = await until(stream, "state")
        event = await until(stream, "login-needed")
    assert (state["before"], state["state"]) == ("fresh", "empty")
    assert event["remedy"] == "credd-ctl login lab"


@virtual
async def test_locking_unlocking_and_leaving_are_told() -> None:
    """The vault closes and opens; a credential leaves the configuration."""
    house = await started("lab")
    async with watched(house) as (events, stream):
        await anext(stream)
        house.shelf.unlocked = False
        events.look()
        await until(stream, "locked")
        house.shelf.unlocked = True
        events.look()
        await until(stream, "unlocked")
        house.shelf.configure({})
        events.look()
        assert (await until(stream, "state"))["state"] in {"fresh", "orphaned"}
        events.tell("reload", applied=True, findings=0)
        assert (await until(stream, "reload"))["applied"] is True


@virtual
async def test_a_silent_stream_says_that_it_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    """A heartbeat, so that a broken connection is noticed by its watcher."""
    monkeypatch.setattr(events_module, "HEARTBEAT", 0.01)
    house = await started("lab")
    async with watched(house) as (_, stream):
        await anext(stream)
        assert (await anext(stream))["type"] == "heartbeat"


@virtual
async def test_a_watcher_who_does_not_keep_up_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its last event says so; another watcher hears everything, and telling never waits."""
    monkeypatch.setattr(events_module, "QUEUE", 5)
    house = await started("lab")
    async with watched(house) as (events, slow):
        await anext(slow)
        quick = events.stream()
        await anext(quick)
        for number in range(20):
            events.tell("reload", applied=True, findings=number)
            assert (await anext(quick))["findings"] == number
        rest = [event["type"] async for event in slow]
        await quick.aclose()
    assert rest == ["dropped"]
    assert events._watchers == set()


@virtual
async def test_without_watchers_nothing_looks() -> None:
    """The task ends with the last watcher; its number is bounded."""
    house = await started("lab")
    async with watched(house) as (events, stream):
        await anext(stream)
        assert events._looking is not None
        others = [events.stream() for _ in range(events_module.WATCHERS - 1)]
        for other in others:
            await anext(other)
        with pytest.raises(UpstreamUnavailable):
            await anext(events.stream())
        for other in others:
            await other.aclose()
        await stream.aclose()
        assert events._looking is None
        await asyncio.sleep(0)
