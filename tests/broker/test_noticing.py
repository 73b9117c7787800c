"""Noticing: who should hear of a login that has ended hears of it, in time and not too often."""

from __future__ import annotations

import asyncio
import itertools

from credd.broker.noticing import Noticing
from credd.core.failures import Failure, Kind
from credd.core.notices import Notice
from tests.fakes.house import House, started
from tests.fakes.virtual_time import virtual

HOUR = 3600.0


def listening(house: House) -> list[tuple[float, Notice]]:
    """What is told of this house from now on, each with its moment."""
    told: list[tuple[float, Notice]] = []
    loop = asyncio.get_running_loop()

    def tell(notice: Notice) -> None:
        told.append((loop.time(), notice))

    noticing = Noticing(house.shelf, house.around, tell)
    house.flights.landed = lambda holding: (house.shelf.stir(), noticing.look(holding))[0]
    house.noticing = asyncio.create_task(noticing.run())  # type: ignore[attr-defined]
    return told


@virtual
async def test_nothing_is_told_of_a_credential_that_goes_well() -> None:
    """Not in a day of refreshing, and not of one where nobody has logged in yet."""
    house = await started("lab", "other", logged_in=False)
    told = listening(house)
    await house.login("lab")
    await asyncio.sleep(24 * HOUR)
    assert told == []


@virtual
async def test_t65_a_refusal_for_ever_is_told_at_once_four_times_and_then_daily() -> None:
    """At the moment it is final, then every 15 min, then once a day."""
    house = await started()
    told = listening(house)
    house.issuer.kill()
    await asyncio.sleep(180)
    assert [notice.state for _, notice in told] == ["login-required"]
    await asyncio.sleep(3 * 24 * HOUR)
    assert len(told) in (6, 7)
    first = [at for at, _ in told[:5]]
    gaps = [b - a for a, b in itertools.pairwise(first)]
    assert all(900 <= gap <= 960 for gap in gaps[:3])
    assert gaps[3] >= 24 * HOUR


@virtual
async def test_a_login_ends_the_notices() -> None:
    """After it, silence; and the next end is told at once."""
    house = await started()
    told = listening(house)
    house.issuer.kill()
    await asyncio.sleep(200)
    assert len(told) == 1
    await house.login()
    await asyncio.sleep(2 * HOUR)
    assert len(told) == 1
    house.issuer.kill()
    await asyncio.sleep(300)
    assert len(told) == 2


@virtual
async def test_another_cause_is_told_beside_the_first() -> None:
    """A client that is refused, and later a login that is."""
    house = await started()
    told = listening(house)
    house.issuer.failure = Failure(Kind.MISCONFIGURED, "invalid_client")
    await asyncio.sleep(200)
    house.issuer.failure = None
    house.issuer.kill()
    await asyncio.sleep(1200)
    causes = [notice.cause for _, notice in told]
    assert causes[0] == ("misconfigured", "invalid_client")
    assert causes[-1] == ("login-required", "invalid_grant")


@virtual
async def test_one_credential_s_notices_don_t_count_for_another() -> None:
    """Two that end together are both told."""
    house = await started("lab", "other")
    told = listening(house)
    for issuer in house.issuers.values():
        issuer.kill()
    await asyncio.sleep(300)
    assert sorted(notice.credential for _, notice in told) == ["lab", "other"]
