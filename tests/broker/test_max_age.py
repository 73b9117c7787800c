"""A limit that the configuration sets to a login's life holds on every path."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest

from credd.errors import LoginRequired
from tests.fakes.house import House, started
from tests.fakes.virtual_time import virtual

HALF_A_DAY = 43200.0


async def limited(seconds: float = HALF_A_DAY) -> House:
    """A house whose login may be so old."""
    house = await started()
    limit(house, seconds)
    return house


def limit(house: House, seconds: float | None) -> None:
    house.credentials["lab"] = dataclasses.replace(house.credentials["lab"], max_age=seconds)
    house.shelf.configure(house.credentials)


@virtual
async def test_t10_after_max_age_nothing_of_the_login_is_used() -> None:
    """No token, no refresh, no rejection; the reason is the configuration's, the remedy a login."""
    house = await limited()
    await asyncio.sleep(HALF_A_DAY - 60)
    await house.fetch()
    assert house.state() == "fresh"
    await asyncio.sleep(120)
    asked = [
        lambda: house.broker.token("lab"),
        lambda: house.broker.refresh("lab"),
        lambda: house.broker.reject("lab", house.broker.describe("lab")["generation"]),
    ]
    for ask in asked:
        with pytest.raises(LoginRequired, match="max_age") as refused:
            await ask()
        assert (refused.value.reason, refused.value.remedy) == ("max_age", "credd-ctl login lab")
    assert house.state() == "login-required"
    assert house.broker.refresh_all() == []


@virtual
async def test_after_max_age_the_issuer_hears_nothing_more() -> None:
    """Nothing is refreshed that nobody may have."""
    house = await limited()
    await asyncio.sleep(HALF_A_DAY + 60)
    before = len(house.issuer.requests)
    await asyncio.sleep(86400)
    assert len(house.issuer.requests) == before


@virtual
async def test_t10_max_age_holds_after_a_restart_and_a_reload() -> None:
    """It counts from the login, which is kept in the vault."""
    house = await limited()
    await asyncio.sleep(HALF_A_DAY + 60)
    await house.restart()
    with pytest.raises(LoginRequired):
        await house.fetch()
    limit(house, None)
    await house.fetch()
    limit(house, 3600.0)
    with pytest.raises(LoginRequired):
        await house.fetch()


@virtual
async def test_a_new_login_starts_anew() -> None:
    """As the remedy says."""
    house = await limited()
    await asyncio.sleep(HALF_A_DAY + 60)
    await house.login()
    await asyncio.sleep(HALF_A_DAY - 60)
    await house.fetch()
    assert house.state() == "fresh"


@virtual
async def test_max_age_is_told_beforehand() -> None:
    """`check` and `status` know when it ends, and no client keeps a copy beyond it."""
    house = await limited()
    now = house.around.now().wall
    described = house.broker.describe("lab")
    assert described["login_ends_at"] == pytest.approx(now + HALF_A_DAY, abs=1)
    assert house.broker.lifetime("lab", 3600)["verdict"] == "lasts"
    assert house.broker.lifetime("lab", HALF_A_DAY + 60)["verdict"] == "ends"
    await asyncio.sleep(HALF_A_DAY - 10)
    served = await house.broker.token("lab")
    assert served.refresh_at <= now + HALF_A_DAY + 1
