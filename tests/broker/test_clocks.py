"""Promises about time: suspend, clock steps, paused machines, reboots."""

from __future__ import annotations

import asyncio

import pytest

from credd.errors import UpstreamUnavailable
from tests.fakes.house import started
from tests.fakes.virtual_time import virtual


@virtual
async def test_after_a_suspend_no_expired_token_is_served() -> None:
    """Eight hours pass while the loop's clock stands still; the first fetch gets a new token."""
    house = await started()
    house.clock.suspend(8 * 3600)
    assert await house.fetch() == "at-2"


@virtual
async def test_after_a_suspend_tokens_are_renewed_within_one_look() -> None:
    """The refresher looks every 30 s whatever its timers say."""
    house = await started()
    house.clock.suspend(8 * 3600)
    await asyncio.sleep(45)
    assert len(house.issuer.requests) == 1
    assert house.state() == "fresh"


@virtual
async def test_a_paused_machine_serves_nothing_expired() -> None:
    """Boottime stood still, the wall clock jumped: the wall clock is believed."""
    house = await started()
    house.clock.pause(8 * 3600)
    house.issuer.away = True
    with pytest.raises(UpstreamUnavailable):
        await house.fetch(max_wait=0)


@virtual
async def test_a_wall_clock_set_back_makes_no_token_younger() -> None:
    """A day backwards: boottime says that the token has expired, and it is not served."""
    house = await started()
    house.refreshing.cancel()
    house.clock.step(-86400)
    await asyncio.sleep(301)
    house.issuer.away = True
    with pytest.raises(UpstreamUnavailable):
        await house.fetch(max_wait=0)


@pytest.mark.parametrize("step", [86400.0, -86400.0, 10 * 365 * 86400.0, -1_900_000_000.0])
def test_a_clock_step_costs_at_most_two_requests(step: float) -> None:
    """Forward, backward, ten years, to 1970: no storm."""

    @virtual
    async def main() -> None:
        house = await started()
        await asyncio.sleep(10)
        house.clock.step(step)
        await asyncio.sleep(60)
        assert len(house.issuer.requests) <= 2
        await asyncio.sleep(3000)
        assert len(house.issuer.requests) <= 22
        assert house.state() == "fresh"

    main()


@virtual
async def test_a_nervous_clock_causes_no_storm() -> None:
    """NTP steps of two seconds back and forth every minute, for two hours."""
    house = await started()
    for number in range(120):
        house.clock.step(2 if number % 2 else -2)
        await asyncio.sleep(60)
    assert len(house.issuer.requests) <= 60
    assert house.state() == "fresh"


@virtual
async def test_after_a_reboot_only_the_wall_clock_counts() -> None:
    """Another boot's boottime says nothing; a token still good by the wall clock is served."""
    house = await started()
    house.clock.reboot()
    await house.restart()
    assert await house.fetch() == "at-1"


@virtual
async def test_after_a_reboot_with_an_earlier_clock_the_token_is_renewed_first() -> None:
    """Started at 1970, no clock can tell the token's age: it is refreshed before it is served."""
    house = await started()
    house.clock.reboot()
    house.clock.step(-1_000_000_000)
    await house.restart()
    assert await house.fetch() == "at-2"


@virtual
async def test_back_off_that_was_drawn_arrives() -> None:
    """The next try is a recorded moment: looking at it does not push it away."""
    house = await started()
    house.issuer.away = True
    await asyncio.sleep(200)
    planned = house.broker.describe("lab")["trouble"]
    assert planned is not None
    due = planned["next_try_at"]
    for _ in range(100):
        again = house.broker.describe("lab")["trouble"]
        assert again is not None
        assert again["next_try_at"] == pytest.approx(due, abs=0.01)
