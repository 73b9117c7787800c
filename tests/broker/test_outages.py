"""Promises about outages: how often the issuer is asked, and how soon it goes well again.

The bounds are those of the refresh policy: one account, no kicks.
"""

from __future__ import annotations

import asyncio

import pytest

from credd.core.failures import Failure, Kind
from credd.errors import UpstreamUnavailable
from tests.fakes.house import started
from tests.fakes.virtual_time import run_virtual, virtual

HOUR = 3600.0


@pytest.mark.parametrize(
    ("lifetime", "outage", "most"),
    [
        (300.0, 60.0, 12),
        (HOUR, 60.0, 12),
        (24 * HOUR, 60.0, 12),
        (300.0, 4 * HOUR, 180),
        (HOUR, 4 * HOUR, 130),
        (24 * HOUR, 4 * HOUR, 90),
    ],
)
@pytest.mark.parametrize("seed", range(5))
def test_an_outage_costs_few_requests(lifetime: float, outage: float, most: int, seed: int) -> None:
    """The number of requests in an outage that starts when a refresh is due is bounded."""

    async def main() -> None:
        house = await started(lifetime=lifetime, seed=seed)
        await asyncio.sleep(lifetime * 0.49)
        house.issuer.away = True
        while not house.issuer.requests:  # noqa: ASYNC110 - virtual time costs nothing
            await asyncio.sleep(1)
        await asyncio.sleep(outage)
        assert 2 <= len(house.issuer.requests) <= most
        house.issuer.away = False
        await asyncio.sleep(400)
        assert house.state() == "fresh"

    run_virtual(main())


@virtual
async def test_a_refusal_for_ever_costs_at_most_six_requests_in_the_first_hour() -> None:
    """One confirmation, then a probe every quarter of an hour, later every six hours."""
    house = await started()
    house.issuer.kill()
    await asyncio.sleep(180)
    assert len(house.issuer.requests) >= 1
    await asyncio.sleep(HOUR)
    assert len(house.issuer.requests) <= 6
    await asyncio.sleep(24 * HOUR)
    assert len(house.issuer.requests) <= 12


@virtual
async def test_retry_after_is_honoured_and_jittered_upward_only() -> None:
    """A 429 with Retry-After pauses at least that long."""
    house = await started(throttle=40.0)
    await asyncio.sleep(290)
    gaps = [b - a for a, b in zip(house.issuer.requests, house.issuer.requests[1:], strict=False)]
    assert gaps
    assert all(40 <= gap <= 45 for gap in gaps)


@virtual
async def test_a_client_that_asks_shortens_a_long_wait_once_in_a_while() -> None:
    """Long after the end of a token the pauses are minutes; a job that asks is served in
    seconds."""
    house = await started()
    house.issuer.away = True
    await asyncio.sleep(2 * HOUR)
    house.issuer.away = False
    before = asyncio.get_running_loop().time()
    await house.fetch()
    assert asyncio.get_running_loop().time() - before < 5


@virtual
async def test_jobs_that_ask_all_the_time_cause_no_storm() -> None:
    """Eight workers that ask in a loop through an hour of outage: a kick every 15 s at most."""
    house = await started()
    house.issuer.away = True
    await asyncio.sleep(310)
    before = len(house.issuer.requests)

    async def worker() -> None:
        until = asyncio.get_running_loop().time() + HOUR
        while asyncio.get_running_loop().time() < until:
            with pytest.raises(UpstreamUnavailable):
                await house.fetch(max_wait=1)

    await asyncio.gather(*(worker() for _ in range(8)))
    assert len(house.issuer.requests) - before <= HOUR / 15 + HOUR / 15


@virtual
async def test_a_flapping_issuer_is_asked_with_measure() -> None:
    """One second away, one second there, for an hour: hardly more requests than in good times."""
    house = await started()

    async def flap() -> None:
        while True:
            house.issuer.away = not house.issuer.away
            await asyncio.sleep(1)

    flapping = asyncio.create_task(flap())
    await asyncio.sleep(HOUR)
    flapping.cancel()
    assert len(house.issuer.requests) < 100
    assert house.state() in ("fresh", "stale")


@virtual
async def test_a_slow_issuer_delays_nobody_else() -> None:
    """One issuer hangs for a minute; a hundred others are refreshed on time."""
    names = [f"c{number}" for number in range(100)]
    house = await started(*names)
    house.issuers["c0"].latency = 60.0
    await asyncio.sleep(200)
    assert all(house.issuers[name].requests for name in names)
    assert {house.state(name) for name in names[1:]} == {"fresh"}


@virtual
async def test_accounts_that_start_together_do_not_refresh_together() -> None:
    """Fifty tokens that expired while the daemon was down are refreshed over seconds."""
    names = [f"c{number}" for number in range(50)]
    house = await started(*names)
    await house.stop()
    await asyncio.sleep(1000)
    house.build()
    await house.start()
    start = asyncio.get_running_loop().time()
    await asyncio.sleep(30)
    moments = sorted(house.issuers[name].requests[-1] - start for name in names)
    assert moments[-1] - moments[0] > 5
    assert moments[-1] <= 11


@virtual
async def test_404_from_the_token_endpoint_is_believed_the_third_time() -> None:
    """A rolling deployment gives one or two; three in a row are a wrong configuration."""
    house = await started()
    house.issuer.failure = Failure(Kind.TRANSIENT, "not_found")
    await asyncio.sleep(200)
    assert house.state() == "misconfigured"
    assert len(house.issuer.requests) == 3
