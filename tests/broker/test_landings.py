"""Each refresh is told once, with how it ended: that is what is counted and what the trail says."""

from __future__ import annotations

import asyncio
import contextlib

from credd.core.deeds import Landing
from credd.errors import CreddError
from tests.fakes.house import House, started
from tests.fakes.virtual_time import virtual


def listening(house: House) -> list[Landing]:
    told = list[Landing]()
    house.flights.told = told.append
    return told


@virtual
async def test_a_refresh_that_went_well_is_told_with_its_generation() -> None:
    """And with the seconds it took."""
    house = await started("lab")
    told = listening(house)
    await asyncio.sleep(60)
    before = len(told)
    reply = await house.broker.refresh("lab")
    assert told[before:] == [
        Landing("lab", "refreshed", "", reply["generation"], told[-1].seconds)
    ]  # fmt: skip
    assert 0 <= told[-1].seconds < 60
    assert house.flights.under_way() == 0
    await house.stop()


@virtual
async def test_a_refresh_that_failed_is_told_with_its_kind_and_reason() -> None:
    """The kind is what happens next, the reason is finer."""
    house = await started("lab")
    told = listening(house)
    await asyncio.sleep(60)
    house.issuer.away = True
    before = len(told)
    with contextlib.suppress(CreddError):
        await house.broker.refresh("lab")
    assert [(one.outcome, bool(one.reason)) for one in told[before:]] == [("transient", True)]
    await house.stop()
