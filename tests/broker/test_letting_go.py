"""The vault is taken away: everything it held is let go at once, and nothing that was sent is
lost."""

from __future__ import annotations

import asyncio

import pytest

from credd.core.keeping import Attempt, Kept
from credd.errors import CreddError, LoginRequired
from tests.fakes.house import House, started
from tests.fakes.virtual_time import virtual


async def forget_all(house: House) -> None:
    """What a reset does to the vault."""
    for name in list(house.keeper.records):
        await house.keeper.forget(name)


@virtual
async def test_what_the_vault_held_must_be_logged_in_again() -> None:
    """By name; nothing is served any more, and no issuer was told."""
    house = await started("home", "lab")
    assert await house.grants.drop_all(lambda: forget_all(house)) == ["home", "lab"]
    assert [house.state(name) for name in ("home", "lab")] == ["empty", "empty"]
    with pytest.raises(LoginRequired):
        await house.fetch("lab")
    assert not any(issuer.revoked for issuer in house.issuers.values())
    assert not house.shelf.loaded
    events = await house.login("lab")
    assert events[-1]["type"] == "done"
    assert house.state("lab") == "fresh"


@virtual
async def test_a_refresh_under_way_is_in_the_vault_that_goes() -> None:
    """Its answer is awaited, and kept before the vault is taken away."""
    house = await started(latency=5.0)
    spent = len(house.issuer.posted)
    while not house.issuer.in_flight:  # noqa: ASYNC110 - virtual time costs nothing
        await asyncio.sleep(0.1)
    numbers: list[int] = []

    async def take_away() -> None:
        numbers.append(house.keeper.records["lab"][0])
        await forget_all(house)

    before = house.keeper.records["lab"][0]
    await house.grants.drop_all(take_away)
    assert numbers == [before + 1]
    await asyncio.sleep(3600)
    assert len(house.issuer.posted) == spent + 1
    assert house.issuer.violations == []


@virtual
async def test_a_vault_that_stays_is_served_from_as_before() -> None:
    """What stops the reset stops all of it."""
    house = await started()

    async def refuse() -> None:
        raise CreddError("the disk refuses")

    with pytest.raises(CreddError):
        await house.grants.drop_all(refuse)
    assert house.state() == "fresh"
    assert await house.fetch() == "at-1"
    await asyncio.sleep(400)
    assert await house.fetch() != "at-1"


@virtual
async def test_a_vault_that_was_never_read_held_whatever_is_configured() -> None:
    """Locked or damaged: nobody can say what was in it, so all are named."""
    house = House("home", "lab")
    house.shelf.configure(house.credentials)
    assert not house.shelf.loaded

    async def take_away() -> None:
        pass

    assert await house.grants.drop_all(take_away) == ["home", "lab"]
    assert house.state("lab") == "empty"


@virtual
async def test_t23_an_attempt_that_can_not_be_read_counts_as_a_lost_reply() -> None:
    """Something was posted, and no one knows what: the same refresh token is posted once more, and
    a refusal then is final, with the reason. Forgetting it would spend a token as if unspent."""
    house = await started()
    house.keeper.attempts["lab"] = Attempt("unreadable", 0, b"", 0.0)
    await house.restart()
    assert house.state() == "ambiguous"
    trouble = house.broker.describe("lab")["trouble"]
    assert trouble is not None
    assert trouble["reason"] == "reply_lost"
    assert abs(trouble["since"] - house.clock.now().wall) < 60
    await asyncio.sleep(60)
    assert house.state() == "fresh"
    assert house.keeper.attempts == {}
    assert [kept for kept in await house.keeper.load() if kept.damage] == []
    assert isinstance((await house.keeper.load())[0], Kept)
