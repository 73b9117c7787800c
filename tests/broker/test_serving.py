"""Promises about fetches: what a job gets, and when."""

from __future__ import annotations

import asyncio

import pytest

from credd.core.failures import Failure, Kind
from credd.core.model import token_key
from credd.errors import (
    BadRequest,
    LoginRequired,
    Misconfigured,
    UnknownCredential,
    UpstreamUnavailable,
)
from tests.fakes.house import started
from tests.fakes.virtual_time import virtual


@virtual
async def test_a_fresh_token_is_answered_without_asking_the_issuer() -> None:
    """A cached token costs no request."""
    house = await started()
    assert await house.fetch() == await house.fetch() == "at-1"
    assert house.issuer.requests == []


@virtual
async def test_a_token_is_renewed_before_anybody_asks() -> None:
    """The refresher renews at about half of the lifetime, for as long as the daemon runs."""
    house = await started()
    await asyncio.sleep(3000)
    assert 17 <= len(house.issuer.requests) <= 20
    assert house.state() == "fresh"
    assert house.issuer.violations == []


@virtual
async def test_a_thousand_callers_of_an_expired_token_cause_one_request() -> None:
    """Single flight: everybody gets the same new token, the issuer sees one request."""
    house = await started()
    house.refreshing.cancel()
    await asyncio.sleep(400)
    tokens = await asyncio.gather(*(house.fetch() for _ in range(1000)))
    assert set(tokens) == {"at-2"}
    assert len(house.issuer.requests) == 1


@virtual
async def test_a_caller_who_leaves_does_not_end_the_refresh() -> None:
    """The first of fifty callers is cancelled; the other forty-nine are served by the same
    flight."""
    house = await started(latency=1.0)
    house.refreshing.cancel()
    await asyncio.sleep(400)
    callers = [asyncio.create_task(house.fetch()) for _ in range(50)]
    await asyncio.sleep(0.2)
    callers[0].cancel()
    assert set(await asyncio.gather(*callers[1:])) == {"at-2"}
    assert len(house.issuer.requests) == 1


@virtual
async def test_a_good_token_is_served_while_the_issuer_is_away() -> None:
    """Cached tokens go out to the last good second; after it nobody gets a dead one."""
    house = await started()
    house.issuer.away = True
    await asyncio.sleep(294)
    assert await house.fetch(max_wait=0) == "at-1"
    await asyncio.sleep(2)
    with pytest.raises(UpstreamUnavailable):
        await house.fetch(max_wait=0)


@virtual
async def test_a_caller_waits_through_a_short_outage() -> None:
    """A fetch of an expired token outlives failing tries and gets the first new token."""
    house = await started()
    house.issuer.away = True
    await asyncio.sleep(310)
    asyncio.get_running_loop().call_later(10, setattr, house.issuer, "away", False)
    assert await house.fetch(max_wait=30) == "at-2"


@virtual
async def test_near_its_end_a_token_is_served_after_a_short_wait() -> None:
    """In the last lead seconds a caller waits at most a second for a hanging issuer."""
    house = await started(latency=60.0)
    house.refreshing.cancel()
    await asyncio.sleep(240 + 35)
    before = asyncio.get_running_loop().time()
    assert await house.fetch() == "at-1"
    assert 0.9 <= asyncio.get_running_loop().time() - before <= 1.2


@virtual
async def test_min_valid_is_a_promise() -> None:
    """A token with less left is not handed out; the caller gets a newer one or an error."""
    house = await started()
    house.refreshing.cancel()
    await asyncio.sleep(100)
    served = await house.broker.token("lab", min_valid=220)
    assert served.token.generation == 2
    house.issuer.away = True
    await asyncio.sleep(100)
    with pytest.raises(UpstreamUnavailable):
        await house.broker.token("lab", min_valid=220, max_wait=2)
    assert await house.fetch() == "at-2"


@virtual
async def test_an_impossible_min_valid_is_refused_at_once_and_names_the_most() -> None:
    """More than three quarters of the lifetime can't be promised."""
    house = await started()
    with pytest.raises(Misconfigured, match="at most 225") as caught:
        await house.fetch(min_valid=250)
    assert caught.value.remedy == "credd-ctl token lab --min-valid 225"


@virtual
async def test_two_scopes_of_one_grant_are_fetched_one_after_the_other() -> None:
    """Each narrowed token has its own cache, but only one request spends the refresh token."""
    house = await started()
    one, two = token_key(["a"], ""), token_key(["b"], "")
    first, second = await asyncio.gather(
        house.broker.token("lab", one), house.broker.token("lab", two)
    )
    assert house.issuer.violations == []
    assert len(house.issuer.posted) == len(set(house.issuer.posted)) == 2
    assert first.token.generation != second.token.generation
    assert await house.fetch() == "at-1"


@virtual
async def test_a_callers_own_bad_scope_concerns_nobody_else() -> None:
    """The refusal is remembered for that scope and changes no state."""
    house = await started(refused_scopes=frozenset({"moon"}))
    for _ in range(3):
        with pytest.raises(BadRequest):
            await house.broker.token("lab", token_key(["moon"], ""))
    assert len(house.issuer.requests) == 1
    assert house.state() == "fresh"
    await asyncio.sleep(61)
    with pytest.raises(BadRequest):
        await house.broker.token("lab", token_key(["moon"], ""))
    assert len(house.issuer.requests) >= 2


@virtual
async def test_an_unknown_name_names_the_nearest() -> None:
    """A typo costs one look, not a search."""
    house = await started("infinstor")
    with pytest.raises(UnknownCredential, match="did you mean infinstor"):
        await house.fetch("infinstro")


@virtual
async def test_nobody_logged_in_is_said_at_once_with_the_remedy() -> None:
    """No caller waits for a person who does not know that they are waited for."""
    house = await started(logged_in=False)
    with pytest.raises(LoginRequired) as caught:
        await house.fetch()
    assert caught.value.remedy == "credd-ctl login lab"
    assert asyncio.get_running_loop().time() == 0


@virtual
async def test_a_misconfigured_client_keeps_its_token_and_says_so() -> None:
    """invalid_client is retried slowly; the cached token goes out while it is good."""
    house = await started()
    house.issuer.failure = Failure(Kind.MISCONFIGURED, "invalid_client")
    await asyncio.sleep(200)
    assert house.state() == "misconfigured"
    assert await house.fetch() == "at-1"
    await asyncio.sleep(200)
    with pytest.raises(Misconfigured):
        await house.fetch()
    assert len(house.issuer.requests) <= 2
    house.issuer.failure = None
    house.shelf.configure(house.credentials)
    await asyncio.sleep(1)
    assert await house.fetch() == "at-2"
